package weaviate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weaviate/weaviate-go-client/v5/weaviate/filters"
	"github.com/weaviate/weaviate/entities/models"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
	"tenure/shared/fault"
)

// selection is the objects of a scope in one collection.
type selection struct {
	collection Collection
	tenant     string      // the Weaviate tenant, "" in a collection that all share
	where      []condition // all of them hold; none is all of the Weaviate tenant's objects
}

// condition compares a property with a text.
type condition struct {
	property string
	operator filters.WhereOperator
	value    string
}

// with adds conditions.
func (s selection) with(more ...condition) selection {
	s.where = slices.Concat(s.where, more)
	return s
}

// filter is the conditions as JSON has them.
func (s selection) filter() *filters.WhereBuilder {
	all := make([]*filters.WhereBuilder, len(s.where))
	for i, c := range s.where {
		all[i] = filters.Where().WithPath([]string{c.property}).WithOperator(c.operator).WithValueText(c.value)
	}
	return filters.Where().WithOperator(filters.And).WithOperands(all)
}

// arguments are the selection and a limit as GraphQL has them, whose strings are written like JSON's. The client's own writing of
// values takes Go's escapes, of which GraphQL does not know all.
func (s selection) arguments(limit int) (string, error) {
	var arguments []string
	if s.tenant != "" {
		arguments = append(arguments, fmt.Sprintf("tenant:%q", s.tenant))
	}
	if limit > 0 {
		arguments = append(arguments, fmt.Sprintf("limit:%d", limit))
	}
	operands := make([]string, len(s.where))
	for i, c := range s.where {
		value, err := json.Marshal(c.value)
		if err != nil {
			return "", err
		}
		operands[i] = fmt.Sprintf("{path:[%q],operator:%s,valueText:%s}", c.property, c.operator, value)
	}
	if len(operands) > 0 {
		arguments = append(arguments, "where:{operator:And,operands:["+strings.Join(operands, ",")+"]}")
	}
	return "(" + strings.Join(arguments, ",") + ")", nil
}

// find tells which objects of a collection a scope has; there is false when its Weaviate tenant does not exist. It refuses
// a collection that is not there or not as the data map says: nothing found in it would pass for nothing left.
func (s *Store) find(ctx context.Context, c Collection, of connectors.Scope) (found selection, there bool, err error) {
	weaviate, err := s.connect(ctx)
	if err != nil {
		return found, false, err
	}
	class, err := weaviate.Schema().ClassGetter().WithClassName(c.Name).Do(ctx)
	if err != nil {
		return found, false, err
	}
	multi := class.MultiTenancyConfig != nil && class.MultiTenancyConfig.Enabled
	if multi && c.Tenant != "" {
		return found, false, errors.New("the collection has multi-tenancy, so that no property names the tenant: take it out of the data map")
	}
	if !multi && c.Tenant == "" {
		return found, false, errors.New("the collection has no multi-tenancy: name the property with the tenant's id in the data map")
	}
	found.collection = c
	for property, value := range map[string]string{c.Tenant: of.Tenant, c.Subject: of.Subject} {
		if property == "" || value == "" {
			continue
		}
		if err := exact(class, property); err != nil {
			return found, false, err
		}
		found = found.with(condition{property, filters.Equal, value})
	}
	if !multi {
		return found, true, nil
	}
	found.tenant = of.Tenant
	there, err = s.activate(ctx, c.Name, of.Tenant)
	return found, there, err
}

// exact makes sure that a property is compared as a whole. With any other tokenization than "field" (the default is "word")
// "acme-2" equals "ACME 2": one tenant would reach another's objects.
func exact(class *models.Class, name string) error {
	i := slices.IndexFunc(class.Properties, func(p *models.Property) bool { return p.Name == name })
	if i < 0 {
		return fmt.Errorf("the collection has no property %s", name)
	}
	p := class.Properties[i]
	text := slices.Equal(p.DataType, []string{"text"}) && p.Tokenization == models.PropertyTokenizationField
	if !text && !slices.Equal(p.DataType, []string{"uuid"}) {
		return fmt.Errorf("property %s must be a text with tokenization %q, or a uuid, for ids to be told apart", name, models.PropertyTokenizationField)
	}
	return nil
}

// activation bounds how long a call waits for an offloaded tenant to come back; the caller waits on.
const activation = 20 * time.Second

// activate makes sure that a Weaviate tenant can be read, and tells whether there is one. The client's call for that answers
// "no" to whatever goes wrong.
func (s *Store) activate(ctx context.Context, collection, tenant string) (there bool, err error) {
	status, err := s.tenantStatus(ctx, collection, tenant)
	if err != nil || status == "" || active(status) {
		return status != "", err
	}
	weaviate, err := s.connect(ctx)
	if err != nil {
		return true, err
	}
	err = weaviate.Schema().TenantsUpdater().WithClassName(collection).
		WithTenants(models.Tenant{Name: tenant, ActivityStatus: models.TenantActivityStatusACTIVE}).Do(ctx)
	if err != nil {
		return true, fmt.Errorf("activate the tenant: %w", err)
	}
	deadline := time.NewTimer(activation)
	defer deadline.Stop()
	poll := time.NewTicker(remote.FirstBackoff)
	defer poll.Stop()
	for {
		if status, err = s.tenantStatus(ctx, collection, tenant); err != nil || active(status) {
			return true, err
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			return true, fault.RetryAfter(fmt.Errorf("the tenant is still %s", status), connectors.RetryDelay)
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

// active goes by both of the names that Weaviate has for it.
func active(status string) bool {
	return status == models.TenantActivityStatusACTIVE || status == models.TenantActivityStatusHOT
}

// tenantStatus is what a Weaviate tenant does, "" when there is none.
func (s *Store) tenantStatus(ctx context.Context, collection, tenant string) (string, error) {
	var found models.Tenant
	_, err := s.get(ctx, "/v1/schema/"+collection+"/tenants/"+tenant, &found)
	var status *remote.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return "", nil // and the collection is there: find has asked
	}
	if err == nil && (found.Name != tenant || found.ActivityStatus == "") {
		return "", fmt.Errorf("the server tells of tenant %q when asked for %q", found.Name, tenant)
	}
	return found.ActivityStatus, err
}
