// Package deployment_test holds docker-compose.yml and deploy/ against the services: no engine runs, but the services do,
// on the very settings, roles and permissions that the containers get.
package deployment_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// root is the top of the tree, as seen from here.
const root = "../../.."

// tenure are the services of Tenure itself, in the order in which they start.
var tenure = []string{"lifecycle", "billing", "export", "deletion", "notifier"}

// load reads docker-compose.yml as `docker compose` does with these variables in .env.
func load(ctx context.Context, variables map[string]string) (*types.Project, error) {
	dir, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "docker-compose.yml")}},
		Environment: variables,
	})
}

// made is what deploy/make-env writes.
func made(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), ".env")
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "deploy/make-env"), file).CombinedOutput()
	require.NoError(t, err, string(out))
	variables, err := dotenv.Read(file)
	require.NoError(t, err)
	return variables
}

// forPeople are the variables that make-env cannot know.
func forPeople() map[string]string {
	return map[string]string{
		"DATAMAP_FILE": "deploy/datamap.example.yaml", "PLANS_FILE": "deploy/plans.example.yaml",
		"RETENTION_FILE": "deploy/retention.example.yaml", "CAMPAIGNS_FILE": "deploy/campaigns.example.yaml",
		"STRIPE_API_KEY": "sk_live_1", "STRIPE_WEBHOOK_SECRET": "whsec_1",
		"SMTP_URL": "smtp://mailpit:1025", "TENURE_MAIL_FROM": "Tenure <tenure@example.com>", "TENURE_SLACK_WEBHOOK": "https://chat.example.com/hook",
		"TENURE_PUBLIC_URL": "https://tenure.example.com", "TENURE_S3_PUBLIC_URL": "https://files.example.com",
	}
}

// project is docker-compose.yml with everything set; variables overrule.
func project(t *testing.T, variables map[string]string) *types.Project {
	t.Helper()
	all := made(t)
	maps.Copy(all, forPeople())
	maps.Copy(all, variables)
	p, err := load(t.Context(), all)
	require.NoError(t, err)
	return p
}

// TestNothingStartsWithoutSecrets holds that no password has a default, and that .env.example names every variable.
func TestNothingStartsWithoutSecrets(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	require.NoError(t, err)
	var model map[string]any
	require.NoError(t, yaml.Unmarshal(file, &model))
	variables := template.ExtractVariables(model, template.DefaultPattern)

	example, err := dotenv.Read(filepath.Join(root, ".env.example"))
	require.NoError(t, err)
	for name := range variables {
		if name != "TENURE_LOG_LEVEL" {
			require.Contains(t, example, name, ".env.example")
		}
	}
	for name, value := range example {
		require.Contains(t, variables, name, "docker-compose.yml does not use what .env.example has")
		require.Empty(t, value, "%s: .env.example must not hold values", name)
	}

	full := made(t)
	maps.Copy(full, forPeople())
	optional := []string{
		"TENURE_LOG_LEVEL", "TENURE_OIDC_ISSUER", "TENURE_OIDC_AUDIENCE", "TENURE_AUTH_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT",
		"TENURE_OPERATOR_MAIL", "TENURE_SLACK_WEBHOOK", "TENURE_EGRESS_ALLOW",
	}
	for name := range variables {
		without := maps.Clone(full)
		without[name] = ""
		_, err := load(t.Context(), without)
		if slices.Contains(optional, name) {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, name, "without %s", name)
		}
	}
}

func TestMakeEnvKeepsWhatIsThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(file, []byte("KEPT=1\n"), 0o600))
	require.Error(t, exec.CommandContext(t.Context(), filepath.Join(root, "deploy/make-env"), file).Run())
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "KEPT=1\n", string(content))
}

func TestSecretsDiffer(t *testing.T) {
	seen := map[string]string{}
	for name, value := range made(t) {
		if value != "" {
			require.Empty(t, seen[value], "%s is the same as another", name)
			seen[value] = name
		}
	}
}

// exact is a tag that names one release, of an image without a registry's host.
var exact = regexp.MustCompile(`^[a-z0-9]+(/[a-z0-9]+)?:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$`)

func TestImagesArePinned(t *testing.T) {
	for _, s := range project(t, nil).Services {
		if s.Build == nil {
			require.Regexp(t, exact, s.Image, s.Name)
			continue
		}
		require.Equal(t, s.Name, *s.Build.Args["SERVICE"])
		require.FileExists(t, filepath.Join(s.Build.Context, "services/cmd", s.Name, "main.go"))
		require.FileExists(t, filepath.Join(s.Build.Context, s.Build.Dockerfile))
	}
	dockerfile, err := os.ReadFile(filepath.Join(root, "deploy/docker/Dockerfile"))
	require.NoError(t, err)
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(string(dockerfile), -1) {
		if from[1] != "scratch" {
			require.Regexp(t, exact, from[1])
		}
	}
	require.Contains(t, string(dockerfile), "\nUSER 65532:65532\n")
}

func TestContainersHaveNoMoreThanTheyNeed(t *testing.T) {
	for _, s := range project(t, nil).Services {
		require.Equal(t, []string{"ALL"}, s.CapDrop, s.Name)
		require.Contains(t, s.SecurityOpt, "no-new-privileges:true", s.Name)
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s publishes %d", s.Name, port.Target)
		}
		if s.Name == "volumes" { // gives the others their folders, and ends
			require.Equal(t, "none", s.NetworkMode)
			continue
		}
		require.Regexp(t, `^[1-9]\d*:[1-9]\d*$`, s.User, "%s runs as root", s.Name)
		require.NotNil(t, s.HealthCheck, s.Name)
		require.NotEmpty(t, s.Restart, s.Name)
	}
}

func TestDataIsInVolumes(t *testing.T) {
	p := project(t, nil)
	for service, target := range map[string]string{"postgres": "/var/lib/postgresql/data", "nats": "/data", "s3": "/data"} {
		require.True(t, slices.ContainsFunc(p.Services[service].Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Type == types.VolumeTypeVolume && path.Clean(v.Target) == target
		}), service)
	}
}

// mounted are the files that a service's container has, by their paths there; each value is its content.
func mounted(t *testing.T, p *types.Project, service string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, mount := range p.Services[service].Configs {
		config := p.Configs[mount.Source]
		content := config.Content
		if config.File != "" {
			file, err := os.ReadFile(config.File)
			require.NoError(t, err)
			content = string(file)
		}
		files[mount.Target] = content
	}
	return files
}

// settings are the variables that a container gets.
func settings(s types.ServiceConfig) map[string]string {
	set := map[string]string{}
	for name, value := range s.Environment {
		if value != nil && *value != "" {
			set[name] = strings.TrimSpace(*value)
		}
	}
	return set
}
