package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/roots"
	"tenure/services/deletion/internal/store"
)

// rootLease is how long the making of a root may take before another process begins it anew.
const rootLease = 5 * time.Minute

// Bucket is where roots and certificates are; *blob.Store has it.
type Bucket interface {
	// Locks reports whether objects can be locked.
	Locks(ctx context.Context) (bool, error)
	// Upload writes an object whole or not at all; locked, nobody can delete or overwrite it before.
	Upload(ctx context.Context, key, contentType string, body io.Reader, lockedUntil *time.Time) error
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// Keys lists those that begin with prefix and come behind after, in bytewise order.
	Keys(ctx context.Context, prefix, after string) iter.Seq2[string, error]
}

// RootKeeper writes each day's signed root. Any number of processes may run one: of each day there is one root.
type RootKeeper struct {
	DB     *pgxpool.Pool
	Bucket Bucket
	Signer certificate.Signer
	// Day is how long a day is: 24 hours but in tests.
	Day time.Duration
	// LockDays is how many days a bucket with object lock keeps a root from being deleted or overwritten; 0: it does not.
	LockDays int
}

// Run writes roots until ctx ends. A day in which no process runs, or the bucket is away, has none; the next root
// follows the one before it.
func (k *RootKeeper) Run(ctx context.Context) error {
	// Not more often than once a second, however short the days are.
	tick := time.NewTicker(max(min(k.Day, time.Minute), time.Second))
	defer tick.Stop()
	for {
		if err := k.Keep(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "the day's root of the log could not be written; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Keep writes the root of the day that has ended last, unless there is one.
func (k *RootKeeper) Keep(ctx context.Context) error {
	now, err := store.Now(ctx, k.DB)
	if err != nil {
		return err
	}
	date := roots.LastDay(now, k.Day)
	newest, err := store.NewestRoot(ctx, k.DB)
	if err != nil {
		return err
	}
	if newest == nil || newest.Date < date {
		if err := k.adopt(ctx, newest); err != nil {
			return err
		}
		if err := store.TakeRoot(ctx, k.DB, date); err != nil {
			return err
		}
	}
	root, err := store.ClaimRoot(ctx, k.DB, rootLease)
	if err != nil || root == nil {
		return err
	}
	if err := k.publish(ctx, root); err != nil {
		settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		defer cancel()
		return errors.Join(err, store.GiveRootBack(settle, k.DB, root.Date))
	}
	return nil
}

// publish brings a root and its leaves to the bucket, the leaves first. A crash at any place leaves a root that is made
// anew from the same heads, to the same bytes.
func (k *RootKeeper) publish(ctx context.Context, root *store.DailyRoot) error {
	lockedUntil, err := k.lock(ctx, root)
	if err != nil {
		return err
	}
	summary, err := k.uploadLeaves(ctx, root.Date, lockedUntil)
	if err != nil {
		return err
	}
	if root.Document == nil {
		if root.Document, err = k.sign(ctx, root, summary, lockedUntil); err != nil {
			return err
		}
	}
	if err := k.Bucket.Upload(ctx, roots.Key(root.Date), "application/json", bytes.NewReader(root.Document), lockedUntil); err != nil {
		return err
	}
	if err := store.RootPublished(ctx, k.DB, root.Date); err != nil {
		return err
	}
	slog.InfoContext(ctx, "the root of the log is signed", "date", root.Date, "tenants", summary.Tenants)
	return nil
}

// lock is until when the root is locked: as signed, or as configured.
func (k *RootKeeper) lock(ctx context.Context, root *store.DailyRoot) (*time.Time, error) {
	if root.Document != nil {
		content, _, err := roots.Open(root.Document)
		return content.LockedUntil, err
	}
	if k.LockDays == 0 {
		return nil, nil
	}
	locks, err := k.Bucket.Locks(ctx)
	if err != nil || !locks {
		return nil, err
	}
	until := root.TakenAt.UTC().Add(time.Duration(k.LockDays) * k.Day).Truncate(time.Second)
	return &until, nil
}

// uploadLeaves streams the heads to the bucket.
func (k *RootKeeper) uploadLeaves(ctx context.Context, date string, lockedUntil *time.Time) (summary roots.Summary, err error) {
	body, writer := io.Pipe()
	ended := make(chan struct{})
	go func() { // ends with the heads, or when the upload gives up and closes body
		defer close(ended)
		var failed error
		summary, failed = roots.Write(writer, store.RootLeaves(ctx, k.DB, date))
		writer.CloseWithError(failed)
	}()
	err = k.Bucket.Upload(ctx, roots.LeavesKey(date), "application/gzip", body, lockedUntil)
	body.Close()
	<-ended
	return summary, err
}

// sign makes the root's document, behind the newest one.
func (k *RootKeeper) sign(ctx context.Context, root *store.DailyRoot, summary roots.Summary, lockedUntil *time.Time) ([]byte, error) {
	content := roots.Root{
		Format: roots.Format, Date: root.Date, TakenAt: root.TakenAt.UTC(), Summary: summary,
		Leaves: roots.LeavesKey(root.Date), LockedUntil: lockedUntil,
	}
	before, err := store.NewestRoot(ctx, k.DB)
	if err != nil {
		return nil, err
	}
	if before != nil {
		sum := sha256.Sum256(before.Document)
		content.Previous = &roots.Previous{Date: before.Date, SHA256: hex.EncodeToString(sum[:])}
	}
	document, err := k.Signer.Sign(content)
	if err != nil {
		return nil, fmt.Errorf("sign the root of %s: %w", root.Date, err)
	}
	return store.SaveRoot(ctx, k.DB, root.Date, document)
}

// adopt takes in what the bucket has of roots behind newest: after a restore of the database from a backup the chain of
// roots goes on where it was, and whatever the logs lost shows.
func (k *RootKeeper) adopt(ctx context.Context, newest *store.DailyRoot) error {
	trusted, err := trustedKeys(ctx, k.DB, k.Signer)
	if err != nil {
		return err
	}
	after := ""
	if newest != nil {
		after = roots.LeavesKey(newest.Date) // sorts behind the root itself
	}
	for key, err := range k.Bucket.Keys(ctx, roots.Prefix, after) {
		if err != nil {
			return err
		}
		date, isRoot := roots.DateOf(key)
		if !isRoot {
			continue
		}
		document, err := readDocument(ctx, k.Bucket, key)
		if err != nil {
			return err
		}
		content, _, err := roots.Open(document, trusted...)
		if err != nil || content.Date != date {
			slog.ErrorContext(ctx, "an object among the roots is no root that this service signed; it is passed over", "key", key, "error", err)
			continue
		}
		if err := store.AdoptRoot(ctx, k.DB, store.DailyRoot{Date: date, TakenAt: content.TakenAt, Document: document}); err != nil {
			return err
		}
	}
	return nil
}

// maxDocument is far above the size of a root or a certificate, in bytes.
const maxDocument = 1 << 20

// readDocument reads a signed document whole.
func readDocument(ctx context.Context, bucket Bucket, key string) ([]byte, error) {
	body, err := bucket.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	document, err := io.ReadAll(io.LimitReader(body, maxDocument))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return document, nil
}

// trustedKeys are those that this service has ever signed with.
func trustedKeys(ctx context.Context, db *pgxpool.Pool, signer certificate.Signer) ([]ed25519.PublicKey, error) {
	kept, err := store.SigningKeys(ctx, db)
	if err != nil {
		return nil, err
	}
	trusted := []ed25519.PublicKey{signer.PublicKey()}
	for _, key := range kept {
		trusted = append(trusted, key)
	}
	return trusted, nil
}
