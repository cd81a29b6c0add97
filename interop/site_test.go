package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
)

// patience is how long anything that must happen may take on a busy machine.
const patience = 40 * time.Second

// Credentials. Every charger of a site has the same password. A card can be in
// one session at a time.
const (
	password = "0123456789abcdef0123"
	cardA    = "04A1B2C3D4E580"
	cardB    = "04B1B2C3D4E581"
	cardC    = "04C1B2C3D4E582"
	cardD    = "04D1B2C3D4E583"
	cardE    = "04E1B2C3D4E584"
	cardF    = "04F1B2C3D4E585"
	cardG    = "0401B2C3D4E586"
	stolen   = "04DEADBEEF0099" // revoked
	stranger = "04FFFFFFFFFFFF" // in no list
)

func listed() []string { return []string{cardA, cardB, cardC, cardD, cardE, cardF, cardG, stolen} }

// eventually waits until cond holds; the second value of its last call is shown
// when it never does.
func eventually(t *testing.T, what string, cond func() (bool, any)) {
	t.Helper()
	if seen := within(patience, cond); seen != nil {
		t.Fatalf("%s did not come in %s; last seen: %+v", what, patience, *seen)
	}
}

// within returns nil as soon as cond holds, and what it saw last when it does
// not for so long.
func within(limit time.Duration, cond func() (bool, any)) (last *any) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		ok, seen := cond()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-end.C:
			return &seen
		}
	}
}

// A site is one gateway process with its link to the cloud and its disk.
type site struct {
	t       *testing.T
	name    string
	dir     string
	config  string
	socket  string
	log     string
	ocpp    string // address that chargers connect to
	uplink  *faultproxy.Proxy
	process *exec.Cmd
	exited  chan error
}

// newSite makes a site of the given name and chargers at the cloud, enrols its
// gateway, starts it, and waits until it is online with access list and tariff.
func newSite(t *testing.T, name string, chargers ...string) *site {
	t.Helper()
	name = fmt.Sprintf("%s-%d", name, here.sites.Add(1)) // go test -count makes it again
	base := filepath.Join(here.dir, name)
	if err := os.MkdirAll(base, 0o700); err != nil {
		t.Fatal(err)
	}
	s := &site{
		t: t, name: name, dir: filepath.Join(base, "data"), config: filepath.Join(base, "gateway.yaml"),
		socket: filepath.Join(base, "s"), log: filepath.Join(base, "gateway.log"), ocpp: freePort(t),
	}
	u, err := url.Parse(here.cloud.GatewayURL())
	if err != nil {
		t.Fatal(err)
	}
	if s.uplink, err = faultproxy.New(u.Host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.uplink.Close() })
	code := s.register()
	out, err := exec.Command(here.program, "enroll", "--cloud", "https://"+s.uplink.Addr(), "--code", code, "--dir", s.dir).CombinedOutput()
	if err != nil {
		t.Fatalf("enroll: %v\n%s", err, out)
	}
	s.configure(chargers)
	t.Cleanup(s.end)
	s.start()
	s.online()
	return s
}

// in returns the site for a subtest.
func (s *site) in(t *testing.T) *site {
	sub := *s
	sub.t = t
	return &sub
}

// register makes the site at the cloud and returns the one-time code.
func (s *site) register() string {
	s.t.Helper()
	var made struct {
		Code string `json:"code"`
	}
	here.api.must(s.t, http.MethodPost, "/v1/sites", map[string]any{"id": s.name}, &made)
	return made.Code
}

func (s *site) configure(chargers []string) {
	s.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "dir: %q\ncloud:\n  endpoint: %q\nocpp:\n  listen: %q\nlocal:\n  socket: %q\nchargers:\n", s.dir, "https://"+s.uplink.Addr(), s.ocpp, s.socket)
	for _, id := range chargers {
		hash, err := agent.HashPassword(password, rand.Reader)
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&b, "  - id: %q\n    password_hash: %q\n    max_power_w: 350000\n", id, hash)
	}
	if err := os.WriteFile(s.config, []byte(b.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// freePort returns a loopback address that nobody listens on. The gateway gets a
// fixed one because it must have the same after a restart.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs the gateway's process.
func (s *site) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(here.program, "run", "--config", s.config)
	cmd.Stdout, cmd.Stderr = log, log
	j := job{cmd, make(chan error, 1)}
	here.spawn <- j
	if err := <-j.result; err != nil {
		s.t.Fatalf("start the gateway: %v", err)
	}
	exited := make(chan error, 1)
	s.process, s.exited = cmd, exited
	go func() { exited <- cmd.Wait() }()
}

// kill ends the gateway with SIGKILL: it can save nothing.
func (s *site) kill() {
	s.t.Helper()
	if err := s.process.Process.Kill(); err != nil {
		s.t.Fatalf("kill: %v", err)
	}
	<-s.exited
	s.process = nil
}

// stop ends the gateway in order.
func (s *site) stop() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	s.process.Process.Signal(syscall.SIGTERM)
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Errorf("the gateway ended with %v:\n%s", err, s.tail())
		}
	case <-limit.C:
		s.process.Process.Kill()
		<-s.exited
		s.t.Errorf("the gateway did not end within %s:\n%s", patience, s.tail())
	}
	s.process = nil
}

// end stops the gateway and looks at what it left: a log without panics, data
// races or credentials, and a journal that verifies.
func (s *site) end() {
	s.stop()
	log, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Error(err)
	}
	if s.t.Failed() {
		s.t.Logf("the end of the gateway's log:\n%s", s.tail())
	}
	for _, bad := range append(listed(), "DATA RACE", "panic:", "goroutine ", password, stranger) {
		if i := bytes.Index(log, []byte(bad)); i >= 0 {
			s.t.Errorf("the gateway's log holds %q:\n%s", bad, log[max(0, i-200):min(len(log), i+4000)])
		}
	}
	pub, err := s.publicKey()
	if err != nil {
		s.t.Error(err)
	}
	for _, name := range []holdfast.Journal{holdfast.Evidence, holdfast.Telemetry} {
		dir, err := durable.OpenDir(filepath.Join(s.dir, string(name)))
		if err != nil {
			s.t.Error(err)
			continue
		}
		if r, err := journal.Verify(dir, pub); err != nil || len(r.Problems) > 0 {
			s.t.Errorf("%s journal: %v %v", name, err, r.Problems)
		}
	}
}

// publicKey is the key that the gateway's checkpoints verify with.
func (s *site) publicKey() (*ecdsa.PublicKey, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "gateway.pub"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("gateway.pub is not PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	pub, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("gateway.pub is a %T", key)
	}
	return pub, nil
}

func (s *site) tail() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// until waits for a report of the gateway that ok likes.
func (s *site) until(what string, ok func(*agent.Report) bool) (r *agent.Report) {
	s.t.Helper()
	eventually(s.t, what, func() (bool, any) {
		select {
		case err := <-s.exited:
			s.t.Fatalf("the gateway ended by itself: %v\n%s", err, s.tail())
		default:
		}
		got, err := agent.FetchReport(s.t.Context(), s.socket)
		if err != nil {
			return false, err
		}
		r = got
		return ok(r), r
	})
	return r
}

// online waits until the gateway has a link, the newest list and the tariff.
func (s *site) online() {
	s.t.Helper()
	var shown struct {
		ListVersion uint64 `json:"list_version"`
	}
	here.api.must(s.t, http.MethodGet, "/v1/sites/"+s.name, nil, &shown)
	s.until("the gateway to be online", func(r *agent.Report) bool {
		return (r.Link == holdfast.Online || r.Link == holdfast.Synced) && r.ListVersion >= shown.ListVersion && r.Tariff != ""
	})
}

// look returns what a report says of one charger and of its running sessions.
func look(r *agent.Report, id string) (c gateway.ChargerStatus, running []gateway.SessionStatus) {
	for _, one := range r.Chargers {
		if string(one.ID) == id {
			c = one
		}
	}
	for _, ses := range r.Sessions {
		if string(ses.Charger) == id {
			running = append(running, ses)
		}
	}
	return c, running
}

// records reads a journal from the disk, beside the process that writes it.
func (s *site) records(name holdfast.Journal) (all []record.Record) {
	s.t.Helper()
	dir, err := durable.OpenDir(filepath.Join(s.dir, string(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = journal.Scan(dir, func(_ journal.Identity, f journal.Frame) error {
		if f.Kind != journal.Record {
			return nil
		}
		r, err := record.Decode(f.Body)
		all = append(all, r)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// bodies returns the evidence of one kind about one charger, with its records.
func bodies[B record.Body](s *site, charger string) (out []B, records []record.Record) {
	s.t.Helper()
	for _, r := range s.records(holdfast.Evidence) {
		if b, ok := r.Body.(B); ok && string(r.Charger) == charger {
			out, records = append(out, b), append(records, r)
		}
	}
	return out, records
}

// opened waits for a charger's n-th session to be in the journal and returns
// how it was opened.
func (s *site) opened(charger string, n int) (b *record.SessionOpened) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("session %d of %s in the journal", n, charger), func() (bool, any) {
		all, _ := bodies[*record.SessionOpened](s, charger)
		if len(all) > n {
			s.t.Fatalf("%d sessions of %s, want %d", len(all), charger, n)
		}
		if len(all) < n {
			return false, all
		}
		b = all[n-1]
		return true, b
	})
	return b
}

// url is where chargers connect to through addr.
func chargerURL(addr string) string { return "ws://" + addr + "/ocpp" }
