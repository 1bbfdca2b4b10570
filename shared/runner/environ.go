package runner

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
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

// ReadSecretFiles replaces X_FILE by X with the file's content, so that secrets need not stand in the environment.
func (e Environ) ReadSecretFiles() error {
	for key, path := range e {
		name, ok := strings.CutSuffix(key, "_FILE")
		if !ok || path == "" || !isSetting(name) {
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
	}
	return nil
}

func isSetting(name string) bool {
	for _, prefix := range []string{"TENURE_", "DATABASE_", "NATS_", "STRIPE_", "SMTP_", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Parse fills a struct with `env` tags. Its error names the variable.
func (e Environ) Parse(into any) error {
	return env.ParseWithOptions(into, env.Options{Environment: e})
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
}
