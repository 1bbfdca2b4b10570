package roots

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tenure/services/deletion/internal/certificate"
)

// Format names the layout of Root. A reader refuses any other.
const Format = "tenure-log-root/1"

// Root is the content of the signed statement about all logs at the end of a day. It holds no tenant's id: those are in
// the leaves.
type Root struct {
	Format string `json:"format"`
	// Date is the UTC day that had ended, and the name of the root.
	Date string `json:"date"`
	// TakenAt is when the heads were read, by the database's clock.
	TakenAt time.Time `json:"taken_at"`
	Summary
	// Leaves is the key of the leaves in the bucket.
	Leaves string `json:"leaves"`
	// LockedUntil is until when the bucket lets nobody delete or overwrite the root and its leaves; nil when it has no
	// object lock.
	LockedUntil *time.Time `json:"locked_until,omitempty"`
	// Previous is the root before; nil for the first.
	Previous *Previous `json:"previous"`
}

// Previous names the root that another follows: roots are a chain, too, so that none can be taken out or replaced.
type Previous struct {
	Date string `json:"date"`
	// SHA256 is of the signed document, byte by byte, in hex.
	SHA256 string `json:"sha256"`
}

// Key is where the root of a day is in the bucket.
func Key(date string) string { return Prefix + date + suffix }

// LeavesKey is where its leaves are.
func LeavesKey(date string) string { return Prefix + date + ".ndjson.gz" }

// Prefix is what the keys of all roots begin with.
const Prefix = "roots/"

const suffix = ".json"

// Open reads a signed root: it must be what was signed, by one of the trusted keys if any are given, and not contradict
// itself.
func Open(document []byte, trusted ...ed25519.PublicKey) (Root, certificate.Signed, error) {
	signed, err := certificate.Open(document, trusted...)
	if err != nil {
		return Root{}, signed, err
	}
	var r Root
	if err := json.Unmarshal(signed.Content, &r); err != nil {
		return Root{}, signed, err
	}
	return r, signed, r.check()
}

func (r Root) check() error {
	switch {
	case r.Format != Format:
		return fmt.Errorf("its format is %q, not %q", r.Format, Format)
	case r.Date == "" || r.Leaves != LeavesKey(r.Date):
		return errors.New("it does not say of which day it is, or where its leaves are")
	case r.Previous != nil && r.Previous.Date >= r.Date:
		return fmt.Errorf("the root before it, %s, is not of an earlier day", r.Previous.Date)
	}
	return nil
}

// Follows checks that r is the next root behind the one whose signed document has this date and SHA-256.
func (r Root) Follows(date, sha256 string) error {
	switch {
	case r.Previous == nil:
		return fmt.Errorf("root %s begins the chain anew, though %s is before it", r.Date, date)
	case r.Previous.Date != date:
		return fmt.Errorf("root %s follows %s, not %s: a root is missing, or was put in", r.Date, r.Previous.Date, date)
	case r.Previous.SHA256 != sha256:
		return fmt.Errorf("root %s names another root %s than there is: one of the two was replaced", r.Date, date)
	}
	return nil
}

// LastDay names the day that has ended when it is now, where a day is as long as day. Days begin at 00:00 UTC; shorter
// ones, which tests have, are named by their beginning. Names sort by time.
func LastDay(now time.Time, day time.Duration) string {
	begin := now.UTC().Truncate(day).Add(-day)
	if day%(24*time.Hour) == 0 {
		return begin.Format(time.DateOnly)
	}
	return begin.Format("2006-01-02T150405.000Z")
}

// DateOf is the date in the key of a root; false for every other key.
func DateOf(key string) (date string, ok bool) {
	name, below := strings.CutPrefix(key, Prefix)
	date, isRoot := strings.CutSuffix(name, suffix)
	return date, below && isRoot && date != ""
}
