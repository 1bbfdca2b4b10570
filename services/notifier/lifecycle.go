package notifier

import (
	"context"
	"time"

	"tenure/services/notifier/internal/app"
	"tenure/shared/bus"
	"tenure/shared/query"
)

const (
	// tenantTimeout bounds the lifecycle's answer, for which a mail or a reader waits.
	tenantTimeout = 2 * time.Second
	// previewTimeout is longer: the lifecycle itself asks billing, and answers without it after two seconds.
	previewTimeout = 5 * time.Second
)

// lifecycle asks the lifecycle over the bus.
type lifecycle struct{ bus *bus.Bus }

// Tenant implements pages.Lifecycle.
func (l lifecycle) Tenant(ctx context.Context, id string) (now query.Tenant, err error) {
	ctx, cancel := context.WithTimeout(ctx, tenantTimeout)
	defer cancel()
	err = l.bus.Ask(ctx, query.LifecycleTenant, query.TenantRequest{Tenant: id}, &now)
	return now, err
}

// Preview implements pages.Lifecycle.
func (l lifecycle) Preview(ctx context.Context, q query.PreviewRequest) (found query.Preview, err error) {
	ctx, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	err = l.bus.Ask(ctx, query.LifecyclePreview, q, &found)
	return found, err
}

// live is how a tenant is, as campaigns want to know it.
func (l lifecycle) live(ctx context.Context, tenant string) (app.Live, error) {
	now, err := l.Tenant(ctx, tenant)
	return app.Live{State: now.State, Plan: now.Plan, Generation: now.Generation}, err
}
