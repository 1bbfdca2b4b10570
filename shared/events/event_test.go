package events_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/shared/events"
)

func TestValidTenantID(t *testing.T) {
	for _, id := range []string{"a", "_", "-", "Acme-42_x", strings.Repeat("z", events.MaxTenantID)} {
		require.True(t, events.ValidTenantID(id), id)
	}
	for _, id := range []string{"", ".", "a.b", "*", ">", "a/b", "a b", "a\n", "a\x00", "é", "x' OR 1=1", strings.Repeat("z", events.MaxTenantID+1)} {
		require.False(t, events.ValidTenantID(id), "%q", id)
	}
}

func TestBusSubject(t *testing.T) {
	for eventType, subject := range map[string]string{
		"tenure.command.upgrade.v1":               "tenure.commands.acme",
		"tenure.usage.recorded.v1":                "tenure.usage.acme",
		"tenure.lifecycle.upgrade.started.v1":     "tenure.events.lifecycle.acme.upgrade.started",
		"tenure.sample.step.completed.v1":         "tenure.events.sample.acme.step.completed",
		"tenure.stripe.invoice.payment_failed.v1": "tenure.events.stripe.acme.invoice.payment_failed",
	} {
		require.Equal(t, subject, events.BusSubject(eventType, "acme"))
	}
}

func TestSplitType(t *testing.T) {
	for _, eventType := range []string{"", "tenure", "tenure.", "tenure.lifecycle", "tenure.lifecycle.v1", "other.lifecycle.x.v1"} {
		service, name := events.SplitType(eventType)
		require.Empty(t, service+name, eventType)
	}
	for _, eventType := range events.Types() {
		service, name := events.SplitType(eventType)
		require.NotEmpty(t, service, eventType)
		require.Equal(t, eventType, "tenure."+service+"."+name+".v1")
	}
}

func TestPayload(t *testing.T) {
	e, err := events.New(&events.Upgrade{Plan: "professional"}, "acme")
	require.NoError(t, err)
	p, err := e.Payload()
	require.NoError(t, err)
	require.Equal(t, &events.Upgrade{Plan: "professional"}, p)

	e.Data = nil
	p, err = e.Payload()
	require.NoError(t, err, "absent data is an empty payload")
	require.Equal(t, &events.Upgrade{}, p)

	e.Data = []byte(`{"plan":7}`)
	_, err = e.Payload()
	require.Error(t, err)
	require.NotErrorIs(t, err, events.ErrUnknownType)
}

func TestAnswer(t *testing.T) {
	given := events.StepAnswer{StepID: "op-1", Participant: "sample", Error: "no disk left", Permanent: true}
	e, err := events.Answer("acme", events.StepFailedName, given)
	require.NoError(t, err)
	require.Equal(t, "tenure.sample.step.failed.v1", e.Type)
	got, err := e.DecodeAnswer()
	require.NoError(t, err)
	require.Equal(t, given, got)
}
