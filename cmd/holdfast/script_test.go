package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts run this very binary as "holdfast".
func TestMain(m *testing.M) {
	time.Local = time.UTC // times are printed in the reader's zone
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScripts runs testdata/script/*.txtar. Each has a fresh directory, "exec
// holdfast" is the real binary, and "cloud start" is a real process with real
// sockets. Beside testscript's own commands there are
//
//	cloud start [flags]   run holdfast cloud with its data in $WORK/cloud; sets
//	                      HOLDFAST_CLOUD, HOLDFAST_TOKEN and HOLDFAST_GATEWAYS;
//	                      its log is cloud.log
//	cloud stop            end it as systemd would; it must exit with 0
//	cloud kill            end it as a power cut would
//	setenv NAME FILE      set NAME to the first line of FILE (stdout works too)
//	field NAME KEY        set NAME to the value of KEY in the last stdout, which
//	                      is a JSON object; a path such as site.id works
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, ".config"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cloud": scriptCloud, "setenv": scriptSetenv, "field": scriptField,
		},
	})
}

func scriptCloud(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: cloud start [flags] | stop | kill")
	}
	switch args[0] {
	case "start":
		startCloud(ts, args[1:])
	case "stop":
		endCloud(ts, syscall.SIGTERM)
	case "kill":
		endCloud(ts, syscall.SIGKILL)
	default:
		ts.Fatalf("cloud %s: want start, stop or kill", args[0])
	}
}

// running finds the cloud of a script again; scripts run in parallel, each with
// a directory of its own.
var running = processes{at: map[string]*exec.Cmd{}}

type processes struct {
	mu sync.Mutex
	at map[string]*exec.Cmd
}

func (p *processes) set(dir string, cmd *exec.Cmd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[dir] = cmd
}

func (p *processes) take(dir string) *exec.Cmd {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := p.at[dir]
	delete(p.at, dir)
	return cmd
}

func startCloud(ts *testscript.TestScript, flags []string) {
	log, err := os.OpenFile(ts.Getenv("WORK")+"/cloud.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	defer log.Close()
	path, err := exec.LookPath("holdfast")
	ts.Check(err)
	args := append([]string{"cloud", "--json", "--data", ts.Getenv("WORK") + "/cloud",
		"--api", "127.0.0.1:0", "--gateways", "127.0.0.1:0"}, flags...)
	cmd := exec.Command(path, args...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		cmd.Wait()
		ts.Fatalf("the cloud did not start: %v\n%s", err, ts.ReadFile("cloud.log"))
	}
	var hello struct{ API, Gateways, Token string }
	ts.Check(json.Unmarshal(line, &hello))
	ts.Setenv("HOLDFAST_CLOUD", hello.API)
	ts.Setenv("HOLDFAST_GATEWAYS", hello.Gateways)
	if hello.Token != "" {
		ts.Setenv("HOLDFAST_TOKEN", hello.Token)
	}
	running.set(ts.Getenv("WORK"), cmd)
}

func endCloud(ts *testscript.TestScript, sig syscall.Signal) {
	cmd := running.take(ts.Getenv("WORK"))
	if cmd == nil {
		ts.Fatalf("no cloud runs here")
	}
	ts.Check(cmd.Process.Signal(sig))
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); sig != syscall.SIGKILL && err != nil {
		ts.Fatalf("the cloud ended with %v\n%s", err, ts.ReadFile("cloud.log"))
	}
}

func scriptSetenv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setenv NAME FILE")
	}
	line, _, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	ts.Setenv(args[0], line)
}

func scriptField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field NAME KEY")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for key := range strings.SplitSeq(args[1], ".") {
		m, ok := v.(map[string]any)
		if !ok || m[key] == nil {
			ts.Fatalf("there is no %s in stdout", args[1])
		}
		v = m[key]
	}
	if s, ok := v.(string); ok {
		ts.Setenv(args[0], s)
		return
	}
	b, err := json.Marshal(v)
	ts.Check(err)
	ts.Setenv(args[0], string(b))
}
