package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"tenure/shared/client"
)

func newExport(o *options) *cobra.Command {
	var (
		body   client.ExportRequest
		output string
		watch  bool
	)
	cmd := &cobra.Command{
		Use:   "export TENANT",
		Short: "Make an archive of everything a tenant has",
		Args:  cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			e, err := c.RequestExport(cmd.Context(), args[0], body)
			if err != nil {
				return err
			}
			if watch || output != "" {
				if e, err = followExport(cmd.Context(), c, newProgress(cmd.ErrOrStderr()), e.ID); err != nil {
					return err
				}
			}
			if output != "" {
				if err := download(cmd.Context(), e, output); err != nil {
					return err
				}
			}
			return o.print(cmd.OutOrStdout(), e, func() error { return printExport(cmd.OutOrStdout(), e, output) })
		}),
	}
	f := cmd.Flags()
	f.StringVar(&body.Since, "since", "", "only what changed since this time")
	f.StringSliceVar(&body.Include, "include", nil, "only these kinds of data")
	f.StringVarP(&output, "output", "o", "", "wait, and download the archive to this file")
	watchFlag(cmd, &watch)
	return cmd
}

func printExport(out io.Writer, e client.Export, file string) error {
	_, err := fmt.Fprintf(out, "export %s: %s\n", e.ID, e.Status)
	if err != nil || e.DownloadURL == "" {
		return err
	}
	where := e.DownloadURL
	if file != "" {
		where = file
	}
	_, err = fmt.Fprintf(out, "%d bytes, sha256 %s\n%s\n", e.Bytes, e.SHA256, where)
	return err
}

// download writes the archive to path. What does not have the recorded checksum is not left behind under that name.
func download(ctx context.Context, e client.Export, path string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.DownloadURL, nil)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("download: the object store answers %s", res.Status)
	}
	part := path + ".part"
	file, err := os.Create(part)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(part) // the first error is the one to tell
		}
	}()
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), res.Body)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != e.SHA256 {
		return fmt.Errorf("download: the archive has sha256 %s, the export recorded %s: ask for a new export", got, e.SHA256)
	}
	return os.Rename(part, path)
}
