package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast/gateway"
)

const password = "0123456789abcdefXYZ!"

// site is a charger server on a real socket with a recording core behind it.
type site struct {
	*chargerServer
	core *recorder
	url  string // ws://host:port/ocpp/
}

func newSite(t testing.TB, change func(*Config), ids ...string) *site {
	t.Helper()
	hash, err := HashPassword(password, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Dir: "/d"}
	for _, id := range ids {
		cfg.Chargers = append(cfg.Chargers, ChargerConfig{ID: id, PasswordHash: hash.String()})
	}
	if change != nil {
		change(cfg)
	}
	cfg.complete()
	s := &site{core: newRecorder()}
	e := s.core.running(t, func() { s.closeAll(websocket.StatusServiceRestart, "recovering") })
	s.chargerServer = newChargerServer(cfg, quiet(), []string{"ocpp2.0.1", "ocpp1.6"}, e.feed)
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	t.Cleanup(s.shutdown)
	s.url = "ws" + strings.TrimPrefix(web.URL, "http") + "/ocpp/"
	return s
}

type dialer struct {
	user, password string
	protocols      []string
	path           string // instead of /ocpp/user
}

func (s *site) dial(t testing.TB, d dialer) (*websocket.Conn, int) {
	t.Helper()
	if d.protocols == nil {
		d.protocols = []string{"ocpp1.6"}
	}
	opts := &websocket.DialOptions{Subprotocols: d.protocols, HTTPHeader: http.Header{}}
	if d.password != "" {
		req := http.Request{Header: opts.HTTPHeader}
		req.SetBasicAuth(d.user, d.password)
	}
	if d.path == "" {
		d.path = d.user
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, s.url+d.path, opts)
	if err != nil {
		if resp == nil {
			t.Fatalf("dial: %v", err)
		}
		return nil, resp.StatusCode
	}
	t.Cleanup(func() { ws.CloseNow() })
	return ws, http.StatusSwitchingProtocols
}

func closeCode(t testing.TB, ws *websocket.Conn) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := ws.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// Nothing gets in without proof, and what is turned away changes nothing but
// the count of refusals.
func TestHandshake(t *testing.T) {
	digits := hex.EncodeToString([]byte(password))
	for _, tt := range []struct {
		name   string
		d      dialer
		status int
		kind   string // of the refusal
	}{
		{"password", dialer{user: "CP-1", password: password}, 101, ""},
		{"password as hex digits", dialer{user: "CP-1", password: digits}, 101, ""},
		{"password as upper hex digits", dialer{user: "CP-1", password: strings.ToUpper(digits)}, 101, ""},
		{"percent-encoded identity", dialer{user: "CP#1", path: "CP%231", password: password}, 101, ""},
		{"none", dialer{user: "CP-1"}, 401, "auth"},
		{"wrong", dialer{user: "CP-1", password: "0123456789abcdefXYZ?"}, 401, "auth"},
		{"hex of wrong length", dialer{user: "CP-1", password: digits + "00"}, 401, "auth"},
		{"another's name", dialer{user: "CP-2", path: "CP-1", password: password}, 401, "auth"},
		{"unknown charger", dialer{user: "CP-9", password: password}, 404, "unknown_charger"},
		{"no identity", dialer{user: "CP-1", path: "%20", password: password}, 404, "unknown_charger"},
		{"below the identity", dialer{user: "CP-1", path: "CP-1/x", password: password}, 404, "unknown_charger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, nil, "CP-1", "CP-2", "CP#1")
			_, status := s.dial(t, tt.d)
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if tt.kind == "" {
				if c := wait[gateway.Connected](t, s.core, nil); !c.Proved || c.Version != "ocpp1.6" || string(c.Charger) != tt.d.user {
					t.Errorf("connected %+v", c)
				}
				return
			}
			if r := wait[gateway.Refused](t, s.core, nil); r.Kind != tt.kind {
				t.Errorf("refused %+v, want kind %q", r, tt.kind)
			}
		})
	}
}

// OCPP-J 1.6 section 3.1.2: without a common version the handshake is finished
// without the header, and then the connection is closed.
func TestHandshakeWithoutCommonVersion(t *testing.T) {
	s := newSite(t, nil, "CP-1")
	ws, status := s.dial(t, dialer{user: "CP-1", password: password, protocols: []string{"ocpp1.5"}})
	if status != 101 || ws.Subprotocol() != "" {
		t.Fatalf("status %d, subprotocol %q", status, ws.Subprotocol())
	}
	if code := closeCode(t, ws); code != websocket.StatusProtocolError {
		t.Errorf("closed with %d", code)
	}
	if r := wait[gateway.Refused](t, s.core, nil); r.Kind != "subprotocol" {
		t.Errorf("refused %+v", r)
	}
	ws, _ = s.dial(t, dialer{user: "CP-1", password: password, protocols: []string{"ocpp1.6", "ocpp2.0.1"}})
	if ws.Subprotocol() != "ocpp2.0.1" {
		t.Errorf("chose %q of the two, want the newer", ws.Subprotocol())
	}
}

// Security profile 0 exists only where the configuration declares a lab, and
// there too a charger that has a password must prove it.
func TestProfileZeroOnlyInALab(t *testing.T) {
	open := func(c *Config) { c.Chargers = append(c.Chargers, ChargerConfig{ID: "OPEN"}) }
	s := newSite(t, func(c *Config) { open(c); c.Lab = true }, "CP-1")
	if _, status := s.dial(t, dialer{user: "OPEN"}); status != 101 {
		t.Errorf("in a lab: status %d", status)
	}
	if c := wait[gateway.Connected](t, s.core, nil); c.Proved {
		t.Error("a charger without a password counts as proved")
	}
	if _, status := s.dial(t, dialer{user: "CP-1"}); status != 401 {
		t.Errorf("password left out in a lab: status %d", status)
	}
	if _, status := newSite(t, open, "CP-1").dial(t, dialer{user: "OPEN"}); status != 401 {
		t.Errorf("outside a lab: status %d", status)
	}
}

// Guessing is cut off, and does not lock out the charger that has proved
// itself from the same address.
func TestRefusalsAreRateLimited(t *testing.T) {
	s := newSite(t, nil, "CP-1", "CP-2")
	s.dial(t, dialer{user: "CP-2", password: password})
	count := map[int]int{}
	for range 2 * addressBurst {
		_, status := s.dial(t, dialer{user: "nobody", password: password})
		count[status]++
	}
	if count[404] > addressBurst+5 || count[429] < addressBurst-5 {
		t.Errorf("answers to a stranger: %v", count)
	}
	if _, status := s.dial(t, dialer{user: "CP-1", password: password}); status != 429 {
		t.Errorf("a charger that never proved itself from the guesser's address: %d, want 429", status)
	}
	if _, status := s.dial(t, dialer{user: "CP-2", password: password}); status != 101 {
		t.Errorf("the charger that proved itself is locked out by its neighbour: %d", status)
	}
	wait(t, s.core, func(r gateway.Refused) bool { return r.Kind == "rate" })
}

func TestKnocksComeBackWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, k := newKnocks(), knocker{charger: "CP-1", address: "10.0.0.1"}
		for range pairBurst {
			if !n.allow(k) {
				t.Fatal("refused within the burst")
			}
			n.failed(k)
		}
		if n.allow(k) {
			t.Error("allowed after the burst")
		}
		if !n.allow(knocker{charger: "CP-1", address: "10.0.0.2"}) {
			t.Error("another address is locked out")
		}
		time.Sleep(pairEvery)
		if !n.allow(k) {
			t.Error("still refused when a token is back")
		}
		for i := range 3 * maxBuckets {
			n.failed(knocker{address: fmt.Sprint(i)})
		}
		if len(n.buckets) > maxBuckets {
			t.Errorf("%d buckets, at most %d", len(n.buckets), maxBuckets)
		}
	})
}

func TestFramesBothWays(t *testing.T) {
	s := newSite(t, nil, "CP-1")
	ws, _ := s.dial(t, dialer{user: "CP-1", password: password})
	conn := wait[gateway.Connected](t, s.core, nil).Conn
	for i := range 50 {
		if err := ws.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, "up %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, s.core, func(f gateway.Frame) bool { return string(f.Raw) == "up 49" })
	for i := range 50 {
		s.send(conn, fmt.Appendf(nil, "down %d", i))
	}
	s.close(conn, 1000, "enough") // after what was queued before it
	for i := range 50 {
		if _, raw, err := ws.Read(t.Context()); err != nil || string(raw) != fmt.Sprintf("down %d", i) {
			t.Fatalf("frame %d: %q, %v", i, raw, err)
		}
	}
	if code := closeCode(t, ws); code != websocket.StatusNormalClosure {
		t.Errorf("closed with %d", code)
	}
	if d := wait[gateway.Disconnected](t, s.core, nil); d.Conn != conn || !strings.Contains(d.Detail, "enough") {
		t.Errorf("disconnected %+v", d)
	}
	s.send(conn, []byte("into the void")) // must not panic or block
	s.core.mu.Lock()
	defer s.core.mu.Unlock()
	n := 0
	for _, in := range s.core.inputs {
		if f, ok := in.(gateway.Frame); ok {
			if want := fmt.Sprintf("up %d", n); string(f.Raw) != want {
				t.Fatalf("frame %q, want %q", f.Raw, want)
			}
			n++
		}
	}
}

func TestOversizedAndBinaryMessages(t *testing.T) {
	s := newSite(t, nil, "CP-1", "CP-2")
	big, _ := s.dial(t, dialer{user: "CP-1", password: password})
	fits := strings.Repeat("x", MaxFrameBytes)
	big.Write(t.Context(), websocket.MessageText, []byte(fits))
	wait(t, s.core, func(f gateway.Frame) bool { return len(f.Raw) == MaxFrameBytes })
	big.Write(t.Context(), websocket.MessageText, []byte(fits+"x"))
	if code := closeCode(t, big); code != websocket.StatusMessageTooBig {
		t.Errorf("closed with %d", code)
	}
	wait(t, s.core, func(r gateway.Refused) bool { return r.Kind == "size" && r.Charger == "CP-1" })
	binary, _ := s.dial(t, dialer{user: "CP-2", password: password})
	binary.Write(t.Context(), websocket.MessageBinary, []byte("x"))
	if code := closeCode(t, binary); code != websocket.StatusUnsupportedData {
		t.Errorf("binary: closed with %d", code)
	}
}

// A charger that does not read is disconnected; the core's goroutine is not
// held up for a moment.
func TestStuckChargerDoesNotHoldUpTheCore(t *testing.T) {
	s := newSite(t, nil, "CP-1")
	s.dial(t, dialer{user: "CP-1", password: password}) // and never reads
	conn := wait[gateway.Connected](t, s.core, nil).Conn
	frame := []byte(strings.Repeat("x", 256<<10))
	began := time.Now()
	for range 2 * SendQueueFrames {
		s.send(conn, frame)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("sending took %v", took)
	}
	if d := wait[gateway.Disconnected](t, s.core, nil); !strings.Contains(d.Detail, "does not read") {
		t.Errorf("disconnected %+v", d)
	}
}

// A reconnect within milliseconds of a cut gets in beside the old connection;
// which of them counts is the core's decision. A charger that opens more and
// more sockets loses its oldest.
func TestReconnectBesideAHalfOpenSocket_ocppgo314(t *testing.T) {
	s := newSite(t, nil, "CP-1")
	for range MaxSocketsPerID + 2 {
		if _, status := s.dial(t, dialer{user: "CP-1", password: password}); status != 101 {
			t.Fatalf("status %d", status)
		}
	}
	for id := gateway.ConnID(1); id <= 2; id++ {
		wait(t, s.core, func(d gateway.Disconnected) bool { return d.Conn == id })
	}
}

// Two hundred chargers come back at once after a power cut.
func TestTwoHundredBootsAtOnce(t *testing.T) {
	var ids []string
	for i := range 200 {
		ids = append(ids, fmt.Sprintf("CP-%03d", i))
	}
	s := newSite(t, nil, ids...)
	s.core.act = func(in gateway.Input) error {
		if f, ok := in.(gateway.Frame); ok {
			s.send(f.Conn, f.Raw)
		}
		return nil
	}
	began := time.Now()
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			ws, status := s.dial(t, dialer{user: id, password: password})
			if status != 101 {
				t.Errorf("%s: status %d", id, status)
				return
			}
			if err := ws.Write(t.Context(), websocket.MessageText, []byte(id)); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			if _, raw, err := ws.Read(t.Context()); err != nil || string(raw) != id {
				t.Errorf("%s: answer %q, %v", id, raw, err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %v; chargers give up after 30 s", took)
	} else {
		t.Logf("200 handshakes, boots and answers in %v", took)
	}
}

// While the core is being recovered nobody gets in, and a discarded core's
// connections end with an invitation to come back.
func TestRecoveryClosesConnections(t *testing.T) {
	s := newSite(t, nil, "CP-1")
	s.core.act = func(in gateway.Input) error {
		if f, ok := in.(gateway.Frame); ok && string(f.Raw) == "boom" {
			return errDisk
		}
		return nil
	}
	ws, _ := s.dial(t, dialer{user: "CP-1", password: password})
	ws.Write(t.Context(), websocket.MessageText, []byte("boom"))
	if code := closeCode(t, ws); code != websocket.StatusServiceRestart {
		t.Errorf("closed with %d, want 1012", code)
	}
	for status, limit := 0, time.Now().Add(20*time.Second); status != 101; {
		if _, status = s.dial(t, dialer{user: "CP-1", password: password}); status != 101 && status != 503 || time.Now().After(limit) {
			t.Fatalf("status %d while recovering", status)
		}
	}
	wait(t, s.core, func(c gateway.Connected) bool { return c.Conn >= 2 })
}

// pipes is a network without a kernel, so that time can be virtual.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// A socket whose other end is gone without a word dies after the ping interval
// and the pong timeout, and one that answers pings lives on.
func TestHalfOpenSocketDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		stop, ended := make(chan struct{}), make(chan error, 1)
		var s *chargerServer
		e := newEngine(quiet(), NewClock(1), func(*feed) (*core, error) { return r.core(), nil }, func() {})
		go func() { ended <- e.run(stop) }()
		<-e.opened
		cfg := &Config{Lab: true, Chargers: []ChargerConfig{{ID: "DEAD"}, {ID: "ALIVE"}}}
		cfg.complete()
		s = newChargerServer(cfg, quiet(), []string{"ocpp1.6"}, e.feed)
		network := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		web := &http.Server{Handler: s}
		go web.Serve(network)
		dial := func(id string) *websocket.Conn {
			ws, _, err := websocket.Dial(t.Context(), "ws://gateway/ocpp/"+id, &websocket.DialOptions{
				Subprotocols: []string{"ocpp1.6"}, HTTPClient: &http.Client{Transport: &http.Transport{DialContext: network.dial}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return ws
		}
		dial("DEAD") // never reads, so never answers a ping
		alive := dial("ALIVE")
		reading := alive.CloseRead(t.Context())
		time.Sleep(DefaultPingSeconds*time.Second + PongTimeout + time.Second)
		synctest.Wait()
		dead := wait(t, r, func(c gateway.Connected) bool { return c.Charger == "DEAD" })
		if d := wait[gateway.Disconnected](t, r, nil); d.Conn != dead.Conn {
			t.Errorf("disconnected %+v, want the silent one, %d", d, dead.Conn)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.connected() != 1 || reading.Err() != nil {
			t.Errorf("%d connections after an hour of silence, want the one that answers pings", s.connected())
		}
		alive.CloseNow()
		s.shutdown()
		close(network.done)
		web.Close()
		close(stop)
		<-ended
	})
}
