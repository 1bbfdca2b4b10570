package tenant

import (
	"slices"
	"strings"
	"time"

	"tenure/shared/events"
)

// The statuses of an OperationView.
const (
	OpPending    = "pending"
	OpRunning    = "running"
	OpSucceeded  = "succeeded"
	OpFailed     = "failed"
	OpRolledBack = "rolled_back"
	OpCancelled  = "cancelled"
)

// OpExport is the kind of operation that takes no lease.
const OpExport = "export"

// OperationView is one operation as GET /v1/operations/{id} shows it, folded from the tenant's events.
type OperationView struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Kind   string `json:"kind"`
	Status string `json:"status"`
	// Step is the action that was asked for last.
	Step  string     `json:"step,omitempty"`
	Steps []StepView `json:"steps,omitempty"`
	// Progress is between 0 and 1.
	Progress float64 `json:"progress"`
	Error    string  `json:"error,omitempty"`
	// NeedsOperator: it can go neither forward nor back by itself.
	NeedsOperator bool      `json:"needs_operator,omitempty"`
	FromPlan      string    `json:"from_plan,omitempty"`
	ToPlan        string    `json:"to_plan,omitempty"`
	StartedAt     time.Time `json:"started_at,omitzero"`
	EndedAt       time.Time `json:"ended_at,omitzero"`
}

// StepView is one step of an OperationView.
type StepView struct {
	ID          string     `json:"id"`
	Participant string     `json:"participant"`
	Action      string     `json:"action"`
	Phase       int        `json:"phase"`
	Status      StepStatus `json:"status"`
	// Compensate: the step is being taken back, and Status is that of the way back.
	Compensate bool   `json:"compensate,omitempty"`
	Attempt    int    `json:"attempt,omitempty"`
	Error      string `json:"error,omitempty"`
}

// PlanOf is the plan of the operation that p begins; false when p begins none.
func PlanOf(p events.Payload) (events.OperationPlan, bool) {
	switch p := p.(type) {
	case *events.ProvisioningStarted:
		return p.Operation, true
	case *events.ProvisioningRetried:
		return p.Operation, true
	case *events.UpgradeStarted:
		return p.Operation, true
	case *events.DowngradeStarted:
		return p.Operation, true
	case *events.ReactivationStarted:
		return p.Operation, true
	case *events.PurgeStarted:
		return p.Operation, true
	}
	return events.OperationPlan{}, false
}

// OperationOf names the operation or export that p is about; it is empty when p is about none.
func OperationOf(p events.Payload) string {
	switch p := p.(type) {
	case *events.StepRequested:
		return p.OperationID
	case *events.StepDone:
		return p.OperationID
	case *events.StepErrored:
		return p.OperationID
	}
	if plan, ok := PlanOf(p); ok {
		return plan.ID
	}
	id, _ := outcome(p)
	return id
}

// result is what an event that is about no single step says about an operation. A kind is there when the event opens the
// operation.
type result struct {
	kind, status, err string
	steps             []StepView
	from, to          string
	stuck             bool
}

// outcome reads the events that say more about an operation than what one of its steps did.
func outcome(p events.Payload) (id string, r result) {
	switch p := p.(type) {
	case *events.TenantActivated:
		return p.OperationID, result{status: OpSucceeded}
	case *events.UpgradeCompleted:
		return p.OperationID, result{status: OpSucceeded}
	case *events.DowngradeCompleted:
		return p.OperationID, result{status: OpSucceeded}
	case *events.TenantReactivated:
		return p.OperationID, result{status: OpSucceeded}
	case *events.TenantPurged:
		return p.OperationID, result{status: OpSucceeded}
	case *events.ProvisioningFailed:
		return p.OperationID, result{status: OpFailed, err: p.Error}
	case *events.ReactivationFailed:
		return p.OperationID, result{status: OpFailed, err: p.Error}
	case *events.ProvisioningRolledBack:
		return p.OperationID, result{status: OpRolledBack}
	case *events.UpgradeRolledBack:
		return p.OperationID, result{status: OpRolledBack, err: p.Error}
	case *events.DowngradeRolledBack:
		return p.OperationID, result{status: OpRolledBack, err: p.Error}
	case *events.UpgradeStuck:
		return p.OperationID, result{status: OpRunning, err: p.Error, stuck: true}
	case *events.DowngradeStuck:
		return p.OperationID, result{status: OpRunning, err: p.Error, stuck: true}
	case *events.PurgeStepFailed:
		return p.OperationID, result{status: OpRunning, err: p.Error, stuck: true}
	case *events.DowngradeScheduled:
		return p.OperationID, result{kind: OpDowngrade, status: OpPending, from: p.FromPlan, to: p.Plan}
	case *events.DowngradeDue:
		return p.OperationID, result{status: OpPending}
	case *events.DowngradeCancelled:
		return p.OperationID, result{status: OpCancelled}
	case *events.ExportRequested:
		return p.ExportID, result{kind: OpExport, status: OpRunning, steps: exportSteps(p)}
	case *events.ExportCompleted:
		return p.ExportID, result{status: OpSucceeded}
	case *events.ExportFailed:
		return p.ExportID, result{status: OpFailed, err: p.Error}
	case *events.ExportCancelled:
		return p.ExportID, result{status: OpCancelled}
	}
	return "", result{}
}

// ProjectOperation folds one event into the operation that OperationOf names. The zero view begins a new one. Like
// the states themselves, views are never changed in place.
func ProjectOperation(op OperationView, e events.Event, p events.Payload) OperationView {
	at := e.Time.UTC()
	if plan, ok := PlanOf(p); ok {
		return opened(op, e, plan)
	}
	switch p := p.(type) {
	case *events.StepRequested:
		op.Step, op.Status, op.EndedAt = p.Action, OpRunning, time.Time{}
		op.NeedsOperator = false
		return op.step(p.StepID, func(s *StepView) {
			s.Status, s.Attempt, s.Compensate = StepRunning, p.Attempt, p.Compensate
		})
	case *events.StepDone:
		return op.step(p.StepID, func(s *StepView) { s.Status, s.Error = StepDone, "" })
	case *events.StepErrored:
		if p.Final {
			op.Error = p.Error
			op.NeedsOperator = strings.HasSuffix(p.StepID, undoSuffix)
		}
		return op.step(p.StepID, func(s *StepView) {
			s.Status, s.Error = StepWaiting, p.Error
			if p.Final {
				s.Status = StepFailed
			}
		})
	}
	id, r := outcome(p)
	if id == "" {
		return op
	}
	if op.ID == "" {
		op = OperationView{ID: id, Tenant: e.Subject, Kind: r.kind, FromPlan: r.from, ToPlan: r.to, StartedAt: at, Steps: r.steps}
	}
	op.Status, op.NeedsOperator = r.status, r.stuck
	if r.err != "" {
		op.Error = r.err
	}
	if r.status != OpPending && r.status != OpRunning {
		op.EndedAt, op.Step = at, ""
	}
	if r.status == OpSucceeded {
		op.Progress, op.Error = 1, ""
	}
	return op
}

// opened begins an operation, or takes up one that was scheduled.
func opened(op OperationView, e events.Event, plan events.OperationPlan) OperationView {
	started := op.StartedAt
	if op.ID == "" {
		started = e.Time.UTC()
	}
	op = OperationView{
		ID: plan.ID, Tenant: e.Subject, Kind: plan.Kind, Status: OpRunning,
		FromPlan: plan.FromPlan, ToPlan: plan.ToPlan, StartedAt: started,
	}
	for _, s := range plan.Steps {
		status := StepPending
		if s.Phase == 0 {
			status = StepDone
		}
		op.Steps = append(op.Steps, StepView{ID: s.ID, Participant: s.Participant, Action: s.Action, Phase: s.Phase, Status: status})
	}
	return op.measured()
}

// step applies edit to a copy of the step, whichever way it goes.
func (op OperationView) step(key string, edit func(*StepView)) OperationView {
	id := strings.TrimSuffix(key, undoSuffix)
	i := slices.IndexFunc(op.Steps, func(s StepView) bool { return s.ID == id })
	if i < 0 {
		return op
	}
	op.Steps = slices.Clone(op.Steps)
	edit(&op.Steps[i])
	return op.measured()
}

// measured counts what is done; what was taken back counts as not done.
func (op OperationView) measured() OperationView {
	done := 0
	for _, s := range op.Steps {
		if s.Status == StepDone && !s.Compensate {
			done++
		}
	}
	total := len(op.Steps)
	if op.Kind == OpExport {
		total++ // the archive, which is made of what they answered
	}
	op.Progress = 0
	if total > 0 {
		op.Progress = float64(done) / float64(total)
	}
	return op
}
