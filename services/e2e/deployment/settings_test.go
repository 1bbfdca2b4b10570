package deployment_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// optional are settings without a default that need none.
var optional = map[string]string{
	"TENURE_OIDC_ISSUER":                 "one of it and TENURE_AUTH_KEY",
	"TENURE_OIDC_AUDIENCE":               "goes with the issuer",
	"TENURE_PLANS":                       "without, the default plans",
	"TENURE_RETENTION_POLICY":            "without, the default policy",
	"TENURE_CAMPAIGNS":                   "without, nobody is asked to come back",
	"TENURE_MAIL_TEMPLATES":              "without, Tenure's own mails",
	"TENURE_EGRESS_ALLOW":                "without, the public internet alone",
	"TENURE_OPERATOR_MAIL":               "without, nobody is told",
	"TENURE_SLACK_WEBHOOK":               "without, nobody is told there",
	"TENURE_LOG_FORMAT":                  "json in production",
	"OTEL_EXPORTER_OTLP_ENDPOINT":        "without, no traces are made",
	"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "overrules the endpoint",
	"AWS_ENDPOINT_URL_S3":                "overrules AWS_ENDPOINT_URL",
}

// reads are the variables that code reads: true, when it cannot do without.
type reads map[string]bool

var variable = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)

// readsIn looks through the production files below a folder: for `env` tags in structs, and for variables that are looked
// up by name. visit, if not nil, is called with every node.
func readsIn(t *testing.T, folder string, visit func(ast.Node)) reads {
	t.Helper()
	found := reads{}
	err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				found.tag(n)
			case *ast.IndexExpr: // environ["X"]
				found.lookUp(n.Index)
			case *ast.CallExpr: // env("X")
				if len(n.Args) == 1 {
					found.lookUp(n.Args[0])
				}
			}
			if visit != nil && n != nil {
				visit(n)
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	return found
}

func (r reads) tag(field *ast.Field) {
	if field.Tag == nil {
		return
	}
	raw, err := strconv.Unquote(field.Tag.Value)
	if err != nil {
		return
	}
	tag := reflect.StructTag(raw)
	name, _, _ := strings.Cut(tag.Get("env"), ",")
	if name == "" {
		return
	}
	_, hasDefault := tag.Lookup("envDefault")
	r[name] = !hasDefault && optional[name] == ""
}

func (r reads) lookUp(expression ast.Expr) {
	literal, ok := expression.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return
	}
	if name, err := strconv.Unquote(literal.Value); err == nil && variable.MatchString(name) && !r[name] {
		r[name] = false
	}
}

// readsOf is everything that a service's process reads.
func readsOf(t *testing.T, service string) reads {
	t.Helper()
	all := reads{}
	usesVault, usesS3 := false, false
	maps.Copy(all, readsIn(t, "services/"+service, func(n ast.Node) {
		if s, ok := n.(*ast.SelectorExpr); ok {
			receiver, _ := s.X.(*ast.Ident)
			usesVault = usesVault || s.Sel.Name == "Vault" && receiver != nil && (receiver.Name == "d" || receiver.Name == "deps")
			usesS3 = usesS3 || s.Sel.Name == "SettingsFromEnv"
		}
	}))
	for _, folder := range []string{"shared/runner", "shared/auth", "shared/telemetry"} {
		maps.Copy(all, readsIn(t, folder, nil))
	}
	if usesVault {
		all["TENURE_VAULT_KEY"] = true
	}
	if usesS3 {
		for name := range readsIn(t, "services/connectors/s3", nil) {
			all[name] = optional[name] == ""
		}
	}
	return all
}

// TestEverySettingIsSet holds that a service is given each variable that it cannot do without, and none that it does not
// know: a misspelt one would be passed over in silence.
func TestEverySettingIsSet(t *testing.T) {
	p := project(t, nil)
	for _, service := range tenure {
		known := readsOf(t, service)
		require.True(t, known["DATABASE_URL"], "the scan finds nothing")
		set, files := settings(p.Services[service]), mounted(t, p, service)
		for name, needed := range known {
			_, plain := set[name]
			file, byFile := set[name+"_FILE"]
			if needed && !plain && !byFile {
				t.Errorf("%s: %s is not set", service, name)
			}
			if byFile && files[file] == "" {
				t.Errorf("%s: %s_FILE names %s, which is not in the container, or empty", service, name, file)
			}
		}
		for name := range set {
			if _, ok := known[strings.TrimSuffix(name, "_FILE")]; !ok {
				t.Errorf("%s: nothing reads %s", service, name)
			}
		}
		require.Equal(t, "production", set["TENURE_ENV"], service)
	}
}

// TestSecretsAreFiles holds that no secret stands in a service's environment, where every child and crash report has it.
func TestSecretsAreFiles(t *testing.T) {
	secret := regexp.MustCompile(`(PASSWORD|SECRET|SECRET_ACCESS_KEY|API_KEY|VAULT_KEY|SIGNING_KEY|AUTH_KEY|DATABASE_URL|NATS_URL|SMTP_URL|SLACK_WEBHOOK)$`)
	p := project(t, nil)
	for _, service := range tenure {
		for name := range settings(p.Services[service]) {
			require.NotRegexp(t, secret, name, service)
		}
	}
}
