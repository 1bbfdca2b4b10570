package app_test

import (
	"strings"
	"testing"
	"time"

	"tenure/services/lifecycle/internal/app"
	"tenure/shared/runner"
)

func TestSettings(t *testing.T) {
	for setting, ok := range map[string]bool{
		"TENURE_DUNNING_GRACE=0": true, "TENURE_EXPORTS_PER_DAY=0": true, "TENURE_STEP_ATTEMPTS=1": true,
		"TENURE_TRIAL_SETTLE=0": true, "TENURE_TRIAL_SETTLE=-1s": false,
		"TENURE_DUNNING_GRACE=-1s": false, "TENURE_SIGNUP_TIMEOUT=0": false, "TENURE_DRAIN_TIMEOUT=0": false, "TENURE_STEP_TIMEOUT=-1s": false,
		"TENURE_STEP_ATTEMPTS=0": false, "TENURE_EXPORTS_PER_DAY=-1": false, "TENURE_LIFECYCLE_PARTITIONS=0": false,
		"TENURE_IDLE_AFTER_DAYS=0": true, "TENURE_IDLE_AFTER_DAYS=-1": false,
	} {
		name, value, _ := strings.Cut(setting, "=")
		var s app.Settings
		if err := (runner.Environ{name: value}).Parse(&s); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", setting, err)
		}
	}
}

func TestRetentionPolicyFile(t *testing.T) {
	config, err := app.Settings{RetentionPolicy: "../../../../deploy/retention.example.yaml"}.Config(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Policy("eu", "enterprise").Retention; !got.Approvals.Delete || got.For("eu", "enterprise", false).Default != 45 {
		t.Errorf("read %+v", got)
	}
	if _, err := (app.Settings{RetentionPolicy: "no-such-file.yaml"}).Config(time.Hour); err == nil || !strings.Contains(err.Error(), "TENURE_RETENTION_POLICY") {
		t.Errorf("got %v", err)
	}
}

func TestPlanFile(t *testing.T) {
	config, err := app.Settings{Plans: "../../../../deploy/plans.example.yaml"}.Config(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	enterprise, _ := config.Plans.Find("enterprise")
	if len(enterprise.Features) == 0 || enterprise.Grace == nil || *enterprise.Grace != 720*time.Hour || len(config.Usage) == 0 {
		t.Errorf("read %+v, usage %+v", enterprise, config.Usage)
	}
	if _, err := (app.Settings{Plans: "no-such-file.yaml"}).Config(time.Hour); err == nil || !strings.Contains(err.Error(), "TENURE_PLANS") {
		t.Errorf("got %v", err)
	}
}
