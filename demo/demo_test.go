package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast/gateway/agent/command"
)

// TestMain lets this binary be the gateway process, as the holdfast binary is,
// and a demo of its own that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "gateway" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		c := command.Command()
		c.SetArgs(os.Args[2:])
		err := c.ExecuteContext(ctx)
		stop()
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == "demo" {
		_, err := Run(context.Background(), Options{Seed: 1, Once: true, Story: os.Stdout})
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// The whole demo, once: real processes, real sockets, a real SIGKILL. What it
// kept is enough to do the check again, and to see it fail on a planted mistake.
func TestDemoBalances(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	t.Setenv("TMPDIR", t.TempDir())
	keep := filepath.Join(t.TempDir(), "data")
	var told strings.Builder
	r, err := Run(ctx, Options{Seed: 1, Once: true, Keep: keep, Story: &told})
	if err != nil {
		t.Fatalf("%v\n%s", err, told.String())
	}
	if !r.Balanced || r.WhMetered != r.WhBilled || r.WhMetered == 0 || r.Sessions != 10 || r.Refused != 1 ||
		r.OfflineSessions < 2 || r.Kills < 1 || r.LinkCuts != 3 || r.Duplicates+r.Lost+r.Exceptions != 0 {
		t.Errorf("%+v\n%s", r, told.String())
	}
	for _, want := range []string{"THE LINK IS CUT", "is REFUSED at", "Only the cloud may accept this token", "KILL -9", "POWER_CYCLE", "OFFLINE, cause CLOUD_UNREACHABLE", "SYNCED"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the story does not say %q:\n%s", want, told.String())
		}
	}
	for _, file := range []string{"gw-harbour/evidence", "gw-market/evidence", "gw-depot/evidence", "cloud/store", "harbour-1.truth.ndjson", "report.json"} {
		if _, err := os.Stat(filepath.Join(keep, file)); err != nil {
			t.Errorf("not kept: %v", err)
		}
	}
	for _, mistake := range []string{PlantDouble, PlantDrop} {
		if f := recheck(t, keep, r, mistake); f.Balanced() {
			t.Errorf("%s: planted and not found", mistake)
		}
	}
	nothingLeft(t)
}

// recheck plants a mistake into the kept books and checks them against the kept
// logs of the chargers.
func recheck(t *testing.T, keep string, r *Report, mistake string) Findings {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(keep, "books.json"))
	if err != nil {
		t.Fatal(err)
	}
	var books Books
	if err := json.Unmarshal(b, &books); err != nil {
		t.Fatal(err)
	}
	metered := truthOf(t, keep)
	if f := Check(metered, books, demoPrice); !f.Balanced() || f.WhBilled != r.WhBilled {
		t.Errorf("the kept books do not balance: %v", f.Problems)
	}
	if err := books.Plant(mistake); err != nil {
		t.Fatal(err)
	}
	return Check(metered, books, demoPrice)
}

// An interrupt in the middle of the story leaves no process and no file behind.
func TestInterruptedDemoCleansUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &waiter{until: "charges at", reached: cancel}
	if _, err := Run(ctx, Options{Seed: 1, Once: true, Story: w}); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v", err)
	}
	nothingLeft(t)
}

// A waiter does something the first time that the story says something.
type waiter struct {
	until   string
	reached func()

	mu   sync.Mutex
	once sync.Once
	text bytes.Buffer
}

func (w *waiter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	if bytes.Contains(w.text.Bytes(), []byte(w.until)) {
		w.once.Do(w.reached)
	}
	return len(b), nil
}

// nothingLeft checks that no process of this test's folder runs and that the
// folder is empty.
func nothingLeft(t *testing.T) {
	t.Helper()
	if left := children(t); len(left) > 0 {
		t.Errorf("processes left behind: %v", left)
	}
	files, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(files) > 0 {
		t.Errorf("files left behind: %v %v", files, err)
	}
}

// children lists the processes of this test binary but this one: those whose
// environment has this test's TMPDIR.
func children(t *testing.T) (pids []int) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	mine := []byte("TMPDIR=" + os.Getenv("TMPDIR") + "\x00")
	for _, p := range procs {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that is gone, or a zombie, has no environment.
		if env, err := os.ReadFile(filepath.Join(p, "environ")); err == nil && bytes.Contains(append(env, 0), mine) {
			pids = append(pids, pid)
		}
	}
	return pids
}
