package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of the gateway endpoint.
const (
	// maxUploads is how many uploads are under way at once, bodies included:
	// with the bounds of package uplink it is what uploads may cost in memory. The
	// next one is told to come back.
	maxUploads = 32
	// uploadTimeout is longer than a gateway waits for an answer, so that it is
	// the gateway that gives up and knows it.
	uploadTimeout = 2 * uplink.AnswerLimitMillis * time.Millisecond
	// Busy answers are spread over this span, so that the sites that come back
	// after an outage of the cloud do not come back together a second time.
	laterLeastMillis  = 1_000
	laterSpreadMillis = 9_000
	// enrolPerMinute bounds guesses at enrolment codes, over all addresses.
	enrolPerMinute = 60
)

// gateways makes the gateway endpoint. docs/uplink.md describes the bodies.
func (s *Server) gateways() *routes {
	r := s.newRoutes(callerGateway).under("The gateway endpoint")
	open := *r // for who has no certificate yet
	open.who = callerAny
	handle(&open, route{at: "POST /v1/enrol", name: "enrol", limit: smallBody, lenient: true, problems: []ProblemKind{kindRate, kindCode},
		doc: "redeem a one-time code; the only call without a certificate, at most 60 a minute over all addresses"}, s.enrol)
	handle(r, route{at: "POST /v1/gateways/{id}/hello", name: "hello", limit: uplink.MaxMessageBytes, lenient: true,
		doc: "open a contact; at most 1 MiB"}, s.hello)
	upload := route{at: "PUT /v1/gateways/{id}/journals/{journal}/{epoch}/{first}", name: "upload",
		problems: []ProblemKind{kindBadRequest, kindTooLarge, kindMedia, kindPosition, kindEvidence, kindFull},
		doc:      "upload a slice, `Content-Type: application/octet-stream`, `Content-Encoding: zstd`, at most 4 MiB as it comes and 4 MiB unfolded; 32 at once, the next is told when to come back"}
	r.raw(upload, s.upload)
	download := route{at: "GET /v1/gateways/{id}/journals/{journal}/{epoch}/{first}", name: "download",
		query: []param{query[holdfast.Seq]("to", "where to end")}, problems: []ProblemKind{kindNotFound},
		doc: "`?to=N`: the archived frames of the gateway's own records from `first` to N-1, without keys, zstd, at most 4 MiB unfolded, then ask again from where it ends; counts as an upload"}
	r.raw(download, s.download)
	handle(r, route{at: "POST /v1/gateways/{id}/authorize", name: "authorize", limit: smallBody, lenient: true,
		doc: "ask about a token"}, s.authorize)
	handle(r, route{at: "GET /v1/gateways/{id}/tokens", name: "tokens",
		query:    []param{query[uint64]("version", "of the access list that the gateway has installed"), query[uint64]("after", "`next` of the page before")},
		problems: []ProblemKind{kindConflict, kindNotFound},
		doc:      "the tokens of its own site in clear, for the chargers' own lists; noted in the cloud's journal; counts as an upload"}, s.book)
	link := route{at: "GET /v1/gateways/{id}/link", name: "link", doc: "WebSocket down which directives come; the newest wins"}
	r.raw(link, s.link)
	handle(&open, route{at: "GET /healthz", name: "healthz", doc: "200 while the process lives"}, s.health)
	r.mux.Handle("/", s.notFound(r.mux))
	return r
}

// enrol is the only call without a client certificate.
func (s *Server) enrol(ctx context.Context, c *call, in uplink.Enrol) (uplink.Enrolled, error) {
	if wait, ok := s.enrolments.allow(s.clock()); !ok {
		return uplink.Enrolled{}, kindRate.because("at most %d enrolments a minute", enrolPerMinute).later(wait.Milliseconds())
	}
	out, err := s.plane.Enrol(ctx, c.now, in)
	switch {
	case errors.Is(err, cloud.ErrCode):
		s.security(c.req, "enrolment_code", "")
	case err == nil:
		s.log.Info("gateway enrolled", "gateway", string(out.Gateway), "site", string(out.Site), "remote", c.req.RemoteAddr)
	}
	return out, err
}

func (s *Server) hello(ctx context.Context, c *call, in uplink.Hello) (uplink.Welcome, error) {
	w, err := s.plane.Hello(ctx, c.now, c.gateway, in)
	if err == nil && s.uploads.full() {
		w.LaterMillis = later()
	}
	return w, err
}

func (s *Server) authorize(ctx context.Context, c *call, in uplink.Ask) (uplink.Told, error) {
	ctx, cancel := context.WithTimeout(ctx, uplink.MaxAskWaitMillis*time.Millisecond)
	defer cancel()
	return s.plane.Authorize(ctx, c.now, c.gateway, in)
}

// upload takes one slice. When maxUploads are under way it answers busy before
// it reads a byte: the gateway keeps what it holds, and nothing is lost.
func (s *Server) upload(w http.ResponseWriter, c *call) (int, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.uploads.leave()
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadTimeout))
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(uploadTimeout))
	ack, err := s.receive(w, c)
	if err != nil {
		s.metrics.mismatch(err)
		return 0, err
	}
	return writeJSON(w, http.StatusOK, ack)
}

// enter takes a slot of uploads; whoever finds none is told when to come back.
func (s *Server) enter() error {
	if s.uploads.enter() {
		return nil
	}
	s.metrics.busy.Inc()
	return kindBusy.because("%d uploads are under way", maxUploads).later(later())
}

// position reads the path of an upload or a download.
func (c *call) position() (j holdfast.Journal, e holdfast.Epoch, first holdfast.Seq, err error) {
	if j, err = holdfast.ParseJournal(c.req.PathValue("journal")); err != nil {
		return j, e, 0, err
	}
	if e, err = holdfast.ParseEpoch(c.req.PathValue("epoch")); err != nil {
		return j, e, 0, err
	}
	first, err = sequence("first", c.req.PathValue("first"))
	return j, e, first, err
}

func sequence(name, text string) (holdfast.Seq, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, kindInvalid.because("%s sequence number %q: want a decimal number", name, clip(text))
	}
	return holdfast.Seq(n), nil
}

func (s *Server) receive(w http.ResponseWriter, c *call) (ack uplink.Ack, err error) {
	j, e, first, err := c.position()
	if err != nil {
		return ack, err
	}
	wire, err := readBody(w, c.req, uplink.MaxWireBytes, "application/octet-stream", "zstd")
	if err != nil {
		return ack, err
	}
	slice, err := inflate(wire)
	if err != nil {
		return ack, err
	}
	ack, err = s.plane.Receive(c.req.Context(), c.now, c.gateway, j, e, first, slice)
	if err == nil {
		s.metrics.received.Add(float64(len(slice)))
	}
	return ack, err
}

// download gives a gateway back what it has sent, so that it can repair its
// journal. It shares the slots of uploads: it costs as much.
func (s *Server) download(w http.ResponseWriter, c *call) (int, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.uploads.leave()
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(uploadTimeout))
	j, e, first, err := c.position()
	if err != nil {
		return 0, err
	}
	q, err := c.params()
	if err != nil {
		return 0, err
	}
	to, err := sequence("to", q.Get("to"))
	if err != nil {
		return 0, err
	}
	frames, err := s.plane.Copy(c.req.Context(), c.gateway, j, e, first, to)
	if err != nil {
		return 0, err
	}
	packed, err := deflate(frames)
	if err != nil {
		return 0, err
	}
	return writeSlice(w, packed), nil
}

func writeSlice(w http.ResponseWriter, packed []byte) int {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Encoding", "zstd")
	h.Set("Cache-Control", "no-store")
	w.Write(packed) // the peer may be gone; there is nobody to tell
	return http.StatusOK
}

// later names a time to come back, spread so that a herd thins out.
func later() int64 { return laterLeastMillis + rand.Int64N(laterSpreadMillis) }

// slots bounds how many of something are under way.
type slots chan struct{}

func (s slots) enter() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) leave()     { <-s }
func (s slots) full() bool { return len(s) == cap(s) }
