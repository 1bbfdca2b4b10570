package app

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
)

// withSample adds a participant that does everything.
func (c *clocked) withSample(t *testing.T) {
	t.Helper()
	require.NoError(t, store.SaveParticipant(t.Context(), c.db, tenant.Participant{
		Name: "sample", Timeout: time.Minute,
		Actions: []string{"provision", "switch", "release", "restore", "export", "erase", "verify"},
	}))
	require.NoError(t, c.ReloadParticipants(t.Context()))
}

// answer does all that is asked of anybody now, and returns what that was.
func (c *clocked) answer(t *testing.T, id string) (done []string) {
	t.Helper()
	var asked []tenant.Step
	s := c.state(t, id)
	if s.Lease != nil {
		asked = append(asked, s.Lease.Steps...)
	}
	if s.Export != nil {
		asked = append(asked, s.Export.Steps...)
	}
	for _, step := range asked {
		if step.Status != tenant.StepRunning {
			continue
		}
		action, key := step.Action, step.ID
		if step.Undo {
			action, key = "undo "+action, key+"-undo"
		}
		done = append(done, action)
		answer := byOperator(id, &tenant.CompleteStep{StepID: key, Participant: step.Participant, Result: json.RawMessage(`{"files":[],"after":0}`)})
		require.NoError(t, c.Submit(t.Context(), answer).Err)
	}
	return done
}

// TestAFreshStartErasesAndVerifiesBeforeItOpens: the new life begins behind a closed door, until nothing of the old is left.
func TestAFreshStartErasesAndVerifiesBeforeItOpens(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	c.withSample(t)
	c.mustDo(t, "acme", "sign-up", &events.Register{Name: "A", Email: "a@example.com", Plan: "free"})
	require.Equal(t, []string{"provision"}, c.answer(t, "acme"))
	c.mustDo(t, "acme", "delete", &events.Delete{Reason: "leaves"})
	fresh := false
	c.mustDo(t, "acme", "return", &events.Reactivate{RestoreData: &fresh})
	for _, want := range [][]string{{"erase", "erase"}, {"verify", "verify"}, {"provision"}} {
		require.Equal(t, tenant.Reactivating, c.state(t, "acme").Name, "nobody may come in before %v", want)
		require.Equal(t, want, c.answer(t, "acme"), "by the sample and by the deletion service, and billing keeps its customer")
	}
	require.Equal(t, tenant.Active, c.state(t, "acme").Name)
}

// TestADeletionDuringAnUpgradeCompensatesFirst: the deadline counts from the request all the same.
func TestADeletionDuringAnUpgradeCompensatesFirst(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	c.withSample(t)
	c.mustDo(t, "acme", "sign-up", &events.Register{Name: "A", Email: "a@example.com", Plan: "free"})
	c.answer(t, "acme")
	c.mustDo(t, "acme", "upgrade", &events.Upgrade{Plan: "starter"})
	require.Equal(t, []string{"provision"}, c.answer(t, "acme"))
	asked := c.clock()
	c.mustDo(t, "acme", "delete", &events.Delete{Reason: "leaves"})
	require.Equal(t, tenant.Upgrading, c.state(t, "acme").Name)

	c.set(t, asked.Add(time.Hour))
	require.Equal(t, []string{"undo bill"}, c.answer(t, "acme"))
	require.Equal(t, []string{"undo provision"}, c.answer(t, "acme"))
	s := c.state(t, "acme")
	require.Equal(t, tenant.Deleting, s.Name)
	require.Equal(t, "free", s.Plan)
	require.WithinDuration(t, asked.Add(30*day), s.Deletion.ScheduledFor, time.Minute)

	c.set(t, s.Deletion.ScheduledFor)
	c.look(t)
	require.Equal(t, tenant.Purging, c.state(t, "acme").Name)
}

// TestADeletionDuringAnExportLetsItEnd: also when that takes longer than the retention; then the purge begins at once.
func TestADeletionDuringAnExportLetsItEnd(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	c.withSample(t)
	c.mustDo(t, "acme", "sign-up", &events.Register{Name: "A", Email: "a@example.com", Plan: "free"})
	c.answer(t, "acme")
	c.mustDo(t, "acme", "export", &events.Export{})
	c.mustDo(t, "acme", "delete", &events.Delete{Reason: "leaves"})
	s := c.state(t, "acme")
	require.Equal(t, tenant.Deleting, s.Name)
	require.NotNil(t, s.Export)
	require.Equal(t, []string{"export"}, c.answer(t, "acme"))

	c.set(t, s.Deletion.ScheduledFor.Add(day))
	c.look(t)
	require.Equal(t, tenant.Deleting, c.state(t, "acme").Name)
	require.Equal(t, []string{"purge.deferred"}, c.told(t, "acme", "purge.deferred", "purge.started"))

	c.mustDo(t, "acme", "archive", &tenant.CompleteExport{ExportID: s.Export.ID})
	require.Equal(t, tenant.Purging, c.state(t, "acme").Name)
	require.Empty(t, c.violations(t, "acme"))
}

// TestAnExportSinceAnEarlierOne: by its id, which must be that of a completed one of the same tenant.
func TestAnExportSinceAnEarlierOne(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	for _, id := range []string{"acme", "other"} {
		c.mustDo(t, id, "sign-up", &events.Register{Name: "A", Email: "a@example.com", Plan: "free"})
		c.mustDo(t, id, "export", &events.Export{})
	}
	first := c.state(t, "acme").Export
	ask := func(id, since string) *tenant.Refusal {
		out := c.Submit(t.Context(), byOperator(id, &events.Export{Since: since}))
		require.NoError(t, out.Err)
		return out.Refusal
	}
	c.mustDo(t, "other", "archive", &tenant.CompleteExport{ExportID: c.state(t, "other").Export.ID})
	require.Equal(t, tenant.CodeUnknownExport, ask("other", first.ID).Code, "of somebody else")
	c.mustDo(t, "acme", "cancel", &events.CancelExport{ExportID: first.ID})
	require.Equal(t, tenant.CodeUnknownExport, ask("acme", first.ID).Code, "it was cancelled")

	c.mustDo(t, "acme", "again", &events.Export{})
	second := c.state(t, "acme").Export
	c.mustDo(t, "acme", "archive", &tenant.CompleteExport{ExportID: second.ID})
	require.Nil(t, ask("acme", second.ID))
	require.Equal(t, second.RequestedAt, c.state(t, "acme").Export.Since)
}
