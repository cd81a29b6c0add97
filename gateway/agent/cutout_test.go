package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/charger"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// vouched gives the books an access list that accepts CARD1.
func vouched(t testing.TB) *books {
	t.Helper()
	b := newBooks(t)
	key := newKey(t)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	b.statKey = der
	token := holdfast.Token{Value: "CARD1"}.Hash([]byte(strings.Repeat("\x01", 32)))
	payload, err := access.EncodeList(&access.List{
		Site: "site-7", Version: 1, Issued: holdfast.UnixMilli(time.Now().UnixMilli()),
		Entries: map[holdfast.TokenHash]access.Entry{token: {Whitelist: access.Always, Valid: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := statement.Sign(key, nil, statement.TypList, payload)
	if err != nil {
		t.Fatal(err)
	}
	b.orders = []uplink.Directive{{ID: "list-1", Kind: uplink.InstallList, Statement: signed}}
	return b
}

// A witness notes when a charger was told something, and when it did it.
type witness struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (w *witness) see(e charger.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := string(e.Kind)
	if e.Kind == charger.Ordered {
		key = e.Text
	}
	if _, seen := w.at[key]; !seen {
		w.at[key] = e.At
	}
}

func (w *witness) when(key string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at[key]
}

// drive runs a charger against a daemon until the test ends.
func drive(t testing.TB, o charger.Options) *charger.Charger {
	t.Helper()
	c, err := charger.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx) }() // never an error
	t.Cleanup(func() { stop(); <-ended })
	ready, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Ready(ready); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCutOutOnRealSockets_I24: a file turns 1, and the charger's energy stops
// well within the deadline; it stays stopped over a restart until a person has
// released it. The charger shares no code with the gateway.
func TestCutOutOnRealSockets_I24(t *testing.T) {
	b := vouched(t)
	cfg := enrolledSite(t, b)
	line := filepath.Join(t.TempDir(), "stop")
	write := func(v string) time.Time {
		if err := os.WriteFile(line, []byte(v+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	write("0")
	cfg.Power = PowerConfig{MaxW: 30_000, EVSEFailSafeW: 4140, CutOut: CutOutConfig{File: line, DeadlineMs: 2000}}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	d := start(t, cfg)
	r := d.until("the list", func(r *Report) bool { return r.ListVersion == 1 && !r.CutOut.Active })
	for _, v := range []charger.Version{charger.V16, charger.V201} {
		w := &witness{at: map[string]time.Time{}}
		c := drive(t, charger.Options{URL: "ws://" + r.Listening[0] + "/ocpp", ID: "CP-1", Version: v, Password: password, Power: 22_000, OnEvent: w.see, ReconnectMin: 50 * time.Millisecond})
		d.until("the fail-safe", func(r *Report) bool { return len(r.Power.Missing) == 0 && len(r.Sessions) == 0 })
		if err := c.Plug(1); err != nil {
			t.Fatal(err)
		}
		if ok, why := c.Swipe(t.Context(), 1, "CARD1"); !ok {
			t.Fatalf("%s: refused: %s", v, why)
		}
		d.until("the set-point", func(r *Report) bool {
			return len(r.Sessions) == 1 && r.Sessions[0].SetPoint != nil && c.Power(1) >= 21_000
		})
		tripped := write("1")
		d.until("the stop", func(r *Report) bool { return r.CutOut.Latched && r.CutOut.Result == "stopped" && len(r.Sessions) == 0 })
		told := w.when("RemoteStopTransaction")
		if v == charger.V201 {
			told = w.when("RequestStopTransaction")
		}
		onWire, stopped := told.Sub(tripped), w.when(string(charger.Stopped)).Sub(tripped)
		t.Logf("%s: from the trip to the order at the charger %v, to energy stopped %v", v, onWire, stopped)
		if told.IsZero() || onWire > time.Second || stopped > 2*time.Second || c.Power(1) != 0 {
			t.Errorf("%s: told after %v, stopped after %v, %d W flow", v, onWire, stopped, c.Power(1))
		}
		if err := ReleaseCutOut(t.Context(), cfg.Local.Socket, "Ada"); err == nil || !strings.Contains(err.Error(), "still says stop") {
			t.Errorf("released while the input said stop: %v", err)
		}
		write("0")
		d.until("the input", func(r *Report) bool { return !r.CutOut.Active })
		if ok, _ := c.Swipe(t.Context(), 1, "CARD1"); ok {
			t.Error("a session began while the cut-out was latched")
		}
		d.end()
		d = start(t, cfg)
		r = d.until("the restart", func(r *Report) bool { return r.CutOut.Latched && !r.CutOut.Active })
		if err := ReleaseCutOut(t.Context(), cfg.Local.Socket, "Ada"); err != nil {
			t.Error(err)
		}
		if err := ReleaseCutOut(t.Context(), cfg.Local.Socket, "Ada"); err == nil || !strings.Contains(err.Error(), "not latched") {
			t.Errorf("released twice: %v", err)
		}
		c.Sever()
	}
	d.end()
}

// What cannot be read, and what says neither, is tripped.
func TestCutOutInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "line")
	for _, c := range []struct {
		content *string
		active  string
		want    bool
		detail  string
	}{
		{nil, "", true, "cannot be read"}, {ptr(""), "", true, "want 0 or 1"}, {ptr("2"), "", true, "want 0 or 1"},
		{ptr("0\n"), "", false, ""}, {ptr("1\n"), "", true, ""}, {ptr("0"), "0", true, ""}, {ptr("1"), "0", false, ""}, {ptr(strings.Repeat("0", 100)), "", true, "want 0 or 1"},
	} {
		os.Remove(file)
		if c.content != nil {
			if err := os.WriteFile(file, []byte(*c.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w := &cutOut{cfg: CutOutConfig{File: file, Active: c.active}, log: quiet()}
		if got := w.read(); got.Active != c.want || !strings.Contains(got.Detail, c.detail) || (c.detail == "") != (got.Detail == "") {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func ptr(s string) *string { return &s }

// The contactor's file follows what the core wants, again until it works.
func TestContactorOutput(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	w := &cutOut{cfg: CutOutConfig{File: "x", Contactor: filepath.Join(dir, "k1")}, log: quiet()}
	w.output(gateway.Output{Line: gateway.LineContactor, On: true})
	w.drive()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		on   bool
		want string
	}{{true, "1\n"}, {false, "0\n"}} {
		w.output(gateway.Output{Line: gateway.LineContactor, On: c.on})
		w.drive()
		if got, err := os.ReadFile(w.cfg.Contactor); err != nil || string(got) != c.want {
			t.Errorf("on %v: %q, %v", c.on, got, err)
		}
	}
}

// A contactor that cannot be set is tried at every look, and is one line in the
// log: not twenty a second, for as long as somebody needs to come.
func TestContactorFailureIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	file := filepath.Join(t.TempDir(), "none", "k1")
	w := &cutOut{cfg: CutOutConfig{File: "x", Contactor: file}, log: slog.New(slog.NewJSONHandler(&log, nil))}
	lines := func(want int) {
		t.Helper()
		if n := strings.Count(log.String(), "contactor output not written"); n != want {
			t.Errorf("%d lines, want %d:\n%s", n, want, log.String())
		}
	}
	w.output(gateway.Output{Line: gateway.LineContactor, On: true})
	for range 5 {
		w.drive()
	}
	lines(1)
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	w.drive()
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	w.output(gateway.Output{Line: gateway.LineContactor, On: false})
	w.drive()
	w.drive()
	lines(2)
}

// A core that goes while a release is under way is said at once, and is not
// asked again and again for as long as the request may take.
func TestReleaseWhileTheCoreGoes(t *testing.T) {
	asked := 0
	m := &metrics{report: func(context.Context) (*Report, error) {
		if asked++; asked == 1 {
			r := &Report{}
			r.CutOut.Latched = true
			return r, nil
		}
		return nil, errCoreGone
	}}
	socket := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Net: "unix"})
	r := httptest.NewRequestWithContext(socket, http.MethodPost, "/v1/cutout/release", strings.NewReader(`{"by":"Ada"}`))
	w := httptest.NewRecorder()
	releaseCutOut(w, r, m, newRecorder().running(t, func() {}))
	if w.Code != http.StatusServiceUnavailable || asked != 2 {
		t.Errorf("HTTP %d after %d questions: %s", w.Code, asked, w.Body)
	}
}
