package command

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-ev/holdfast/gateway/agent"
)

var update = flag.Bool("update", false, "rewrite the outputs in testdata")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast-gateway": func() { os.Exit(Main("v0.0.0-test")) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", UpdateScripts: *update})
}

// docs/gateway.md has a line for each verb.
func TestVerbsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	root := Command()
	for _, c := range root.Commands() {
		if !strings.Contains(string(b), "| `"+c.Name()+"` |") {
			t.Errorf("docs/gateway.md has no line for %s", c.Name())
		}
		if c.Args == nil || c.Short == "" {
			t.Errorf("%s: does not check its arguments or say what it does", c.Name())
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{{nil, 0}, {errors.New("flag"), 2}, {failed(errors.New("no")), 1}, {&agent.ConfigError{}, 2}, {&exit{ExitUnknown, errors.New("busy")}, 3}} {
		if got := ExitCode(tt.err); got != tt.want {
			t.Errorf("%v: exit code %d, want %d", tt.err, got, tt.want)
		}
	}
}
