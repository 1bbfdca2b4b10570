package dev

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"tenure/services/devstack"
	"tenure/services/sample"
	"tenure/shared/runner"
)

// environment is the process's, with nothing in it that depends on the working directory: the S3 server will change
// that.
func environment() (runner.Environ, error) {
	environ := runner.OSEnviron()
	if err := environ.ReadSecretFiles(); err != nil {
		return nil, err
	}
	for _, name := range []string{"TENURE_DATAMAP", "TENURE_PLANS", "TENURE_RETENTION_POLICY", "TENURE_CAMPAIGNS", "TENURE_MAIL_TEMPLATES"} {
		if path := environ[name]; path != "" {
			abs, err := filepath.Abs(path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			environ[name] = abs
		}
	}
	return environ, nil
}

// impatient are defaults for a Stripe that is simulated (its clock is moved by months in a moment, and it has no limits), and
// for days that may be seconds: nobody wants to see a tenant go cold while he looks at another.
var impatient = map[string]string{
	"TENURE_USAGE_REPORT_INTERVAL": "1s", "TENURE_STRIPE_RATE": "10000", "TENURE_IDLE_AFTER_DAYS": "0",
}

// connect points the services to the stack's parts and to each other. What the caller's environment says about them is
// overruled: it may be about another Tenure.
func connect(environ runner.Environ, stack *devstack.Stack, opts Options) error {
	maps.Copy(environ, stack.Env())
	// The sample is a customer's program: it finds Tenure as such a one does.
	environ["TENURE_URL"], environ["TENURE_TOKEN"] = stack.HTTPURL(), devstack.OperatorToken
	environ["SAMPLE_DATABASE_URL"] = environ["DATABASE_URL"]
	if environ["TENURE_DATAMAP"] == "" {
		path := filepath.Join(stack.Dir(), "datamap.yaml")
		if err := os.WriteFile(path, sample.DataMap, 0o600); err != nil {
			return fmt.Errorf("write the sample's data map: %w", err)
		}
		environ["TENURE_DATAMAP"] = path
	}
	for name, value := range impatient {
		if environ[name] == "" {
			environ[name] = value
		}
	}
	if opts.Quiet && environ["TENURE_LOG_LEVEL"] == "" {
		environ["TENURE_LOG_LEVEL"] = "warn"
	}
	maps.Copy(environ, opts.Settings)
	return nil
}
