package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	deletions "tenure/services/deletion/verify"
	exports "tenure/services/export/verify"
	"tenure/shared/client"
)

const (
	livesSeed    = 20261122
	livesTenants = 30
	livesKills   = 3
	// livesBefore and livesDuring are how many documents a tenant writes before its upgrade and while that runs, and livesAfresh
	// in its second life.
	livesBefore, livesDuring, livesAfresh = 5, 5, 3
)

// TestThirtyLivesAtOnce is the question that Tenure is for: can every tenant be signed up, changed, exported, deleted and won
// back without anyone's hand, and can that be proven? 30 tenants do all of it at once, while everything is killed and Stripe
// fails. In the end each has paid what its plan history says, to the cent; no document was lost and none came back; each
// archive and each certificate was verified, and so is the log.
func TestThirtyLivesAtOnce(t *testing.T) {
	t.Parallel()
	w := newMoneyWorld(t, "TENURE_RETENTION_UNIT=1s")
	w.dice = rand.New(rand.NewPCG(livesSeed, 0))
	ctx := w.context(3 * time.Minute)
	group, living := errgroup.WithContext(ctx)
	began := time.Now()
	for i := range livesTenants {
		id := fmt.Sprintf("life-%02d", i)
		w.join(id, nil)
		l := &life{id: id, api: w.api, base: w.at.HTTP, hasty: i%3 == 0, cancels: i%2 == 0}
		group.Go(func() error {
			if err := l.live(living); err != nil {
				return fmt.Errorf("%s, after %v: %w", l.id, l.did, err)
			}
			return nil
		})
	}
	for range livesKills {
		w.trouble(false) // no time-outs: each would take half a minute
		select {
		case <-living.Done(): // a life failed
		case <-time.After(time.Duration(2000+w.dice.IntN(4000)) * time.Millisecond): // the random moment
		}
		w.restart()
		w.trouble(false)
	}
	require.NoError(t, group.Wait())
	t.Logf("30 lives took %s", time.Since(began).Round(time.Millisecond))

	w.end()
	w.check()
	w.checkNoViolation(w.db)
	for _, p := range w.players {
		require.Equal(t, livesAfresh, count(t, w.db, `SELECT count(DISTINCT name) FROM sample.documents WHERE tenant_id = $1`, p.id), p.id)
		require.Equal(t, 1, count(t, w.db, `SELECT count(*) FROM lifecycle.log WHERE stream = $1 AND type LIKE '%tenant.purged%'`, p.id), p.id)
		certificates, _ := w.objects(ctx, "certificates/"+p.id+"/")
		require.Equal(t, []string{"certificates/" + p.id + "/1.json"}, certificates)
	}
	_, uploads := w.objects(ctx, "exports/")
	require.Empty(t, uploads, "uploads that nobody ends")
	out, err := w.verifyLog()
	require.NoError(t, err, out)
}

// life is one tenant's. Whoever leads it knows no more than the API says, and asks again until it is answered.
type life struct {
	id   string
	api  *client.Client // the addresses stay the same over restarts
	base string
	// hasty asks for the deletion while the upgrade runs; cancels takes it back, where others come back.
	hasty, cancels bool
	did            []string
}

// live does everything once.
func (l *life) live(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		l.signUp,
		func(ctx context.Context) error { return l.write(ctx, "old", 0, livesBefore) },
		l.upgrade,
		l.export,
		func(ctx context.Context) error { return l.delete(ctx, 60) },
		l.comeBack,
		func(ctx context.Context) error { return l.has(ctx, livesBefore+livesDuring) },
		func(ctx context.Context) error { return l.delete(ctx, 1) },
		l.purged,
		l.beginAfresh,
		func(ctx context.Context) error { return l.has(ctx, 0) },
		func(ctx context.Context) error { return l.write(ctx, "new", 0, livesAfresh) },
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// command sends one with the same key until it is answered. What is refused is an error.
func (l *life) command(ctx context.Context, what string, send func(client.Option) error) error {
	l.did = append(l.did, what)
	key := client.WithIdempotencyKey(fmt.Sprintf("%s-%d", l.id, len(l.did)))
	err := errRunning
	untilAnswered(ctx, func() (struct{}, error) {
		err = send(key)
		return struct{}{}, err
	})
	return err
}

// until asks until something holds.
func (l *life) until(ctx context.Context, what string, holds func() bool) error {
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("still not %s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	l.did = append(l.did, what)
	return nil
}

// is waits for a state, in which nothing runs.
func (l *life) is(ctx context.Context, state string) error {
	return l.until(ctx, state, func() bool {
		t, err := l.api.Tenant(ctx, l.id)
		return err == nil && t.State == state && !slices.ContainsFunc(t.Operations, func(op client.Operation) bool { return !op.Ended() })
	})
}

func (l *life) signUp(ctx context.Context) error {
	err := l.command(ctx, "sign up", func(key client.Option) error {
		_, err := l.api.Register(ctx, client.Register{ID: l.id, Name: "Tenant " + l.id, Email: l.id + "@example.com", Plan: "starter"}, key)
		return err
	})
	return errors.Join(err, l.is(ctx, "active"))
}

// write keeps documents from..to. A write whose answer was lost is repeated, so that names count, not rows.
func (l *life) write(ctx context.Context, prefix string, from, to int) error {
	for i := from; i < to; i++ {
		body := fmt.Appendf(nil, `{"name":"%s %d","content":"of %s"}`, prefix, i, l.id)
		if err := l.until(ctx, "written", func() bool {
			status, _, err := l.send(ctx, http.MethodPost, l.base+"/sample/"+l.id+"/documents", body)
			return err == nil && status == http.StatusCreated
		}); err != nil {
			return err
		}
	}
	return nil
}

func (l *life) upgrade(ctx context.Context) error {
	var op client.Operation
	err := l.command(ctx, "upgrade", func(key client.Option) (err error) {
		op, err = l.api.Upgrade(ctx, l.id, client.Upgrade{Plan: "professional"}, key)
		return err
	})
	if err := errors.Join(err, l.write(ctx, "old", livesBefore, livesBefore+livesDuring)); err != nil || l.hasty {
		return err
	}
	err = l.until(ctx, "upgraded", func() bool {
		now, err := l.api.Operation(ctx, op.ID)
		if err == nil {
			op = now
		}
		return op.Ended()
	})
	if err == nil && op.Status != client.StatusSucceeded {
		err = fmt.Errorf("the upgrade is %s: %s", op.Status, op.Error)
	}
	return err
}

// export takes everything along and verifies it.
func (l *life) export(ctx context.Context) error {
	if l.hasty {
		return nil
	}
	var export client.Export
	err := l.command(ctx, "export", func(key client.Option) (err error) {
		export, err = l.api.RequestExport(ctx, l.id, client.ExportRequest{}, key)
		return err
	})
	if err != nil {
		return err
	}
	var archive []byte
	err = l.until(ctx, "downloaded", func() bool {
		now, err := l.api.Export(ctx, export.ID)
		if err == nil {
			export = now
		}
		if export.DownloadURL == "" {
			return export.Ended()
		}
		status, content, err := l.send(ctx, http.MethodGet, export.DownloadURL, nil)
		archive = content
		return err == nil && status == http.StatusOK
	})
	if err != nil || export.Status != "completed" {
		return fmt.Errorf("the export is %s: %s (%w)", export.Status, export.Error, err)
	}
	report, err := exports.Archive(bytes.NewReader(archive), int64(len(archive)))
	if err == nil && report.Counts["documents"] < livesBefore+livesDuring {
		err = fmt.Errorf("the archive has %v", report.Counts)
	}
	return err
}

func (l *life) delete(ctx context.Context, days int) error {
	return l.command(ctx, "delete", func(key client.Option) error {
		_, err := l.api.Delete(ctx, l.id, client.Delete{RetentionDays: &days, Reason: "it is over"}, key)
		return err
	})
}

func (l *life) comeBack(ctx context.Context) error {
	if err := l.is(ctx, "deleting"); err != nil {
		return err
	}
	err := l.command(ctx, "come back", func(key client.Option) error {
		if l.cancels {
			return l.api.CancelDeletion(ctx, l.id, key)
		}
		_, err := l.api.Reactivate(ctx, l.id, client.Reactivate{}, key)
		return err
	})
	return errors.Join(err, l.is(ctx, "active"))
}

// has holds how many documents the SaaS shows.
func (l *life) has(ctx context.Context, documents int) error {
	var status int
	var body []byte
	err := l.until(ctx, "readable", func() (ok bool) {
		var err error
		status, body, err = l.send(ctx, http.MethodGet, l.base+"/sample/"+l.id+"/documents", nil)
		return err == nil && status == http.StatusOK
	})
	if n := bytes.Count(body, []byte(`"content":`)); err == nil && n != documents {
		err = fmt.Errorf("there are %d documents, not %d", n, documents)
	}
	return err
}

func (l *life) purged(ctx context.Context) error {
	if err := l.is(ctx, "deleted"); err != nil {
		return err
	}
	var document []byte
	err := l.until(ctx, "certified", func() (ok bool) {
		var err error
		document, err = l.api.Certificate(ctx, l.id)
		return err == nil
	})
	if err != nil {
		return err
	}
	report, err := deletions.Certificate(document)
	if err == nil && (report.TenantID != l.id || report.Erased < livesBefore+livesDuring) {
		err = fmt.Errorf("the certificate says %+v", report)
	}
	return err
}

func (l *life) beginAfresh(ctx context.Context) error {
	afresh := false
	err := l.command(ctx, "begin afresh", func(key client.Option) error {
		_, err := l.api.Reactivate(ctx, l.id, client.Reactivate{Plan: "starter", RestoreData: &afresh}, key)
		return err
	})
	return errors.Join(err, l.is(ctx, "active"))
}

func (l *life) send(ctx context.Context, method, url string, body []byte) (status int, content []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	content, err = io.ReadAll(res.Body)
	return res.StatusCode, content, err
}
