package purge

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Subject is the erasure of one person's rows in a living tenant (GDPR, Article 17).
type Subject struct {
	RequestID string
	Tenant    string
	// Key names the person; it is personal data.
	Key         string
	RequestedAt time.Time
	DueBy       time.Time
	Stores      []Store
}

// ReceiptFormat names the layout of Receipt.
const ReceiptFormat = "tenure-subject-erasure/1"

// Receipt is the content of the proof that one person's rows were erased. It does not name the person: whoever knows the
// key can tell that it is the one that was meant.
type Receipt struct {
	Format        string `json:"format"`
	RequestID     string `json:"request_id"`
	Tenant        string `json:"tenant"`
	SubjectSHA256 string `json:"subject_sha256" doc:"Of the request's id, a line feed and the person's key, in hex"`

	RequestedAt time.Time `json:"requested_at"`
	DueBy       time.Time `json:"due_by" doc:"One calendar month after the request (GDPR, Article 12(3))"`
	FinishedAt  time.Time `json:"finished_at" doc:"When the last store was found empty"`
	IssuedAt    time.Time `json:"issued_at"`

	Stores     []StoreCount `json:"stores"`
	Exceptions []Exception  `json:"exceptions" doc:"What was left as it is, and why"`
}

// elsewhere is what no erasure by the data map can reach.
var elsewhere = Exception{
	What: "systems that take part over the bus, and Stripe",
	Why:  "they are told of tenants alone: erase the person there by their own means",
}

// SubjectHash is the key's SHA-256, with the request's id in front, so that two requests about one person do not show that
// they are.
func SubjectHash(requestID, key string) []byte {
	sum := sha256.Sum256([]byte(requestID + "\n" + key))
	return sum[:]
}

// Receipt says what was erased, as of now. It fails unless every store that names persons was found empty.
func (s Subject) Receipt(now time.Time) (Receipt, error) {
	if left := unfinished(names(s.Stores), s.Stores); len(left) > 0 {
		return Receipt{}, fmt.Errorf("the erasure %s is not complete: %q", s.RequestID, left)
	}
	r := Receipt{
		Format: ReceiptFormat, RequestID: s.RequestID, Tenant: s.Tenant,
		SubjectSHA256: hex.EncodeToString(SubjectHash(s.RequestID, s.Key)),
		RequestedAt:   s.RequestedAt.UTC(), DueBy: s.DueBy.UTC(), FinishedAt: finishedAt(s.Stores), IssuedAt: now.UTC(),
		Stores: Counts(s.Stores), Exceptions: append(Left(s.Stores), elsewhere),
	}
	return r, r.Check()
}

// Check tells what in the content contradicts a complete erasure. One that was late is genuine all the same.
func (r Receipt) Check() error {
	var wrong []error
	if r.RequestID == "" || r.Tenant == "" || len(r.SubjectSHA256) != hex.EncodedLen(sha256.Size) {
		wrong = append(wrong, errors.New("it does not say what was erased"))
	}
	wrong = append(wrong, checkStores(r.Stores)...)
	wrong = append(wrong, checkExceptions(r.Exceptions)...)
	wrong = append(wrong, checkOrder([]moment{{"requested_at", r.RequestedAt}, {"finished_at", r.FinishedAt}, {"issued_at", r.IssuedAt}})...)
	return errors.Join(wrong...)
}
