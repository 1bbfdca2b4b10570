package events

// StoreErased tells what one store held and that nothing is left.
type StoreErased struct {
	Store       string `json:"store"`
	Before      int64  `json:"before"`
	After       int64  `json:"after"`
	OperationID string `json:"operation_id"`
}

// EventType names the type on the bus.
func (*StoreErased) EventType() string { return "tenure.deletion.store.erased.v1" }

// CertificateIssued says that the signed proof of a purge is in the object store.
type CertificateIssued struct {
	OperationID string `json:"operation_id"`
	Generation  int64  `json:"generation"`
	Key         string `json:"key"`
	SHA256      string `json:"sha256"`
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

func init() {
	register[StoreErased]()
	register[CertificateIssued]()
	register[ResidueFound]()
}
