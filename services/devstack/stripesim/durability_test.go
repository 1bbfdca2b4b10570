package stripesim_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tenure/services/devstack/stripesim"
)

func TestStateSurvivesARestart(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 4900))
	s.card("acme", "decline")
	s.fault("/v1/products", "500", 3)
	s.advance(10 * oneDay)
	kept := s.mustPost("/v1/customers", "k1", acme)
	before, calls := s.now(), len(s.log())
	s.stop()

	again := startIn(t, s.dir)
	equal(t, "subscription", again.subscription(sub.ID).ID, sub.ID)
	equal(t, "replay", again.mustPost("/v1/customers", "k1", acme).body, kept.body)
	equal(t, "fault", again.mustPost("/v1/products", "", acme).status, http.StatusInternalServerError)
	if now := again.now(); now.Before(before) {
		t.Errorf("the clock went back from %s to %s", before, now)
	}
	if n := len(again.log()); n < calls {
		t.Errorf("the log lost %d calls", calls-n)
	}
	again.advance(month)
	equal(t, "net", again.net("acme"), 4900) // the card still declines
}

// childDir makes the test's program a simulator that can be killed.
const childDir = "STRIPESIM_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := runChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func runChild(dir string) error {
	ctx := context.Background()
	server, err := stripesim.Open(ctx, stripesim.Config{
		Dir: dir, Addr: "127.0.0.1:0", APIKey: apiKey, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return err
	}
	fmt.Println(server.Addr())
	return server.Run(ctx)
}

func spawn(t *testing.T, dir string) (s *sim, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), childDir+"="+dir), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // SIGKILL: nothing is written any more
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + strings.TrimSpace(addr)
	return &sim{t: t, url: at, dir: dir, api: newClient(at, apiKey)}, kill
}

func TestNoAnsweredCallIsLostByAKill(t *testing.T) {
	dir := t.TempDir()
	answered := map[string]string{} // key -> body
	for round := range 5 {
		s, kill := spawn(t, dir)
		for key, body := range answered {
			equal(t, "replay of "+key, s.mustPost("/v1/customers", key, url.Values{"name": {key}}).body, body)
		}
		equal(t, "customers", s.customers(), len(answered))

		var mu sync.Mutex
		var writers sync.WaitGroup
		enough := make(chan struct{}, 1)
		for w := range 4 {
			writers.Go(func() {
				for i := 0; ; i++ {
					key := fmt.Sprintf("r%d-w%d-%d", round, w, i)
					made, err := s.post(t.Context(), "/v1/customers", key, url.Values{"name": {key}})
					if err != nil {
						return // killed
					}
					mu.Lock()
					answered[key] = made.body
					if i == 20 {
						select {
						case enough <- struct{}{}:
						default:
						}
					}
					mu.Unlock()
				}
			})
		}
		select {
		case <-enough:
		case <-time.After(20 * time.Second):
			t.Fatal("the simulator does not answer")
		}
		kill()
		writers.Wait()
		// A call that was cut off may have happened or not; its key tells which.
		settle, stop := spawn(t, dir)
		for w := range 4 {
			for i := 0; ; i++ {
				key := fmt.Sprintf("r%d-w%d-%d", round, w, i)
				if answered[key] == "" {
					answered[key] = settle.mustPost("/v1/customers", key, url.Values{"name": {key}}).body
					break
				}
			}
		}
		stop()
	}
}
