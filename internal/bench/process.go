package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A process is a program under measurement.
type process struct {
	cmd  *exec.Cmd
	log  string
	gone chan struct{}
	err  error // how it ended; read after gone
}

// spawn starts a program; its output goes to the file log.
func (r *Run) spawn(log string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the child has its own
	p := &process{cmd: exec.CommandContext(r.Ctx, args[0], args[1:]...), log: log, gone: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

// end asks the process to end and waits for it.
func (p *process) end() error {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended by itself, which Wait says
	select {
	case <-p.gone:
		if p.err != nil {
			return fmt.Errorf("%s: %w; %s", filepath.Base(p.cmd.Path), p.err, p.tail())
		}
		return nil
	case <-time.After(endWithin):
		p.cmd.Process.Kill() //nolint:errcheck // as above
		<-p.gone
		return fmt.Errorf("%s did not end within %s; %s", filepath.Base(p.cmd.Path), endWithin, p.tail())
	}
}

// rss returns the process's resident memory in bytes.
func (p *process) rss() (int64, error) { return p.status("VmRSS") }

// peak returns the most that it has ever had, in bytes.
func (p *process) peak() (int64, error) { return p.status("VmHWM") }

func (p *process) status(name string) (int64, error) {
	var kb int64
	_, err := fmt.Sscan(field(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid), name), &kb)
	if err != nil {
		return 0, fmt.Errorf("resident memory of %s: %w", filepath.Base(p.cmd.Path), err)
	}
	return kb << 10, nil
}

// tail is the end of the process's output.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "its log ends with: " + strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// kill ends a process that has nothing to save.
func (p *process) kill() error {
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
	<-p.gone
	return nil
}

// cpu returns the processor time that the process has used so far.
func (p *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("processor time of %s: %w", filepath.Base(p.cmd.Path), err)
	}
	_, after, _ := strings.Cut(string(b), ") ") // the name may hold anything
	f := strings.Fields(after)
	var user, system int64
	if len(f) > 12 {
		_, err = fmt.Sscan(f[11]+" "+f[12], &user, &system)
	}
	if err != nil || len(f) <= 12 {
		return 0, fmt.Errorf("processor time of %s: unexpected %q: %w", filepath.Base(p.cmd.Path), b, err)
	}
	return time.Duration(user+system) * (time.Second / clockTicks), nil
}

// clockTicks is USER_HZ, which is 100 on every architecture that Go runs on.
const clockTicks = 100
