package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"

	"tenure/shared/client"
)

// player is whoever runs one tenant, with bad judgement.
type player struct {
	s    *system
	id   string
	dice *rand.Rand
	sent int // commands

	broke bool // the card declines, from one round to the next
	owes  bool // it has declined, and it is not known that all was paid since

	mu  sync.Mutex
	did []string
}

func newPlayer(s *system, id string, dice *rand.Rand) *player {
	return &player{s: s, id: id, dice: dice}
}

func (p *player) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.did = append(p.did, fmt.Sprintf(format, args...))
}

// move is something that a player may do. allowed is the command's name among the tenant's allowed ones.
type move struct {
	allowed string
	weight  int
	do      func(p *player, ctx context.Context, t client.Tenant)
}

var moves = []move{
	{"upgrade", 6, (*player).upgrade},
	{"downgrade", 6, (*player).downgrade},
	{"cancel_change", 3, (*player).cancelChange},
	{"suspend", 1, (*player).suspend},
	{"resume", 4, (*player).resume},
	{"delete", 2, (*player).delete},
	{"cancel_deletion", 3, (*player).cancelDeletion},
	{"reactivate", 3, (*player).reactivate},
	{"cancel_signup", 1, (*player).cancelSignup},
	{"exempt", 1, (*player).exempt},
	{"end_exemption", 2, (*player).endExemption},
}

// play makes some moves. Most are such as the tenant's state allows; the others must be refused without harm.
func (p *player) play(ctx context.Context, n int) {
	for range n {
		t := untilAnswered(ctx, func() (client.Tenant, error) { return p.s.api.Tenant(ctx, p.id) })
		if t.ID == "" || t.State == "abandoned" {
			p.signUp(ctx)
			continue
		}
		if m := p.choose(t); !p.owes || !m.needsCard(t) {
			m.do(p, ctx, t)
		}
	}
}

// needsCard reports whether it depends on a card what the move comes to in the end: whether a period was paid for whose
// rest is credited, or one that had run out already began again. The plan history tells nothing of that.
func (m move) needsCard(t client.Tenant) bool {
	return slices.Contains([]string{"downgrade", "cancel_change", "reactivate"}, m.allowed) || m.allowed == "upgrade" && t.PendingChange != nil
}

func (p *player) choose(t client.Tenant) move {
	sensible := p.dice.IntN(5) > 0
	var urn []move
	for _, m := range moves {
		if !sensible || slices.Contains(t.AllowedCommands, m.allowed) {
			urn = append(urn, slices.Repeat([]move{m}, m.weight)...)
		}
	}
	return pick(p.dice, urn)
}

// command sends one until it is answered, and notes what became of it.
func (p *player) command(ctx context.Context, what string, send func(client.Option) error) {
	p.sent++
	key := client.WithIdempotencyKey(fmt.Sprintf("%s-%d", p.id, p.sent))
	err := fmt.Errorf("not answered")
	untilAnswered(ctx, func() (struct{}, error) {
		err = send(key)
		return struct{}{}, err
	})
	outcome := "accepted"
	if err != nil {
		outcome = err.Error()
	}
	p.note("%s: %s", what, outcome)
}

func (p *player) signUp(ctx context.Context) {
	cmd := client.Register{ID: p.id, Name: "Tenant " + p.id, Email: p.id + "@example.com", Plan: pick(p.dice, ladder)}
	if cmd.Plan != "free" && p.dice.IntN(3) == 0 {
		cmd.TrialDays = 5 + p.dice.IntN(10)
	}
	p.command(ctx, fmt.Sprintf("register on %s, %d days of trial", cmd.Plan, cmd.TrialDays), func(key client.Option) error {
		_, err := p.s.api.Register(ctx, cmd, key)
		return err
	})
}

func (p *player) upgrade(ctx context.Context, t client.Tenant) {
	plan := pick(p.dice, ladder[min(1+slices.Index(ladder, t.Plan), len(ladder)-1):])
	p.command(ctx, "upgrade to "+plan, func(key client.Option) error {
		_, err := p.s.api.Upgrade(ctx, p.id, client.Upgrade{Plan: plan}, key)
		return err
	})
}

func (p *player) downgrade(ctx context.Context, t client.Tenant) {
	plan := pick(p.dice, ladder[:max(slices.Index(ladder, t.Plan), 1)])
	at := pick(p.dice, []string{"now", "period_end", "period_end"})
	p.command(ctx, "downgrade to "+plan+", "+at, func(key client.Option) error {
		_, err := p.s.api.Downgrade(ctx, p.id, client.Downgrade{Plan: plan, At: at}, key)
		return err
	})
}

func (p *player) cancelChange(ctx context.Context, _ client.Tenant) {
	p.command(ctx, "cancel the pending change", func(key client.Option) error {
		_, err := p.s.api.CancelPendingChange(ctx, p.id, key)
		return err
	})
}

func (p *player) suspend(ctx context.Context, _ client.Tenant) {
	p.command(ctx, "suspend", func(key client.Option) error { return p.s.api.Suspend(ctx, p.id, "the dice", key) })
}

func (p *player) resume(ctx context.Context, _ client.Tenant) {
	p.command(ctx, "resume", func(key client.Option) error { return p.s.api.Resume(ctx, p.id, "the dice", key) })
}

func (p *player) delete(ctx context.Context, _ client.Tenant) {
	p.command(ctx, "delete", func(key client.Option) error {
		_, err := p.s.api.Delete(ctx, p.id, client.Delete{Reason: "the dice"}, key)
		return err
	})
}

func (p *player) cancelDeletion(ctx context.Context, _ client.Tenant) {
	p.command(ctx, "cancel the deletion", func(key client.Option) error { return p.s.api.CancelDeletion(ctx, p.id, key) })
}

func (p *player) reactivate(ctx context.Context, t client.Tenant) {
	cmd := client.Reactivate{}
	if p.dice.IntN(2) == 0 {
		cmd.Plan = pick(p.dice, ladder)
	}
	if p.dice.IntN(3) == 0 {
		afresh := false
		cmd.RestoreData = &afresh
	}
	p.command(ctx, fmt.Sprintf("reactivate from %s on %q, afresh %t", t.State, cmd.Plan, cmd.RestoreData != nil), func(key client.Option) error {
		_, err := p.s.api.Reactivate(ctx, p.id, cmd, key)
		return err
	})
}

func (p *player) cancelSignup(ctx context.Context, _ client.Tenant) {
	p.command(ctx, "cancel the sign-up", func(key client.Option) error { return p.s.api.CancelSignup(ctx, p.id, key) })
}

func (p *player) exempt(ctx context.Context, _ client.Tenant) { p.exemption(ctx, http.MethodPost) }
func (p *player) endExemption(ctx context.Context, _ client.Tenant) {
	p.exemption(ctx, http.MethodDelete)
}

func (p *player) exemption(ctx context.Context, method string) {
	p.command(ctx, method+" exemption", func(key client.Option) error {
		status, body, err := p.s.send(ctx, method, p.s.at.HTTP+"/v1/tenants/"+p.id+"/exemption", []byte(`{"reason":"the dice"}`), key)
		switch {
		case err != nil:
			return err
		case status == http.StatusServiceUnavailable:
			return errUnavailable
		case status >= 300:
			p.note("refused with %d: %s", status, body)
		}
		return nil
	})
}

var errUnavailable = fmt.Errorf("unavailable")

// goBroke lets the card decline from now on.
func (p *player) goBroke(ctx context.Context) {
	p.broke, p.owes = true, true
	p.tell(ctx, "/payment-methods", map[string]string{"tenant": p.id, "outcome": "decline"})
}

// fix lets the card work. Without patience the customer pays at once what is open; else Stripe tries again some day.
func (p *player) fix(ctx context.Context, patient bool) {
	p.broke = false
	p.tell(ctx, "/payment-methods", map[string]string{"tenant": p.id, "outcome": "ok"})
	if !patient {
		p.pay(ctx)
	}
}

// pay pays what is open. A tenant without a customer owes nothing.
func (p *player) pay(ctx context.Context) {
	p.owes = false
	p.tell(ctx, "/pay", map[string]string{"tenant": p.id})
}

func (p *player) tell(ctx context.Context, path string, in map[string]string) {
	err := p.s.sim(ctx, "POST", path, in, nil)
	p.note("stripe%s %s: %v", path, strings.TrimSpace(in["outcome"]), err)
}
