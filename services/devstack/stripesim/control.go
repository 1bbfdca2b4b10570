package stripesim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"tenure/services/devstack/stripesim/store"
)

const (
	outcomeOK      = "ok"
	outcomeDecline = "decline"
)

// toldKey is where it is kept what a tenant's card is to do. The tenant need not
// exist yet.
func toldKey(tenant string) string { return "card of " + tenant }

// controlRoutes are for tests and demonstrations: Stripe has nothing like them.
func (s *Server) controlRoutes(mux *http.ServeMux) {
	for pattern, h := range map[string]func(r *http.Request) (any, error){
		"GET /_sim/log":              func(*http.Request) (any, error) { return s.calls() },
		"GET /_sim/charges":          s.controlCharges,
		"GET /_sim/events":           s.controlEvents,
		"GET /_sim/faults":           func(*http.Request) (any, error) { return s.faults.all(), nil },
		"POST /_sim/faults":          s.controlAddFault,
		"DELETE /_sim/faults":        func(*http.Request) (any, error) { return []fault{}, s.faults.clear(s) },
		"POST /_sim/payment-methods": s.controlCard,
		"POST /_sim/pay":             s.controlPay,
		"POST /_sim/clock":           s.controlClock,
		"GET /_sim/clock":            func(*http.Request) (any, error) { return s.showClock(), nil },
		"POST /_sim/deliver":         s.controlDeliver,
	} {
		mux.HandleFunc(pattern, control(h))
	}
}

func control(h func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := h(r)
		status := http.StatusOK
		if err != nil {
			status, body = http.StatusBadRequest, map[string]string{"error": err.Error()}
			if errors.Is(err, store.ErrNotFound) {
				status = http.StatusNotFound
			}
		}
		data, err := encode(body)
		if err != nil {
			status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(data) // nobody is left to tell
	}
}

func tenantOf(r *http.Request) (string, error) {
	if tenant := r.URL.Query().Get("tenant"); tenant != "" {
		return tenant, nil
	}
	return "", errors.New("name the tenant: ?tenant=ID")
}

// customersOf are all customers whose metadata name the tenant: a tenant that
// came back may have another one.
func (t *tx) customersOf(tenant string) ([]*customer, error) {
	return all[customer](t, "tenant="+tenant)
}

// customerIDs are a tenant's customers and those that were deleted.
func (t *tx) customerIDs(tenant string) ([]string, error) {
	var ids []string
	if err := t.Value(formerKey(tenant), &ids); err != nil {
		return nil, err
	}
	customers, err := t.customersOf(tenant)
	for _, cus := range customers {
		ids = append(ids, cus.ID)
	}
	return ids, err
}

func (s *Server) view(fn func(*tx) error) error {
	return s.db.View(func(t *store.Tx) error {
		return fn(&tx{Tx: t, server: s, now: s.clock.now().Unix()})
	})
}

// movement is money that went to us (charge) or back (refund).
type movement struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Amount   int64     `json:"amount"`
	Currency string    `json:"currency"`
	Time     time.Time `json:"time"`
}

type movements struct {
	Charges []movement `json:"charges"`
	Net     int64      `json:"net"`
}

func (s *Server) controlCharges(r *http.Request) (any, error) {
	tenant, err := tenantOf(r)
	if err != nil {
		return nil, err
	}
	found := movements{Charges: []movement{}}
	err = s.view(func(t *tx) error {
		ids, err := t.customerIDs(tenant)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := t.movementsOf(id, &found); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortStableFunc(found.Charges, func(a, b movement) int { return a.Time.Compare(b.Time) })
	return found, err
}

func (t *tx) movementsOf(customerID string, found *movements) error {
	charges, err := all[charge](t, "customer="+customerID)
	if err != nil {
		return err
	}
	for _, ch := range charges {
		if !ch.Paid {
			continue
		}
		found.add(movement{ID: ch.ID, Kind: "charge", Amount: ch.Amount, Currency: ch.Currency, Time: time.Unix(ch.Created, 0).UTC()})
		refunds, err := all[refund](t, "charge="+ch.ID)
		if err != nil {
			return err
		}
		for _, re := range refunds {
			found.add(movement{ID: re.ID, Kind: "refund", Amount: re.Amount, Currency: re.Currency, Time: time.Unix(re.Created, 0).UTC()})
		}
	}
	return nil
}

func (m *movements) add(v movement) {
	m.Charges = append(m.Charges, v)
	if v.Kind == "refund" {
		m.Net -= v.Amount
	} else {
		m.Net += v.Amount
	}
}

// controlEvents answers a tenant's events, or all, oldest first.
func (s *Server) controlEvents(r *http.Request) (any, error) {
	events := []map[string]any{}
	add := func(t *tx, index string) error {
		found, err := all[event](t, index)
		for _, e := range found {
			rendered, err := render(e)
			if err != nil {
				return err
			}
			events = append(events, rendered)
		}
		return err
	}
	err := s.view(func(t *tx) error {
		tenant := r.URL.Query().Get("tenant")
		if tenant == "" {
			return add(t, "")
		}
		ids, err := t.customerIDs(tenant)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := add(t, "customer="+id); err != nil {
				return err
			}
		}
		return nil
	})
	return events, err
}

func (s *Server) controlAddFault(r *http.Request) (any, error) {
	f, err := decodeFault(r)
	if err != nil {
		return nil, err
	}
	return f, s.faults.add(s, f)
}

func (s *Server) controlCard(r *http.Request) (any, error) {
	var told struct {
		Tenant  string `json:"tenant"`
		Outcome string `json:"outcome"`
	}
	if err := decodeJSON(r, &told); err != nil {
		return nil, err
	}
	if told.Tenant == "" || (told.Outcome != outcomeOK && told.Outcome != outcomeDecline) {
		return nil, fmt.Errorf("name a tenant, and an outcome: %s or %s", outcomeOK, outcomeDecline)
	}
	return told, s.update(cause{}, func(t *tx) error { return t.SetValue(toldKey(told.Tenant), told.Outcome) })
}

// attempted is what came of paying an invoice now.
type attempted struct {
	Invoice string `json:"invoice"`
	Status  string `json:"status"`
	Paid    bool   `json:"paid"`
	Amount  int64  `json:"amount"`
	Error   string `json:"error,omitempty"`
}

// controlPay tries every open invoice of a tenant now, as its customer would by
// pressing "pay".
func (s *Server) controlPay(r *http.Request) (any, error) {
	var who struct {
		Tenant string `json:"tenant"`
	}
	if err := decodeJSON(r, &who); err != nil {
		return nil, err
	}
	paid := []attempted{}
	err := s.update(cause{}, func(t *tx) error {
		customers, err := t.customersOf(who.Tenant)
		if err != nil {
			return err
		}
		if len(customers) == 0 {
			return fmt.Errorf("tenant %q has no customer: %w", who.Tenant, store.ErrNotFound)
		}
		for _, cus := range customers {
			if err := t.payOpen(cus, &paid); err != nil {
				return err
			}
		}
		return nil
	})
	return map[string]any{"invoices": paid}, err
}

func (t *tx) payOpen(cus *customer, paid *[]attempted) error {
	invoices, err := all[invoice](t, "customer="+cus.ID)
	if err != nil {
		return err
	}
	for _, listed := range invoices {
		inv, sub, err := t.openInvoice(listed.ID)
		if err != nil {
			return err
		}
		if inv == nil {
			continue
		}
		outcome := attempted{Invoice: inv.ID, Amount: inv.AmountDue}
		if err := t.attempt(inv, sub, nil); err != nil {
			if err := ignoreDecline(err); err != nil {
				return err
			}
			outcome.Error = err.Error()
		}
		outcome.Status, outcome.Paid = inv.Status, inv.Paid
		*paid = append(*paid, outcome)
	}
	return nil
}

// controlClock moves the clock, or freezes it and lets it go again. It does not
// answer before all that fell due has happened.
func (s *Server) controlClock(r *http.Request) (any, error) {
	var move struct {
		Advance string `json:"advance"`
		Freeze  *bool  `json:"freeze"`
	}
	if err := decodeJSON(r, &move); err != nil {
		return nil, err
	}
	if move.Advance == "" && move.Freeze == nil {
		return nil, errors.New("say how far to advance, such as 720h, or whether to freeze: true or false")
	}
	var by time.Duration
	if move.Advance != "" {
		var err error
		if by, err = time.ParseDuration(move.Advance); err != nil || by < 0 {
			return nil, fmt.Errorf("advance %q: want a duration forward, such as 720h", move.Advance)
		}
	}
	if move.Freeze != nil {
		if err := s.Freeze(*move.Freeze); err != nil {
			return nil, err
		}
	}
	if err := s.Advance(by); err != nil {
		return nil, err
	}
	return s.showClock(), nil
}

func (s *Server) showClock() map[string]any {
	return map[string]any{"now": s.clock.now().UTC(), "frozen": s.clock.reading.Load().frozen != nil}
}

// controlDeliver posts an event at once, as often as asked, and answers the
// endpoint's statuses; 0 is an endpoint that did not answer.
func (s *Server) controlDeliver(r *http.Request) (any, error) {
	again := struct {
		EventID string `json:"event_id"`
		Times   int    `json:"times"`
	}{Times: 1}
	if err := decodeJSON(r, &again); err != nil {
		return nil, err
	}
	if s.webhookURL() == "" {
		return nil, errors.New("no webhook URL is configured")
	}
	client := newDeliverer()
	statuses := []int{}
	for range again.Times {
		status, err := s.send(r.Context(), client, again.EventID)
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, context.Canceled) {
			return nil, err
		}
		statuses = append(statuses, status)
	}
	return map[string]any{"event_id": again.EventID, "statuses": statuses}, nil
}
