package sample_test

import (
	"net/http"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors"
	"tenure/services/connectors/datamap"
	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/sample"
	"tenure/shared/events"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

// An archive is made small when the lifecycle says that its tenant is idle, is big again after the first request, and goes
// with its tenant. An export of the cold tenant has all
// of its documents.
func TestAColdTenantsArchive(t *testing.T) {
	client, bucket := s3test.Bucket(t)
	server := s3test.Settings(t)
	environ := runner.Environ{
		"TENURE_S3_BUCKET": bucket, "AWS_ENDPOINT_URL": server.Endpoint, "AWS_REGION": server.Region,
		"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
	}
	w := newWorld(t, environ)
	w.signUp("acme", "starter")
	w.call("POST", "/sample/acme/seed", "", `{"documents":60,"bytes_each":1000}`)
	w.archive("acme", "starter", "free")
	object := "archive/acme/acme-down/documents.ndjson"
	size := func() int64 {
		out, err := client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &bucket, Key: &object})
		if err != nil {
			t.Fatal(err)
		}
		return *out.ContentLength
	}
	stores := w.stores(environ)
	full := size()

	w.publish("acme", &events.TenantCooled{Change: events.Change{To: "active"}, IdleSince: time.Now()})
	testkit.WaitFor(t, soon, "the archive is small", func() bool { return size() < full })
	if rows, err := stores[0].Count(t.Context(), connectors.Tenant("acme")); err != nil || rows["sample.documents"] != 60 {
		t.Errorf("an export of the cold tenant has %v, %v", rows, err)
	}
	if a := w.call("GET", "/sample/acme/documents", "", ""); a.status != http.StatusOK || size() != full {
		t.Errorf("after the first use: %+v, %d bytes of %d", a, size(), full)
	}

	w.publish("acme", &events.TenantCooled{Change: events.Change{To: "active"}, IdleSince: time.Now()})
	testkit.WaitFor(t, soon, "the archive is small again", func() bool { return size() < full })
	for _, store := range stores {
		if _, err := store.Erase(t.Context(), connectors.Tenant("acme")); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := (s3.Bucket{Client: client, Name: bucket}).Count(t.Context(), ""); err != nil || left.Total() != 0 {
		t.Errorf("left in the archive: %v, %v", left, err)
	}
}

// archive has what the lower plan has no room for put away.
func (w *world) archive(tenant, from, to string) {
	w.t.Helper()
	answered := w.listen("tenure.events.sample." + tenant + ".>")
	testkit.Receive(w.t, soon, answered) // of the sign-up
	w.publish(tenant, &events.StepRequested{Change: events.Change{To: "active"}, StepRequest: events.StepRequest{
		StepID: tenant + "-archive", OperationID: tenant + "-down", Operation: "downgrade", Participant: "sample", Action: "archive",
		FromPlan: from, ToPlan: to, Attempt: 1, Generation: 1, Deadline: time.Now().Add(time.Minute),
	}})
	if e := testkit.Receive(w.t, soon, answered); e.Name() != events.StepCompletedName {
		w.t.Fatalf("archive: %s %s", e.Type, e.Data)
	}
}

// stores are those of the data map, as export and deletion open them.
func (w *world) stores(environ runner.Environ) datamap.Stores {
	w.t.Helper()
	parsed, err := datamap.Parse(sample.DataMap)
	if err != nil {
		w.t.Fatal(err)
	}
	stores, err := parsed.Open(w.t.Context(), func(name string) string {
		if name == "SAMPLE_DATABASE_URL" {
			return w.url
		}
		return environ[name]
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(stores.Close)
	return stores
}
