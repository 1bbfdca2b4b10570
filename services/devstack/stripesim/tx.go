package stripesim

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tenure/services/devstack/stripesim/store"
)

// tx is one atomic step of the simulator: a call of the API, or a task that
// falls due. All objects change in a tx, which gives each change its time and
// its event.
type tx struct {
	*store.Tx
	server *Server
	now    int64 // Unix seconds of the simulated clock
	cause  cause
}

// cause is the call that an event comes from; empty for what falls due by itself.
type cause struct {
	ID             *string `json:"id"`
	IdempotencyKey *string `json:"idempotency_key"`
}

// update runs fn in a transaction and then wakes whoever waits for its outcome.
func (s *Server) update(by cause, fn func(*tx) error) error {
	err := s.db.Update(func(t *store.Tx) error {
		return fn(&tx{Tx: t, server: s, now: s.clock.now().Unix(), cause: by})
	})
	if err == nil {
		s.notify()
	}
	return err
}

// newID makes an id of Stripe's form.
func newID(prefix string) string { return prefix + "_" + rand.Text()[:24] }

// at schedules a task.
func (t *tx) at(due int64, kind, id string) error {
	return t.Enqueue(queueDue, due, task{Kind: kind, ID: id})
}

func (t *tx) runDue(item store.Item) error {
	var due task
	if err := json.Unmarshal(item.Data, &due); err != nil {
		return fmt.Errorf("decode a task: %w", err)
	}
	var run func(id string) error
	switch due.Kind {
	case taskCustomerPays:
		run = t.customerPays
	case taskFinalizeInvoice:
		run = t.finalizeDue
	case taskIncompleteExpires:
		run = t.incompleteExpires
	case taskPendingUpdateExpires:
		run = t.pendingUpdateExpires
	case taskPeriodEnds:
		run = t.periodEnds
	case taskRetryPayment:
		run = t.retryPayment
	case taskSubscriptionCancels:
		run = t.cancelDue
	case taskTrialWillEnd:
		run = t.trialWillEnd
	case taskPhaseEnds:
		run = t.phaseEnds
	case taskScheduleExpires:
		run = t.scheduleExpires
	default:
		return fmt.Errorf("unknown task %q", due.Kind)
	}
	if err := run(due.ID); err != nil {
		return fmt.Errorf("%s of %s: %w", due.Kind, due.ID, err)
	}
	return nil
}

// find reads an object that the path names: when there is none the answer is 404.
func find[T any, P interface {
	*T
	store.Object
}](t *tx, id string) (P, error) {
	object, err := store.Get[T, P](t.Tx, id)
	if errors.Is(err, store.ErrNotFound) {
		e := missing(P(nil).Kind(), id, "id")
		e.status = http.StatusNotFound
		return nil, e
	}
	return object, err
}

// refer reads an object that a parameter names: when there is none the answer is 400.
func refer[T any, P interface {
	*T
	store.Object
}](t *tx, id, param string) (P, error) {
	object, err := find[T, P](t, id)
	if e, ok := errors.AsType[*apiError](err); ok {
		e.status, e.Param = http.StatusBadRequest, param
	}
	return object, err
}

// created stores a new object and tells of it.
func created[T any, P interface {
	*T
	store.Object
}](t *tx, object P, event string) error {
	if err := store.Put(t.Tx, object); err != nil {
		return err
	}
	return t.emit(event, object, nil)
}

// updated stores a changed object and tells of it and of what was before. An
// object that did not change is no news.
func updated[T any, P interface {
	*T
	store.Object
}](t *tx, object P, event string) error {
	before, err := store.Get[T, P](t.Tx, object.Key())
	if err != nil {
		return err
	}
	old, err := render(before)
	if err != nil {
		return err
	}
	if err := store.Put(t.Tx, object); err != nil {
		return err
	}
	return t.emit(event, object, old)
}
