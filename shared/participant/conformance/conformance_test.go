package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/participant"
	"tenure/shared/participant/conformance"
	"tenure/shared/testkit"
)

// asParticipant makes this test's own binary a participant, so that it can be killed as a process.
const asParticipant = "TENURE_TEST_PARTICIPANT"

func TestMain(m *testing.M) {
	if os.Getenv(asParticipant) != "" {
		os.Exit(takePart(os.Getenv(asParticipant)))
	}
	os.Exit(m.Run())
}

// takePart is a participant of the SDK. A careless one answers every step under one name and forgets whose it was.
func takePart(how string) int {
	conn, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return 1
	}
	done := func(context.Context, participant.Step) (any, error) { return nil, nil }
	actions := map[string]participant.Handler{
		"provision": done, "switch": done, "erase": done, "verify": done,
		"export": func(context.Context, participant.Step) (any, error) {
			return events.ExportFiles{Files: []events.ExportFile{{Kind: "documents", URL: "https://files.example/1", Rows: 1}}}, nil
		},
	}
	if how == "careless" {
		actions["verify"] = func(context.Context, participant.Step) (any, error) { return map[string]int{"after": 7}, nil }
		actions["export"] = done
	}
	err = participant.Run(context.Background(), participant.Config{
		Name: "index", Conn: conn, ControlURL: os.Getenv("TENURE_URL"), Token: os.Getenv("TENURE_TOKEN"), Actions: actions,
	})
	if err != nil {
		return 1
	}
	return 0
}

func check(t *testing.T, start func(conformance.Environment) (conformance.Process, error)) map[string]error {
	t.Helper()
	server := testkit.NATS(t)
	b, err := bus.Connect(t.Context(), bus.Config{URL: server.URL(), Name: "lifecycle"})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	results, err := conformance.Check(t.Context(), b, server.URL(), conformance.Participant{Name: "index", Start: start})
	require.NoError(t, err)
	require.Len(t, results, 10)
	failed := map[string]error{}
	for _, r := range results {
		if r.Err != nil {
			failed[r.Check] = r.Err
		}
	}
	return failed
}

func TestTheSDKConforms(t *testing.T) {
	t.Setenv(asParticipant, "careful")
	require.Empty(t, check(t, conformance.Command(os.Stderr, os.Args[0])))
}

// index.py is the proof that NATS and JSON are enough.
func TestTheScriptConforms(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	require.NoError(t, err, "install python3 (scripts/setup does), or remove index.py")
	var said bytes.Buffer
	failed := check(t, conformance.Command(&said, python, "index.py"))
	require.Empty(t, failed, "%s", &said)
}

func TestWhatIsWrongShows(t *testing.T) {
	t.Setenv(asParticipant, "careless")
	failed := check(t, conformance.Command(os.Stderr, os.Args[0]))
	require.Len(t, failed, 2, "%v", failed)
	wrong := errors.Join(slices.Collect(maps.Values(failed))...)
	require.ErrorContains(t, wrong, "7 rows are left")
	require.ErrorContains(t, wrong, "needs a result that names its files")
}

func TestAParticipantThatNeverRegisters(t *testing.T) {
	t.Parallel()
	server := testkit.NATS(t)
	b, err := bus.Connect(t.Context(), bus.Config{URL: server.URL(), Name: "lifecycle"})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	_, err = conformance.Check(t.Context(), b, server.URL(), conformance.Participant{
		Name: "index", Patience: 1, Start: conformance.Command(os.Stderr, "sleep", "60"),
	})
	require.ErrorContains(t, err, "did not register")
}
