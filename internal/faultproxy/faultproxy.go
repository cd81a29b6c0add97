// Package faultproxy is a TCP proxy on loopback that breaks links on order. It
// stands between two real peers and does to their bytes what networks do:
// refuse, reset, swallow, lose the way back, delay, trickle. Tests and the demo
// use it; nothing in production does.
//
//	p, err := faultproxy.New("127.0.0.1:8443")
//	defer p.Close()
//	dial(p.Addr())
//	p.Set(faultproxy.Refuse)    // the cable is out
//	p.Set(faultproxy.Pass)      // and back
//
// What each mode does to connections that exist and to new ones is written at
// its constant. A mode change takes effect at once.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Mode is a way in which the link works or does not.
type Mode int

// The modes.
const (
	Pass        Mode = iota // bytes flow both ways
	Refuse                  // existing connections are reset; new ones are refused, as by a host without the service
	Reset                   // existing connections are reset; new ones are accepted and reset, as by a broken middlebox
	BlackHole               // half-open: every connection stays up and no byte comes through either way
	LoseAnswers             // bytes reach the server; nothing comes back: the server acts and the client never learns
)

func (m Mode) String() string {
	names := [...]string{"pass", "refuse", "reset", "black hole", "lose answers"}
	if m < 0 || int(m) >= len(names) {
		return fmt.Sprintf("mode %d", int(m))
	}
	return names[m]
}

// Bounds of a proxy.
const (
	bufferBytes    = 32 << 10
	dialTimeout    = 5 * time.Second
	relistenTries  = 50 // the port was ours a moment ago; somebody else may hold it briefly
	relistenPause  = 20 * time.Millisecond
	throttleSlices = 20 // a throttled second is sent in so many pieces
)

// A Proxy is one listening address in front of one target.
type Proxy struct {
	target string
	addr   string

	mu       sync.Mutex
	closed   bool
	mode     Mode
	cut      *ration             // armed by CutAfter
	barred   map[netip.Addr]bool // client addresses whose connections are reset
	delay    time.Duration
	rate     int // bytes a second each way; 0: no limit
	listener net.Listener
	pairs    map[*pair]struct{}
	changed  chan struct{} // closed and replaced at each change
	accepted int
	wg       sync.WaitGroup
}

// A pair is a client's connection and ours to the target.
type pair struct {
	client, server *net.TCPConn
}

// New listens on a free loopback port in front of target.
func New(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{target: target, addr: l.Addr().String(), pairs: map[*pair]struct{}{}, barred: map[netip.Addr]bool{}, changed: make(chan struct{})}
	p.listenLocked(l)
	return p, nil
}

// Addr returns the address to dial, which stays the same for the proxy's life.
func (p *Proxy) Addr() string { return p.addr }

// Accepted counts the connections that were forwarded so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Set changes the mode. Leaving Refuse listens on the same port again.
func (p *Proxy) Set(m Mode) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	was := p.mode
	p.mode, p.cut = m, nil
	p.changedLocked()
	if m == Refuse || m == Reset {
		p.dropLocked()
	}
	switch {
	case m == Refuse && was != Refuse:
		return p.listener.Close()
	case m != Refuse && was == Refuse:
		return p.relistenLocked()
	}
	return nil
}

// A ration is what may still pass one way before the link breaks.
type ration struct {
	answers bool
	left    int
}

// CutAfter lets n more bytes through one way, to the server or, with answers,
// back to the client, and then does what Set(Refuse) does. With 0 the next byte
// that way breaks the link and does not pass. Set disarms it.
func (p *Proxy) CutAfter(n int, answers bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = &ration{answers, n}
}

// Broken reports whether the link is refusing: whether what CutAfter armed has
// happened.
func (p *Proxy) Broken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode == Refuse
}

// Bar resets the connections of a client address, present and future ones, as
// when one of its links breaks; or no longer does.
func (p *Proxy) Bar(client netip.Addr, bar bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.barred[client] = bar
	for c := range p.pairs {
		if bar && c.from() == client {
			c.reset()
		}
	}
}

func (c *pair) from() netip.Addr {
	at, _ := netip.ParseAddrPort(c.client.RemoteAddr().String()) // a TCP connection has one
	return at.Addr()
}

// Cut resets every connection once and stays in its mode: a flap.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked()
}

// Shape delays every piece of data and limits the bytes a second each way; 0
// means no delay, no limit.
func (p *Proxy) Shape(delay time.Duration, bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.rate = delay, bytesPerSecond
	p.changedLocked()
}

// Close ends everything and waits until it has ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.changedLocked()
	p.dropLocked()
	var err error
	if p.mode != Refuse {
		err = p.listener.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

func (p *Proxy) changedLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// dropLocked resets every connection: RST, not FIN, as a dead network's
// neighbour would.
func (p *Proxy) dropLocked() {
	for c := range p.pairs {
		c.reset()
	}
}

func (c *pair) reset() {
	for _, conn := range []*net.TCPConn{c.client, c.server} {
		if conn != nil {
			conn.SetLinger(0) //nolint:errcheck // a connection that is gone needs no reset
			conn.Close()      //nolint:errcheck // as above
		}
	}
}

func (p *Proxy) relistenLocked() error {
	var err error
	for range relistenTries {
		var l net.Listener
		if l, err = net.Listen("tcp", p.addr); err == nil {
			p.listenLocked(l)
			return nil
		}
		time.Sleep(relistenPause)
	}
	return fmt.Errorf("fault proxy: listen again on %s: %w", p.addr, err)
}

func (p *Proxy) listenLocked(l net.Listener) {
	p.listener = l
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // out of descriptors for a moment
			}
			p.wg.Go(func() { p.serve(c.(*net.TCPConn)) })
		}
	})
}

// serve forwards one connection until either end is gone.
func (p *Proxy) serve(client *net.TCPConn) {
	c := &pair{client: client}
	defer client.Close()
	if !p.adopt(c) {
		c.reset()
		return
	}
	defer p.forget(c)
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	cancel()
	if err != nil {
		c.reset()
		return
	}
	if !p.attach(c, conn.(*net.TCPConn)) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(c.server, client, false) })
	wg.Go(func() { p.copy(client, c.server, true) })
	wg.Wait()
}

// adopt registers a new connection and reports whether it may live.
func (p *Proxy) adopt(c *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mode == Refuse || p.mode == Reset || p.barred[c.from()] {
		return false
	}
	p.pairs[c] = struct{}{}
	p.accepted++
	return true
}

// attach adds our end to the target, unless the pair was cut meanwhile.
func (p *Proxy) attach(c *pair, server *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.server = server
	if p.closed || p.mode == Refuse || p.mode == Reset || p.barred[c.from()] {
		c.reset()
		return false
	}
	return true
}

func (p *Proxy) forget(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, c)
	c.client.Close()
	if c.server != nil {
		c.server.Close()
	}
}

// copy moves bytes one way, through whatever the mode does to them. When the
// source ends in order so does the destination.
func (p *Proxy) copy(dst, src *net.TCPConn, answer bool) {
	buf := make([]byte, bufferBytes)
	for {
		n, err := src.Read(buf)
		if n > 0 && !p.forward(dst, buf[:n], answer) {
			src.CloseRead()
			dst.CloseWrite()
			return
		}
		if errors.Is(err, io.EOF) {
			if p.gate(answer) == swallow {
				return // the other end must not learn that this one is gone
			}
			dst.CloseWrite()
			return
		}
		if err != nil {
			dst.Close()
			return
		}
	}
}

type verdict int

const (
	deliver verdict = iota
	swallow
	hold
	ended
)

// gate says what happens to data now.
func (p *Proxy) gate(answer bool) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ended
	case p.mode == BlackHole:
		return hold
	case p.mode == LoseAnswers && answer:
		return swallow
	}
	return deliver
}

// forward writes b, held back while the mode is BlackHole: a network that comes
// back delivers what TCP kept retransmitting.
func (p *Proxy) forward(dst io.Writer, b []byte, answer bool) bool {
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		switch p.gate(answer) {
		case deliver:
			part, broken := p.spend(b, answer)
			ok := p.shaped(dst, part)
			if broken {
				p.Set(Refuse) //nolint:errcheck // a proxy that is closed is broken already
			}
			return ok && !broken
		case swallow:
			return true
		case ended:
			return false
		}
		<-changed
	}
}

// spend returns what of b may pass, and whether the link breaks behind it.
func (p *Proxy) spend(b []byte, answer bool) (part []byte, broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil || p.cut.answers != answer {
		return b, false
	}
	part = b[:min(len(b), p.cut.left)]
	p.cut.left -= len(part)
	if p.cut.left > 0 {
		return part, false
	}
	p.cut = nil
	return part, true
}

// shaped writes b with the delay and at the rate in force.
func (p *Proxy) shaped(dst io.Writer, b []byte) bool {
	p.mu.Lock()
	delay, rate := p.delay, p.rate
	p.mu.Unlock()
	p.pause(delay)
	for len(b) > 0 {
		n := len(b)
		if rate > 0 {
			n = min(n, max(1, rate/throttleSlices))
			p.pause(time.Second * time.Duration(n) / time.Duration(rate))
		}
		if _, err := dst.Write(b[:n]); err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

// pause sleeps unless the proxy closes.
func (p *Proxy) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		p.mu.Lock()
		changed, closed := p.changed, p.closed
		p.mu.Unlock()
		if closed {
			return
		}
		select {
		case <-t.C:
			return
		case <-changed:
		}
	}
}
