package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-ev/holdfast/gateway/agent"
)

// Bounds of a gateway process.
const (
	enrolTimeout = 15 * time.Second
	stopTimeout  = 5 * time.Second // between SIGTERM and SIGKILL
)

// A gateway is one gateway process: enrolled once, run, killed, run again.
type gateway struct {
	id      string   // the gateway's
	command []string // program and first arguments of holdfast-gateway
	dir     string   // data: DIR/evidence, ...
	config  string
	socket  string
	log     string
	ocpp    string // address that chargers connect to
	spawn   *spawner

	process *exec.Cmd
	exited  chan struct{} // closed when the process has ended
}

// enrol redeems the one-time code through the site's own link.
func (g *gateway) enrol(ctx context.Context, cloud, code string) error {
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	args := append(g.command[1:len(g.command):len(g.command)], "enroll", "--cloud", cloud, "--code", code, "--dir", g.dir)
	out, err := exec.CommandContext(ctx, g.command[0], args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("enrol %s: %w: %s", g.id, err, bytes.TrimSpace(out))
	}
	return nil
}

// configure writes the gateway's configuration file.
func (g *gateway) configure(cloud string, chargers []string, power int64, password string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "dir: %q\ncloud:\n  endpoint: %q\nocpp:\n  listen: %q\nlocal:\n  socket: %q\nchargers:\n", g.dir, cloud, g.ocpp, g.socket)
	for _, id := range chargers {
		hash, err := agent.HashPassword(password, rand.Reader)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  - id: %s\n    password_hash: %q\n    max_power_w: %d\n", id, hash, power)
	}
	if err := os.WriteFile(g.config, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("configure %s: %w", g.id, err)
	}
	return nil
}

// start runs the process. Its log goes to a file, which explains a failure.
func (g *gateway) start() error {
	log, err := os.OpenFile(g.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", g.id, err)
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(g.command[0], append(g.command[1:len(g.command):len(g.command)], "run", "--config", g.config)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := g.spawn.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", g.id, err)
	}
	exited := make(chan struct{})
	g.process, g.exited = cmd, exited
	go func() {
		cmd.Wait() //nolint:errcheck // killed on purpose, or its log says why
		close(exited)
	}()
	return nil
}

// kill ends the process with SIGKILL: it gets no chance to save anything.
func (g *gateway) kill() error {
	if g.process == nil {
		return fmt.Errorf("kill %s: it does not run", g.id)
	}
	if err := g.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", g.id, err)
	}
	<-g.exited
	g.process = nil
	return nil
}

// stop ends the process in order, and by force when it takes too long.
func (g *gateway) stop() {
	if g.process == nil {
		return
	}
	g.process.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended by itself
	select {
	case <-g.exited:
	case <-time.After(stopTimeout):
		g.process.Process.Kill() //nolint:errcheck // as above
		<-g.exited
	}
	g.process = nil
}

// alive reports an error when the process has ended by itself.
func (g *gateway) alive() error {
	if g.process == nil {
		return nil // killed on purpose
	}
	select {
	case <-g.exited:
		return fmt.Errorf("gateway %s ended by itself: %s", g.id, tail(g.log))
	default:
		return nil
	}
}

// tail returns the last lines of a log.
func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// A status is what the gateway's local API says of it.
type status struct {
	Link        string `json:"link"`
	Cause       string `json:"cause"`
	ListVersion uint64 `json:"list_version"`
	Tariff      string `json:"tariff"`
	Epoch       string `json:"epoch"`
	Records     uint64 `json:"records"` // of the epoch
}

// online reports whether records flow as they are made.
func (s status) online() bool { return s.Link == "ONLINE" || s.Link == "SYNCED" }

// status asks the process.
func (g *gateway) status(ctx context.Context) (s status, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", g.socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/v1/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("status of %s: HTTP %s", g.id, resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// evidence is the directory of the gateway's evidence journal.
func (g *gateway) evidence() string { return filepath.Join(g.dir, "evidence") }
