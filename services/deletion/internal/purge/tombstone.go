package purge

import (
	"fmt"
	"regexp"
	"strconv"
)

// OperationReapply erases again what a purged tenant had, after a backup brought it back. As for the others that the
// lifecycle knows nothing of, nobody is answered.
const OperationReapply = "reapply"

// Tombstone is the end of the last life of a tenant that has a certificate.
type Tombstone struct {
	Tenant     string
	Generation int64
	// FoundIn is where the certificate was found: FoundInDatabase or FoundInBucket.
	FoundIn string
}

// Where tombstones are. The bucket has those that a restored database forgot.
const (
	FoundInDatabase = "database"
	FoundInBucket   = "bucket"
)

var certificateKey = regexp.MustCompile(`^certificates/([A-Za-z0-9_-]{1,64})/([1-9][0-9]{0,17})\.json$`)

// TombstoneOf reads the key of a certificate in the bucket; false for every other key, as of a class of data that was kept.
func TombstoneOf(key string) (Tombstone, bool) {
	part := certificateKey.FindStringSubmatch(key)
	if part == nil {
		return Tombstone{}, false
	}
	generation, err := strconv.ParseInt(part[2], 10, 64)
	return Tombstone{part[1], generation, FoundInBucket}, err == nil
}

// stateDeleted is the lifecycle's for a tenant of which everything was erased.
const stateDeleted = "deleted"

// Refuse tells why what a tenant has must not be erased though it has a tombstone; "" when it may. state is the
// lifecycle's, "" when its log does not know the tenant. heard: this service has taken in the end of the tenant's life, so
// that it will hear of the next one before that has anything to lose.
func (t Tombstone) Refuse(state string, heard bool) string {
	switch {
	case state == "":
		return "the log does not know the tenant: the id may be given to another"
	case state != stateDeleted:
		return fmt.Sprintf("the log shows it %s: it came back, or a backup took its end away; delete it again if it is to go", state)
	case !heard:
		return "this service has not heard of its deletion: have the lifecycle's log published again (deploy/runbooks/restore.md)"
	}
	return ""
}

// DeadLetterStore names the messages that were put aside on their way to Tenure.
const DeadLetterStore = "tenure/dead-letters"
