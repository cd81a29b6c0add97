package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/keyfile"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A books is a small cloud: it enrols gateways, takes slices strictly in order,
// and reconciles everything at once.
type books struct {
	*cloud
	t  testing.TB
	mu sync.Mutex
	// received are the records by journal and epoch, in order.
	received map[string][]record.Record
	statKey  []byte
	refuse   int  // status to answer hellos with; 0: welcome
	spurn    bool // answer uploads with evidence-refused
	hellos   atomic.Int64
	endpoint string // told at enrolment; "": the server's own
	further  []string
	bells    bells
	orders   []uplink.Directive
}

func newBooks(t testing.TB) *books {
	b := &books{t: t, received: make(map[string][]record.Record), bells: bells{open: map[*websocket.Conn]bool{}}}
	b.cloud = newCloud(t, b.ServeHTTP)
	der, err := x509.MarshalPKIXPublicKey(&newKey(t).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	b.statKey = der
	return b
}

func (b *books) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if part[len(part)-1] == "link" {
		b.bells.serve(w, r)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch last := part[len(part)-1]; {
	case last == "enrol":
		b.enrolled(w, body)
	case last == "hello" && b.refuse != 0:
		w.WriteHeader(b.refuse)
	case last == "hello":
		b.hellos.Add(1)
		var h uplink.Hello
		json.Unmarshal(body, &h)
		out := uplink.Welcome{Directives: b.orders}
		for _, head := range h.Heads {
			n := uint64(len(b.received[string(head.Journal)+head.Epoch.String()]))
			out.Cursors = append(out.Cursors, uplink.Cursor{Journal: head.Journal, Epoch: head.Epoch, Received: n, Reconciled: n})
		}
		answerJSON(w, 200, out)
	case len(part) == 7 && b.spurn:
		answerJSON(w, 422, map[string]any{"title": "The journal bytes do not verify", "detail": "came again with another leaf", "code": "EVID_FORK", "expected": 7})
	case len(part) == 7 && r.Method == http.MethodPut:
		b.upload(w, part[4]+part[5], part[6], body)
	default:
		w.WriteHeader(404)
	}
}

func (b *books) enrolled(w http.ResponseWriter, body []byte) {
	var in uplink.Enrol
	json.Unmarshal(body, &in)
	csr, err := x509.ParseCertificateRequest(in.CSR)
	if err != nil || csr.CheckSignature() != nil {
		w.WriteHeader(400)
		return
	}
	cert := b.sign(b.t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "gw-7"}, NotBefore: longAgo, NotAfter: farOff,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, b.cert, csr.PublicKey)
	answerJSON(w, 200, uplink.Enrolled{
		Gateway: "gw-7", Site: "site-7", Certificate: cert.Raw, CA: b.cert.Raw, StatementKey: b.statKey,
		TokenKey: bytes.Repeat([]byte{1}, 32), SealKey: bytes.Repeat([]byte{2}, 32), Endpoint: cmp.Or(b.endpoint, b.web.URL), Endpoints: b.further,
	})
}

func (b *books) upload(w http.ResponseWriter, epoch, first string, body []byte) {
	dec, _ := zstd.NewReader(nil)
	defer dec.Close()
	slice, err := dec.DecodeAll(body, nil)
	have := uint64(len(b.received[epoch]))
	if err == nil && first != fmt.Sprint(have) {
		answerJSON(w, 409, uplink.Mismatch{Type: uplink.ProblemPositionMismatch, Status: 409, Expected: have})
		return
	}
	frames, err := journal.ParseSlice(slice, holdfast.Seq(have))
	if err != nil {
		b.t.Errorf("slice of %s from %s: %v", epoch, first, err)
		w.WriteHeader(400)
		return
	}
	for _, f := range frames {
		if f.Kind == journal.Record {
			r, err := record.Decode(f.Body)
			if err != nil {
				b.t.Errorf("record %d: %v", f.Seq, err)
			}
			b.received[epoch] = append(b.received[epoch], r)
		}
	}
	n := uint64(len(b.received[epoch]))
	answerJSON(w, 200, uplink.Ack{Received: n, Reconciled: n})
}

func (b *books) code() string { return "hf-secret-" + fingerprint(b.cert) }

// count counts the records of a type in the books.
func (b *books) count(kind record.Type) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.received {
		for _, r := range list {
			if r.Body.Type() == kind {
				n++
			}
		}
	}
	return n
}

// A daemon is a gateway that runs in this process.
type daemon struct {
	t     testing.TB
	cfg   *Config
	log   *logBuffer
	stop  context.CancelFunc
	ended chan error
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t testing.TB, cfg *Config) *daemon {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	d := &daemon{t: t, cfg: cfg, log: &logBuffer{}, stop: stop, ended: make(chan error, 1)}
	go func() {
		d.ended <- Run(ctx, cfg, "test", slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}()
	t.Cleanup(func() { stop() })
	return d
}

// end stops the daemon in order.
func (d *daemon) end() {
	d.t.Helper()
	d.stop()
	if err := <-d.ended; err != nil {
		d.t.Errorf("run: %v\n%s", err, d.log)
	}
}

// until polls the daemon's own report; a running process can only be asked.
func (d *daemon) until(what string, ok func(*Report) bool) *Report {
	d.t.Helper()
	var last *Report
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
		select {
		case err := <-d.ended:
			d.t.Fatalf("ended while waiting for %s: %v\n%s", what, err, d.log)
		case <-time.After(10 * time.Millisecond):
		}
		if r, err := FetchReport(d.t.Context(), d.cfg.Local.Socket); err == nil {
			if last = r; ok(r) {
				return r
			}
		}
	}
	d.t.Fatalf("%s did not come; last report %+v\n%s", what, last, d.log)
	return nil
}

// cheap makes the stretching of a test's passphrase quick.
var cheap = keyfile.Cost{Time: 1, MemoryKiB: 64, Threads: 1}

// enrolledSite enrols a gateway with one charger and returns its configuration.
func enrolledSite(t testing.TB, b *books) *Config {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "gw")
	res, err := Enrol(t.Context(), EnrolOptions{Cloud: b.web.URL, Code: b.code(), Dir: dir, cost: cheap})
	if err != nil {
		t.Fatal(err)
	}
	if res.Gateway != "gw-7" || res.Site != "site-7" || !res.PassphraseMade || res.Retired != "" {
		t.Errorf("enrolled %+v", res)
	}
	hash, err := HashPassword(password, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig("gateway.yaml", fmt.Appendf(nil, "dir: %s\nocpp:\n  listen: 127.0.0.1:0\nchargers:\n  - id: CP-1\n    password_hash: %s\n    max_power_w: 22000\n", dir, hash))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func call(t testing.TB, ws *websocket.Conn, action, payload string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `[2,"id-%s","%s",%s]`, action, action, payload)); err != nil {
		t.Fatalf("%s: %v", action, err)
	}
	for { // the gateway may have a call of its own in between
		_, raw, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("answer to %s: %v", action, err)
		}
		if !strings.HasPrefix(string(raw), "[2,") {
			return string(raw)
		}
	}
}

// One life of a gateway on real sockets: enrol, run, a charger boots, the
// evidence reaches the books, an orderly end, and another boot.
func TestLifeOfAGateway(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	d := start(t, cfg)
	r := d.until("readiness", func(r *Report) bool { return true })
	if r.Gateway != "gw-7" || r.Boot != 1 || len(r.Listening) != 1 {
		t.Errorf("report %+v", r)
	}
	s := &site{url: "ws://" + r.Listening[0] + "/ocpp/"}
	ws, status := s.dial(t, dialer{user: "CP-1", password: password})
	if status != 101 {
		t.Fatalf("handshake: %d", status)
	}
	if got := call(t, ws, "BootNotification", `{"chargePointVendor":"V","chargePointModel":"M"}`); !strings.Contains(got, `"Accepted"`) {
		t.Errorf("boot answered with %s", got)
	}
	d.until("the books to be complete", func(r *Report) bool {
		return r.Backlog == 0 && b.count("charger.booted") == 1 && r.Link != holdfast.Offline
	})
	if _, err := Enrol(t.Context(), EnrolOptions{Cloud: b.web.URL, Code: b.code(), Dir: cfg.Dir, cost: cheap}); err == nil || !strings.Contains(err.Error(), "stop the gateway first") {
		t.Errorf("enrolment beside a running gateway: %v", err)
	}
	if err := Run(t.Context(), cfg, "test", quiet()); err == nil || !strings.Contains(err.Error(), "another gateway is running") {
		t.Errorf("second gateway on one directory: %v", err)
	}
	checkMetrics(t, cfg.Local.Socket)
	closed := make(chan websocket.StatusCode, 1)
	go func() { closed <- closeCode(t, ws) }()
	d.end()
	if code := <-closed; code != websocket.StatusGoingAway {
		t.Errorf("charger's connection closed with %d", code)
	}

	// What the end wrote is not in the books yet, so the directory is refused.
	if _, err := Enrol(t.Context(), EnrolOptions{Cloud: b.web.URL, Code: b.code(), Dir: cfg.Dir, cost: cheap}); !errors.Is(err, ErrUnsent) {
		t.Errorf("enrolment over unsent evidence: %v", err)
	}
	d = start(t, cfg)
	d.until("the second boot in the books", func(r *Report) bool { return r.Boot == 2 && b.count("gateway.booted") == 2 && r.Backlog == 0 })
	b.mu.Lock()
	for _, list := range b.received {
		for i, r := range list {
			if boot, ok := r.Body.(*record.GatewayBooted); ok && i > 0 && boot.Cause != holdfast.CausePlanned {
				t.Errorf("the second boot's cause is %s, want PLANNED", boot.Cause)
			}
		}
	}
	b.mu.Unlock()
	d.end()
	if text := d.log.String(); strings.Contains(text, password) {
		t.Error("the log shows a password")
	}
}

// checkMetrics scrapes the local API and looks for the documented names.
func checkMetrics(t testing.TB, socket string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	for path, want := range map[string][]string{
		"/healthz": {"ok"}, "/readyz": {"ok"},
		"/metrics": {
			`holdfast_link_state{site="site-7",state="OFFLINE"} 0`, `holdfast_link_transitions_total{cause="NONE",from="OFFLINE",to="SYNCING"} 1`,
			"holdfast_journal_records ", "holdfast_oldest_unsynced_timestamp_seconds 0", "holdfast_build_info{", "holdfast_core_up 1", "holdfast_energy_delivered_joules_total 0",
			"holdfast_first_success_after_reconnect_seconds_count", `holdfast_reconcile_mismatches_total{code="POSITION"} 0`,
		},
	} {
		resp, err := c.Get("http://gateway" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		for _, w := range want {
			if resp.StatusCode != 200 || !strings.Contains(string(body), w) {
				t.Errorf("%s: %d, without %q:\n%s", path, resp.StatusCode, w, clipMetrics(body))
			}
		}
	}
}

// clipMetrics keeps our own metrics.
func clipMetrics(b []byte) (out string) {
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, "holdfast_") {
			out += line + "\n"
		}
	}
	return out
}

// A cloud that refuses this gateway is a cause in the report, and drivers are
// served all the same.
func TestCauseIsShown(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	b.mu.Lock()
	b.refuse = 403
	b.mu.Unlock()
	d := start(t, cfg)
	d.until("the cause", func(r *Report) bool { return r.Link == holdfast.Offline && r.Cause == holdfast.CauseAuthRejected })
	d.end()
}

// When everything is in the books, a second enrolment moves the first aside and
// deletes nothing.
func TestSecondEnrolmentRetiresTheFirst(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	res, err := Enrol(t.Context(), EnrolOptions{Cloud: b.web.URL, Code: b.code(), Dir: cfg.Dir, cost: cheap})
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(cfg.Dir, "retired-gw-7"); res.Retired != want {
		t.Errorf("retired to %q, want %q", res.Retired, want)
	}
	for _, name := range []string{"enrolled.yaml", "gateway.pub", "keys/device.key", "keys/site.keys", "keys/passphrase"} {
		was, err1 := os.ReadFile(filepath.Join(res.Retired, name))
		is, err2 := os.ReadFile(filepath.Join(cfg.Dir, name))
		if err1 != nil || err2 != nil || bytes.Equal(was, is) && strings.HasPrefix(name, "keys/") {
			t.Errorf("%s: %v, %v, same: %v", name, err1, err2, bytes.Equal(was, is))
		}
	}
	if _, err := OpenIdentity(cfg); err != nil {
		t.Errorf("the new identity: %v", err)
	}
}

// An identity is refused, with the way out, when something of it is missing or
// does not fit.
func TestIdentityRefused(t *testing.T) {
	b := newBooks(t)
	good := enrolledSite(t, b)
	other := newAuthority(t)
	for _, tt := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"not enrolled", func(dir string) error { return os.Remove(filepath.Join(dir, enrolmentFile)) }, "enroll --cloud URL --code CODE"},
		{"no passphrase", func(dir string) error { return os.Remove(filepath.Join(dir, keysDir, passFile)) }, "passphrase"},
		{"wrong passphrase", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, keysDir, passFile), []byte("another passphrase"), 0o600)
		}, "wrong passphrase"},
		{"another certificate", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, keysDir, deviceCertFile), pemOf("CERTIFICATE", other.cert.Raw), 0o600)
		}, "is not the certificate of"},
		{"damaged site keys", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, keysDir, siteKeysFile), make([]byte, 200), 0o600)
		}, "enrol again"},
		{"edited enrolment", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, enrolmentFile), []byte("gateway: A B\n"), 0o600)
		}, "gateway id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "gw")
			if err := os.CopyFS(dir, os.DirFS(good.Dir)); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{deviceKeyFile, passFile} {
				if err := os.Chmod(filepath.Join(dir, keysDir, secret), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenIdentity(&Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// Boot numbers rise by one, and a lost file never makes one come twice.
func TestBootNumbers(t *testing.T) {
	dir := t.TempDir()
	for want := uint32(1); want <= 3; want++ {
		if got, err := nextBoot(dir); err != nil || got != want {
			t.Fatalf("boot %d, %v, want %d", got, err, want)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, evidenceDir), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []func() error{
		func() error { return os.Remove(filepath.Join(dir, bootFile)) },
		func() error { return os.WriteFile(filepath.Join(dir, bootFile), []byte("x"), 0o600) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		got, err := nextBoot(dir)
		if err != nil || got < 1<<30 {
			t.Errorf("after a loss boot %d, %v", got, err)
		}
		if next, _ := nextBoot(dir); next != got+1 {
			t.Errorf("then %d after %d", next, got)
		}
	}
}

// With a certificate the charger server speaks TLS, and only TLS, and systemd
// is told when it is ready and when it stops.
func TestSecurityProfileTwoUnderSystemd(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	pair := b.issue(t, x509.ExtKeyUsageServerAuth, longAgo, farOff)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cfg.OCPP.TLSCertificate, cfg.OCPP.TLSKey = filepath.Join(cfg.Dir, "ocpp.crt"), filepath.Join(cfg.Dir, "ocpp.key")
	if err := errors.Join(os.WriteFile(cfg.OCPP.TLSCertificate, pemOf("CERTIFICATE", pair.Certificate[0]), 0o600),
		os.WriteFile(cfg.OCPP.TLSKey, pemOf("PRIVATE KEY", key), 0o600)); err != nil {
		t.Fatal(err)
	}
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(cfg.Dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", systemd.LocalAddr().String())
	told := func() string {
		buf := make([]byte, 100)
		systemd.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := systemd.Read(buf)
		if err != nil {
			t.Error(err)
		}
		return string(buf[:n])
	}
	d := start(t, cfg)
	if got := told(); got != "READY=1" {
		t.Errorf("systemd was told %q", got)
	}
	at := d.until("readiness", func(*Report) bool { return true }).Listening[0]
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}}
	header := http.Header{}
	(&http.Request{Header: header}).SetBasicAuth("CP-1", password)
	ws, _, err := websocket.Dial(t.Context(), "wss://"+at+"/ocpp/CP-1", &websocket.DialOptions{HTTPClient: secure, HTTPHeader: header, Subprotocols: []string{"ocpp2.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	go closeCode(t, ws)
	if _, _, err := websocket.Dial(t.Context(), "ws://"+at+"/ocpp/CP-1", &websocket.DialOptions{HTTPHeader: header}); err == nil {
		t.Error("the TLS server lets a charger in without TLS")
	}
	d.end()
	if got := told(); got != "STOPPING=1" {
		t.Errorf("systemd was told %q", got)
	}
}
