package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/holdfast-ev/holdfast/cloud"
)

// The header that makes a request count once
// (draft-ietf-httpapi-idempotency-key-header), and the one that says that an
// answer is a repetition.
const (
	keyHeader   = "Idempotency-Key"
	againHeader = "Idempotency-Replayed"
)

// waitMillis is when to ask again while the first request with a key is under
// way.
const waitMillis = 1_000

// keyed reports whether the route takes an Idempotency-Key: every POST of an
// operator does.
func (rt route) keyed() bool { return rt.who == callerOperator && rt.method() == http.MethodPost }

// requestKey reads the header: a string of structured fields, "in quotes", as
// the draft has it, or the bare text that most clients send. "" is none.
func requestKey(r *http.Request) (string, error) {
	lines := r.Header.Values(keyHeader)
	if len(lines) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(lines[0])
	if len(lines) > 1 {
		return "", kindBadRequest.because("the header %s is given twice", keyHeader)
	}
	if inner, ok := strings.CutPrefix(key, `"`); ok {
		if inner, ok = strings.CutSuffix(inner, `"`); !ok {
			return "", kindBadRequest.because("the header %s begins with a quote and does not end with one", keyHeader)
		}
		key = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(inner)
	}
	if len(key) == 0 || len(key) > cloud.MaxRequestKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", kindBadRequest.because("the header %s has %d bytes, want 1 to %d of printable ASCII", keyHeader, len(key), cloud.MaxRequestKey)
	}
	return key, nil
}

// flights are the requests with a key that are under way: a repetition does not
// wait for the first one, it is told to ask again.
type flights struct {
	mu   sync.Mutex
	keys map[string]bool // bounded by the connections that are open
}

func (f *flights) enter(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys[key] {
		return false
	}
	f.keys[key] = true
	return true
}

func (f *flights) leave(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.keys, key)
}

// personal is an answer that tells of one driver's token: erasing that erases
// what was kept of the answer.
type personal interface{ AboutToken() string }

// once does a request with a key through [cloud.Plane.Once]. What do wants done
// after the commit (to wake gateways) waits in the call until then.
func (s *Server) once(w http.ResponseWriter, c *call, key string, body []byte, do func(context.Context) (any, error)) (int, error) {
	flight := operatorName + "\x00" + key
	if !s.flights.enter(flight) {
		return 0, kindKeyBusy.because("the first request with this %s is under way", keyHeader).later(waitMillis)
	}
	defer s.flights.leave(flight)
	c.holding = true
	what := fmt.Appendf(nil, "%s %s\n%s", c.req.Method, c.req.URL.EscapedPath(), body)
	a, again, err := s.plane.Once(c.req.Context(), c.now, cloud.Request{By: operatorName, Key: key, What: what},
		func(ctx context.Context) (a cloud.Answer, err error) {
			out, err := do(ctx)
			if err != nil {
				return a, err
			}
			if p, ok := out.(personal); ok {
				a.Token = p.AboutToken()
			}
			a.Status = c.route.success()
			a.Body, err = encodeJSON(out)
			return a, err
		})
	if err != nil {
		return 0, err
	}
	if again {
		w.Header().Set(againHeader, "true")
	} else {
		c.committed()
	}
	return writeBytes(w, a.Status, a.Body), nil
}

type callKey struct{}

// afterCommit does f when what the call has done is durable: at once, or after
// the transaction that the call is part of.
func afterCommit(ctx context.Context, f func()) {
	if c, ok := ctx.Value(callKey{}).(*call); ok && c.holding {
		c.held = append(c.held, f)
		return
	}
	f()
}

// committed does what waited for the commit.
func (c *call) committed() {
	for _, f := range c.held {
		f()
	}
	c.held, c.holding = nil, false
}

// encodeJSON is an answer's body, one line.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return b.Bytes(), nil
}
