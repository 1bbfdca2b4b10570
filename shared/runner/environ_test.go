package runner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsComeFromFilesOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := Environ{"STRIPE_API_KEY_FILE": path, "TENURE_LOG_FILE": "/never/read"}
	for range 2 { // tenure dev reads them before it changes directories, and the runner again
		if err := e.ReadSecretFiles(); err != nil {
			t.Fatal(err)
		}
		if got := e["STRIPE_API_KEY"]; got != "from the file" {
			t.Fatalf("the key is %q", got)
		}
	}
	if _, read := e["TENURE_LOG"]; read {
		t.Error("what is no secret was read")
	}

	e = Environ{"NATS_URL_FILE": path, "NATS_URL": "nats://elsewhere"}
	if err := e.ReadSecretFiles(); err == nil || !strings.Contains(err.Error(), "NATS_URL_FILE") {
		t.Errorf("two values for one setting: got %v", err)
	}
}

func TestKnobsWorkInDevelopmentAlone(t *testing.T) {
	for _, knob := range testKnobs {
		if err := (Environ{knob: "1"}).refuseTestKnobs(); err == nil || !strings.Contains(err.Error(), knob) {
			t.Errorf("%s in production: got %v", knob, err)
		}
		if err := (Environ{knob: "1", "TENURE_ENV": "dev"}).refuseTestKnobs(); err != nil {
			t.Errorf("%s in development: got %v", knob, err)
		}
	}
}

func TestADayHasALength(t *testing.T) {
	for _, length := range []string{"0s", "-1s", "a day"} {
		e := Environ{"DATABASE_URL": "x", "NATS_URL": "y", "TENURE_RETENTION_UNIT": length}
		if _, err := e.readSettings(); err == nil || !strings.Contains(err.Error(), "TENURE_RETENTION_UNIT") {
			t.Errorf("%s: got %v", length, err)
		}
	}
}

func TestEgress(t *testing.T) {
	for _, test := range []struct {
		environ Environ
		address string
		allowed bool
	}{
		{Environ{"TENURE_ENV": "dev"}, "http://127.0.0.1/", true},
		{Environ{"TENURE_ENV": "dev"}, "http://10.0.0.1/", false},
		{Environ{"TENURE_ENV": "dev", "TENURE_EGRESS_ALLOW": "10.0.0.0/8,fd00::/8"}, "http://10.0.0.1/", true},
		{Environ{"TENURE_ENV": "dev", "TENURE_EGRESS_ALLOW": "10.0.0.0/8"}, "http://127.0.0.1/", false},
		{Environ{}, "https://127.0.0.1/", false},
		{Environ{"TENURE_EGRESS_ALLOW": "127.0.0.0/8"}, "https://127.0.0.1/", true},
	} {
		test.environ["DATABASE_URL"], test.environ["NATS_URL"] = "postgres://", "nats://"
		settings, err := test.environ.readSettings()
		if err != nil {
			t.Fatal(err)
		}
		if err := settings.Egress().CheckURL(test.address); (err == nil) != test.allowed {
			t.Errorf("%v %s: %v", test.environ, test.address, err)
		}
	}
}
