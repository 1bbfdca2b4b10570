// Package stripeapi speaks to Stripe through stripe-go, and translates: Stripe's objects into package plan's, Stripe's
// errors into what app and the bus understand.
package stripeapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/coupon"
	"github.com/stripe/stripe-go/v76/customer"
	"github.com/stripe/stripe-go/v76/customerbalancetransaction"
	"github.com/stripe/stripe-go/v76/event"
	"github.com/stripe/stripe-go/v76/invoice"
	"github.com/stripe/stripe-go/v76/price"
	"github.com/stripe/stripe-go/v76/refund"
	"github.com/stripe/stripe-go/v76/subscription"
	"github.com/stripe/stripe-go/v76/subscriptionitem"
	"github.com/stripe/stripe-go/v76/subscriptionschedule"
	"github.com/stripe/stripe-go/v76/usagerecord"
	"github.com/stripe/stripe-go/v76/usagerecordsummary"

	"tenure/shared/plans"
)

// Metadata on customers and subscriptions: whose they are, and on the latter which work has put a coupon there.
const (
	metaTenant     = "tenant_id"
	metaGeneration = "generation"
	metaRedeemedBy = "redeemed_by"
)

// callTimeout bounds one call. It is long: giving up on a call that charges leaves its outcome unknown.
const callTimeout = 30 * time.Second

// pageSize is the most that Stripe lists at once.
const pageSize = 100

// Config of a client.
type Config struct {
	Key string
	// Base is the address of the API; empty is Stripe's own.
	Base      string
	Catalogue plans.Catalogue
	// Usage is charged beside the plan on every subscription.
	Usage []plans.UsagePrice
	// Rate is how many calls a second may be made; 0: no limit.
	Rate float64
}

// Client implements app.Stripe. It is safe for concurrent use.
type Client struct {
	catalogue plans.Catalogue
	usage     []plans.UsagePrice

	customers     customer.Client
	balances      customerbalancetransaction.Client
	subscriptions subscription.Client
	items         subscriptionitem.Client
	schedules     subscriptionschedule.Client
	records       usagerecord.Client
	summaries     usagerecordsummary.Client
	invoices      invoice.Client
	refunds       refund.Client
	prices        price.Client
	events        event.Client
	coupons       coupon.Client

	patience *patience

	mu       sync.Mutex
	priceIDs map[string]string // by lookup key
}

// New returns a client. It makes no call.
func New(cfg Config) *Client {
	waiting := &patience{now: time.Now}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
	backend := &stripe.BackendConfig{
		HTTPClient: &http.Client{Timeout: callTimeout, Transport: newPaced(transport, cfg.Rate, waiting)},
		// The bus tries again, with patience; a second layer would only multiply the load on a Stripe in trouble.
		MaxNetworkRetries: stripe.Int64(0),
		EnableTelemetry:   stripe.Bool(false),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull}, // errors are returned, and told where they are handled
	}
	if cfg.Base != "" {
		backend.URL = stripe.String(cfg.Base)
	}
	b := stripe.GetBackendWithConfig(stripe.APIBackend, backend)
	return &Client{
		catalogue:     cfg.Catalogue,
		usage:         cfg.Usage,
		customers:     customer.Client{B: b, Key: cfg.Key},
		balances:      customerbalancetransaction.Client{B: b, Key: cfg.Key},
		subscriptions: subscription.Client{B: b, Key: cfg.Key},
		items:         subscriptionitem.Client{B: b, Key: cfg.Key},
		schedules:     subscriptionschedule.Client{B: b, Key: cfg.Key},
		records:       usagerecord.Client{B: b, Key: cfg.Key},
		summaries:     usagerecordsummary.Client{B: b, Key: cfg.Key},
		invoices:      invoice.Client{B: b, Key: cfg.Key},
		refunds:       refund.Client{B: b, Key: cfg.Key},
		prices:        price.Client{B: b, Key: cfg.Key},
		events:        event.Client{B: b, Key: cfg.Key},
		coupons:       coupon.Client{B: b, Key: cfg.Key},
		patience:      waiting,
		priceIDs:      map[string]string{},
	}
}

// write are the parameters of a call that changes something.
func write(ctx context.Context, key string) stripe.Params {
	return stripe.Params{Context: ctx, IdempotencyKey: stripe.String(key)}
}

func list(ctx context.Context) stripe.ListParams {
	return stripe.ListParams{Context: ctx, Limit: stripe.Int64(pageSize)}
}
