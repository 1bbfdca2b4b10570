package cli_test

import (
	"strings"
	"testing"
)

func TestAParticipantIsChecked(t *testing.T) {
	const script = "../../../../../shared/participant/conformance/index.py"
	out, err := run(t, "participant", "check", "--name", "index", "--", "python3", script)
	if err != nil || strings.Count(out, "ok    ") != 10 {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = run(t, "participant", "check", "--name", "other", "--patience", "1s", "--", "python3", script)
	if err == nil || !strings.Contains(err.Error(), "did not register") {
		t.Errorf("%v\n%s", err, out)
	}
}
