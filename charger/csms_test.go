package charger

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// A csms is a small OCPP server of the tests' own. It records every frame and
// answers as told; it shares no code with the charger but the standard library.
type csms struct {
	t        *testing.T
	protocol string
	dialed   chan net.Conn
	closed   chan struct{}

	mu      sync.Mutex
	log     []string // "> frame" from the charger, "< frame" to it
	calls   []call
	conns   []*websocket.Conn
	nextTx  int
	headers []http.Header
	answers map[string]func(payload map[string]any) any // nil result: no answer; callError: CALLERROR
}

type call struct {
	ID, Action string
	Payload    map[string]any
}

func newCSMS(t *testing.T, v Version) *csms {
	s := &csms{
		t: t, protocol: map[Version]string{V16: "ocpp1.6", V201: "ocpp2.0.1"}[v],
		dialed: make(chan net.Conn), closed: make(chan struct{}), nextTx: 100,
		answers: map[string]func(map[string]any) any{},
	}
	srv := &http.Server{Handler: http.HandlerFunc(s.serve)}
	go srv.Serve(s)
	t.Cleanup(func() { srv.Close() })
	return s
}

// Accept, Close and Addr make the server its own in-memory listener.
func (s *csms) Accept() (net.Conn, error) {
	select {
	case c := <-s.dialed:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}
func (s *csms) Close() error   { close(s.closed); return nil }
func (s *csms) Addr() net.Addr { return &net.TCPAddr{} }

func (s *csms) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case s.dialed <- far:
		return near, nil
	case <-s.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *csms) serve(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{s.protocol}})
	if err != nil {
		s.t.Errorf("accept: %v", err)
		return
	}
	defer ws.CloseNow()
	s.mu.Lock()
	s.conns = append(s.conns, ws)
	s.headers = append(s.headers, r.Header)
	s.mu.Unlock()
	for {
		_, raw, err := ws.Read(context.Background())
		if err != nil {
			return
		}
		s.receive(ws, raw)
	}
}

func (s *csms) receive(ws *websocket.Conn, raw []byte) {
	var f []any
	if err := json.Unmarshal(raw, &f); err != nil {
		s.t.Errorf("frame %q: %v", raw, err)
		return
	}
	s.mu.Lock()
	s.log = append(s.log, "> "+string(raw))
	if f[0].(float64) != 2 {
		s.mu.Unlock()
		return
	}
	c := call{ID: f[1].(string), Action: f[2].(string), Payload: f[3].(map[string]any)}
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	switch a := s.answer(c).(type) {
	case nil:
	case callError:
		s.write(ws, []any{4, c.ID, a.Code, a.Text, map[string]any{}})
	default:
		s.write(ws, []any{3, c.ID, a})
	}
}

func (s *csms) answer(c call) any {
	s.mu.Lock()
	f := s.answers[c.Action]
	s.mu.Unlock()
	if f != nil {
		return f(c.Payload)
	}
	now := time.Now().UTC().Format(time.RFC3339)
	ok := map[string]any{"status": "Accepted"}
	switch c.Action {
	case "BootNotification":
		return map[string]any{"status": "Accepted", "currentTime": now, "interval": 300}
	case "Heartbeat":
		return map[string]any{"currentTime": now}
	case "Authorize":
		return map[string]any{"idTagInfo": ok, "idTokenInfo": ok}
	case "StartTransaction":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.nextTx++
		return map[string]any{"transactionId": s.nextTx, "idTagInfo": ok}
	}
	return map[string]any{}
}

func (s *csms) on(action string, f func(map[string]any) any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[action] = f
}

// order sends a CALL to the charger on its newest connection.
func (s *csms) order(action string, payload any) {
	s.mu.Lock()
	ws := s.conns[len(s.conns)-1]
	s.mu.Unlock()
	s.write(ws, []any{2, "order-1", action, payload})
}

func (s *csms) write(ws *websocket.Conn, f []any) {
	raw, err := json.Marshal(f)
	if err != nil {
		s.t.Errorf("encode: %v", err)
		return
	}
	s.mu.Lock()
	s.log = append(s.log, "< "+string(raw))
	s.mu.Unlock()
	ws.Write(context.Background(), websocket.MessageText, raw) // a broken link is the test's own doing
}

// got returns the payloads of the calls with one of the actions, in order.
func (s *csms) got(actions ...string) []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []call
	for _, c := range s.calls {
		if slices.Contains(actions, c.Action) {
			out = append(out, c)
		}
	}
	return out
}

// last returns the last line of the log that contains what.
func (s *csms) last(what string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range slices.Backward(s.log) {
		if strings.Contains(l, what) {
			return l
		}
	}
	return ""
}

// with runs a test in virtual time, with a charger that is connected to a csms.
func with(t *testing.T, o Options, test func(t *testing.T, c *Charger, s *csms)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		setDefault(&o.Version, V16)
		s := newCSMS(t, o.Version)
		o.URL, o.Dial = "ws://csms.test/ocpp", s.dial
		setDefault(&o.ID, "CP-7")
		setDefault(&o.Power, 36_000) // 10 Wh a second
		setDefault(&o.StartRegister, 910_031)
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		if err := c.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		test(t, c, s)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// charge runs one whole session of the given length.
func charge(t *testing.T, c *Charger, token string, d time.Duration) {
	t.Helper()
	begin(t, c, token)
	time.Sleep(d)
	end(t, c)
}

func begin(t *testing.T, c *Charger, token string) {
	t.Helper()
	if err := c.Plug(1); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if ok, why := c.Swipe(t.Context(), 1, token); !ok {
		t.Fatalf("token %s refused: %s", token, why)
	}
	synctest.Wait()
}

func end(t *testing.T, c *Charger) {
	t.Helper()
	if err := c.StopCharging(1); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if err := c.Unplug(1); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func settle(t *testing.T, c *Charger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := c.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// at reads a path of fields and list indices from a payload, as text.
func at(t *testing.T, v any, path ...any) string {
	t.Helper()
	for _, p := range path {
		switch k := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				t.Fatalf("path %v: no element %d", path, k)
			}
			v = l[k]
		}
	}
	if f, ok := v.(float64); ok {
		return fmt.Sprintf("%.3f", f)
	}
	return fmt.Sprint(v)
}

func basicAuth(header string) (user, pass string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {header}}}
	return r.BasicAuth()
}
