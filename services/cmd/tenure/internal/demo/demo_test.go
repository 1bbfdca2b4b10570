package demo_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"tenure/services/cmd/tenure/internal/demo"
	"tenure/services/cmd/tenure/internal/dev"
)

// TestALifeFromSignUpToProof is `make demo EXIT=1`: every step checks itself.
func TestALifeFromSignUpToProof(t *testing.T) {
	t.Chdir(t.TempDir()) // dev changes the working directory; this puts it back
	var screen bytes.Buffer
	opts := dev.Options{
		Dir: filepath.Join(t.TempDir(), "state"), HTTP: "127.0.0.1:0", NATS: "127.0.0.1:0", Stripe: "127.0.0.1:0", Out: &screen,
	}
	err := demo.Run(t.Context(), opts, true)
	t.Log(screen.String())
	if err != nil {
		t.Error(err)
	}
}
