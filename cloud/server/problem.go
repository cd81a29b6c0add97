package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// ProblemBase is where the pages of docs/problems.md are published: a problem's
// type is ProblemBase plus its slug.
const ProblemBase = "https://holdfast-ev.github.io/problems/"

// A Problem is an RFC 9457 answer. Every error of both endpoints has this form
// (Content-Type application/problem+json), and its type is one of [Problems].
type Problem struct {
	Type     string  `json:"type"`
	Title    string  `json:"title"`
	Status   int     `json:"status"`
	Detail   string  `json:"detail,omitempty"`
	Hint     string  `json:"hint,omitempty"`     // what to do next
	Code     string  `json:"code,omitempty"`     // evidence-refused: the exception's code
	Request  string  `json:"request,omitempty"`  // the id in the server's log
	Expected *uint64 `json:"expected,omitempty"` // position-mismatch: go on here
	LaterMs  int64   `json:"later_ms,omitempty"` // busy, rate-limited: not before this
}

// Error says what a person at a terminal needs: what, why, what next.
func (p *Problem) Error() string {
	s := p.Title
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Slug is the last part of the type, the name of the problem's section in
// docs/problems.md.
func (p *Problem) Slug() string {
	if len(p.Type) < len(ProblemBase) || p.Type[:len(ProblemBase)] != ProblemBase {
		return ""
	}
	return p.Type[len(ProblemBase):]
}

// A ProblemKind is one type of problem.
type ProblemKind struct {
	Slug   string
	Status int
	Title  string
}

// The kinds of problem. Each has a section in docs/problems.md.
var (
	kindBadRequest    = ProblemKind{"bad-request", http.StatusBadRequest, "The request cannot be read"}
	kindCursor        = ProblemKind{"bad-cursor", http.StatusBadRequest, "The cursor is not of this list"}
	kindInvalid       = ProblemKind{"invalid", http.StatusUnprocessableEntity, "The request was read and a value in it is not allowed"}
	kindToken         = ProblemKind{"unauthorized", http.StatusUnauthorized, "The API token is missing or wrong"}
	kindCertificate   = ProblemKind{"no-certificate", http.StatusUnauthorized, "A gateway must show its device certificate"}
	kindForeign       = ProblemKind{"wrong-gateway", http.StatusForbidden, "The certificate belongs to another gateway"}
	kindUnknown       = ProblemKind{"unknown-gateway", http.StatusForbidden, "This gateway is not enrolled here"}
	kindCode          = ProblemKind{"code-refused", http.StatusForbidden, "The enrolment code is not valid"}
	kindNotFound      = ProblemKind{"not-found", http.StatusNotFound, "There is no such thing"}
	kindMethod        = ProblemKind{"method-not-allowed", http.StatusMethodNotAllowed, "This address does not take that method"}
	kindConflict      = ProblemKind{"conflict", http.StatusConflict, "This contradicts what is already there"}
	kindPosition      = ProblemKind{"position-mismatch", http.StatusConflict, "The upload does not start where the cloud stands"}
	kindFull          = ProblemKind{"limit-reached", http.StatusConflict, "A bound is reached"}
	kindStale         = ProblemKind{"precondition-failed", http.StatusPreconditionFailed, "It is not what you think it is any more"}
	kindUnconditional = ProblemKind{"precondition-required", http.StatusPreconditionRequired, "Say which state you replace"}
	kindTooLarge      = ProblemKind{"too-large", http.StatusRequestEntityTooLarge, "The request is larger than its bound"}
	kindMedia         = ProblemKind{"unsupported-media-type", http.StatusUnsupportedMediaType, "The body has the wrong type"}
	kindEvidence      = ProblemKind{"evidence-refused", http.StatusUnprocessableEntity, "The journal bytes do not verify"}
	kindKeyMissing    = ProblemKind{"idempotency-key-missing", http.StatusBadRequest, "This call needs an Idempotency-Key"}
	kindKeyReused     = ProblemKind{"idempotency-key-reused", http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request"}
	kindKeyBusy       = ProblemKind{"idempotency-key-in-progress", http.StatusConflict, "The first request with this Idempotency-Key is under way"}
	kindKeyErased     = ProblemKind{"answer-erased", http.StatusGone, "The answer was erased with the driver that it was about"}
	kindRate          = ProblemKind{"rate-limited", http.StatusTooManyRequests, "Too many attempts"}
	kindBusy          = ProblemKind{"busy", http.StatusServiceUnavailable, "Too busy now; nothing was taken, come back later"}
	kindInternal      = ProblemKind{"internal", http.StatusInternalServerError, "The cloud failed; nothing was taken"}
)

// Problems lists every kind in the order of docs/problems.md.
func Problems() []ProblemKind {
	return []ProblemKind{
		kindBadRequest, kindCursor, kindInvalid, kindToken, kindCertificate, kindForeign, kindUnknown, kindCode, kindNotFound,
		kindMethod, kindConflict, kindPosition, kindFull, kindStale, kindUnconditional, kindTooLarge, kindMedia, kindEvidence,
		kindKeyMissing, kindKeyReused, kindKeyBusy, kindKeyErased, kindRate, kindBusy, kindInternal,
	}
}

// because makes a problem of kind k.
func (k ProblemKind) because(format string, args ...any) *Problem {
	return &Problem{Type: ProblemBase + k.Slug, Title: k.Title, Status: k.Status, Detail: fmt.Sprintf(format, args...)}
}

// next adds what to do about it.
func (p *Problem) next(hint string) *Problem {
	p.Hint = hint
	return p
}

// later adds when to come back.
func (p *Problem) later(ms int64) *Problem {
	p.LaterMs = ms
	return p
}

// writeProblem sends p. The header of a busy answer is rounded up to the
// second; the body has the exact figure.
func writeProblem(w http.ResponseWriter, p *Problem) {
	b, err := json.Marshal(p)
	if err != nil { // a struct of strings and numbers: cannot happen
		http.Error(w, p.Title, p.Status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.LaterMs > 0 {
		h.Set("Retry-After", strconv.FormatInt((p.LaterMs+999)/1000, 10))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="holdfast"`)
	}
	w.WriteHeader(p.Status)
	w.Write(append(b, '\n')) // the peer may be gone; there is nobody to tell
}

// asProblem turns any error into the problem that is told to the peer. What the
// table of sentinels does not know is ours: it is logged with its cause, and the
// peer learns only the request id.
func asProblem(err error) *Problem {
	if p := (*Problem)(nil); errors.As(err, &p) {
		return p
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return kindTooLarge.because("the body is larger than %d bytes", tooLarge.Limit)
	}
	return planeProblem(err)
}

// planeProblem maps what the plane and the vocabulary can say to problems.
func planeProblem(err error) *Problem {
	if pos := (*cloud.PositionError)(nil); errors.As(err, &pos) {
		p := kindPosition.because("%v", pos)
		p.Expected = (*uint64)(&pos.Expected)
		return p
	}
	if ev := (*cloud.EvidenceError)(nil); errors.As(err, &ev) {
		p := kindEvidence.because("%v", ev).next("the bytes were kept aside and an exception was raised; sending them again does not help")
		p.Code, p.Expected = ev.Code, (*uint64)(&ev.Expected)
		return p
	}
	for _, m := range []struct {
		err  error
		kind ProblemKind
		hint string
	}{
		{cloud.ErrCode, kindCode, "codes work once and for 72 hours; make another: holdfast sites code SITE"},
		{cloud.ErrForbidden, kindUnknown, "enrol the gateway again: holdfast sites code SITE"},
		{cloud.ErrKeyReused, kindKeyReused, "a key stands for one request: choose a new one for another"},
		{cloud.ErrGone, kindKeyErased, "the request was done once; do not send it again"},
		{cloud.ErrCursor, kindCursor, "begin again without a cursor"},
		{cloud.ErrNotFound, kindNotFound, ""},
		{cloud.ErrExists, kindConflict, ""},
		{cloud.ErrOutdated, kindConflict, ""},
		{cloud.ErrFull, kindFull, ""},
		{cloud.ErrInvalid, kindInvalid, ""},
		{holdfast.ErrID, kindInvalid, ""},
		{errCSR, kindInvalid, ""},
		{context.DeadlineExceeded, kindBusy, ""},
	} {
		if errors.Is(err, m.err) {
			return m.kind.because("%v", err).next(m.hint)
		}
	}
	return nil
}
