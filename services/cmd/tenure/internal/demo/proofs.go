package demo

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"filippo.io/age"

	certificate "tenure/services/deletion/verify"
	archive "tenure/services/export/verify"
	"tenure/shared/client"
)

// charge is one movement of money at the Stripe simulator.
type charge struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"` // charge or refund
	Amount int64  `json:"amount"`
}

func (w *walk) readCharges(ctx context.Context) (charges []charge, net int64, err error) {
	var out struct {
		Charges []charge `json:"charges"`
		Net     int64    `json:"net"`
	}
	err = w.sim(ctx, http.MethodGet, "/charges?tenant="+url.QueryEscape(w.tenant), nil, &out)
	return out.Charges, out.Net, err
}

// newCharges wants this many charges since the last look, and no refund.
func (w *walk) newCharges(ctx context.Context, want int) (string, error) {
	charges, _, err := w.readCharges(ctx)
	if err != nil {
		return "", err
	}
	fresh := charges[min(len(w.charges), len(charges)):]
	if len(fresh) != want {
		return "", fmt.Errorf("%d movements of money, not %d: %+v", len(fresh), want, fresh)
	}
	w.charges = charges
	var sum int64
	for _, c := range fresh {
		if c.Kind != "charge" || c.Amount <= 0 {
			return "", fmt.Errorf("a %s of %s", c.Kind, dollars(c.Amount))
		}
		sum += c.Amount
	}
	return fmt.Sprintf("charged %s, once", dollars(sum)), nil
}

// money wants nothing to have moved since the last charge that was looked at: neither by the win-back nor by the purge.
func (w *walk) money(ctx context.Context) (string, error) {
	charges, net, err := w.readCharges(ctx)
	if err != nil {
		return "", err
	}
	var sum int64
	for _, c := range w.charges {
		sum += c.Amount
	}
	if len(charges) != len(w.charges) || net != sum {
		return "", fmt.Errorf("%d movements, net %s; the steps saw %d, net %s", len(charges), dollars(net), len(w.charges), dollars(sum))
	}
	return fmt.Sprintf("%d charges, net %s, none after the deletion", len(charges), dollars(net)), nil
}

func dollars(cents int64) string { return fmt.Sprintf("$%d.%02d", cents/100, cents%100) }

func (w *walk) export(ctx context.Context) (string, error) {
	content, err := w.makeExport(ctx, client.ExportRequest{})
	if err != nil {
		return "", err
	}
	report, err := archive.Archive(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return "", err
	}
	if old := time.Since(report.SnapshotAt); old < 0 || old > stepLimit {
		return "", fmt.Errorf("the archive says that it was taken %s", report.SnapshotAt)
	}
	if got := report.Counts["documents"]; got != int64(w.documents) {
		return "", fmt.Errorf("the archive has %d documents, not %d", got, w.documents)
	}
	return fmt.Sprintf("%d documents in %d KB, downloaded and verified", w.documents, len(content)/1000), nil
}

// encryptedExport wants an archive that one key opens, and that can be checked without it as far as it is stored.
func (w *walk) encryptedExport(ctx context.Context) (string, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	content, err := w.makeExport(ctx, client.ExportRequest{EncryptTo: key.Recipient().String()})
	if err != nil {
		return "", err
	}
	sealed, err := archive.Archive(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return "", err
	}
	opened, err := archive.Archive(bytes.NewReader(content), int64(len(content)), key)
	if err != nil {
		return "", err
	}
	if sealed.Sealed == 0 || opened.Sealed != 0 {
		return "", fmt.Errorf("%d files are closed to everybody, %d to who has the key", sealed.Sealed, opened.Sealed)
	}
	return fmt.Sprintf("%d files that one age key alone opens, verified with it", sealed.Sealed), nil
}

// makeExport waits for an archive and downloads it.
func (w *walk) makeExport(ctx context.Context, cmd client.ExportRequest) ([]byte, error) {
	e, err := w.client.RequestExport(ctx, w.tenant, cmd)
	if err != nil {
		return nil, err
	}
	for e, err = range w.client.WatchExport(ctx, e.ID) {
		if err != nil {
			return nil, err
		}
	}
	if e.Status != "completed" {
		return nil, fmt.Errorf("the export ended as %s: %s", e.Status, e.Error)
	}
	content, err := fetch(ctx, e.DownloadURL)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != e.SHA256 {
		return nil, errors.New("the download does not have the recorded checksum")
	}
	return content, nil
}

// dryRun wants a deletion to say what it would take away, and to take nothing.
func (w *walk) dryRun(ctx context.Context) (string, error) {
	p, err := w.client.Preview(ctx, w.tenant, "delete", client.Delete{})
	if err != nil {
		return "", err
	}
	if !p.Allowed || p.Erasure == nil || p.Erasure.Source != "stores" {
		return "", fmt.Errorf("the preview does not say what would be erased: %+v", p)
	}
	if p.Erasure.Rows < int64(w.documents) {
		return "", fmt.Errorf("%d rows would be erased, of %d documents", p.Erasure.Rows, w.documents)
	}
	return fmt.Sprintf("%d rows in %d stores would go; nothing has changed", p.Erasure.Rows, len(p.Erasure.Stores)), w.expectDocuments(ctx)
}

func (w *walk) certificate(ctx context.Context) (string, error) {
	document, err := w.client.Certificate(ctx, w.tenant)
	if err != nil {
		return "", err
	}
	var trusted []ed25519.PublicKey
	for key, err := range w.client.Keys(ctx) {
		if err != nil {
			return "", err
		}
		public, err := certificate.ParseKey(key.PublicKey)
		if err != nil {
			return "", err
		}
		trusted = append(trusted, public)
	}
	report, err := certificate.Certificate(document, trusted...)
	if err != nil {
		return "", err
	}
	if report.TenantID != w.tenant || !report.Trusted {
		return "", fmt.Errorf("it is about %s, signed by key %s", report.TenantID, report.KeyID)
	}
	return fmt.Sprintf("%d rows erased, %d stores found empty, signed by %s, verified", report.Erased, report.Stores, report.KeyID), nil
}

func fetch(ctx context.Context, link string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the download answers %s", res.Status)
	}
	return io.ReadAll(res.Body)
}
