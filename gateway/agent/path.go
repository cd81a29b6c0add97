package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A path is a way to the cloud as the shell goes it: a client and a prober
// whose sockets are bound to the route's link.
type path struct {
	uplink.Route
	client   *client
	prober   *prober
	busyTill time.Time // the endpoint said: not before; the cloudLink's lock guards it
}

// A peer is what every path shares.
type peer struct {
	gateway holdfast.GatewayID
	tls     *tls.Config
}

// newPath makes the path of a route over a way to an endpoint.
func newPath(r uplink.Route, w *way, endpoint *url.URL, to peer) (*path, error) {
	c, err := newClient(endpoint, to.gateway, to.tls, w.dial)
	if err != nil {
		return nil, err
	}
	p := newProber(endpoint, to.tls)
	p.dial, p.routed = w.dial, w.route
	if w.bound() {
		p.link = w.ready
	}
	return &path{Route: r, client: c, prober: p}, nil
}

// paths makes every way and every path that the configuration names.
func (a *agent) paths() (ways []*way, list []*path, err error) {
	routes := a.cfg.routes(a.keys)
	to := peer{a.keys.Gateway, cloudTLS(a.keys.Device, a.keys.CA, a.clock.Trusted)}
	for _, l := range routes.Links {
		w := &way{name: l.Name}
		if c := a.cfg.link(l.Name); c != nil {
			w.iface = c.Interface
			w.source, _ = netip.ParseAddr(c.Source) // checked with the configuration; "" is none
		}
		ways = append(ways, w)
		for _, e := range routes.Endpoints {
			u, err := parseEndpoint(e.URL)
			if err != nil {
				return nil, nil, fmt.Errorf("the cloud's endpoint: %w", err)
			}
			p, err := newPath(uplink.Route{Link: l.Name, Endpoint: e.URL}, w, u, to)
			if err != nil {
				return nil, nil, err
			}
			list = append(list, p)
		}
	}
	return ways, list, nil
}

// use goes another way from now on. The doorbell is hung up: it is connected
// again when a contact over the new route has worked. Calls that are under way
// end on their own. The zero Route hangs up until the next.
func (l *cloudLink) use(r uplink.Route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = r == uplink.Route{}
	if r == l.at.Route {
		return
	}
	l.log.Info("route to the cloud", "link", r.Link, "endpoint", r.Endpoint, "closed", l.closed)
	l.at.client.http.CloseIdleConnections()
	if l.bell != nil {
		l.bell.hangUp()
		l.bell = nil
	}
	for _, p := range l.paths {
		if p.Route == r {
			l.at = p
		}
	}
}

// A bell is a doorbell for as long as its route is in use.
type bell struct {
	feed   *feed // whose core it wakes
	ctx    context.Context
	hangUp context.CancelFunc
}

func newBell(f *feed) *bell {
	ctx, hangUp := context.WithCancel(context.Background())
	return &bell{f, ctx, hangUp}
}

// route returns the path in use.
func (l *cloudLink) route() *path {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// probe looks whether a route works, up to an answer of the cloud.
func (l *cloudLink) probe(f *feed, r uplink.Route) {
	for _, p := range l.paths {
		if p.Route != r {
			continue
		}
		l.start(f, func(ctx context.Context) {
			found := p.prober.probe(ctx)
			l.log.Debug("looked at a route", "link", r.Link, "endpoint", r.Endpoint, "cause", string(found.cause), "detail", found.detail)
			f.put(gateway.Probed{Route: r, Cause: found.cause, Detail: found.detail})
		})
	}
}

// watchEvery is how often the interfaces of links are looked at.
const watchEvery = 2 * time.Second

// watchWays tells a core of a link whose interface has gone down since the last
// look: the route in use then changes at once, and not when a call fails. That
// it is back is found by looking, as for every other cause. One goroutine at a
// time may call it.
func (l *cloudLink) watchWays(ways []*way, f *feed) {
	for _, w := range ways {
		err := w.ready()
		went := err != nil && !w.down
		w.down = err != nil
		if !went || f == nil {
			continue
		}
		l.log.Info("a link's interface is down", "link", w.name, "err", err.Error())
		if at := l.route(); at.Link == w.name {
			f.put(gateway.LinkDown{Cause: holdfast.CauseNetworkDown, Detail: err.Error(), Route: &at.Route})
		}
	}
}

// bytesOver counts what has gone over each link since the start.
func bytesOver(ways []*way) (list []LinkBytes) {
	for _, w := range ways {
		list = append(list, LinkBytes{Link: w.name, Sent: w.sent.Load(), Received: w.received.Load()})
	}
	return list
}

// reportUse tells a core what has gone over each link since the last time. One
// goroutine at a time may call it.
func reportUse(ways []*way, f *feed) {
	if f == nil {
		return // it waits for the next core
	}
	for _, w := range ways {
		if sent, received := w.news(); sent+received > 0 {
			f.put(gateway.LinkUsed{Link: w.name, Sent: sent, Received: received})
		}
	}
}
