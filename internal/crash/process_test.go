package crash

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds of a process.
const (
	buildTimeout   = 5 * time.Minute
	recoverTimeout = 30 * time.Second // from exec to recovered, on a machine that is busy and under strace
	endTimeout     = 30 * time.Second // from a signal, or a failure, to the end
)

// The programs, built once for all tests of this package.
type programs struct{ gateway, holdfast string }

var build = sync.OnceValues(func() (p programs, err error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return p, fmt.Errorf("strace is needed to kill the gateway between write and sync: %w; install it (apt-get install strace), or run scripts/setup.sh", err)
	}
	dir := os.Getenv(envPrograms)
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	p = programs{filepath.Join(dir, "holdfast-gateway"), filepath.Join(dir, "holdfast")}
	for _, out := range []string{p.gateway, p.holdfast} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", out, "./cmd/"+filepath.Base(out))
		cmd.Dir = filepath.Join("..", "..")
		if b, err := cmd.CombinedOutput(); err != nil {
			return p, fmt.Errorf("build %s: %w: %s", filepath.Base(out), err, b)
		}
	}
	return p, nil
})

// envPrograms is the directory for them, made and removed by TestMain.
const envPrograms = "HOLDFAST_CRASH_PROGRAMS"

// TestMain makes room for the programs.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "holdfast-crash-")
	if err == nil {
		err = os.Setenv(envPrograms, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func built(t *testing.T) programs {
	t.Helper()
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A tracing says what strace does to a process. The zero value is none.
type tracing struct {
	trace  string   // system calls to log
	inject string   // what to do at which of them: strace's --inject
	paths  []string // only those that touch these files; nil: all
	fast   bool     // stop at nothing else (seccomp); strace cannot inject signals then
}

// A life is one run of a gateway process.
type life struct {
	process *os.Process
	trace   string        // strace's log; "" not traced
	boot    string        // content of the boot file before the start
	core    chan struct{} // closed when the gateway logs that its core is recovered
	ended   chan struct{} // closed when the process and its tracer are gone and all was read

	mu    sync.Mutex
	lines []string // of the gateway's log
	cores int      // how often it has recovered
	state *os.ProcessState
}

// start runs the gateway of s. With strace -D the process is the gateway and
// the tracer its grandchild; both hold the pipe that carries the log, so that
// its end is theirs.
func (s *site) start(tr tracing) (*life, error) {
	l := &life{boot: s.bootNumber(), core: make(chan struct{}), ended: make(chan struct{})}
	args := []string{s.programs.gateway, "run", "--config", s.config}
	if tr.trace != "" {
		l.trace = s.traceFile()
		if err := os.Remove(l.trace); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		args = append(tr.args(l.trace), args...)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = w
	// The kernel kills the gateway when the test is killed itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	l.process = cmd.Process
	go func() {
		l.read(r)
		r.Close()
		cmd.Wait() //nolint:errcheck // how it ended is in the state
		l.mu.Lock()
		l.state = cmd.ProcessState
		l.mu.Unlock()
		close(l.ended)
	}()
	return l, nil
}

func (s *site) traceFile() string { return filepath.Join(s.home, "strace.log") }

func (tr tracing) args(log string) []string {
	args := []string{"strace", "-D", "-f", "-qq", "-y", "-s", "0", "-e", "signal=none", "-o", log, "-e", "trace=" + tr.trace}
	if tr.fast {
		args = append(args, "--seccomp-bpf")
	}
	for _, p := range tr.paths {
		args = append(args, "-P", p)
	}
	if tr.inject != "" {
		args = append(args, "-e", "inject="+tr.inject)
	}
	return args
}

// read follows the log to its end.
func (l *life) read(r *os.File) {
	const recovered = `"msg":"core recovered"`
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		l.mu.Lock()
		l.lines = append(l.lines, text)
		if strings.Contains(text, recovered) {
			if l.cores++; l.cores == 1 {
				close(l.core)
			}
		}
		l.mu.Unlock()
	}
}

// recovered reports whether its core was ever recovered.
func (l *life) recovered() bool {
	select {
	case <-l.core:
		return true
	default:
		return false
	}
}

// recoveries returns how often its core was recovered.
func (l *life) recoveries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cores
}

// gone reports whether it has ended.
func (l *life) gone() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// kill sends SIGKILL, which is no news to a process that is gone.
func (l *life) kill() {
	l.process.Kill() //nolint:errcheck // as above
}

// end waits until the process is gone and returns how it ended.
func (l *life) end() (*os.ProcessState, error) {
	select {
	case <-l.ended:
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.state, nil
	case <-time.After(endTimeout):
		l.kill()
		return nil, fmt.Errorf("the gateway did not end within %s; its log ends with:%s", endTimeout, l.tail(10))
	}
}

// up waits until the core is recovered.
func (l *life) up() error {
	select {
	case <-l.core:
		return nil
	case <-l.ended:
		return fmt.Errorf("the gateway ended by itself, %s; its log ends with:%s", l.state, l.tail(10))
	case <-time.After(recoverTimeout):
		l.kill()
		return fmt.Errorf("the gateway did not recover within %s; its log ends with:%s", recoverTimeout, l.tail(10))
	}
}

// tail returns the last n lines of the log.
func (l *life) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return "\n    " + strings.Join(l.lines[max(0, len(l.lines)-n):], "\n    ")
}

// killed reports whether a process was ended by SIGKILL.
func killed(st *os.ProcessState) bool {
	ws, ok := st.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

// A trace is what strace has seen.
type trace struct {
	// syncing are the files whose sync was under way when the process died, after
	// bytes had been written to them that no sync has followed.
	syncing []string
	// failed are the calls that were made to fail, as "call path".
	failed []string
}

var (
	callLine   = regexp.MustCompile(`^(\d+)\s+(\w+)\((.*)$`)
	resumeLine = regexp.MustCompile(`^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$`)
	fdPath     = regexp.MustCompile(`^\d+<([^>]*)>`)
	quoted     = regexp.MustCompile(`"([^"]*)"`)
)

// A call is a system call in strace's log.
type call struct{ name, args string }

func (c call) isSync() bool { return c.name == "fsync" || c.name == "fdatasync" }

// readTrace reads strace's log, which is complete: its writer is gone.
func readTrace(file string) (tr trace, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return tr, fmt.Errorf("strace left no log: %w", err)
	}
	open := map[string]call{}    // by thread
	written := map[string]bool{} // files with bytes that no sync has followed
	done := func(c call, rest string) {
		path, failed := c.file(), strings.Contains(rest, "= -1 ")
		switch {
		case strings.HasSuffix(rest, "= ?"):
			if c.isSync() && written[path] {
				tr.syncing = append(tr.syncing, path)
			}
		case failed && strings.Contains(rest, "(INJECTED)"):
			tr.failed = append(tr.failed, c.name+" "+path)
		case failed:
		case c.name == "pwrite64":
			written[path] = true
		case c.isSync():
			written[path] = false
		}
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		if m := resumeLine.FindStringSubmatch(line); m != nil {
			done(open[m[1]], m[3])
			delete(open, m[1])
			continue
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := call{m[2], m[3]}
		if strings.HasSuffix(line, "<unfinished ...>") {
			open[m[1]] = c
			continue
		}
		done(c, m[3])
	}
	for _, c := range open { // death came before strace could say more
		done(c, "= ?")
	}
	return tr, nil
}

// file returns the file that a call is about: that of its descriptor, or the
// last one that it names, which of a rename is the new name.
func (c call) file() string {
	if m := fdPath.FindStringSubmatch(c.args); m != nil {
		return m[1]
	}
	all := quoted.FindAllStringSubmatch(c.args, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}
