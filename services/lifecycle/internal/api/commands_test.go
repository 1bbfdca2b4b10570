package api

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
)

// outcome is what a command wrote, in its order.
func outcome(t *testing.T, before *tenant.Operation, payloads ...events.Payload) app.Outcome {
	t.Helper()
	out := app.Outcome{Before: tenant.State{ID: "acme", Lease: before}, State: tenant.State{ID: "acme"}}
	for i, p := range payloads {
		e, err := events.New(p, "acme")
		require.NoError(t, err)
		e.Sequence = int64(i + 1)
		out.Events = append(out.Events, e)
	}
	return out
}

func TestTheAnswerNamesTheOperationThatWasOpened(t *testing.T) {
	upgrade := events.OperationPlan{
		ID: "new", Kind: tenant.OpUpgrade, FromPlan: "professional", ToPlan: "enterprise",
		Steps: []events.StepPlan{{ID: "new-1", Participant: "store", Action: "provision", Phase: 1}},
	}
	requested := events.StepRequest{StepID: "new-1", OperationID: "new", Participant: "store", Action: "provision", Attempt: 1}
	view, err := (&API{}).operationOf(t.Context(), outcome(t, nil,
		&events.DowngradeCancelled{OperationID: "old", Plan: "starter"}, // it had to make way
		&events.UpgradeStarted{Operation: upgrade}, &events.StepRequested{StepRequest: requested},
	))
	require.NoError(t, err)
	require.Equal(t, "new", view.ID)
	require.Equal(t, tenant.OpUpgrade, view.Kind)
	require.Equal(t, tenant.OpRunning, view.Status)
	require.Len(t, view.Steps, 1)
}

func TestTheAnswerNamesTheOperationThatWasTakenUp(t *testing.T) {
	failed := &tenant.Operation{ID: "op", Kind: tenant.OpProvision, ToPlan: "starter"}
	view, err := (&API{}).operationOf(t.Context(), outcome(t, failed, &events.StepRequested{
		StepRequest: events.StepRequest{StepID: "op-1-undo", OperationID: "op", Participant: "store", Action: "provision", Compensate: true},
	}))
	require.NoError(t, err)
	require.Equal(t, "op", view.ID)
	require.Equal(t, tenant.OpProvision, view.Kind)
	require.Equal(t, tenant.OpRunning, view.Status)
}
