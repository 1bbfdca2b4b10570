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
	"strings"
	"time"

	"github.com/spf13/cobra"

	archive "tenure/services/export/verify"
	"tenure/shared/client"
)

func newExport(o *options) *cobra.Command {
	var (
		body    client.ExportRequest
		subject string
		output  string
		watch   bool
	)
	cmd := &cobra.Command{
		Use:   "export TENANT",
		Short: "Make an archive of everything a tenant has, or of one person's data",
		Args:  cobra.ExactArgs(1),
		RunE: o.withClient(func(cmd *cobra.Command, c *client.Client, args []string) error {
			e, err := requestExport(cmd.Context(), c, args[0], body, subject)
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
	f.StringVar(&body.Since, "since", "", "only what changed since this time (RFC 3339), or since this earlier export")
	f.StringSliceVar(&body.Include, "include", nil, "only these kinds of data")
	f.StringVar(&body.EncryptTo, "encrypt-to", "", "age recipient that alone can read the archive (age1...)")
	f.StringSliceVar(&body.Parquet, "parquet", nil, "kinds to write as Parquet: vectors, usage")
	f.StringVar(&subject, "subject", "", "only the data of the person with this key")
	f.StringVarP(&output, "out", "o", "", "wait, download the archive to this file and verify it")
	watchFlag(cmd, &watch)
	for _, other := range []string{"since", "include", "encrypt-to", "parquet"} {
		cmd.MarkFlagsMutuallyExclusive("subject", other)
	}
	return cmd
}

func requestExport(ctx context.Context, c *client.Client, tenant string, body client.ExportRequest, subject string) (client.Export, error) {
	if subject != "" {
		return c.RequestSubjectExport(ctx, tenant, subject)
	}
	return c.RequestExport(ctx, tenant, body)
}

func printExport(out io.Writer, e client.Export, file string) error {
	_, err := fmt.Fprintf(out, "export %s: %s\n", e.ID, e.Status)
	if err != nil || e.DownloadURL == "" {
		return err
	}
	where := e.DownloadURL
	if file != "" {
		where = file + ", verified"
	}
	_, err = fmt.Fprintf(out, "%d bytes, sha256 %s\n%s\n", e.Bytes, e.SHA256, where)
	return err
}

// lineInterval is how often progress is told where no bar can be drawn over.
const lineInterval = 5 * time.Second

// followExport shows how far the archive is and returns it when it is done.
func followExport(ctx context.Context, c *client.Client, p *progress, id string) (last client.Export, err error) {
	defer p.end()
	var told time.Time
	for e, err := range c.WatchExport(ctx, id) {
		if err != nil {
			return e, err
		}
		if e.Status != last.Status || e.Error != last.Error {
			p.line("  %s", strings.TrimSpace(e.Status+" "+e.Error))
		}
		if e.Progress.Total > 0 && !e.Ended() {
			p.set(float64(e.Progress.Done)/float64(e.Progress.Total), progressLabel(e.Progress))
			if !p.tty && time.Since(told) > lineInterval {
				p.line("  %s", progressLabel(e.Progress))
				told = time.Now()
			}
		}
		last = e
	}
	if last.Status != "completed" {
		return last, fmt.Errorf("export %s: %s", id, strings.TrimSpace(last.Status+" "+last.Error))
	}
	return last, nil
}

func progressLabel(p client.ExportProgress) string {
	label := fmt.Sprintf("%d of %d rows", p.Done, p.Total)
	if p.BytesPerSecond > 0 {
		label += fmt.Sprintf(", %.1f MB/s", p.BytesPerSecond/1e6)
	}
	if p.ETASeconds > 0 {
		label += fmt.Sprintf(", %v left", time.Duration(p.ETASeconds)*time.Second)
	}
	return label
}

// download writes the archive to path. What does not have the recorded checksum, or is not whole in itself, is not left
// behind under that name.
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
	if _, err := archive.File(part); err != nil {
		return fmt.Errorf("download: %w: ask for a new export", err)
	}
	return os.Rename(part, path)
}
