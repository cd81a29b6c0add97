package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp"
	"github.com/lorenzodonini/ocpp-go/ocppj"
	"github.com/lorenzodonini/ocpp-go/ws"
)

// A wire is ocpp-go's WebSocket client, with the one thing that a test cannot
// live with taken out.
type wire struct{ *ws.Client }

// Write is ocpp-go's, which panics when the connection ends while it waits for
// its place in the queue.
func (w wire) Write(data []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the connection ended: %v", p)
		}
	}()
	return w.Client.Write(data)
}

// A setup is how a charger connects.
type setup struct {
	addr      string        // where to; "" is the gateway itself
	password  string        // "" is the site's
	timeout   time.Duration // for an answer, before it is given up; 0: patience
	reconnect time.Duration // pause before each attempt; 0: 20 ms
	trust     *tls.Config   // of a server that speaks TLS; nil: without
}

func (s *site) defaults(o setup) setup {
	if o.addr == "" {
		o.addr = s.ocpp
	}
	if o.password == "" {
		o.password = password
	}
	if o.timeout == 0 {
		o.timeout = patience
	}
	if o.reconnect == 0 {
		o.reconnect = 20 * time.Millisecond
	}
	return o
}

// A peer is what the fixture needs of a charger whatever its version.
type peer struct {
	t     *testing.T
	id    string
	asked chan ocpp.Request // calls of the gateway, in order
	down  chan struct{}     // one for each lost connection
	up    chan struct{}     // one for each reconnection
	queue ocppj.RequestQueue

	mu     sync.Mutex
	faults []string // messages that ocpp-go refused to read
}

func newPeer(t *testing.T, id string) *peer {
	return &peer{
		t: t, id: id, asked: make(chan ocpp.Request, 256), down: make(chan struct{}, 256), up: make(chan struct{}, 256),
		queue: ocppj.NewFIFOClientQueue(0),
	}
}

// dialer makes ocpp-go's WebSocket client.
func (p *peer) dialer(o setup) wire {
	c := ws.NewClient()
	if o.trust != nil {
		c = ws.NewTLSClient(o.trust)
	}
	c.SetBasicAuth(p.id, o.password)
	c.SetTimeoutConfig(ws.ClientTimeoutConfig{
		WriteWait: 10 * time.Second, HandshakeTimeout: 10 * time.Second, PongWait: patience, PingPeriod: patience / 2,
		RetryBackOffWaitMinimum: o.reconnect,
	})
	return wire{c}
}

// endpoint makes ocpp-go's message layer over w.
func (p *peer) endpoint(w wire, o setup, profiles ...*ocpp.Profile) *ocppj.Client {
	d := ocppj.NewDefaultClientDispatcher(p.queue)
	d.SetTimeout(o.timeout)
	e := ocppj.NewClient(p.id, w, d, nil, profiles...)
	e.SetInvalidMessageHook(func(err *ocpp.Error, raw string, _ []any) *ocpp.Error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = append(p.faults, fmt.Sprintf("%v: %s", err, raw))
		return nil
	})
	e.SetOnDisconnectedHandler(func(error) { note(p.down, struct{}{}) })
	e.SetOnReconnectedHandler(func() { note(p.up, struct{}{}) })
	return e
}

// note puts v into a channel that nobody may be reading.
func note[T any](c chan<- T, v T) {
	select {
	case c <- v:
	default:
	}
}

// A foreigner is ocpp-go's charge point or charging station.
type foreigner interface {
	Start(url string) error
	Stop()
	IsConnected() bool
}

// connect dials and arranges for the end.
func (p *peer) connect(f foreigner, o setup) {
	p.t.Helper()
	url := chargerURL(o.addr)
	if o.trust != nil {
		url = strings.Replace(url, "ws://", "wss://", 1)
	}
	if err := f.Start(url); err != nil {
		p.t.Fatalf("%s connects: %v", p.id, err)
	}
	p.t.Cleanup(func() { p.hangUp(f) })
}

// hangUp stops the client and reports what it did not understand. It may be
// called twice.
func (p *peer) hangUp(f foreigner) {
	if f.IsConnected() { // Stop on a client that is reconnecting can wait for ever
		ended := make(chan struct{})
		go func() { f.Stop(); close(ended) }()
		limit := time.NewTimer(patience)
		defer limit.Stop()
		select {
		case <-ended:
		case <-limit.C:
			p.t.Errorf("ocpp-go's client of %s did not stop", p.id)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		p.t.Errorf("%s got a message that ocpp-go cannot read: %s", p.id, f)
	}
	p.faults = nil
}

// wait waits for an event of the connection.
func (p *peer) wait(what string, c <-chan struct{}) {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-c:
	case <-limit.C:
		p.t.Fatalf("%s: %s did not come in %s", p.id, what, patience)
	}
}

// ordered waits for the gateway's next call of one kind and passes others over.
func ordered[R ocpp.Request](p *peer) (r R) {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case q := <-p.asked:
			if got, ok := q.(R); ok {
				return got
			}
		case <-limit.C:
			p.t.Fatalf("%s: the gateway's %T did not come in %s", p.id, r, patience)
		}
	}
}

var errSilent = errors.New("ocpp-go did not return in time")

// try makes a call of ocpp-go, which waits for the answer, with a deadline.
func try[T any](f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := f()
		done <- answer{v, err}
	}()
	limit := time.NewTimer(patience + 5*time.Second)
	defer limit.Stop()
	select {
	case a := <-done:
		return a.v, a.err
	case <-limit.C:
		return *new(T), errSilent
	}
}

// must is try for calls that have to work.
func must[T any](p *peer, what string, f func() (T, error)) T {
	p.t.Helper()
	v, err := try(f)
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.id, what, err)
	}
	return v
}

// queued waits until ocpp-go holds n calls back, so that the next one comes
// behind them.
func (p *peer) queued(n int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%d queued calls of %s", n, p.id), func() (bool, any) { return p.queue.Size() == n, p.queue.Size() })
}

// A later is the result of a call that is under way.
type later[T any] struct {
	done chan struct{}
	v    T
	err  error
}

// begin makes a call without waiting for its answer.
func begin[T any](f func() (T, error)) *later[T] {
	l := &later[T]{done: make(chan struct{})}
	go func() {
		l.v, l.err = try(f)
		close(l.done)
	}()
	return l
}

// result waits for the answer.
func (l *later[T]) result() (T, error) {
	<-l.done
	return l.v, l.err
}

// seconds cuts a time to what ocpp-go writes.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func decimal(wh int64) string { return strconv.FormatInt(wh, 10) }

// hear notes a call of the gateway.
func (p *peer) hear(r ocpp.Request) { note(p.asked, r) }
