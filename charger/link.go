package charger

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Why a call brought no result, besides a [callError].
var (
	errLinkLost = errors.New("the connection broke")
	errNoAnswer = errors.New("no answer in time")
)

const writeTimeout = 10 * time.Second

// A link is one WebSocket connection. It lets one CALL of ours be outstanding
// at a time (OCPP-J 1.6 section 4.1.1).
type link struct {
	ws      *websocket.Conn
	slot    chan struct{} // holds one token: the right to have a CALL outstanding
	done    chan struct{} // closed when the link is dead
	later   chan request  // messages that nobody waits for
	die     sync.Once
	mu      sync.Mutex // guards waiting
	waiting map[string]chan frame
}

// dial opens a connection to the endpoint with the version's subprotocol.
func (c *Charger) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	header := http.Header{}
	if c.o.Password != "" {
		r := http.Request{Header: header}
		r.SetBasicAuth(c.o.ID, c.o.Password)
	}
	transport := &http.Transport{DialContext: c.o.Dial, TLSClientConfig: c.o.TLS}
	ws, _, err := websocket.Dial(ctx, strings.TrimSuffix(c.o.URL, "/")+"/"+url.PathEscape(c.o.ID), &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		HTTPHeader:   header,
		Subprotocols: []string{c.d.protocol()},
	})
	if err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	if got := ws.Subprotocol(); got != c.d.protocol() {
		ws.CloseNow() //nolint:errcheck // there is nothing to save on a link nobody can use
		return nil, errors.New("the endpoint does not speak " + c.d.protocol())
	}
	ws.SetReadLimit(MaxFrameBytes)
	return &link{
		ws: ws, slot: make(chan struct{}, 1), done: make(chan struct{}),
		later: make(chan request, maxLater), waiting: map[string]chan frame{},
	}, nil
}

// kill ends the link without a closing handshake, as a pulled cable does.
func (l *link) kill() {
	l.die.Do(func() {
		close(l.done)
		l.ws.CloseNow() //nolint:errcheck // the point is that nobody is told
	})
}

// read hands each frame on until the link is dead. Answers go to whoever
// waits; an answer that nobody waits for any more is dropped.
func (l *link) read(ctx context.Context, called func(frame)) {
	defer l.kill()
	for {
		_, raw, err := l.ws.Read(ctx)
		if err != nil {
			return
		}
		f, err := decodeFrame(raw)
		if err != nil {
			continue // a charger ignores what it cannot read; there is no id to answer
		}
		if f.typ == typeCall {
			called(f)
			continue
		}
		l.mu.Lock()
		ch := l.waiting[f.id]
		delete(l.waiting, f.id)
		l.mu.Unlock()
		if ch != nil {
			ch <- f
		}
	}
}

func (l *link) write(raw []byte) error {
	// Not the caller's context: cancelling a write would end the connection.
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := l.ws.Write(ctx, websocket.MessageText, raw); err != nil {
		l.kill()
		return errLinkLost
	}
	return nil
}

// call sends one CALL and waits for its answer: the result's payload, a
// *callError, errNoAnswer, errLinkLost, or the context's error.
func (l *link) call(ctx context.Context, id string, r request, timeout time.Duration) (json.RawMessage, error) {
	select {
	case l.slot <- struct{}{}:
		defer func() { <-l.slot }()
	case <-l.done:
		return nil, errLinkLost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	raw, err := encodeCall(id, r)
	if err != nil {
		return nil, err
	}
	answer := make(chan frame, 1)
	l.mu.Lock()
	l.waiting[id] = answer
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, id)
		l.mu.Unlock()
	}()
	if err := l.write(raw); err != nil {
		return nil, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case f := <-answer:
		if f.typ == typeError {
			return nil, &callError{Code: f.code, Text: f.text}
		}
		return f.payload, nil
	case <-timer.C:
		return nil, errNoAnswer
	case <-l.done:
		return nil, errLinkLost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
