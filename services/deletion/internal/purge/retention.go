package purge

import (
	"errors"
	"fmt"
	"time"
)

// Retention is data of one class that outlived its tenant for as long as a law asks.
type Retention struct {
	Tenant      string
	Generation  int64
	OperationID string
	Class       string
	Basis       string
	Until       time.Time
	// Stores are the names of those that hold it.
	Stores []string
}

// RetentionFormat names the layout of RetentionCertificate.
const RetentionFormat = "tenure-retention-certificate/1"

// RetentionCertificate is the content of the proof that what a Certificate lists as kept was erased in the end.
type RetentionCertificate struct {
	Format      string `json:"format"`
	Tenant      string `json:"tenant"`
	Generation  int64  `json:"generation" doc:"Which life of the tenant the data is of"`
	OperationID string `json:"operation_id"`
	Class       string `json:"class"`
	Basis       string `json:"basis" doc:"The law that it was kept by"`

	Until      time.Time `json:"until" doc:"Nothing of it was destroyed before"`
	FinishedAt time.Time `json:"finished_at" doc:"When the last store was found empty"`
	IssuedAt   time.Time `json:"issued_at"`

	Stores []StoreCount `json:"stores"`
}

// Certificate says what was erased, as of now. It fails unless every store of the class was found empty.
func (r Retention) Certificate(found []Store, now time.Time) (RetentionCertificate, error) {
	if left := unfinished(r.Stores, found); len(left) > 0 {
		return RetentionCertificate{}, fmt.Errorf("the erasure of class %s of %s is not complete: %q", r.Class, r.Tenant, left)
	}
	c := RetentionCertificate{
		Format: RetentionFormat, Tenant: r.Tenant, Generation: r.Generation, OperationID: r.OperationID,
		Class: r.Class, Basis: r.Basis, Until: r.Until.UTC(), FinishedAt: finishedAt(found), IssuedAt: now.UTC(),
		Stores: Counts(found),
	}
	return c, c.Check()
}

// Check tells what in the content contradicts an erasure after its time.
func (c RetentionCertificate) Check() error {
	var wrong []error
	if c.Tenant == "" || c.Generation < 1 || c.OperationID == "" || c.Class == "" {
		wrong = append(wrong, errors.New("it does not say what was erased"))
	}
	wrong = append(wrong, checkStores(c.Stores)...)
	wrong = append(wrong, checkOrder([]moment{{"until", c.Until}, {"finished_at", c.FinishedAt}, {"issued_at", c.IssuedAt}})...)
	return errors.Join(wrong...)
}
