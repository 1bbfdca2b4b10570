package lifecycle_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tenure/shared/bus"
	"tenure/shared/testkit"
)

// onTheBus counts the messages of a stream that hold a text.
func (r *rig) onTheBus(stream, text string) (n int) {
	r.t.Helper()
	s, err := r.js.Stream(r.t.Context(), stream)
	require.NoError(r.t, err)
	state := s.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(r.t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		require.NoError(r.t, err)
		if strings.Contains(string(m.Data), text) {
			n++
		}
	}
	return n
}

// Names and addresses leave the bus when the command that brought them was handled: taken, refused, come twice, or not
// even readable. Other commands stay for their day.
func TestNamesLeaveTheBusWithTheirCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const who = `"name":"Kanarienvogel GmbH","email":"bird@canary.example"`
	r.send("taken", "acme", "register", "", `{`+who+`,"plan":"free"}`)
	r.send("taken", "acme", "register", "", `{`+who+`,"plan":"free"}`)
	r.send("refused", "acme", "register", "", `{`+who+`,"plan":"free"}`)
	r.send("invalid", "globex", "register", "", `{`+who+`,"plan":7}`)
	r.publish("tenure.commands.initech", []byte(`{"name":"Kanarienvogel GmbH"`))
	r.send("suspended", "acme", "suspend", "operator:dev", `{"reason":"abuse report"}`)
	r.send("leaving", "acme", "delete", "", `{"reason":"bye","confirm":"Kanarienvogel GmbH"}`)
	r.answerTo("leaving")

	testkit.WaitFor(t, 20*time.Second, "the names to leave the bus", func() bool { return r.onTheBus(bus.StreamCommands, "anarienvogel") == 0 })
	require.Zero(t, r.onTheBus(bus.StreamCommands, "bird@canary"))
	require.Zero(t, r.onTheBus(bus.StreamEvents, "anarienvogel"))
	require.Equal(t, 1, r.onTheBus(bus.StreamCommands, "abuse report"), "a command without a name stays")
	require.NotEmpty(t, r.deadLetters(), "what cannot be read is put aside")
}
