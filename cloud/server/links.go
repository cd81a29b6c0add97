package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Bounds of a link. A gateway sends nothing on it but pongs and a close, so its
// read limit is small; a peer that does not answer a ping in time is gone,
// whatever its socket says.
const (
	linkReadLimit    = 4 << 10 // bytes
	linkPingEvery    = 25 * time.Second
	linkPingTimeout  = 10 * time.Second
	linkWriteTimeout = 10 * time.Second
)

// links holds the live WebSocket of each gateway. The newest wins: an older one
// is a half-open socket that its own gateway has given up.
type links struct {
	mu     sync.Mutex
	open   map[holdfast.GatewayID]*link
	closed bool
}

// A link is one live WebSocket.
type link struct {
	bell chan struct{} // capacity 1: rings that nobody has heard yet are one ring
	end  chan *linkEnd // capacity 1: the first reason counts
}

// A linkEnd is why a link was ended from our side.
type linkEnd struct {
	code   websocket.StatusCode
	reason string
}

// The ends.
var (
	endReplaced = &linkEnd{websocket.StatusPolicyViolation, "replaced by a newer link"}
	endShutdown = &linkEnd{websocket.StatusGoingAway, "the cloud is stopping"}
)

// add makes l the link of gw and ends the one before; false when the server is
// closing.
func (ls *links) add(gw holdfast.GatewayID, l *link) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return false
	}
	if old := ls.open[gw]; old != nil {
		old.finish(endReplaced)
	}
	ls.open[gw] = l
	return true
}

func (ls *links) remove(gw holdfast.GatewayID, l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.open[gw] == l {
		delete(ls.open, gw)
	}
}

// ring wakes gw's link; a gateway without a link learns of its
// directives at its next contact.
func (ls *links) ring(gw holdfast.GatewayID) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.open[gw]; l != nil {
		l.ring()
	}
}

// ringAll wakes every link.
func (ls *links) ringAll() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.open {
		l.ring()
	}
}

func (l *link) ring() {
	select {
	case l.bell <- struct{}{}:
	default: // it is ringing already
	}
}

func (l *link) finish(why *linkEnd) {
	select {
	case l.end <- why:
	default: // it is ending already
	}
}

func (ls *links) count() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return len(ls.open)
}

// close ends every link and lets no new one in.
func (ls *links) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for _, l := range ls.open {
		l.finish(endShutdown)
	}
}

// link serves GET /v1/gateways/{id}/link: it holds the socket and sends a
// [uplink.Knock] for each ring. What is due goes with the knock, so that a remote
// start needs no further round trip.
func (s *Server) link(w http.ResponseWriter, c *call) (int, error) {
	conn, err := websocket.Accept(w, c.req, nil)
	if err != nil {
		// Accept has answered already; the status is for the log.
		return http.StatusBadRequest, nil
	}
	defer conn.CloseNow()
	conn.SetReadLimit(linkReadLimit)
	l := &link{bell: make(chan struct{}, 1), end: make(chan *linkEnd, 1)}
	if !s.links.add(c.gateway, l) {
		conn.Close(endShutdown.code, endShutdown.reason)
		return http.StatusSwitchingProtocols, nil
	}
	defer s.links.remove(c.gateway, l)
	l.ring() // what came due between the hello and now
	// CloseRead answers pings and closes; its context ends with the peer. Ours
	// must not end it: that would cut the socket before the reason is said.
	if why := s.hold(conn.CloseRead(c.req.Context()), conn, c.gateway, l); why != nil {
		conn.Close(why.code, why.reason)
	}
	return http.StatusSwitchingProtocols, nil
}

// hold runs until the peer is gone (nil) or the server ends the link.
func (s *Server) hold(ctx context.Context, conn *websocket.Conn, gw holdfast.GatewayID, l *link) *linkEnd {
	ping := time.NewTicker(linkPingEvery)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case why := <-l.end:
			return why
		case <-l.bell:
			if err := s.knock(ctx, conn, gw); err != nil {
				s.log.Info("link lost", "gateway", string(gw), "err", err.Error())
				return nil
			}
		case <-ping.C:
			pong, cancel := context.WithTimeout(ctx, linkPingTimeout)
			err := conn.Ping(pong)
			cancel()
			if err != nil {
				s.log.Info("link lost", "gateway", string(gw), "err", err.Error())
				return nil
			}
		}
	}
}

// knock sends what is due, or a bare doorbell when that is nothing: something
// changed for this gateway, so it should say hello.
func (s *Server) knock(ctx context.Context, conn *websocket.Conn, gw holdfast.GatewayID) error {
	due, err := s.due(ctx, gw)
	if err != nil {
		return err
	}
	b, err := json.Marshal(uplink.Knock{Directives: due})
	if err != nil {
		return err
	}
	if len(b) > uplink.MaxMessageBytes {
		// Large statements are fetched by a hello, which cuts its answer.
		b = []byte("{}")
	}
	ctx, cancel := context.WithTimeout(ctx, linkWriteTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, b)
}
