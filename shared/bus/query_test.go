package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"tenure/shared/testkit"
)

const doubling = "tenure.queries.test.double"

func TestAQueryIsAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- r.bus.Answer(ctx, doubling, func(_ context.Context, question []byte) (any, error) {
			var n int
			if err := json.Unmarshal(question, &n); err != nil {
				return nil, err
			}
			if n < 0 {
				return nil, errors.New("it is negative")
			}
			return 2 * n, nil
		})
	}()
	var got int
	testkit.WaitFor(t, 10*time.Second, "somebody to answer", func() bool {
		return r.bus.Ask(t.Context(), doubling, 21, &got) == nil
	})
	require.Equal(t, 42, got)
	require.ErrorContains(t, r.bus.Ask(t.Context(), doubling, -1, &got), "it is negative")
	require.ErrorContains(t, r.bus.Ask(t.Context(), doubling, "words", &got), "cannot unmarshal")

	stop()
	require.NoError(t, <-ended)
	require.ErrorIs(t, r.bus.Ask(t.Context(), doubling, 1, &got), nats.ErrNoResponders)
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var got int
	require.ErrorIs(t, r.bus.Ask(t.Context(), doubling, 1, &got), nats.ErrNoResponders)
	r.nats.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, r.bus.Ask(ctx, doubling, 1, &got))
}
