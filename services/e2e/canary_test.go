package e2e

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tenure/services/connectors/s3"
	"tenure/shared/client"
	"tenure/shared/testkit"
)

// What must be found nowhere once its tenant was purged: a name, an address, and what a person wrote.
const (
	canaryName  = "Zaunkoenig Gartenbau"
	canaryMail  = "troglodytes@zaunkoenig.example"
	canaryWords = "a wren in the hedge"
)

// canaries are looked for without regard to case.
var canaries = []string{"zaunkoenig", "troglodytes", "wren in the hedge"}

// sings tells which canary is in some bytes, "" when none is. Archives are looked into.
func sings(content []byte) string {
	for _, canary := range canaries {
		if bytes.Contains(bytes.ToLower(content), []byte(canary)) || bytes.Contains(bytes.ToLower(content), []byte(hex.EncodeToString([]byte(canary)))) {
			return canary
		}
	}
	if zipped, err := zip.NewReader(bytes.NewReader(content), int64(len(content))); err == nil {
		for _, file := range zipped.File {
			if part, err := file.Open(); err == nil {
				inner, _ := io.ReadAll(part)
				if found := sings(inner); found != "" {
					return found
				}
			}
		}
	}
	if unzipped, err := gzip.NewReader(bytes.NewReader(content)); err == nil {
		inner, _ := io.ReadAll(unzipped)
		return sings(inner)
	}
	return ""
}

// TestAPurgedTenantsPersonalDataIsNowhere: a tenant lives a full life, with commands over the bus, mails, documents, an
// export and messages that nobody could read; after its purge its name, its address and its words are in no table of the
// database, no message of any stream, no object in any version, and in no line that a service logged. The mails that its
// people got are theirs: the mailbox is not looked into.
func TestAPurgedTenantsPersonalDataIsNowhere(t *testing.T) {
	t.Parallel()
	s := start(t, "TENURE_RETENTION_UNIT=1s", "TENURE_IDLE_AFTER_DAYS=0", "TENURE_LOG_LEVEL=debug")
	db, js := s.database(), s.jetStream()
	s.liveAsCanary(js)
	require.NotEmpty(t, s.singingTables(db), "the search finds nothing: while the tenant lives its documents are there")
	require.NotEmpty(t, s.singingObjects(), "while the tenant lives its archive is there")

	days := 1
	_, err := s.api.Delete(s.context(time.Minute), "canary", client.Delete{RetentionDays: &days, Reason: "it is over"})
	require.NoError(t, err)
	s.await("canary", "deleted")
	s.settled(db)

	require.Empty(t, s.singingTables(db), "the database")
	require.Empty(t, s.singingMessages(js), "the bus")
	require.Empty(t, s.singingObjects(), "the object store")
	_, log := s.call("GET", s.at.Stripe+"/_sim/log", "")
	require.Empty(t, sings([]byte(log)), "what Stripe was sent")
	require.NoError(t, s.log.Sync())
	logged, err := os.ReadFile(s.log.Name())
	require.NoError(t, err)
	require.NotEmpty(t, logged)
	require.Empty(t, sings(logged), "the services' logs")
}

// liveAsCanary lets the tenant leave its data wherever a tenant can.
func (s *system) liveAsCanary(js jetstream.JetStream) {
	s.t.Helper()
	ctx := s.context(2 * time.Minute)
	command := func(id, name, data string) {
		_, err := js.Publish(ctx, "tenure.commands.canary", fmt.Appendf(nil,
			`{"specversion":"1.0","id":%q,"source":"crm","type":"tenure.command.%s.v1","subject":"canary","data":%s}`, id, name, data))
		require.NoError(s.t, err)
	}
	who := fmt.Sprintf(`"name":%q,"email":%q`, canaryName, canaryMail)
	command("sign-up", "register", `{`+who+`,"plan":"starter"}`)
	s.await("canary", "active")
	command("sign-up-again", "register", `{`+who+`,"plan":"starter"}`)   // refused
	_, err := js.Publish(ctx, "tenure.commands.canary", []byte(`{`+who)) // a dead letter
	require.NoError(s.t, err)

	status, body := s.call("POST", s.at.HTTP+"/sample/canary/documents", fmt.Sprintf(`{"name":"note","content":%q}`, canaryWords))
	require.Less(s.t, status, 300, body)
	status, body = s.call("POST", s.at.HTTP+"/sample/canary/query", fmt.Sprintf(`{"q":%q}`, canaryWords))
	require.Equal(s.t, http.StatusOK, status, body)
	op, err := s.api.Upgrade(ctx, "canary", client.Upgrade{Plan: "professional"})
	require.NoError(s.t, err)
	testkit.WaitFor(s.t, time.Minute, "the upgrade", func() bool {
		op, err = s.api.Operation(ctx, op.ID)
		return err == nil && op.Ended()
	})
	require.Equal(s.t, client.StatusSucceeded, op.Status)
	export, err := s.api.RequestExport(ctx, "canary", client.ExportRequest{})
	require.NoError(s.t, err)
	testkit.WaitFor(s.t, time.Minute, "the export", func() bool {
		export, err = s.api.Export(ctx, export.ID)
		return err == nil && export.Ended()
	})
	require.Equal(s.t, "completed", export.Status)
	testkit.WaitFor(s.t, time.Minute, "the dead letter", func() bool {
		_, body := s.call("GET", s.at.HTTP+"/v1/dead-letters", "")
		return strings.Contains(body, "tenure.commands.canary")
	})
}

func (s *system) jetStream() jetstream.JetStream {
	s.t.Helper()
	nc, err := nats.Connect(s.at.NATS)
	require.NoError(s.t, err)
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(s.t, err)
	return js
}

// singingTables names the tables that hold a canary in any column of any row: bytea reads as hexadecimal.
func (s *system) singingTables(db *pgxpool.Pool) (found []string) {
	s.t.Helper()
	ctx := s.context(time.Minute)
	rows, err := db.Query(ctx, `SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`)
	require.NoError(s.t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	require.Greater(s.t, len(tables), 30)
	var patterns []string
	for _, canary := range canaries {
		patterns = append(patterns, "%"+canary+"%", "%"+hex.EncodeToString([]byte(canary))+"%")
	}
	for _, table := range tables {
		var row *string
		err := db.QueryRow(ctx, `SELECT left(r::text, 300) FROM `+table+` r WHERE r::text ILIKE ANY($1) LIMIT 1`, patterns).Scan(&row)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		require.NoError(s.t, err, table)
		found = append(found, table+": "+*row)
	}
	return found
}

// singingMessages names the messages of all streams that hold a canary.
func (s *system) singingMessages(js jetstream.JetStream) (found []string) {
	s.t.Helper()
	ctx := s.context(2 * time.Minute)
	read := 0
	for info := range js.ListStreams(ctx).Info() {
		stream, err := js.Stream(ctx, info.Config.Name)
		require.NoError(s.t, err)
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			m, err := stream.GetMsg(ctx, seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			require.NoError(s.t, err)
			read++
			if canary := sings(fmt.Appendf(m.Data, " %s %v", m.Subject, m.Header)); canary != "" {
				found = append(found, fmt.Sprintf("%s: %s", m.Subject, canary))
			}
		}
	}
	require.Greater(s.t, read, 30)
	return found
}

// singingObjects names the objects of the bucket, in all their versions, that hold a canary.
func (s *system) singingObjects() (found []string) {
	s.t.Helper()
	ctx := s.context(time.Minute)
	bucket := s.bucket(ctx)
	pages := awss3.NewListObjectVersionsPaginator(bucket.Client, &awss3.ListObjectVersionsInput{Bucket: &bucket.Name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(s.t, err)
		for _, v := range page.Versions {
			object, err := bucket.Client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &bucket.Name, Key: v.Key, VersionId: v.VersionId})
			require.NoError(s.t, err)
			content, err := io.ReadAll(object.Body)
			require.NoError(s.t, errors.Join(err, object.Body.Close()))
			if canary := sings(append(content, *v.Key...)); canary != "" {
				found = append(found, *v.Key+": "+canary)
			}
		}
	}
	return found
}

// bucket is the one that `tenure dev` works with.
func (s *system) bucket(ctx context.Context) s3.Bucket {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, "state", "dev.json"))
	require.NoError(s.t, err)
	var at struct {
		S3 struct {
			Endpoint, Bucket string
			AccessKey        string `json:"access_key"`
			SecretKey        string `json:"secret_key"`
		}
	}
	require.NoError(s.t, json.Unmarshal(content, &at))
	c, err := s3.NewClient(ctx, s3.Settings{Endpoint: at.S3.Endpoint, Region: "us-east-1", AccessKey: at.S3.AccessKey, SecretKey: at.S3.SecretKey})
	require.NoError(s.t, err)
	return s3.Bucket{Client: c, Name: at.S3.Bucket}
}
