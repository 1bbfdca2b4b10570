package campaign

import (
	"cmp"
	"container/heap"
	"fmt"
	"time"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// Simulation plays the campaigns of a file over events that have happened: what would have been sent. It is the same
// Evolve, Enroll and Decide that the service runs, with memory in the place of the database. It serves one goroutine.
type Simulation struct {
	file      File
	catalogue plans.Catalogue
	day       time.Duration
	zone      func(name string) *time.Location

	profiles   map[string]Profile
	enrolled   map[string]*running // by campaign, tenant and generation
	due        queue
	sent       map[string][]time.Time // by tenant
	offered    map[string][]handout   // by offer
	suppressed map[string]string      // by tenant
	now        time.Time
	// Log is what was decided, in the order of time.
	Log []Entry
}

// Entry is one decision of a simulation.
type Entry struct {
	At         time.Time
	Enrollment Enrollment
	// Step is the step's name, "" for the enrollment itself and for a stop.
	Step    string
	Verdict Verdict
}

// Enrolled is the action of an Entry that tells that a tenant was taken in.
const Enrolled Action = "enroll"

type running struct {
	Enrollment
	at      time.Time
	stopped bool
}

// handout is an offer in somebody's hands.
type handout struct {
	tenant string
	until  time.Time
	used   bool
}

// NewSimulation plays with days of the given length; zone looks a time zone up by its name.
func NewSimulation(f File, catalogue plans.Catalogue, day time.Duration, zone func(string) *time.Location) *Simulation {
	return &Simulation{
		file: f, catalogue: catalogue, day: day, zone: zone, profiles: map[string]Profile{}, enrolled: map[string]*running{},
		sent: map[string][]time.Time{}, offered: map[string][]handout{}, suppressed: map[string]string{},
	}
}

// Take plays what is due before an event, then the event. Events come in the order of their times.
func (s *Simulation) Take(e events.Event) error {
	s.Advance(e.Time)
	payload, err := e.Payload()
	if err != nil {
		return nil //nolint:nilerr // of a newer lifecycle, or of no interest: nothing here depends on it
	}
	before := s.profiles[e.Subject]
	after, trigger := Evolve(before, e, payload, s.catalogue)
	s.profiles[e.Subject] = after
	s.stopIdle(e)
	if trigger == "" {
		return nil
	}
	for _, c := range s.file.Campaigns {
		s.enroll(c, before, trigger, e.Time)
	}
	return nil
}

// stopIdle ends the enrollments of a tenant that has come back, at the moment when it did.
func (s *Simulation) stopIdle(e events.Event) {
	for _, c := range s.file.Campaigns {
		p := s.profiles[e.Subject]
		r := s.enrolled[key(c.Name, p.Tenant, p.Generation)]
		if r == nil || r.stopped {
			continue
		}
		if why := Stops(r.Enrollment, p, s.standing(c, r.Enrollment), s.catalogue); why != "" {
			s.stop(r, e.Time, why)
		}
	}
}

// Suppress has a tenant get no more mails from now on.
func (s *Simulation) Suppress(tenant, reason string) { s.suppressed[tenant] = reason }

func (s *Simulation) enroll(c Campaign, before Profile, t Trigger, at time.Time) {
	id := key(c.Name, before.Tenant, before.Generation)
	if s.enrolled[id] != nil {
		return // once in each life
	}
	e, taken := c.Enroll(before, t, at, s.day)
	if !taken {
		return
	}
	r := &running{Enrollment: e, at: at}
	s.enrolled[id] = r
	s.note(at, e, "", Verdict{Action: Enrolled})
	if due, more := c.Due(e, s.day); more {
		r.at = due
		heap.Push(&s.due, r)
	}
}

func key(campaign, tenant string, generation int64) string {
	return fmt.Sprintf("%s\n%s\n%d", campaign, tenant, generation)
}

// Advance plays what is due up to a time.
func (s *Simulation) Advance(to time.Time) {
	for len(s.due) > 0 && !s.due[0].at.After(to) {
		r := heap.Pop(&s.due).(*running)
		if r.stopped {
			continue
		}
		s.now = r.at
		s.decide(r)
	}
	s.now = to
}

func (s *Simulation) decide(r *running) {
	c, _ := s.file.Find(r.Campaign)
	p := s.profiles[r.Tenant]
	now := r.at.In(s.zone(s.file.ZoneOf(p)))
	v := s.file.Decide(c, r.Enrollment, p, s.standing(c, r.Enrollment), s.catalogue, now, s.day)
	switch v.Action {
	case Stop:
		s.stop(r, r.at, v.Reason)
		return
	case Wait:
		r.at = v.Until
		heap.Push(&s.due, r)
		return
	case Send:
		s.sent[r.Tenant] = append(s.sent[r.Tenant], r.at)
		if v.Offer.Name != "" {
			s.offered[v.Offer.Name] = append(s.offered[v.Offer.Name], handout{tenant: r.Tenant, until: r.at.Add(time.Duration(v.Offer.Days) * s.day)})
		}
	}
	s.note(r.at, r.Enrollment, c.Steps[r.Next].Name, v)
	r.Next++
	due, more := c.Due(r.Enrollment, s.day)
	if !more {
		s.stop(r, r.at, ReasonDone)
		return
	}
	r.at = later(r.at, due)
	heap.Push(&s.due, r)
}

func (s *Simulation) stop(r *running, at time.Time, why string) {
	r.stopped = true
	s.note(at, r.Enrollment, "", Verdict{Action: Stop, Reason: why})
}

func (s *Simulation) standing(c Campaign, e Enrollment) Standing {
	standing := Standing{Sent: s.sent[e.Tenant], Suppressed: s.suppressed[e.Tenant]}
	if e.Next < len(c.Steps) {
		for _, h := range s.offered[c.Steps[e.Next].Offer] {
			if h.used || s.now.Before(h.until) {
				standing.Taken++
			}
		}
	}
	return standing
}

func (s *Simulation) note(at time.Time, e Enrollment, step string, v Verdict) {
	s.Log = append(s.Log, Entry{At: at, Enrollment: e, Step: step, Verdict: v})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// queue is a heap of enrollments, the next due first; ties go by name, so that a replay decides the same.
type queue []*running

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(r any)   { *q = append(*q, r.(*running)) }

func (q queue) Less(i, j int) bool {
	return cmp.Or(q[i].at.Compare(q[j].at), cmp.Compare(q[i].Tenant, q[j].Tenant), cmp.Compare(q[i].Campaign, q[j].Campaign)) < 0
}

func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
