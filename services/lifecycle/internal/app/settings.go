package app

import (
	"errors"
	"fmt"
	"time"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/plans/planfile"
	"tenure/shared/retention/policyfile"
)

// Settings of the service, from its environment.
type Settings struct {
	// Partitions is how many transactions may run side by side; it may grow, never shrink.
	Partitions int `env:"TENURE_LIFECYCLE_PARTITIONS" envDefault:"1"`
	// Grace is how long an unpaid tenant may go on; 0 suspends at once.
	Grace time.Duration `env:"TENURE_DUNNING_GRACE" envDefault:"168h"`
	// TrialSettle is how long after a trial's end billing may still say that it was paid, before access closes.
	TrialSettle time.Duration `env:"TENURE_TRIAL_SETTLE" envDefault:"5m"`
	// SignupTimeout ends a sign-up that nobody pays for.
	SignupTimeout time.Duration `env:"TENURE_SIGNUP_TIMEOUT" envDefault:"24h"`
	// DrainTimeout is how long running requests may finish before a plan change that moves data is undone.
	DrainTimeout time.Duration `env:"TENURE_DRAIN_TIMEOUT" envDefault:"60s"`
	// StepTimeout is for participants that set none of their own.
	StepTimeout   time.Duration `env:"TENURE_STEP_TIMEOUT" envDefault:"60s"`
	StepAttempts  int           `env:"TENURE_STEP_ATTEMPTS" envDefault:"5"`
	ExportsPerDay int           `env:"TENURE_EXPORTS_PER_DAY" envDefault:"24"`
	// IdleAfter is after how many days without use a tenant is cold, which stores take as a hint; 0 never.
	IdleAfter int `env:"TENURE_IDLE_AFTER_DAYS" envDefault:"30"`
	// Plans is the path of a file that replaces the default plans. Billing must be given the same one.
	Plans string `env:"TENURE_PLANS"`
	// RetentionPolicy is the path of a file that replaces the default retention policy. Deletion must be given the same one.
	RetentionPolicy string `env:"TENURE_RETENTION_POLICY"`
}

// Check refuses what would make every tenant wait for ever, or fail at once.
func (s Settings) Check() error {
	var wrong []error
	must := func(name string, ok bool, value any, need string) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("%s is %v: it must be %s", name, value, need))
		}
	}
	must("TENURE_LIFECYCLE_PARTITIONS", s.Partitions >= 1, s.Partitions, "1 or more")
	must("TENURE_DUNNING_GRACE", s.Grace >= 0, s.Grace, "0 or longer")
	must("TENURE_TRIAL_SETTLE", s.TrialSettle >= 0, s.TrialSettle, "0 or longer")
	must("TENURE_SIGNUP_TIMEOUT", s.SignupTimeout > 0, s.SignupTimeout, "longer than 0")
	must("TENURE_DRAIN_TIMEOUT", s.DrainTimeout > 0, s.DrainTimeout, "longer than 0")
	must("TENURE_STEP_TIMEOUT", s.StepTimeout > 0, s.StepTimeout, "longer than 0")
	must("TENURE_STEP_ATTEMPTS", s.StepAttempts >= 1, s.StepAttempts, "1 or more")
	must("TENURE_EXPORTS_PER_DAY", s.ExportsPerDay >= 0, s.ExportsPerDay, "0 or more")
	must("TENURE_IDLE_AFTER_DAYS", s.IdleAfter >= 0, s.IdleAfter, "0 or more")
	return errors.Join(wrong...)
}

// Config makes the engine's settings and reads the plan file and the retention policy; day is the length of every period given in days.
func (s Settings) Config(day time.Duration) (Config, error) {
	offer, err := planfile.Load(s.Plans)
	if err != nil {
		return Config{}, err
	}
	retained, err := policyfile.Load(s.RetentionPolicy)
	if err != nil {
		return Config{}, err
	}
	policy := tenant.DefaultPolicy()
	policy.Retention, policy.Day = retained, day
	policy.Grace, policy.TrialSettle = s.Grace, s.TrialSettle
	policy.SignupTimeout, policy.DrainTimeout = s.SignupTimeout, s.DrainTimeout
	policy.StepTimeout, policy.StepAttempts, policy.ExportsPerDay = s.StepTimeout, s.StepAttempts, s.ExportsPerDay
	policy.IdleAfter = s.IdleAfter
	return Config{
		Plans:  offer.Plans,
		Usage:  offer.Usage,
		Clock:  time.Now,
		Policy: func(_, _ string) tenant.Policy { return policy },
	}, nil
}

// DueAfter is when a deletion that was asked for at requested falls due.
func (e *Engine) DueAfter(s tenant.State, requested time.Time, days int) time.Time {
	return requested.Add(time.Duration(days) * e.cfg.Policy(s.Region, s.Plan).Day)
}
