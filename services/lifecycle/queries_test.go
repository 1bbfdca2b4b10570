package lifecycle_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/query"
)

// ask sends a query as another service would; the error is what the answer says.
func ask[T any](r *rig, subject string, question any) (value T, failure string) {
	r.t.Helper()
	body, err := json.Marshal(question)
	require.NoError(r.t, err)
	reply, err := r.nc.Request(subject, body, 10*time.Second)
	require.NoError(r.t, err)
	var a struct {
		Value T
		Error string
	}
	require.NoError(r.t, json.Unmarshal(reply.Data, &a), string(reply.Data))
	return a.Value, a.Error
}

func TestOtherServicesAskHowATenantIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.paying("acme", "professional")
	scheduled := b.post("/downgrade", `{"plan":"starter"}`)
	require.NotEmpty(t, scheduled)

	got, failure := ask[query.Tenant](r, query.LifecycleTenant, query.TenantRequest{Tenant: "acme"})
	require.Empty(t, failure)
	require.Equal(t, []any{int64(1), "active", "professional", "starter", true}, []any{got.Generation, got.State, got.Plan, got.PendingPlan, got.Restorable})
	require.NotNil(t, got.PendingDue)
	require.Nil(t, got.DeletionDue)
	require.Contains(t, got.Plans, query.Plan{Name: "starter", PriceCents: 4_900})

	b.post("/delete", `{"retention_days":14}`)
	got, failure = ask[query.Tenant](r, query.LifecycleTenant, query.TenantRequest{Tenant: "acme"})
	require.Empty(t, failure)
	require.Equal(t, []any{"deleting", "starter"}, []any{got.State, got.PendingPlan}, "what made way would come back")
	require.WithinDuration(t, time.Now().AddDate(0, 0, 14), *got.DeletionDue, time.Minute)

	_, failure = ask[query.Tenant](r, query.LifecycleTenant, query.TenantRequest{Tenant: "nobody"})
	require.Contains(t, failure, "there is no such tenant")
}

func TestOtherServicesAskWhatACommandWouldDo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.paying("acme", "starter")
	b.post("/suspend", `{"reason":"test","block":"abuse"}`)
	fields := map[string]any{"plan": "professional", "restore_data": true}

	p, failure := ask[query.Preview](r, query.LifecyclePreview, query.PreviewRequest{Tenant: "acme", Command: "reactivate", Actor: "operator:ann", Fields: fields})
	require.Empty(t, failure)
	require.True(t, p.Allowed, p.Refusal)
	require.Equal(t, "estimate", p.Cost.Source)
	require.NotEmpty(t, p.PlanHash)

	p, failure = ask[query.Preview](r, query.LifecyclePreview, query.PreviewRequest{Tenant: "acme", Command: "reactivate", Actor: "link:m1", Fields: fields})
	require.Empty(t, failure)
	require.Equal(t, "forbidden", p.Refusal.Code, "whoever has a link may no more than the tenant")

	_, failure = ask[query.Preview](r, query.LifecyclePreview, query.PreviewRequest{Tenant: "nobody", Command: "reactivate"})
	require.Contains(t, failure, "there is no such tenant")
	_, failure = ask[query.Preview](r, query.LifecyclePreview, query.PreviewRequest{Tenant: "acme", Command: "juggle"})
	require.NotEmpty(t, failure)
}
