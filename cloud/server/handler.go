package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// deniedCall is the name under which calls count that got no further than the
// question who they are.
const deniedCall = "denied"

// A call is one request on its way through an endpoint.
type call struct {
	id      string             // request id, in the answer and in the log
	now     holdfast.UnixMilli // the one time that everything in this call uses
	gateway holdfast.GatewayID // who calls; "" on the operators' endpoint
	route   route
	req     *http.Request

	holding bool     // the call is part of a transaction that has not been committed
	held    []func() // what waits for it; see [afterCommit]
}

// serve is the part of [handle] that raw endpoints share: request id, time, log
// line, counters, and the way from an error to a problem.
func (s *Server) serve(rt route, f func(http.ResponseWriter, *call) (int, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		c := &call{id: newRequestID(), route: rt, now: s.now(), gateway: peerOf(r.Context())}
		c.req = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		w.Header().Set("X-Request-Id", c.id)
		status, err := s.guard(rt, c, w, f)
		var problem *Problem
		if err != nil {
			problem = s.refuse(rt, c, err)
			writeProblem(w, problem)
			status = problem.Status
		}
		s.metrics.request(rt.name, status, time.Since(began))
		s.logCall(rt, c, status, time.Since(began), problem)
	})
}

// guard turns a panic in f into an error with the stack in the log: a state that
// cannot be is a fault of ours, and one site's request must not take the others
// down. A panic that is the HTTP library's own signal passes.
func (s *Server) guard(rt route, c *call, w http.ResponseWriter, f func(http.ResponseWriter, *call) (int, error)) (status int, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			panic(p)
		}
		s.log.Error("panic", "call", rt.name, "request", c.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		status, err = 0, fmt.Errorf("panic: %v", p)
	}()
	return f(w, c)
}

// refuse finds the problem for err. An error that no table knows is a fault of
// ours: the log has it whole, the peer gets the request id.
func (s *Server) refuse(rt route, c *call, err error) *Problem {
	if errors.Is(err, context.Canceled) && c.req.Context().Err() != nil {
		return kindBadRequest.because("the client went away")
	}
	p := asProblem(err)
	if p == nil {
		s.log.Error("call failed", "call", rt.name, "request", c.id, "gateway", string(c.gateway), "err", err.Error())
		p = kindInternal.because("see the cloud's log under request %s", c.id).next("repeat the request; nothing of it was stored")
	}
	copied := *p
	copied.Request = c.id
	return &copied
}

// logCall writes one line per call. The address and the query are left out:
// they may hold what a person typed.
func (s *Server) logCall(rt route, c *call, status int, took time.Duration, p *Problem) {
	level := slog.LevelDebug
	attrs := []slog.Attr{
		slog.String("call", rt.name), slog.String("request", c.id), slog.Int("status", status),
		slog.Float64("seconds", took.Seconds()), slog.String("remote", c.req.RemoteAddr),
	}
	if c.gateway != "" {
		attrs = append(attrs, slog.String("gateway", string(c.gateway)))
	} else if c.req.Method != http.MethodGet {
		level = slog.LevelInfo // what people change is worth a line
	}
	if p != nil {
		if rt.name != deniedCall { // that has a line "security" of its own
			level = slog.LevelInfo
		}
		attrs = append(attrs, slog.String("problem", p.Slug()))
	}
	s.log.LogAttrs(c.req.Context(), level, "call", attrs...)
}

// readBody reads a bounded body of the wanted media type and encoding.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, want, encoding string) ([]byte, error) {
	ct := r.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(ct); err != nil || media != want {
		return nil, kindMedia.because("Content-Type is %q, want %s", clip(ct), want)
	}
	if ce := r.Header.Get("Content-Encoding"); ce != encoding {
		return nil, kindMedia.because("Content-Encoding is %q, want %q", clip(ce), encoding)
	}
	if r.ContentLength > limit {
		return nil, kindTooLarge.because("the body has %d bytes, at most %d", r.ContentLength, limit)
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, kindBadRequest.because("the body ended early: %v", err)
	}
	return b, nil
}

// writeJSON sends v and returns the status.
func writeJSON(w http.ResponseWriter, status int, v any) (int, error) {
	b, err := encodeJSON(v)
	if err != nil {
		return 0, err
	}
	return writeBytes(w, status, b), nil
}

// writeBytes sends JSON.
func writeBytes(w http.ResponseWriter, status int, b []byte) int {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b) // the peer may be gone; there is nobody to tell
	return status
}

func newRequestID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	return hex.EncodeToString(b[:])
}

// notFound answers what no route matches: 405 with Allow when another method
// would, else 404.
func (s *Server) notFound(mux *http.ServeMux) http.Handler {
	return s.serve(route{name: "none"}, func(w http.ResponseWriter, c *call) (int, error) {
		var allow []string
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			other := c.req.Clone(c.req.Context())
			other.Method = m
			if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
				allow = append(allow, m)
			}
		}
		if len(allow) > 0 {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			return 0, kindMethod.because("%s is not one of %s", c.req.Method, strings.Join(allow, ", "))
		}
		return 0, kindNotFound.because("no endpoint at %s", clip(c.req.URL.Path)).next("docs/api.md lists the endpoints")
	})
}
