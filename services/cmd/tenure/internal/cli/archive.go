package cli

import (
	"fmt"
	"io"

	archive "tenure/services/export/verify"
)

// verifyArchive checks an export. identity names the file with the key of an encrypted one; "" looks at what is stored alone.
func (o *options) verifyArchive(out io.Writer, path, identity string) error {
	keys, err := readIdentities(identity)
	if err != nil {
		return err
	}
	report, err := archive.File(path, keys...)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return o.print(out, report, func() error {
		_, err := fmt.Fprintf(out, "the archive is whole: export %s of %s, taken %s, %d files, %d bytes\nrows: %v\n",
			report.ExportID, report.TenantID, stamp(report.SnapshotAt), report.Files, report.Bytes, report.Counts)
		if err != nil || report.Sealed == 0 {
			return err
		}
		_, err = fmt.Fprintf(out, "%d files are encrypted and were checked as they are stored; name the key with --identity to look inside\n", report.Sealed)
		return err
	})
}

// readIdentities reads none where no file is named.
func readIdentities(path string) (archive.Keys, error) {
	if path == "" {
		return nil, nil
	}
	keys, err := archive.Identities(path)
	if err != nil {
		return nil, fmt.Errorf("--identity: %w", err)
	}
	return keys, nil
}
