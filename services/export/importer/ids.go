package importer

import (
	"hash/fnv"
	"regexp"
	"strconv"

	"github.com/google/uuid"
)

// namespace makes the UUIDs of imports different from all others that are made of the same names.
var namespace = uuid.MustParse("5b0c2f0e-0a54-4f0c-9f5e-6f1f6d3f7a11")

const (
	// smallNumbers is where serial numbers end, and each tenant's share of the new ones. The shares lie below 2^53, the
	// largest that every reader of JSON knows exactly.
	smallNumbers = 1 << 32
	shares       = 1<<20 - 1
	// largeNumbers begin above what anybody counts or stamps with a clock.
	largeNumbers = 1 << 62
)

// IDs maps the ids of an archive to those of a new tenant, which may live in the same tables as the old one: the same to the
// same, always and everywhere, so that references hold and an import that is begun again finds its own rows. It is
// a connectors.IDs.
//
//   - A UUID becomes the UUIDv5 of (tenant, UUID), alone or within a text such as "doc_<UUID>".
//   - A whole number below 2^32, as sequences make them, moves by an offset of the tenant's, far above what a sequence reaches.
//     No two numbers of one tenant become one. Any other number becomes one of 62 bits, hashed from tenant and number.
//   - Any other text stays: names, codes and keys that people chose mean something.
type IDs struct {
	space  uuid.UUID
	offset int64
}

// NewIDs are those of a tenant.
func NewIDs(tenant string) IDs {
	space := uuid.NewSHA1(namespace, []byte(tenant))
	return IDs{space: space, offset: smallNumbers * (1 + int64(hash(space, "offset")%shares))}
}

var (
	uuids   = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)
	numbers = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})$`)
)

// Map returns the new id.
func (ids IDs) Map(old string) string {
	if numbers.MatchString(old) {
		return ids.number(old)
	}
	return uuids.ReplaceAllStringFunc(old, func(found string) string {
		parsed := uuid.MustParse(found) // of any case: PostgreSQL and others do not tell them apart
		return uuid.NewSHA1(ids.space, []byte(parsed.String())).String()
	})
}

func (ids IDs) number(old string) string {
	n, err := strconv.ParseInt(old, 10, 64)
	if err == nil && n >= 0 && n < smallNumbers {
		return strconv.FormatInt(ids.offset+n, 10)
	}
	return strconv.FormatInt(largeNumbers|int64(hash(ids.space, old)%largeNumbers), 10)
}

func hash(space uuid.UUID, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(space[:]) // a hash takes everything
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}
