package pgserver

import (
	"os"
	"testing"
)

// Both ways that root has must work with files, and with programs, that are root's alone.
func TestRootRunsTheServerAsAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root needs another identity")
	}
	bin, err := Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed := t.TempDir()
	if err := os.CopyFS(closed+"/bin", os.DirFS(bin.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	ways := asRoot
	t.Cleanup(func() { asRoot = ways })
	for i, name := range []string{"in a user namespace", "as another user"} {
		t.Run(name, func(t *testing.T) {
			asRoot = ways[i : i+1]
			thread := newThread()
			defer thread.end()
			as, err := identify(t.Context(), Binaries{Dir: closed + "/bin"}, thread)
			if err != nil {
				t.Fatal("programs in a closed directory:", err)
			}
			if as.attr.Pdeathsig == 0 {
				t.Error("the server would outlive us")
			}
			s := start(t, quick(t.TempDir()))
			if got := ask[int](t, s.URL(), "SELECT 1"); got != 1 {
				t.Error("no answer")
			}
		})
	}
}
