package deletion_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/deletion"
	"tenure/services/deletion/migrations"
	"tenure/services/deletion/verify"
	"tenure/shared/bus"
	"tenure/shared/bus/bustest"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/runner"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

// patience is for a busy machine; nothing waits that long.
const patience = 60 * time.Second

// others must not lose anything: their ids are like the one that is erased.
var others = []string{"acme-2", "acm", "ACME", "a"}

const (
	tenant  = "acme"
	objects = 3 // of each tenant, below each prefix

	dataMap = `
stores:
  - name: crm
    postgres:
      url_env: CRM_DATABASE_URL
      tables:
        - {table: crm.notes, join: {table: crm.people, on: {tenant_id: tenant_id, person: id}}, key: [id]}
        - {table: crm.people, tenant: tenant_id, subject: email, key: [id]}
        - {table: crm.invoices, tenant: tenant_id, key: [id], class: accounting}
  - name: archive
    s3: {bucket_env: TENURE_S3_BUCKET, prefix: "archive/{tenant}/"}
`
	policy = `
default: {min: 1, default: 30, max: 90}
classes: [{name: accounting, keep_days: 4018, basis: "HGB § 257(4)"}]
`
	invoices = 5 // of each tenant

	crm = `
CREATE SCHEMA crm;
CREATE TABLE crm.people (tenant_id text, id int, email text, PRIMARY KEY (tenant_id, id));
CREATE TABLE crm.invoices (tenant_id text, id int, PRIMARY KEY (tenant_id, id));
CREATE TABLE crm.notes (tenant_id text, id int, person int, PRIMARY KEY (tenant_id, id),
	FOREIGN KEY (tenant_id, person) REFERENCES crm.people);`
)

var key32 = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))

// world is the deletion service as production runs it, with the lifecycle's log to write to.
type world struct {
	*testing.T
	db        *pgxpool.Pool
	vault     *vault.Vault
	environ   runner.Environ
	bucket    s3.Bucket
	lifecycle *eventlog.Log
	schema    *pgxpool.Pool // the lifecycle's
	base      string
}

// newWorld has the service running.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newParts(t)
	w.start()
	return w
}

// newParts is all that the service needs, and not yet the service.
func newParts(t *testing.T) *world {
	t.Helper()
	url, nats := testkit.Postgres(t), testkit.NATS(t)
	w := &world{T: t}
	w.bucket.Client, w.bucket.Name = s3test.Bucket(t)
	server := s3test.Settings(t)
	path, policyPath := filepath.Join(t.TempDir(), "datamap.yaml"), filepath.Join(t.TempDir(), "retention.yaml")
	w.check(os.WriteFile(path, []byte(dataMap), 0o600))
	w.check(os.WriteFile(policyPath, []byte(policy), 0o600))
	w.environ = runner.Environ{
		"TENURE_ENV": "dev", "DATABASE_URL": url, "NATS_URL": nats.URL(), "TENURE_HTTP_ADDR": w.freeAddr(),
		"TENURE_DATAMAP": path, "TENURE_RETENTION_POLICY": policyPath, "CRM_DATABASE_URL": url, "TENURE_S3_BUCKET": w.bucket.Name,
		"TENURE_VAULT_KEY": key32, "TENURE_SIGNING_KEY": key32,
		"AWS_ENDPOINT_URL": server.Endpoint, "AWS_REGION": server.Region,
		"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
	}
	w.base = "http://" + w.environ["TENURE_HTTP_ADDR"]
	bustest.Streams(w, nats.URL())
	w.check(pg.Migrate(t.Context(), url, "deletion", migrations.Files))
	var err error
	w.db, err = pg.Open(t.Context(), url, "deletion")
	w.check(err)
	t.Cleanup(w.db.Close)
	w.vault, err = vault.Open(t.Context(), url, key32)
	w.check(err)
	w.openLifecycle(url)
	return w
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) freeAddr() string {
	w.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.check(err)
	defer l.Close()
	return l.Addr().String()
}

// start runs the service until the test ends.
func (w *world) start() {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- runner.Run(ctx, w.environ, func() { close(ready) }, runner.Named{Name: "deletion", New: deletion.New})
	}()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("the service ended: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		w.Fatalf("the service did not start: %v", err)
	}
}

// openLifecycle gives the test the lifecycle's log, published as the lifecycle does.
func (w *world) openLifecycle(url string) {
	w.Helper()
	w.check(pg.CreateSchema(w.Context(), url, "lifecycle"))
	var err error
	w.schema, err = pg.Open(w.Context(), url, "lifecycle")
	w.check(err)
	w.lifecycle, err = eventlog.Open(w.Context(), w.schema, eventlog.Config{Service: "lifecycle"})
	w.check(err)
	b, err := bus.Connect(w.Context(), bus.Config{URL: w.environ["NATS_URL"], Name: "lifecycle"})
	w.check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.lifecycle.Relay(ctx, b) }()
	w.Cleanup(func() {
		cancel()
		<-ended
		b.Close()
		w.schema.Close()
	})
}

// tell appends to the tenant's log in the lifecycle.
func (w *world) tell(payload events.Payload) {
	w.Helper()
	e, err := events.New(payload, tenant)
	w.check(err)
	e.Actor, e.CorrelationID, e.CausationID = "operator:ada", "c-1", "c-1"
	w.check(pg.WithTx(w.Context(), w.schema, func(tx pgx.Tx) error {
		return w.lifecycle.Append(w.Context(), tx, eventlog.Entry{Stream: tenant, Events: []events.Event{e}})
	}))
	w.lifecycle.Kick()
}

// step asks for a step of the purge and waits for its answer.
func (w *world) step(action string) events.StepAnswer {
	w.Helper()
	w.request(action)
	return w.answer(action)
}

func (w *world) request(action string) {
	w.Helper()
	w.tell(&events.StepRequested{StepRequest: events.StepRequest{
		StepID: "op-" + action, OperationID: "op", Operation: "purge", Participant: "deletion", Action: action, Attempt: 1,
		Generation: 1, Deadline: time.Now().Add(patience),
	}})
}

func (w *world) answer(action string) events.StepAnswer {
	w.Helper()
	var answer events.StepAnswer
	testkit.WaitFor(w, patience, action+" is answered", func() bool {
		var data []byte
		err := w.db.QueryRow(w.Context(), `SELECT data::text FROM log WHERE type IN ('tenure.deletion.step.completed.v1', 'tenure.deletion.step.failed.v1')
			AND data::json->>'step_id' = $1`, "op-"+action).Scan(&data)
		return err == nil && json.Unmarshal(data, &answer) == nil
	})
	if answer.Error != "" {
		w.Fatalf("%s failed: %s", action, answer.Error)
	}
	return answer
}

// fill gives a tenant rows, files, an archive and exports, with all that only a careful reader finds.
func (w *world) fill(id string) {
	w.Helper()
	for _, sql := range []string{
		`INSERT INTO crm.people SELECT $1, n, 'p' || n % 2000 || '@example.com' FROM generate_series(1, 6000) AS n`,
		`INSERT INTO crm.notes SELECT $1, n, n FROM generate_series(1, 6000) AS n`,
		fmt.Sprintf(`INSERT INTO crm.invoices SELECT $1, n FROM generate_series(1, %d) AS n`, invoices),
	} {
		_, err := w.db.Exec(w.Context(), sql, id)
		w.check(err)
	}
	for _, prefix := range []string{"exports/", "archive/"} {
		for n := range objects - 1 {
			w.put(fmt.Sprintf("%s%s/%d", prefix, id, n))
		}
		_, err := w.bucket.Client.CreateMultipartUpload(w.Context(), &awss3.CreateMultipartUploadInput{
			Bucket: &w.bucket.Name, Key: aws.String(prefix + id + "/unfinished"),
		})
		w.check(err)
	}
	w.check(w.vault.Put(w.Context(), w.db, id, 1, vault.Contact{Name: "Ann of " + id, Email: "ann@" + id + ".example.com"}))
}

func (w *world) put(key string) {
	w.Helper()
	_, err := w.bucket.Client.PutObject(w.Context(), &awss3.PutObjectInput{
		Bucket: &w.bucket.Name, Key: &key, Body: strings.NewReader(key),
	})
	w.check(err)
}

// left counts what a tenant has.
func (w *world) left(id string) (rows, files int64) {
	w.Helper()
	w.check(w.db.QueryRow(w.Context(), `SELECT (SELECT count(*) FROM crm.people WHERE tenant_id = $1)
		+ (SELECT count(*) FROM crm.notes WHERE tenant_id = $1)`, id).Scan(&rows))
	for _, prefix := range []string{"exports/", "archive/"} {
		counts, err := w.bucket.Count(w.Context(), prefix+id+"/")
		w.check(err)
		files += counts.Total()
	}
	return rows, files
}

func (w *world) get(token, path string) (status int, body string) {
	w.Helper()
	return w.call(http.MethodGet, token, path, "", "")
}

func (w *world) call(method, token, path, key, in string) (status int, body string) {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), method, w.base+path, strings.NewReader(in))
	w.check(err)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if in != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	w.check(err)
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	w.check(err)
	return response.StatusCode, string(all)
}

func TestPurge(t *testing.T) {
	w := newWorld(t)
	_, err := w.db.Exec(t.Context(), crm)
	w.check(err)
	_, err = w.bucket.Client.PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{
		Bucket: &w.bucket.Name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	w.check(err)
	for _, id := range append(others, tenant) {
		w.fill(id)
	}
	w.checkInventory()
	now := time.Now().UTC()
	w.tell(&events.TenantRegistered{Plan: "starter", Generation: 1})
	w.tell(&events.PurgeStarted{
		Operation:   events.OperationPlan{ID: "op", Kind: "purge", Steps: []events.StepPlan{{Participant: "index", Action: "erase"}}},
		RequestedAt: now.Add(-time.Hour), ScheduledFor: now.Add(-time.Minute), RetentionDays: 30, Generation: 1,
	})
	w.tell(&events.StepDone{OperationID: "op", StepID: "op-0", Participant: "index", Action: "erase", Result: []byte(`{"before":9,"after":0}`)})
	if status, body := w.get("dev:"+tenant, "/v1/tenants/acme/deletion/certificate"); status != http.StatusNotFound || !strings.Contains(body, "certificate_not_found") {
		t.Errorf("before the purge: %d %s", status, body)
	}
	w.step("erase")
	w.step("verify")
	result := w.step("certify").Result

	if rows, files := w.left(tenant); rows != 0 || files != 0 {
		t.Errorf("%d rows and %d files are left", rows, files)
	}
	for _, id := range others {
		if rows, files := w.left(id); rows != 12000 || files != 2*objects {
			t.Errorf("%s has %d rows and %d files left", id, rows, files)
		}
		if _, err := w.vault.Get(t.Context(), w.db, id, 1); err != nil {
			t.Errorf("the contact of %s: %v", id, err)
		}
	}
	w.checkCertificate(result, 12000+2*objects+9+1)
	w.checkAccess()
}

// checkCertificate holds together what the API, the object store and the answer say.
func (w *world) checkCertificate(result json.RawMessage, erased int64) {
	w.Helper()
	_, document := w.get("dev", "/v1/tenants/acme/deletion/certificate")
	_, listed := w.get("", "/v1/keys")
	var keys struct {
		Items []struct {
			PublicKey string `json:"public_key"`
		}
	}
	w.check(json.Unmarshal([]byte(listed), &keys))
	key, err := verify.ParseKey(keys.Items[0].PublicKey)
	w.check(err)
	report, err := verify.Certificate([]byte(document), key)
	w.check(err)
	if report.Erased != erased || report.Stores != 6 || !report.Trusted { // crm, archive, exports, dead letters, the participant's, the vault
		w.Errorf("report %+v of %s", report, document)
	}
	if e := report.Exceptions[0]; e.Store != "crm/accounting" || *e.Rows != invoices || e.Basis != "HGB § 257(4)" || e.Until == nil {
		w.Errorf("the first exception is %+v", e)
	}
	var answer struct{ Key, SHA256 string }
	w.check(json.Unmarshal(result, &answer))
	stored := w.object(answer.Key)
	if answer.Key != "certificates/acme/1.json" || string(stored) != document || hash(stored) != answer.SHA256 {
		w.Errorf("the answer is %s, the object is %s", result, stored)
	}
}

// object reads one from the bucket.
func (w *world) object(key string) []byte {
	w.Helper()
	object, err := w.bucket.Client.GetObject(w.Context(), &awss3.GetObjectInput{Bucket: &w.bucket.Name, Key: &key})
	w.check(err)
	defer object.Body.Close()
	content, err := io.ReadAll(object.Body)
	w.check(err)
	return content
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// checkAccess: to a tenant's token no other id exists.
func (w *world) checkAccess() {
	w.Helper()
	if status, _ := w.get("dev:"+tenant, "/v1/tenants/acme/deletion/certificate"); status != http.StatusOK {
		w.Errorf("its own token: %d", status)
	}
	if status, _ := w.get("dev", "/v1/tenants/acme/deletion/certificate?generation=2"); status != http.StatusNotFound {
		w.Errorf("a life that was not purged: %d", status)
	}
	if status, _ := w.get("", "/v1/tenants/acme/deletion/certificate"); status != http.StatusUnauthorized {
		w.Errorf("no token: %d", status)
	}
	otherStatus, other := w.get("dev:acm", "/v1/tenants/acme/deletion/certificate")
	unknownStatus, unknown := w.get("dev:acm", "/v1/tenants/nobody/deletion/certificate")
	const want = `{"title":"Not Found","status":404,"detail":"there is no such tenant","code":"tenant_not_found"}`
	if otherStatus != http.StatusNotFound || unknownStatus != http.StatusNotFound || strings.TrimSpace(other) != want || other != unknown {
		w.Errorf("another's: %d %s; nobody's: %d %s", otherStatus, other, unknownStatus, unknown)
	}
	if status, _ := w.get("dev", "/v1/tenants/a.%3E/deletion/certificate"); status != http.StatusUnprocessableEntity {
		w.Errorf("no id: %d", status)
	}
}

// TestStartRefuses what would leave data behind, or certificates unsigned, without anybody noticing.
func TestStartRefuses(t *testing.T) {
	url, nats := testkit.Postgres(t), testkit.NATS(t)
	bustest.Streams(t, nats.URL())
	path := filepath.Join(t.TempDir(), "datamap.yaml")
	policyPath := filepath.Join(t.TempDir(), "retention.yaml")
	if err := errors.Join(os.WriteFile(path, []byte(dataMap), 0o600), os.WriteFile(policyPath, []byte(policy), 0o600)); err != nil {
		t.Fatal(err)
	}
	for variable, value := range map[string]string{
		"TENURE_DATAMAP": "", "TENURE_SIGNING_KEY": "c2hvcnQ=", "TENURE_VAULT_KEY": "", "TENURE_S3_BUCKET": "", "CRM_DATABASE_URL": "",
		"TENURE_RETENTION_POLICY": "", // the data map has a class that the default policy does not know
	} {
		t.Run(variable, func(t *testing.T) {
			environ := runner.Environ{
				"TENURE_ENV": "dev", "DATABASE_URL": url, "NATS_URL": nats.URL(), "TENURE_HTTP_ADDR": "127.0.0.1:0",
				"TENURE_DATAMAP": path, "TENURE_RETENTION_POLICY": policyPath, "CRM_DATABASE_URL": url, "TENURE_S3_BUCKET": "tenure", "AWS_REGION": "us-east-1",
				"TENURE_VAULT_KEY": key32, "TENURE_SIGNING_KEY": key32,
			}
			environ[variable] = value
			if value == "" {
				delete(environ, variable)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := runner.Run(ctx, environ, cancel, runner.Named{Name: "deletion", New: deletion.New})
			if err == nil || !strings.Contains(err.Error(), variable) {
				t.Errorf("it started, or did not name the variable: %v", err)
			}
		})
	}
}
