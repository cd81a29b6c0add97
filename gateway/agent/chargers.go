package agent

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
)

// Bounds of the charger server.
const (
	MaxFrameBytes       = 1 << 20          // of a message from a charger; a larger one closes the connection
	MaxSocketsPerID     = 4                // connections of one identity at once; the oldest goes
	HandshakeTimeout    = 10 * time.Second // for the HTTP request of a handshake
	PongTimeout         = 10 * time.Second // for the answer to a ping
	WriteTimeout        = 10 * time.Second // for one frame to a charger
	SendQueueFrames     = 128              // frames waiting for one charger; one more closes the connection
	SendQueueBytes      = 4 << 20          // bytes of them
	framesBurst         = 200              // frames above the rate that are read at once
	handshakeRetryAfter = "1"              // seconds, while the core is being recovered
)

// The kinds of refusal, as gateway.Refused documents them.
const (
	refusedAuth        = "auth"
	refusedUnknown     = "unknown_charger"
	refusedRate        = "rate"
	refusedSize        = "size"
	refusedSubprotocol = "subprotocol"
)

// A chargerServer lets chargers in: path, identity, password, rate, version.
// What they say goes into the core's feed, what the core says goes out through
// a bounded queue per connection. Which of two connections of one charger is
// the right one is the core's decision.
type chargerServer struct {
	log       *slog.Logger
	feed      func() *feed // nil while the core is being recovered
	passwords map[holdfast.ChargerID]*PasswordHash
	lab       bool
	ping      time.Duration
	rate      int64 // frames/s of one connection
	knocks    *knocks
	protocols []string // subprotocols, preferred first

	ids     atomic.Uint64
	refused [5]atomic.Int64 // by kind, for metrics
	lost    atomic.Int64    // refusals that the core did not hear of

	mu     sync.Mutex
	conns  map[gateway.ConnID]*chargerConn
	closed bool
	open   sync.WaitGroup
}

// newChargerServer serves the chargers of c.
func newChargerServer(c *Config, log *slog.Logger, protocols []string, current func() *feed) *chargerServer {
	s := &chargerServer{
		log: log, feed: current, lab: c.Lab, protocols: protocols,
		ping: time.Duration(c.OCPP.PingSeconds) * time.Second, rate: c.OCPP.FramesPerSecond,
		knocks: newKnocks(), conns: make(map[gateway.ConnID]*chargerConn),
		passwords: make(map[holdfast.ChargerID]*PasswordHash, len(c.Chargers)),
	}
	for _, ch := range c.Chargers {
		h, err := ParsePasswordHash(ch.PasswordHash)
		if s.passwords[holdfast.ChargerID(ch.ID)] = &h; err != nil {
			s.passwords[holdfast.ChargerID(ch.ID)] = nil // no password: Config.Validate saw that this is a lab
		}
	}
	return s
}

// ServeHTTP is the handshake.
func (s *chargerServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := s.feed()
	if f == nil {
		w.Header().Set("Retry-After", handshakeRetryAfter)
		http.Error(w, "starting up", http.StatusServiceUnavailable)
		return
	}
	who := knocker{address: hostOf(r.RemoteAddr)}
	id, err := identityOf(r.URL)
	hash, known := s.passwords[id]
	if err == nil && known {
		who.charger = id
	}
	switch {
	case !s.knocks.allow(who):
		s.refuse(f, refusedRate, id, who)
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many failed attempts", http.StatusTooManyRequests)
	case who.charger == "":
		s.refuse(f, refusedUnknown, id, who)
		http.NotFound(w, r) // OCPP 2.0.1 part 4 section 3.2
	case !s.proved(hash, id, r):
		s.refuse(f, refusedAuth, id, who)
		w.Header().Set("WWW-Authenticate", `Basic realm="ocpp", charset="UTF-8"`)
		http.Error(w, "identity not proved", http.StatusUnauthorized)
	default:
		if hash != nil {
			s.knocks.passed(who)
		}
		s.accept(w, r, f, id, hash != nil)
	}
}

func hostOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// identityOf reads the identity from /ocpp/IDENTITY, percent-decoded.
func identityOf(u *url.URL) (holdfast.ChargerID, error) {
	last, ok := strings.CutPrefix(u.EscapedPath(), "/ocpp/")
	if !ok {
		return "", holdfast.ErrID
	}
	id, err := url.PathUnescape(last)
	if err != nil {
		return "", err
	}
	return holdfast.ParseChargerID(id)
}

// proved reports whether the peer may be id: by password, or because the lab
// says that id has none.
func (s *chargerServer) proved(hash *PasswordHash, id holdfast.ChargerID, r *http.Request) bool {
	if hash == nil {
		return s.lab
	}
	user, password, ok := r.BasicAuth()
	return ok && user == string(id) && hash.Match(password)
}

func (s *chargerServer) refuse(f *feed, kind string, id holdfast.ChargerID, who knocker) {
	s.refused[refusalIndex(kind)].Add(1)
	if kind != refusedRate {
		s.knocks.failed(who)
	}
	if !f.offer(gateway.Refused{Charger: id, Kind: kind, Remote: who.address}) {
		s.lost.Add(1)
	}
}

var refusalKinds = [...]string{refusedAuth, refusedUnknown, refusedRate, refusedSize, refusedSubprotocol}

func refusalIndex(kind string) int {
	for i, k := range refusalKinds {
		if k == kind {
			return i
		}
	}
	return 0
}

// accept finishes the handshake and serves the connection until it ends.
func (s *chargerServer) accept(w http.ResponseWriter, r *http.Request, f *feed, id holdfast.ChargerID, proved bool) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:    s.protocols,
		CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		s.log.Info("handshake failed", "charger", string(id), "remote", r.RemoteAddr, "err", err.Error())
		return // Accept has answered
	}
	if ws.Subprotocol() == "" {
		// OCPP-J 1.6 section 3.1.2: finish the handshake without the header, then close.
		s.refuse(f, refusedSubprotocol, id, knocker{charger: id, address: hostOf(r.RemoteAddr)})
		ws.Close(websocket.StatusProtocolError, "no common subprotocol; this gateway speaks "+strings.Join(s.protocols, ", "))
		return
	}
	ws.SetReadLimit(MaxFrameBytes)
	c := &chargerConn{
		id: gateway.ConnID(s.ids.Add(1)), charger: id, ws: ws, feed: f,
		remote: hostOf(r.RemoteAddr), queue: make(chan outgoing, SendQueueFrames), gone: make(chan struct{}),
	}
	if !s.enter(c) {
		ws.Close(websocket.StatusGoingAway, "gateway is stopping")
		return
	}
	defer s.leave(c)
	s.log.Info("charger connected", "charger", string(id), "conn", uint64(c.id), "version", ws.Subprotocol(), "remote", c.remote)
	// The request's context must not be used: it is cancelled in ways that
	// differ for hijacked connections.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.serve(ctx, c, gateway.Connected{
		Conn: c.id, Charger: id, Version: ws.Subprotocol(), Proved: proved, Profile: securityProfile(r, proved), Remote: c.remote,
	})
}

// securityProfile is the OCPP security profile that a peer has come under: 1 by
// password, 2 by password over TLS, 0 by neither.
func securityProfile(r *http.Request, proved bool) int {
	switch {
	case !proved:
		return 0
	case r.TLS != nil:
		return 2
	}
	return 1
}

// enter registers c, and closes the oldest connection of an identity that has
// too many.
func (s *chargerServer) enter(c *chargerConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	var oldest *chargerConn
	n := 0
	for _, other := range s.conns {
		if other.charger != c.charger || other.mute.Load() {
			continue // another's, or one that is closing already
		}
		n++
		if oldest == nil || other.id < oldest.id {
			oldest = other
		}
	}
	if n >= MaxSocketsPerID {
		oldest.mute.Store(true)
		go oldest.abort("too many connections of one charger")
	}
	s.conns[c.id] = c
	s.open.Add(1)
	return true
}

func (s *chargerServer) leave(c *chargerConn) {
	s.mu.Lock()
	delete(s.conns, c.id)
	s.mu.Unlock()
	s.open.Done()
}

// serve runs c's three goroutines: this one reads, one writes, one watches for
// silence. The first to end takes the others with it.
func (s *chargerServer) serve(ctx context.Context, c *chargerConn, hello gateway.Connected) {
	var others sync.WaitGroup
	others.Go(c.write)
	others.Go(func() { c.watch(ctx, s.ping) })
	if c.feed.put(hello) {
		tooLarge := c.read(s.rate)
		if tooLarge {
			s.refuse(c.feed, refusedSize, c.charger, knocker{charger: c.charger, address: c.remote})
		}
		c.abort("reading ended")
		c.feed.put(gateway.Disconnected{Conn: c.id, Detail: c.why()})
	} else {
		c.finish(websocket.StatusServiceRestart, "gateway restarts, please reconnect")
	}
	others.Wait()
	s.log.Info("charger disconnected", "charger", string(c.charger), "conn", uint64(c.id), "why", c.why())
}

// send queues a frame; the core's goroutine calls it and is never held up.
func (s *chargerServer) send(id gateway.ConnID, raw []byte) {
	if c := s.conn(id); c != nil {
		c.push(outgoing{frame: raw})
	}
}

// close ends a connection after what was queued before it has been written.
func (s *chargerServer) close(id gateway.ConnID, code int, reason string) {
	if c := s.conn(id); c != nil {
		c.push(outgoing{code: websocket.StatusCode(code), reason: reason})
	}
}

func (s *chargerServer) conn(id gateway.ConnID) *chargerConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[id]
}

// closeAll ends every connection that there is.
func (s *chargerServer) closeAll(code websocket.StatusCode, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.push(outgoing{code: code, reason: reason})
	}
}

// shutdown closes every connection, lets none in any more, and waits until all
// have ended.
func (s *chargerServer) shutdown() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.closeAll(websocket.StatusGoingAway, "gateway is stopping")
	s.open.Wait()
}

// connected counts the connections, for metrics.
func (s *chargerServer) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
