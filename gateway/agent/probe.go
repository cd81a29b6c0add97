package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// ProbeTimeout bounds each stage of a probe; there are five.
const ProbeTimeout = 3 * time.Second

// maxAddresses bounds the addresses of the cloud that a probe tries.
const maxAddresses = 4

// A prober finds out why a call to the cloud failed, by looking at one layer
// after the other: route, name, TCP, TLS, HTTP. The first layer that does not
// work is the cause. docs/causes.md says the same for people.
//
// The functions are the operating system's; tests put others in their place
// for what cannot be broken on a test machine.
type prober struct {
	endpoint *url.URL
	tls      *tls.Config
	carrier  func() (bool, error)                                         // is any interface but loopback up with an address?
	lookup   func(ctx context.Context, host string) ([]net.IPAddr, error) // resolve a name
	routed   func(to netip.AddrPort) error                                // nil when the kernel knows a way; sends nothing
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	link     func() error // of a bound link, why it cannot carry anything; nil: it is not bound
}

func newProber(endpoint *url.URL, config *tls.Config) *prober {
	return &prober{
		endpoint: endpoint, tls: config, carrier: anyCarrier, lookup: net.DefaultResolver.LookupIPAddr, routed: kernelRoute, dial: new(way).dial,
	}
}

// anyCarrier looks at the interfaces.
func anyCarrier() (bool, error) {
	list, err := net.Interfaces()
	if err != nil {
		return false, fmt.Errorf("list the network interfaces: %w", err)
	}
	for _, i := range list {
		if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagRunning == 0 {
			continue
		}
		if addrs, err := i.Addrs(); err == nil && len(addrs) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// kernelRoute asks the kernel for a route by connecting a UDP socket, which
// sends no packet.
func kernelRoute(to netip.AddrPort) error {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return fmt.Errorf("no route to %s: %w", to.Addr(), err)
	}
	return c.Close()
}

// A finding is what a probe saw. With cause NONE every stage works now.
type finding struct {
	cause  holdfast.Cause
	detail string
	named  bool // of CLOUD_BUSY: the cloud named a time
}

// diagnose names the cause of a failed call. An answer of the cloud speaks for
// itself; anything else is probed.
func (p *prober) diagnose(ctx context.Context, failed error) finding {
	if e := (*callError)(nil); errors.As(failed, &e) {
		return finding{e.cause, e.detail, e.named}
	}
	f := p.probe(ctx)
	if f.cause == holdfast.CauseNone {
		f.detail = "every stage works now, but: " + clipDetail(failed.Error())
	}
	return f
}

// probe looks, stage by stage.
func (p *prober) probe(ctx context.Context) finding {
	host, port := p.endpoint.Hostname(), p.endpoint.Port()
	if port == "" {
		port = "443"
	}
	addrs, bad := p.resolve(ctx, host, port)
	if bad != nil {
		return *bad
	}
	conn, bad := p.connect(ctx, addrs)
	if bad != nil {
		return *bad
	}
	defer conn.Close()
	secure, bad := p.handshake(ctx, conn, host)
	if bad != nil {
		return *bad
	}
	return p.speak(ctx, secure, host)
}

// resolve is the stages route and name.
func (p *prober) resolve(ctx context.Context, host, port string) ([]netip.AddrPort, *finding) {
	if p.link != nil {
		if err := p.link(); err != nil {
			return nil, &finding{cause: holdfast.CauseNetworkDown, detail: err.Error()}
		}
	}
	literal, err := netip.ParseAddr(host)
	local := host == "localhost" || err == nil && literal.IsLoopback()
	if !local && p.link == nil {
		if up, err := p.carrier(); err == nil && !up {
			return nil, &finding{cause: holdfast.CauseNetworkDown, detail: "no network interface is up with an address"}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	ips := []net.IPAddr{{IP: net.IP(literal.AsSlice()), Zone: literal.Zone()}}
	if err != nil {
		if ips, err = p.lookup(ctx, host); err != nil {
			return nil, p.nameless(host, err)
		}
	}
	var addrs []netip.AddrPort
	var noRoute error
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		at, err := netip.ParseAddrPort(net.JoinHostPort(ip.String(), port))
		if err != nil {
			continue
		}
		if err := p.routed(at); err != nil {
			noRoute = err
			continue
		}
		addrs = append(addrs, at)
	}
	if len(addrs) == 0 {
		return nil, &finding{cause: holdfast.CauseNetworkDown, detail: fmt.Sprintf("%s has no address with a route: %v", host, noRoute)}
	}
	return addrs, nil
}

// nameless tells a name that does not resolve from a network that is not there.
func (p *prober) nameless(host string, err error) *finding {
	beyond := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 443) // TEST-NET-1, RFC 5737: stands for the internet
	if p.routed(beyond) != nil && !isNotFound(err) {
		return &finding{cause: holdfast.CauseNetworkDown, detail: "no default route, and " + err.Error()}
	}
	return &finding{cause: holdfast.CauseDNSFailure, detail: fmt.Sprintf("%s does not resolve: %v", host, err)}
}

func isNotFound(err error) bool {
	d := (*net.DNSError)(nil)
	return errors.As(err, &d) && d.IsNotFound
}

// connect is the stage TCP.
func (p *prober) connect(ctx context.Context, addrs []netip.AddrPort) (net.Conn, *finding) {
	var last error
	for _, at := range addrs {
		dialCtx, cancel := context.WithTimeout(ctx, ProbeTimeout)
		conn, err := p.dial(dialCtx, "tcp", at.String())
		cancel()
		if err == nil {
			return conn, nil
		}
		last = err
	}
	cause := holdfast.CauseCloudUnreachable
	if e := (*callError)(nil); errors.As(last, &e) {
		return nil, &finding{cause: e.cause, detail: e.detail}
	}
	if errors.Is(last, syscall.ENETUNREACH) || errors.Is(last, syscall.ENETDOWN) {
		cause = holdfast.CauseNetworkDown
	}
	return nil, &finding{cause: cause, detail: "TCP: " + last.Error()}
}

// handshake is the stage TLS.
func (p *prober) handshake(ctx context.Context, conn net.Conn, host string) (*tls.Conn, *finding) {
	config := p.tls.Clone()
	config.ServerName = host
	config.NextProtos = []string{"http/1.1"}
	secure := tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	err := secure.HandshakeContext(ctx)
	if err == nil {
		return secure, nil
	}
	return nil, &finding{cause: tlsCause(err), detail: "TLS: " + err.Error()}
}

// tlsCause tells who ended a TLS connection: silence or a hang-up is an
// unreachable cloud, an alert about our certificate is a refusal, anything
// else is TLS itself (a captive portal, another authority, no TLS at all).
func tlsCause(err error) holdfast.Cause {
	var timeout net.Error
	switch {
	case rejected(err):
		return holdfast.CauseAuthRejected
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return holdfast.CauseCloudUnreachable
	}
	return holdfast.CauseTLSFailure
}

// rejected reports whether the peer refused our certificate. With TLS 1.3 that
// alert comes with the first read after the handshake.
func rejected(err error) bool {
	op := (*net.OpError)(nil)
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return false
	}
	// RFC 8446 section 6.2: bad, unsupported, revoked, expired, unknown
	// certificate, unknown CA, access denied, certificate required. crypto/tls
	// does not export the type of a received alert, only its text.
	for _, alert := range []tls.AlertError{42, 43, 44, 45, 46, 48, 49, 116} {
		if op.Err.Error() == alert.Error() {
			return true
		}
	}
	return false
}

// speak is the stage HTTP.
func (p *prober) speak(ctx context.Context, secure *tls.Conn, host string) finding {
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	used := false
	once := &http.Transport{
		DisableKeepAlives: true,
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, io.EOF
			}
			used = true
			return secure, nil
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.endpoint.JoinPath("healthz").String(), nil)
	if err != nil {
		return finding{cause: holdfast.CauseCloudError, detail: err.Error()}
	}
	resp, err := once.RoundTrip(req)
	if err != nil {
		cause := tlsCause(err)
		if cause == holdfast.CauseTLSFailure {
			cause = holdfast.CauseCloudError
		}
		return finding{cause: cause, detail: "HTTP: " + strings.TrimPrefix(err.Error(), "http: ")}
	}
	drainClose(resp.Body)
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return finding{cause: holdfast.CauseAuthRejected, detail: fmt.Sprintf("HTTP %d", resp.StatusCode)}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return finding{cause: holdfast.CauseCloudBusy, detail: fmt.Sprintf("HTTP %d", resp.StatusCode)}
	}
	return finding{cause: holdfast.CauseNone, detail: fmt.Sprintf("HTTP %d", resp.StatusCode)}
}
