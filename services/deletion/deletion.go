// Package deletion is the service that erases what a tenant leaves behind, reads it again until nothing is there, and
// signs the certificate that says so.
package deletion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/connectors/datamap"
	"tenure/services/connectors/s3"
	"tenure/services/deletion/internal/api"
	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/blob"
	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/store"
	"tenure/services/deletion/migrations"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/fault"
	"tenure/shared/gate"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/query"
	"tenure/shared/retention"
	"tenure/shared/retention/policyfile"
	"tenure/shared/runner"
)

// name is the service's in the bus, in the log, in steps and as its schema.
const name = app.Participant

const bucketVariable = "TENURE_S3_BUCKET"

// settings are the service's own, beside those of every service and the AWS_* that reach S3. The secret may come from a
// file instead (X_FILE).
type settings struct {
	// Bucket takes the certificates. Exports and archives in it are erased.
	Bucket string `env:"TENURE_S3_BUCKET,required"`
	// DataMap is the path of the file that lists the stores. It is required: a deletion that forgot it would be certified
	// all the same.
	DataMap string `env:"TENURE_DATAMAP,required"`
	// SigningKey signs the certificates: an Ed25519 seed, 32 bytes in base64. After a change, GET /v1/keys shows the old
	// public key too.
	SigningKey string `env:"TENURE_SIGNING_KEY,required"`
	// Policy is the path of the retention policy; "" is the default one.
	Policy string `env:"TENURE_RETENTION_POLICY"`
	// Workers is how many steps are carried out side by side in one process.
	Workers int `env:"TENURE_DELETION_WORKERS" envDefault:"4"`
	// RootLockDays is how many days a bucket with object lock keeps each signed root from being deleted or overwritten, by
	// anybody; 0: it does not.
	RootLockDays int `env:"TENURE_ROOT_LOCK_DAYS" envDefault:"365"`
}

// service implements runner.Service.
type service struct {
	db     *pgxpool.Pool
	log    *eventlog.Log
	bus    *bus.Bus
	app    *app.App
	roots  *app.RootKeeper
	stores datamap.Stores
}

// New implements runner.New.
func New(ctx context.Context, d runner.Deps) (runner.Service, error) {
	var cfg settings
	if err := d.Environ.Parse(&cfg); err != nil {
		return nil, err
	}
	signer, err := certificate.ParseSigner(cfg.SigningKey)
	if err != nil {
		return nil, fmt.Errorf("TENURE_SIGNING_KEY: %w", err)
	}
	if d.Vault == nil {
		return nil, errors.New("TENURE_VAULT_KEY is not set: without it no personal data can be destroyed")
	}
	s := &service{bus: d.Bus}
	if err := s.openDatabase(ctx, d, signer); err != nil {
		return nil, err
	}
	env := func(name string) string { return d.Environ[name] }
	documents, err := blob.Open(ctx, s3.SettingsFromEnv(env), cfg.Bucket)
	if err != nil {
		return nil, err
	}
	if s.stores, err = openStores(ctx, cfg.DataMap, env); err != nil {
		return nil, err
	}
	policy, err := policyfile.Load(cfg.Policy)
	if err != nil {
		return nil, err
	}
	if err := checkClasses(s.stores, policy); err != nil {
		return nil, err
	}
	stores := []app.Store{app.DeadLetters{DB: s.db}}
	for _, c := range s.stores {
		stores = append(stores, c)
	}
	s.app = app.New(
		app.Parts{
			DB: s.db, Log: s.log, Stores: stores, Policy: policy, Vault: d.Vault, Documents: documents, Signer: signer,
			Bucket: documents, States: s.states,
		},
		app.Config{Day: d.Day, Workers: cfg.Workers},
	)
	s.roots = &app.RootKeeper{DB: s.db, Bucket: documents, Signer: signer, Day: d.Day, LockDays: cfg.RootLockDays}
	(&api.API{DB: s.db, App: s.app}).Register(d.API)
	(&api.Roots{DB: s.db, Bucket: documents}).Register(d.API)
	(&api.Reapplications{App: s.app}).Register(d.API)
	return s, nil
}

func (s *service) openDatabase(ctx context.Context, d runner.Deps, signer certificate.Signer) (err error) {
	if s.db, err = d.Open(ctx, name); err != nil {
		return err
	}
	if err := pg.MigrateSet(ctx, s.db, "service", migrations.Files); err != nil {
		return err
	}
	if err := inbox.Migrate(ctx, s.db); err != nil {
		return err
	}
	if s.log, err = eventlog.Open(ctx, s.db, eventlog.Config{Service: name}); err != nil {
		return err
	}
	key := signer.PublicKey()
	return store.SaveSigningKey(ctx, s.db, certificate.KeyID(key), key)
}

// own are the prefixes in which Tenure itself keeps tenants' data: no data map needs to list them.
var own = []datamap.Store{
	{Name: "tenure/exports", S3: &datamap.S3{BucketEnv: bucketVariable, Prefix: "exports/{tenant}/"}},
	{Name: "tenure/archive", S3: &datamap.S3{BucketEnv: bucketVariable, Prefix: "archive/{tenant}/"}},
}

func openStores(ctx context.Context, path string, env func(string) string) (datamap.Stores, error) {
	m, err := datamap.Load(path)
	if err != nil {
		return nil, err
	}
	for _, s := range own {
		listed := func(l datamap.Store) bool {
			return l.S3 != nil && l.S3.BucketEnv == s.S3.BucketEnv && l.S3.Prefix == s.S3.Prefix
		}
		if !slices.ContainsFunc(m.Stores, listed) {
			m.Stores = append(m.Stores, s)
		}
	}
	return m.Open(ctx, env)
}

// checkClasses refuses a class that the policy does not have: a misspelt one would be erased with its tenant, for good, though
// a law asks for it to be kept.
func checkClasses(stores datamap.Stores, policy retention.Policy) error {
	for _, s := range stores {
		if class := s.Traits().Class; class != "" {
			if _, known := policy.Class(class); !known {
				return fmt.Errorf("TENURE_DATAMAP: store %s is of class %q, which the retention policy (TENURE_RETENTION_POLICY) does not have: "+
					"add it to the classes there, with keep_days 0 if it goes with its tenant", s.Name(), class)
			}
		}
	}
	return nil
}

// Run works until ctx ends.
func (s *service) Run(ctx context.Context) error {
	defer s.stores.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.log.Relay(ctx, s.bus) })
	g.Go(func() error { return s.app.Run(ctx) })
	g.Go(func() error { return s.roots.Run(ctx) })
	g.Go(func() error { return s.bus.Answer(ctx, query.DeletionInventory, s.inventory) })
	g.Go(func() error {
		return s.bus.Consume(ctx, bus.ConsumerConfig{
			Name: name, Stream: bus.StreamEvents,
			// All of the lifecycle's events, wanted or not: only so do gaps in their sequence show.
			Filters: []string{"tenure.events.lifecycle.>"},
			Handler: inbox.Reactor(s.db, name, app.Wants, s.app.React, s.app.Committed),
		})
	})
	return g.Wait()
}

// inventoryTimeout leaves the asker time to hear what did not answer.
const inventoryTimeout = 1500 * time.Millisecond

// inventory answers what an erasure of everything of a tenant would find.
func (s *service) inventory(ctx context.Context, question []byte) (any, error) {
	var q query.InventoryRequest
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read the question: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, inventoryTimeout)
	defer cancel()
	return s.app.Inventory(ctx, q)
}

// statesTimeout bounds the wait for one page of tenants.
const statesTimeout = 5 * time.Second

// states asks the lifecycle for the state of every tenant in its log.
func (s *service) states(ctx context.Context) (map[string]string, error) {
	states := map[string]string{}
	for after := ""; ; {
		page, err := s.statesBehind(ctx, after)
		if err != nil || len(page) == 0 {
			return states, err
		}
		for _, t := range page {
			states[t.Tenant], after = t.State, t.Tenant
		}
	}
}

func (s *service) statesBehind(ctx context.Context, tenant string) ([]gate.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, statesTimeout)
	defer cancel()
	var page gate.Snapshot
	if err := s.bus.Ask(ctx, gate.SnapshotQuery, gate.SnapshotRequest{After: tenant}, &page); err != nil {
		return nil, fault.RetryAfter(fmt.Errorf("ask the lifecycle for its tenants: %w", err), time.Second)
	}
	return page.Tenants, nil
}

// Ready reports whether the service can take requests; S3 and the stores may be down, deletions wait for them.
func (s *service) Ready(ctx context.Context) error {
	if err := s.db.Ping(ctx); err != nil {
		return fmt.Errorf("the database does not answer: %w", err)
	}
	return nil
}
