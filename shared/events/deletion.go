package events

import "time"

// StoreErased tells what one store held and that nothing is left.
type StoreErased struct {
	Store       string `json:"store"`
	Before      int64  `json:"before"`
	After       int64  `json:"after"`
	OperationID string `json:"operation_id"`
}

// EventType names the type on the bus.
func (*StoreErased) EventType() string { return "tenure.deletion.store.erased.v1" }

// CertificateIssued says that the signed proof of a purge, or of the end of a retention, is in the object store.
type CertificateIssued struct {
	OperationID string `json:"operation_id"`
	Generation  int64  `json:"generation"`
	// Class is set in the certificate of data that outlived its tenant: the class in the retention policy.
	Class  string `json:"class,omitempty"`
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// EventType names the type on the bus.
func (*CertificateIssued) EventType() string { return "tenure.deletion.certificate.issued.v1" }

// ResidueFound says that a sweep found data of a deleted tenant.
type ResidueFound struct {
	Store      string `json:"store"`
	Rows       int64  `json:"rows"`
	Generation int64  `json:"generation"`
}

// EventType names the type on the bus.
func (*ResidueFound) EventType() string { return "tenure.deletion.residue.found.v1" }

// ErasureStuck calls an operator: an erasure that no step of an operation stands behind has failed again and again. It
// goes on being tried.
type ErasureStuck struct {
	OperationID string `json:"operation_id"`
	// Operation is retention (data that outlived its tenant), subject (one person's rows) or reapply (what a backup brought
	// back of a purged tenant).
	Operation string `json:"operation" jsonschema:"enum=retention,enum=subject,enum=reapply"`
	Error     string `json:"error"`
}

// EventType names the type on the bus.
func (*ErasureStuck) EventType() string { return "tenure.deletion.erasure.stuck.v1" }

// SubjectErased says that one person's rows in a tenant are gone. It does not say whose they were.
type SubjectErased struct {
	RequestID string        `json:"request_id"`
	Stores    []SubjectRows `json:"stores,omitempty"`
}

// SubjectRows is what one store held of the person.
type SubjectRows struct {
	Store  string `json:"store"`
	Before int64  `json:"before"`
	After  int64  `json:"after"`
}

// EventType names the type on the bus.
func (*SubjectErased) EventType() string { return "tenure.deletion.subject.erased.v1" }

// SubjectOverdue warns, once, that a person's erasure is not done though its deadline is near.
type SubjectOverdue struct {
	RequestID string    `json:"request_id"`
	DueBy     time.Time `json:"due_by"`
}

// EventType names the type on the bus.
func (*SubjectOverdue) EventType() string { return "tenure.deletion.subject.overdue.v1" }

// TombstoneReapplied says that a backup had brought back data of a purged tenant, and that it was erased again.
type TombstoneReapplied struct {
	ReapplicationID string `json:"reapplication_id"`
	// Generation is the last life of the tenant, whose certificate stands.
	Generation int64 `json:"generation"`
	// Rows is how many there were.
	Rows int64 `json:"rows"`
}

// EventType names the type on the bus.
func (*TombstoneReapplied) EventType() string { return "tenure.deletion.tombstone.reapplied.v1" }

func init() {
	register[StoreErased]()
	register[CertificateIssued]()
	register[ResidueFound]()
	register[ErasureStuck]()
	register[SubjectErased]()
	register[SubjectOverdue]()
	register[TombstoneReapplied]()
}
