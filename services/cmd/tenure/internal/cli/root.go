// Package cli is the tenure command line.
package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tenure/services/devstack"
	"tenure/shared/client"
)

const defaultDir = ".tenure"

// options are the flags that every command has.
type options struct {
	dir    string
	url    string
	token  string
	asJSON bool
}

// New is the whole command tree.
func New() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "tenure",
		Short: "Automates the life of a SaaS tenant, from sign-up to proven deletion",
		// main prints errors; the usage would hide them.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&o.dir, "dir", defaultDir, "directory of tenure dev; tells the other commands where it runs")
	flags.StringVar(&o.url, "url", "", "base URL of the API (default $TENURE_URL, else that of tenure dev in --dir)")
	flags.StringVar(&o.token, "token", "", "bearer token (default $TENURE_TOKEN, else that of tenure dev in --dir)")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	root.AddGroup(
		&cobra.Group{ID: "local", Title: "On this machine:"},
		&cobra.Group{ID: "tenants", Title: "Tenants:"},
		&cobra.Group{ID: "audit", Title: "Audit:"},
	)
	addGroup(root, "local", newDev(o), newDemo(o), newBench(), newParticipant())
	addGroup(root, "tenants", newTenants(o))
	addGroup(root, "tenants", newCommands(o)...)
	addGroup(root, "tenants", newWebhooks(o))
	addGroup(root, "audit", newEvents(o), newVerify(o), newBilling(o), newDeletion(o), newDatamap(o), newCampaign(o), newMail(o))
	return root
}

func addGroup(root *cobra.Command, id string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = id
		root.AddCommand(c)
	}
}

// client connects to where the flags or the environment say, and else to the `tenure dev` that runs in --dir.
func (o *options) client() (*client.Client, error) {
	url, token := cmp.Or(o.url, os.Getenv("TENURE_URL")), cmp.Or(o.token, os.Getenv("TENURE_TOKEN"))
	if url != "" {
		if token == "" {
			return nil, errors.New("a token is missing: set --token or TENURE_TOKEN")
		}
		return client.New(url, token), nil
	}
	local, err := devstack.ReadAddresses(o.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no tenure dev is ready in %s: start it, or set --url and --token (or TENURE_URL and TENURE_TOKEN)",
			filepath.Clean(o.dir))
	}
	if err != nil {
		return nil, err
	}
	return client.New(local.HTTP, cmp.Or(token, local.OperatorToken)), nil
}

// withClient makes a command's RunE of what it does with a client.
func (o *options) withClient(run func(cmd *cobra.Command, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := o.client()
		if err != nil {
			return err
		}
		return run(cmd, c, args)
	}
}

// print writes v as JSON when that was asked for, and else as text does.
func (o *options) print(w io.Writer, v any, text func() error) error {
	if !o.asJSON {
		return text()
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
