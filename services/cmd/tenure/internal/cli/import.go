package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tenure/services/connectors/datamap"
	"tenure/services/devstack"
	"tenure/services/export/importer"
	"tenure/shared/client"
)

// importing is one call of the import command.
type importing struct {
	*options
	path, tenant, dataMap, identity string
	dryRun                          bool
}

func newImport(o *options) *cobra.Command {
	i := &importing{options: o}
	cmd := &cobra.Command{
		Use:   "import FILE.zip (--tenant TENANT | --dry-run)",
		Short: "Load an archive into a fresh tenant",
		Long: "Verify an archive, and load it into the stores of the data map for a tenant that exists, is active and is empty. UUIDs\n" +
			"and numbers become new ones, the same everywhere; bills and the timeline are the old tenant's history and stay in\n" +
			"the archive. What broke off is gone on with by the same command.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if i.path = args[0]; i.tenant == "" && !i.dryRun {
				return errors.New("name the tenant to import into with --tenant, or look at what would be done with --dry-run")
			}
			return i.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&i.tenant, "tenant", "", "the fresh tenant")
	f.BoolVar(&i.dryRun, "dry-run", false, "write nothing; tell what would be loaded where, and what not")
	f.StringVar(&i.dataMap, "datamap", "", "data map of the stores (default $TENURE_DATAMAP, else that of tenure dev in --dir)")
	f.StringVar(&i.identity, "identity", "", "file with the age identity that opens an encrypted archive")
	return cmd
}

func (i *importing) run(cmd *cobra.Command) error {
	file, err := os.Open(i.path)
	if err != nil {
		return err
	}
	defer file.Close()
	archive, err := i.open(file)
	if err != nil {
		return fmt.Errorf("%s: %w", i.path, err)
	}
	if err := i.checkTenant(cmd.Context()); err != nil {
		return err
	}
	stores, err := i.stores(cmd.Context())
	if err != nil {
		return err
	}
	defer stores.Close()
	if i.dryRun {
		plan, err := archive.Plan(cmd.Context(), stores, i.tenant)
		if err != nil {
			return err
		}
		return i.show(cmd.OutOrStdout(), plan, "would be loaded")
	}
	plan, err := i.load(cmd, archive, stores)
	if err != nil {
		return err
	}
	return i.show(cmd.OutOrStdout(), plan, "were loaded")
}

func (i *importing) open(file *os.File) (*importer.Archive, error) {
	keys, err := readIdentities(i.identity)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return importer.Open(file, info.Size(), keys)
}

// checkTenant refuses one that is not there, or is not one to begin with.
func (i *importing) checkTenant(ctx context.Context) error {
	if i.tenant == "" {
		return nil
	}
	c, err := i.client()
	if err != nil {
		return err
	}
	t, err := c.Tenant(ctx, i.tenant)
	var refused *client.Error
	if errors.As(err, &refused) && refused.Code == client.CodeTenantNotFound {
		return fmt.Errorf("there is no tenant %s: sign it up first, with tenure register", i.tenant)
	}
	if err != nil {
		return err
	}
	if t.State != "active" && t.State != "trialing" {
		return fmt.Errorf("%s is %s: import into a tenant that is active", i.tenant, t.State)
	}
	return nil
}

// stores connects what the data map names, by the environment's addresses and secrets; what that lacks is as `tenure dev`
// has it.
func (i *importing) stores(ctx context.Context) (datamap.Stores, error) {
	local, err := devstack.ReadAddresses(i.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	dev := map[string]string{}
	path := cmp.Or(i.dataMap, os.Getenv("TENURE_DATAMAP"))
	if err == nil {
		path = cmp.Or(path, filepath.Join(i.dir, "datamap.yaml"))
		dev = map[string]string{
			"SAMPLE_DATABASE_URL": local.Postgres, "TENURE_S3_BUCKET": local.S3.Bucket, "AWS_ENDPOINT_URL_S3": local.S3.Endpoint,
			"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": local.S3.AccessKey, "AWS_SECRET_ACCESS_KEY": local.S3.SecretKey,
		}
	}
	if path == "" {
		return nil, errors.New("name the data map with --datamap or TENURE_DATAMAP: it tells where the rows go")
	}
	m, err := datamap.Load(path)
	if err != nil {
		return nil, err
	}
	return m.Open(ctx, func(name string) string { return cmp.Or(os.Getenv(name), dev[name]) })
}

// load leaves a note beside the archive until the import has come to its end: only its own rows may be in the tenant when it
// is begun again.
func (i *importing) load(cmd *cobra.Command, archive *importer.Archive, stores datamap.Stores) (importer.Plan, error) {
	note := note{path: i.path + "." + i.tenant + ".importing", ExportID: archive.ExportID(), Tenant: i.tenant}
	resume, err := note.left()
	if err != nil {
		return importer.Plan{}, err
	}
	p := newProgress(cmd.ErrOrStderr())
	defer p.end()
	plan, err := archive.Load(cmd.Context(), stores, i.tenant, importer.Options{Resume: resume, Begin: note.leave, Progress: func(rows, total int64) {
		p.set(float64(rows)/float64(total), fmt.Sprintf("%d of %d rows", rows, total))
	}})
	if err != nil {
		return plan, err
	}
	plan.Present = nil // they were of an earlier try
	return plan, os.Remove(note.path)
}

// note says which import is under way.
type note struct {
	path     string
	ExportID string `json:"export_id"`
	Tenant   string `json:"tenant"`
}

// left reports whether this very import was begun and did not come to its end.
func (n note) left() (bool, error) {
	content, err := os.ReadFile(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var before note
	if err := json.Unmarshal(content, &before); err != nil || before.ExportID != n.ExportID || before.Tenant != n.Tenant {
		return false, fmt.Errorf("%s is of another import: remove it when that one is not wanted any more", n.path)
	}
	return true, nil
}

func (n note) leave() error {
	content, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return os.WriteFile(n.path, content, 0o600)
}

func (i *importing) show(out io.Writer, p importer.Plan, done string) error {
	return i.print(out, p, func() error {
		var b strings.Builder
		fmt.Fprintf(&b, "export %s of %s\n", p.ExportID, p.From)
		for _, l := range p.Loads {
			fmt.Fprintf(&b, "  %d %s %s into %s\n", l.Rows, l.Kind, done, l.Store)
		}
		for _, l := range p.Leaves {
			fmt.Fprintf(&b, "  %d %s stay in the archive: %s\n", l.Rows, l.Kind, l.Why)
		}
		for _, l := range p.Present {
			fmt.Fprintf(&b, "  %d %s are in %s already: an import needs a tenant without\n", l.Rows, l.Kind, l.Store)
		}
		_, err := io.WriteString(out, b.String())
		return err
	})
}
