package demo

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast/gateway/agent/command"
)

// TestMain lets this binary be the gateway process, as the holdfast binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "gateway" {
		c := command.Command()
		c.SetArgs(os.Args[2:])
		if err := c.Execute(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The whole demo, once: real processes, real sockets, a real SIGKILL.
func TestDemoBalances(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	keep := filepath.Join(t.TempDir(), "data")
	var story strings.Builder
	r, err := Run(ctx, Options{Seed: 1, Once: true, Keep: keep, Story: &story})
	t.Logf("%s", story.String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", b)
	if !r.Balanced {
		t.Errorf("the books do not balance: %v", r.Problems)
	}
}
