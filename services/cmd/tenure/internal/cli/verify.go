package cli

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	certificate "tenure/services/deletion/verify"
)

func newVerify(o *options) *cobra.Command {
	var (
		log      bool
		checks   logCheck
		keys     []string
		identity string
	)
	cmd := &cobra.Command{
		Use:   "verify (FILE.zip [--identity KEYFILE] | CERTIFICATE.json | --log [--tenant TENANT])",
		Short: "Prove an archive, a deletion certificate or the live audit log",
		Long: "Prove that an export archive is whole, that a deletion certificate is genuine, or that the live audit log is a\n" +
			"chain without gaps that was not cut or rewritten behind its signed roots. Files are checked offline. The exit code\n" +
			"is 0 only if all is right.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case log && len(args) == 0:
				trusted, err := parseKeys(keys)
				if err != nil {
					return err
				}
				return o.verifyLog(cmd, checks, trusted)
			case !log && len(args) == 1:
				return o.verifyFile(cmd.OutOrStdout(), args[0], identity, keys)
			}
			return errors.New("name one file, or --log")
		},
	}
	cmd.Flags().BoolVar(&log, "log", false, "check the live log")
	checks.flags(cmd)
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key that may have signed, as GET /v1/keys shows it (default: any)")
	cmd.Flags().StringVar(&identity, "identity", "", "file with the age identity that opens an encrypted archive (default: its files are checked as they are stored)")
	return cmd
}

// verifyFile tells an archive from a certificate by its first bytes.
func (o *options) verifyFile(out io.Writer, path, identity string, keys []string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	magic := make([]byte, 2)
	if _, err := io.ReadFull(file, magic); err != nil {
		return fmt.Errorf("%s is neither an archive nor a certificate: %w", path, err)
	}
	if bytes.Equal(magic, []byte("PK")) {
		return o.verifyArchive(out, path, identity)
	}
	return o.verifyCertificate(out, path, keys)
}

// parseKeys reads what --key named.
func parseKeys(texts []string) (keys []ed25519.PublicKey, err error) {
	for _, text := range texts {
		key, err := certificate.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("--key: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}
