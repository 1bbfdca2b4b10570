package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tenure/services/connectors/datamap"
	"tenure/services/connectors/datamap/check"
	"tenure/services/devstack"
	"tenure/shared/runner"
)

func newDatamap(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "datamap", Short: "Look after the list of stores with tenants' data"}
	cmd.AddCommand(newDatamapCheck(o))
	return cmd
}

func newDatamapCheck(o *options) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find tables with tenants' data that the data map does not list",
		Long: "Hold the data map against the PostgreSQL databases that it names: tables that look like tenants' data and are not\n" +
			"listed (uncovered), and what will fail (wrong) or be slow (slow) in those that are. Connections are as the variables\n" +
			"that the map names say, or else to the tenure dev in --dir. The exit code is 1 if a table is uncovered or wrong.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			environ, err := o.storeEnviron()
			if err != nil {
				return err
			}
			if file == "" {
				file = environ["TENURE_DATAMAP"]
			}
			if file == "" {
				return errors.New("name the data map: set --datamap or TENURE_DATAMAP")
			}
			m, err := datamap.Load(file)
			if err != nil {
				return err
			}
			found, err := check.PostgreSQL(cmd.Context(), m, func(name string) string { return environ[name] })
			if err != nil {
				return err
			}
			if err := o.print(cmd.OutOrStdout(), found, func() error { return printFindings(cmd.OutOrStdout(), found) }); err != nil {
				return err
			}
			return failed(found)
		},
	}
	cmd.Flags().StringVar(&file, "datamap", "", "the data map (default $TENURE_DATAMAP, else that of tenure dev in --dir)")
	return cmd
}

// storeEnviron is the environment, and what it leaves out is as in the `tenure dev` of --dir.
func (o *options) storeEnviron() (runner.Environ, error) {
	environ := runner.OSEnviron()
	if err := environ.ReadSecretFiles(); err != nil {
		return nil, err
	}
	local, err := devstack.ReadAddresses(o.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return environ, nil
	}
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"DATABASE_URL": local.Postgres, "SAMPLE_DATABASE_URL": local.Postgres,
		"TENURE_DATAMAP": filepath.Join(o.dir, "datamap.yaml"),
	} {
		if environ[name] == "" {
			environ[name] = value
		}
	}
	return environ, nil
}

func printFindings(out io.Writer, found []check.Finding) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range found {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%s\t%s\t%s", f.Status, f.Table, f.Detail), "\t"))
	}
	return w.Flush()
}

func failed(found []check.Finding) error {
	found = slices.DeleteFunc(slices.Clone(found), func(f check.Finding) bool { return !f.Failed() })
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%d findings to set right; a table that is no tenant's goes under except in the data map", len(found))
}
