package runner

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"tenure/shared/egress"
)

// Environ is where settings come from: the process's environment, or what the dev stack hands to each service.
type Environ map[string]string

// OSEnviron reads the process's environment.
func OSEnviron() Environ {
	e := Environ{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok {
			e[k] = v
		}
	}
	return e
}

// secrets are the settings that may come from files: keys, and addresses that hold a password.
var secrets = []string{
	"DATABASE_URL", "NATS_URL", "SMTP_URL", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "TENURE_SLACK_WEBHOOK",
	"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"TENURE_AUTH_KEY", "TENURE_SIGNING_KEY", "TENURE_TOKEN", "TENURE_VAULT_KEY",
}

// ReadSecretFiles replaces X_FILE by X with the file's content, so that secrets need not stand in the environment. Once
// read, X_FILE is gone: a second call finds nothing to do.
func (e Environ) ReadSecretFiles() error {
	for _, name := range secrets {
		key := name + "_FILE"
		path := e[key]
		if path == "" {
			continue
		}
		if _, both := e[name]; both {
			return fmt.Errorf("%s and %s are both set; keep one of them", name, key)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		e[name] = strings.TrimRight(string(content), "\r\n")
		delete(e, key)
	}
	return nil
}

// Parse fills a struct with `env` tags. Its error names the variables.
func (e Environ) Parse(into any) error {
	err := env.ParseWithOptions(into, env.Options{Environment: e})
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	wrong := make([]error, len(all.Errors))
	for i, err := range all.Errors {
		wrong[i] = err
		var malformed env.ParseError // it knows the field alone, which tells nothing to those who set variables
		if !errors.As(err, &malformed) {
			continue
		}
		if field, ok := reflect.TypeOf(into).Elem().FieldByName(malformed.Name); ok {
			name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
			wrong[i] = fmt.Errorf("%s: %w", name, malformed.Err)
		}
	}
	return errors.Join(wrong...)
}

// testKnobs change promises that people rely on, so that they work in development alone.
var testKnobs = []string{
	"TENURE_RETENTION_UNIT", "TENURE_DUNNING_GRACE", "TENURE_SIGNUP_TIMEOUT", "TENURE_DRAIN_TIMEOUT", "TENURE_EXPORTS_PER_DAY",
}

func (e Environ) refuseTestKnobs() error {
	if e["TENURE_ENV"] == "dev" {
		return nil
	}
	var errs []error
	for _, k := range testKnobs {
		if _, set := e[k]; set {
			errs = append(errs, fmt.Errorf("%s is a test knob and works with TENURE_ENV=dev alone; unset it", k))
		}
	}
	return errors.Join(errs...)
}

// Settings are what every service reads.
type Settings struct {
	// Env is "dev" or "production"; dev allows test knobs and the tokens "dev" and "dev:<tenant>".
	Env         string `env:"TENURE_ENV" envDefault:"production"`
	DatabaseURL string `env:"DATABASE_URL,required"`
	NATSURL     string `env:"NATS_URL,required"`
	// NATSReplicas of each stream: 3 on a cluster.
	NATSReplicas int `env:"TENURE_NATS_REPLICAS" envDefault:"1"`
	// HTTPAddr is loopback unless told otherwise.
	HTTPAddr string `env:"TENURE_HTTP_ADDR" envDefault:"127.0.0.1:8080"`
	// Day is the length of every period that is given in days: 24h, or less in tests.
	Day time.Duration `env:"TENURE_RETENTION_UNIT" envDefault:"24h"`
	// DrainTime is how long a stopping process may finish what it has begun.
	DrainTime time.Duration `env:"TENURE_STOP_TIMEOUT" envDefault:"20s"`
	// EgressAllow are networks that addresses named by others (webhooks, participants' files) may lie in beside the public
	// internet. In dev: this machine's own, when nothing is named.
	EgressAllow []netip.Prefix `env:"TENURE_EGRESS_ALLOW"`
}

// Egress is the way out to addresses that others have named.
func (s Settings) Egress() egress.Policy {
	if len(s.EgressAllow) == 0 && s.Env == "dev" {
		return egress.Loopback()
	}
	return egress.Policy{Allow: s.EgressAllow}
}

// readSettings is Parse for what every service reads.
func (e Environ) readSettings() (Settings, error) {
	var s Settings
	if err := e.Parse(&s); err != nil {
		return s, err
	}
	if s.Day <= 0 {
		return s, fmt.Errorf("TENURE_RETENTION_UNIT is %v: give the length of a day, like 24h, or 1s in tests", s.Day)
	}
	return s, nil
}
