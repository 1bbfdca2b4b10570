// Package runner starts services and stops them: settings, database, bus, HTTP, telemetry, signals. A service is a
// constructor; production runs one of them per process, `tenure dev` all of them in one, with the very same wiring.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/shared/auth"
	"tenure/shared/bus"
	"tenure/shared/pg"
	"tenure/shared/problem"
	"tenure/shared/telemetry"
	"tenure/shared/vault"
)

// Service is what a constructor returns.
type Service interface {
	// Run works until ctx ends and returns when everything it started has stopped. An error ends the process.
	Run(ctx context.Context) error
	// Ready tells why the service cannot work now, or nil.
	Ready(ctx context.Context) error
}

// New builds a service: it migrates its tables, registers its routes on deps.API or deps.Mux, and starts nothing.
type New func(ctx context.Context, deps Deps) (Service, error)

// Named is a service and the name of its schema, its logs and its process.
type Named struct {
	Name string
	New  New
}

// Deps is what a service is given.
type Deps struct {
	Settings
	Environ Environ
	Bus     *bus.Bus
	// Vault is nil where TENURE_VAULT_KEY is not set: services that never see personal data get no key to it.
	Vault *vault.Vault
	Auth  *auth.Verifier
	// API takes described routes (they show in /openapi.json); Mux takes the rest (webhooks, streams).
	API huma.API
	Mux *http.ServeMux
	// Open gives a pool on a schema of its own, which it creates; the runner closes it.
	Open func(ctx context.Context, schema string) (*pgxpool.Pool, error)
}

// Main is a service's whole main function: it runs until SIGINT or SIGTERM and returns the exit code.
func Main(name string, newService New) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, OSEnviron(), nil, Named{name, newService}); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// Run builds the services, serves them and returns when ctx has ended and all have stopped, or when one fails. ready, if
// not nil, is called once every service answers Ready with nil.
func Run(ctx context.Context, environ Environ, ready func(), services ...Named) error {
	if err := errors.Join(environ.ReadSecretFiles(), environ.refuseTestKnobs()); err != nil {
		return err
	}
	settings, err := environ.readSettings()
	if err != nil {
		return err
	}
	name := services[0].Name
	if len(services) > 1 {
		name = "dev"
	}
	tel, err := telemetry.Start(ctx, name, environ)
	if err != nil {
		return err
	}
	defer tel.Shutdown(context.WithoutCancel(ctx))
	p := &process{pools: map[string]*pgxpool.Pool{}, settings: settings}
	defer p.close()
	owner := slices.ContainsFunc(services, func(s Named) bool { return s.Name == streamOwner })
	deps, err := p.deps(ctx, name, environ, owner)
	if err != nil {
		return err
	}
	running := map[string]Service{}
	for _, s := range services {
		if running[s.Name], err = s.New(ctx, deps); err != nil {
			return fmt.Errorf("start %s: %w", s.Name, err)
		}
	}
	return p.serve(ctx, deps, running, tel, ready)
}

// streamOwner is the service that makes the streams.
const streamOwner = "lifecycle"

// process owns what the services of one process share.
type process struct {
	settings Settings
	bus      *bus.Bus
	mu       sync.Mutex
	pools    map[string]*pgxpool.Pool
}

func (p *process) deps(ctx context.Context, name string, environ Environ, owner bool) (Deps, error) {
	if err := waitForDatabase(ctx, p.settings.DatabaseURL); err != nil {
		return Deps{}, err
	}
	if err := bus.Migrate(ctx, p.settings.DatabaseURL); err != nil {
		return Deps{}, err
	}
	letters, err := p.open(ctx, bus.Schema)
	if err != nil {
		return Deps{}, err
	}
	p.bus, err = bus.Connect(ctx, bus.Config{URL: p.settings.NATSURL, Name: "tenure-" + name, Replicas: p.settings.NATSReplicas, DB: letters})
	if err != nil {
		return Deps{}, err
	}
	if err := waitForTopology(ctx, p.bus, owner); err != nil {
		return Deps{}, err
	}
	vlt, err := openVault(ctx, p.settings, environ)
	if err != nil {
		return Deps{}, err
	}
	verifier, err := openVerifier(environ)
	if err != nil {
		return Deps{}, err
	}
	mux := http.NewServeMux()
	return Deps{
		Settings: p.settings, Environ: environ, Bus: p.bus, Vault: vlt, Auth: verifier,
		API: NewAPI(mux, verifier), Mux: mux, Open: p.open,
	}, nil
}

func (p *process) open(ctx context.Context, schema string) (*pgxpool.Pool, error) {
	if err := pg.CreateSchema(ctx, p.settings.DatabaseURL, schema); err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, p.settings.DatabaseURL, schema)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.pools[schema]; old != nil {
		pool.Close()
		return old, nil
	}
	p.pools[schema] = pool
	return pool, nil
}

func (p *process) close() {
	if p.bus != nil {
		p.bus.Close()
	}
	for _, pool := range p.pools {
		pool.Close()
	}
}

// serve runs HTTP and the services side by side. HTTP stops taking requests first, then the services drain.
func (p *process) serve(ctx context.Context, deps Deps, services map[string]Service, tel *telemetry.Telemetry, ready func()) error {
	addOperational(deps.Mux, services, tel)
	server := &http.Server{
		Addr: p.settings.HTTPAddr, Handler: traced(refuseNUL(limitBody(problem.Routes(deps.Mux)))),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelError), // panics of handlers go there too
	}
	listener, err := listen(ctx, p.settings.HTTPAddr)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for name, s := range services {
		g.Go(func() error {
			if err := s.Run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.settings.DrainTime)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			return server.Close() // streams that never end by themselves
		}
		return nil
	})
	if ready != nil {
		g.Go(func() error { return whenReady(ctx, services, ready) })
	}
	slog.InfoContext(ctx, "serving", "http", p.settings.HTTPAddr, "services", len(services))
	return g.Wait()
}

func whenReady(ctx context.Context, services map[string]Service, ready func()) error {
	for _, s := range services {
		for s.Ready(ctx) != nil {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	ready()
	return nil
}
