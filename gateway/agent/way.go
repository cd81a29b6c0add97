package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// A way is a local link to the network: how a socket is bound to it, and how
// many bytes have gone over its sockets. The zero value is whatever way the
// machine has.
//
// The bytes are those of the socket: TLS with its handshakes, both ways.
// Headers of TCP and IP are the kernel's and not counted; docs/links.md says how
// much to allow for them.
type way struct {
	name   string
	iface  string     // bound to this interface; "": any
	source netip.Addr // bound to this address; zero: the kernel chooses

	look func(name string) (*net.Interface, []netip.Addr, error)                   // nil: the operating system's
	bind func(iface string) func(network, address string, c syscall.RawConn) error // nil: the operating system's

	down bool // when it was last looked at; the watcher's own

	sent, received         atomic.Int64 // since the start
	toldSent, toldReceived int64        // of these, what the core was told; the reporter's own
}

// bound reports whether sockets are bound to anything.
func (w *way) bound() bool { return w.iface != "" || w.source.IsValid() }

// ready says why the link cannot carry anything at all; nil when it may.
func (w *way) ready() error {
	if w.iface == "" {
		return nil
	}
	i, addresses, err := w.lookAt()
	if err != nil {
		return fmt.Errorf("link %s: there is no interface %s now", w.name, w.iface)
	}
	if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagRunning == 0 {
		return fmt.Errorf("link %s: interface %s is down or has no carrier", w.name, w.iface)
	}
	if len(addresses) == 0 {
		return fmt.Errorf("link %s: interface %s has no address", w.name, w.iface)
	}
	return nil
}

// lookAt looks at the interface.
func (w *way) lookAt() (*net.Interface, []netip.Addr, error) {
	if w.look != nil {
		return w.look(w.iface)
	}
	return lookAt(w.iface)
}

// lookAt asks the operating system for an interface and its addresses.
func lookAt(name string) (*net.Interface, []netip.Addr, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, nil, fmt.Errorf("interface %s: %w", name, err)
	}
	return i, addressesOf(i), nil
}

// addressesOf lists an interface's unicast addresses that reach beyond it.
func addressesOf(i *net.Interface) (list []netip.Addr) {
	addrs, err := i.Addrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsMulticast() {
			list = append(list, p.Addr().Unmap())
		}
	}
	return list
}

// dial connects over the link. That the link itself cannot is a [callError] of
// cause NETWORK_DOWN, which needs no probe.
func (w *way) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := w.ready(); err != nil {
		return nil, &callError{cause: holdfast.CauseNetworkDown, detail: err.Error()}
	}
	c, err := w.open(ctx, network, address)
	if err != nil && w.bound() && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ENODEV)) {
		return nil, &callError{cause: holdfast.CauseNetworkDown, detail: fmt.Sprintf("link %s: cannot send from it: %v", w.name, err)}
	}
	if err != nil {
		return nil, err
	}
	return &metered{Conn: c, way: w}, nil
}

// open connects from the source address if there is one, and bound to the
// interface where the system permits it. Where it does not, that address or else
// the interface's own chooses the way, as far as the routing table agrees.
func (w *way) open(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: DialTimeout, KeepAlive: 15 * time.Second, LocalAddr: local(network, w.source)}
	if w.iface == "" {
		return d.DialContext(ctx, network, address)
	}
	if d.Control = bindTo(w.iface); w.bind != nil {
		d.Control = w.bind(w.iface)
	}
	c, err := d.DialContext(ctx, network, address)
	if !errors.Is(err, syscall.EPERM) {
		return c, err
	}
	d.Control = nil
	if w.source.IsValid() {
		return d.DialContext(ctx, network, address)
	}
	_, addresses, err := w.lookAt()
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("interface %s has no address that reaches %s", w.iface, address)
	for _, from := range addresses {
		d.LocalAddr = local(network, from)
		var c net.Conn
		if c, err = d.DialContext(ctx, network, address); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// local is the local end of a dialer; an address that is not valid leaves it to
// the kernel.
func local(network string, a netip.Addr) net.Addr {
	switch {
	case !a.IsValid():
		return nil
	case network == "udp":
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
}

// route asks the kernel for a route from the link by connecting a UDP socket,
// which sends no packet.
func (w *way) route(to netip.AddrPort) error {
	if !w.bound() {
		return kernelRoute(to)
	}
	c, err := w.open(context.Background(), "udp", to.String())
	if err != nil {
		return fmt.Errorf("no route to %s from link %s: %w", to.Addr(), w.name, err)
	}
	return c.Close()
}

// news returns the bytes since the last time it was asked.
func (w *way) news() (sent, received int64) {
	s, r := w.sent.Load(), w.received.Load()
	sent, received = s-w.toldSent, r-w.toldReceived
	w.toldSent, w.toldReceived = s, r
	return sent, received
}

// A metered connection counts its bytes on its link.
type metered struct {
	net.Conn
	way *way
}

// Read implements net.Conn.
func (m *metered) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	m.way.received.Add(int64(n))
	return n, err
}

// Write implements net.Conn.
func (m *metered) Write(b []byte) (int, error) {
	n, err := m.Conn.Write(b)
	m.way.sent.Add(int64(n))
	return n, err
}
