package events

// Codes of a FormatError. They are part of the contract: dead letters and problem answers carry them.
const (
	CodeTooLarge               = "too_large"
	CodeMalformedJSON          = "malformed_json"
	CodeUnstorableData         = "unstorable_data"
	CodeUnsupportedContentType = "unsupported_content_type"
	CodeUnsupportedSpecVersion = "unsupported_specversion"
	CodeMissingID              = "missing_id"
	CodeMissingSource          = "missing_source"
	CodeMissingType            = "missing_type"
	CodeInvalidTenantID        = "invalid_tenant_id"
	CodeInvalidTime            = "invalid_time"
	CodeInvalidSequence        = "invalid_sequence"
	CodeInvalidAttribute       = "invalid_attribute"
	CodeDuplicateAttribute     = "duplicate_attribute"
)

// FormatError says why a message is no event of ours. It is final: the same bytes will never decode, so that
// a retry only holds up the tenant's other messages. Message quotes no value of the sender's, because it
// may be personal data and ends up in logs.
type FormatError struct {
	Code    string
	Message string
}

func (e *FormatError) Error() string { return "events: " + e.Code + ": " + e.Message }

func refuse(code, message string) *FormatError { return &FormatError{Code: code, Message: message} }
