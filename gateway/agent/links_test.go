package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// before puts a fault proxy before the cloud.
func (c *cloud) before(t testing.TB) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(c.url.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// charger connects the site's charger. boot makes the gateway write one more
// evidence record; leave hangs up.
func (d *daemon) charger(r *Report) (boot, leave func()) {
	s := &site{url: "ws://" + r.Listening[0] + "/ocpp/"}
	ws, status := s.dial(d.t, dialer{user: "CP-1", password: password})
	if status != 101 {
		d.t.Fatalf("handshake: %d", status)
	}
	boots := 0
	leave = func() { ws.CloseNow() }
	boot = func() {
		boots++
		if got := call(d.t, ws, "BootNotification", fmt.Sprintf(`{"chargePointVendor":"V","chargePointModel":"M","firmwareVersion":"%d"}`, boots)); !strings.Contains(got, `"Accepted"`) {
			d.t.Fatalf("boot answered with %s", got)
		}
	}
	return boot, leave
}

// exactlyOnce fails unless the books hold every record of every journal once, at
// its position.
func (b *books) exactlyOnce() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, list := range b.received {
		for i, r := range list {
			if int(r.Seq) != i {
				b.t.Errorf("%s: record %d stands where %d belongs", name, r.Seq, i)
			}
		}
	}
}

func (d *daemon) online(what string) *Report {
	d.t.Helper()
	return d.until(what, func(r *Report) bool { return r.Backlog == 0 && r.Link != holdfast.Offline })
}

// Two endpoints before one cloud. Around the acknowledgement of an upload the
// way in use breaks behind every single byte, and stays broken: the gateway goes
// on over the other endpoint, at the right record, and the books have each
// record once. The same behind bytes of the upload itself.
func TestCutAtEveryByteOfAnAcknowledgement(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	proxies := map[string]*faultproxy.Proxy{}
	for range 2 {
		p := b.before(t)
		cfg.Cloud.Endpoints = append(cfg.Cloud.Endpoints, EndpointConfig{URL: "https://" + p.Addr()})
		proxies["https://"+p.Addr()] = p
	}
	d := start(t, cfg)
	boot, leave := d.charger(d.online("the first contact"))
	boots, moves := 0, map[string]int{}
	cut := func(n int, answers bool) (broke bool) {
		for _, p := range proxies {
			if err := p.Set(faultproxy.Pass); err != nil {
				t.Fatal(err)
			}
		}
		hellos := b.hellos.Load()
		if err := SyncNow(t.Context(), cfg.Local.Socket); err != nil { // nothing is put aside from the round before
			t.Fatal(err)
		}
		at := d.until("a hello", func(r *Report) bool {
			return b.hellos.Load() > hellos && r.Backlog == 0 && r.Link != holdfast.Offline
		}).Route().Endpoint
		moves[at]++
		proxies[at].CutAfter(n, answers)
		boot()
		boots++
		d.online("the books to be complete")
		return proxies[at].Broken()
	}
	missed := 0
	for n := 0; missed < 3; n++ { // until the cut lies behind the acknowledgement, and a little further
		if broke := cut(n, true); !broke {
			missed++
		}
		if n > 2000 {
			t.Fatal("an acknowledgement of more than 2000 bytes")
		}
	}
	for n := 0; n < 900; n += 61 {
		cut(n, false)
	}
	for at, n := range moves {
		if n < 20 {
			t.Errorf("only %d rounds over %s: the route does not move", n, at)
		}
	}
	leave()
	d.end()
	if got := b.count("charger.booted"); got != boots {
		t.Errorf("%d boots in the books, the charger made %d", got, boots)
	}
	b.exactlyOnce()
	t.Logf("%d rounds, by endpoint %v", boots, moves)
}

// Two links with addresses of their own before one endpoint. When the better
// one breaks, uploads and the doorbell go over the other within the same
// contact; a knock comes through there; and the site was never OFFLINE.
func TestDoorbellMovesWithTheRoute(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	p := b.before(t)
	cfg.Cloud.Endpoint = "https://" + p.Addr()
	cfg.Links = []LinkConfig{{Name: "fibre", Source: "127.0.0.2"}, {Name: "lte", Source: "127.0.0.3", Preference: 2}}
	d := start(t, cfg)
	r := d.online("the first contact")
	boot, leave := d.charger(r)
	boot()
	d.until("a doorbell over fibre", func(r *Report) bool { return b.ringers() == 1 && r.Route().Link == "fibre" && r.Backlog == 0 })
	p.Bar(netip.MustParseAddr("127.0.0.2"), true)
	boot()
	d.until("the other link", func(r *Report) bool { return b.ringers() == 1 && r.Route().Link == "lte" && r.Backlog == 0 })
	hellos := b.hellos.Load()
	b.knock(t)
	r = d.until("the knock to be heard", func(*Report) bool { return b.hellos.Load() > hellos })
	fibre := r.Links[slices.IndexFunc(r.Links, func(l uplink.LinkStatus) bool { return l.Name == "fibre" })]
	if fibre.State != uplink.Failing || fibre.Cause != holdfast.CauseCloudUnreachable || fibre.Endpoints[0].Failures == 0 {
		t.Errorf("fibre %+v", fibre)
	}
	for _, l := range r.LinkBytes {
		if l.Sent == 0 || l.Received == 0 {
			t.Errorf("link %s has carried %d and %d bytes", l.Link, l.Sent, l.Received)
		}
	}
	leave()
	d.end()
	d = start(t, cfg) // with fibre still barred: what the end wrote goes over lte
	d.online("the books to be complete")
	d.end()
	changes, routes := b.story()
	if slices.Contains(changes, "ONLINE>OFFLINE CLOUD_UNREACHABLE") || slices.Contains(changes, "SYNCED>OFFLINE CLOUD_UNREACHABLE") {
		t.Errorf("the link was lost: %v", changes)
	}
	if len(routes) < 3 || routes[0] != ">fibre STARTUP" || routes[1] != "fibre>lte CLOUD_UNREACHABLE" || routes[2] != ">lte STARTUP" {
		t.Errorf("routes %v", routes)
	}
	b.exactlyOnce()
}

// story tells the changes of the link and of the route in the books.
func (b *books) story() (changes, routes []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.received {
		for _, r := range list {
			switch body := r.Body.(type) {
			case *record.LinkChanged:
				changes = append(changes, fmt.Sprintf("%s>%s %s", body.From, body.To, body.Cause))
			case *record.LinkRoute:
				routes = append(routes, fmt.Sprintf("%s>%s %s", body.FromLink, body.Link, body.Cause))
			}
		}
	}
	return changes, routes
}

// An endpoint that is another cloud is never told anything, and one that is this
// cloud but does not know the gateway is put aside; the gateway goes on over the
// third.
func TestAnotherCloudIsNotTrusted(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	var heard atomic.Int64
	other := newCloud(t, func(http.ResponseWriter, *http.Request) { heard.Add(1) })
	refuses := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	refuses.TLS = b.web.TLS.Clone()
	refuses.StartTLS()
	t.Cleanup(refuses.Close)
	cfg.Cloud.Endpoints = []EndpointConfig{{URL: other.web.URL, Preference: 1}, {URL: refuses.URL, Preference: 2}, {URL: b.web.URL, Preference: 3}}
	d := start(t, cfg)
	r := d.online("the books to be complete")
	want := map[string]holdfast.Cause{other.web.URL: holdfast.CauseTLSFailure, refuses.URL: holdfast.CauseAuthRejected, b.web.URL: holdfast.CauseNone}
	for _, e := range r.Links[0].Endpoints {
		if e.Cause != want[e.URL] || e.State == uplink.InUse != (e.URL == b.web.URL) {
			t.Errorf("endpoint %+v, want cause %s", e, want[e.URL])
		}
	}
	d.end()
	if heard.Load() != 0 {
		t.Errorf("another cloud heard %d requests", heard.Load())
	}
}

// A link whose interface does not exist is NETWORK_DOWN with a text that says
// so, and the next is used.
func TestLinkThatIsNotThere(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	cfg.Links = []LinkConfig{{Name: "lte", Interface: "wwan-none0"}, {Name: "gone", Source: "192.0.2.77"}, {Name: "lan", Interface: "lo", Preference: 2}}
	d := start(t, cfg)
	r := d.online("the books to be complete")
	if got := r.Route().Link; got != "lan" {
		t.Errorf("%s in use", got)
	}
	for i, want := range []string{"there is no interface wwan-none0", "link gone: cannot send from it"} {
		if l := r.Links[i]; l.State != uplink.Failing || l.Cause != holdfast.CauseNetworkDown || !strings.Contains(l.Detail, want) {
			t.Errorf("link %+v, want a detail with %q", l, want)
		}
	}
	d.end()
}

// An interface that goes down is reported for the route in use, once, and
// nobody waits for a call to fail.
func TestInterfaceGoesDown(t *testing.T) {
	c := newCloud(t, func(http.ResponseWriter, *http.Request) {})
	l, core, f := c.line(t, nil)
	up := &net.Interface{Flags: net.FlagUp | net.FlagRunning}
	now, addresses := up, []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	w := &way{name: "lte", iface: "wwan0", look: func(string) (*net.Interface, []netip.Addr, error) { return now, addresses, nil }}
	other := &way{name: "other", iface: "none-such0"}
	l.paths[0].Route = uplink.Route{Link: "lte"}
	ways := []*way{w, other}
	l.watchWays(ways, f)
	now = &net.Interface{Flags: net.FlagUp}
	l.watchWays(ways, f)
	l.watchWays(ways, f)
	now, addresses = up, nil
	l.watchWays(ways, f)
	f.put(gateway.SyncNow{}) // comes after what was put before
	wait[gateway.SyncNow](t, core, nil)
	core.mu.Lock()
	defer core.mu.Unlock()
	if len(core.inputs) != 2 {
		t.Fatalf("inputs %+v, want one that says the link is down", core.inputs)
	}
	down, ok := core.inputs[0].(gateway.LinkDown)
	if !ok || down.Cause != holdfast.CauseNetworkDown || *down.Route != l.paths[0].Route || !strings.Contains(down.Detail, "wwan0 is down or has no carrier") {
		t.Errorf("input %+v", core.inputs[0])
	}
	if err := w.ready(); err == nil || !strings.Contains(err.Error(), "has no address") {
		t.Errorf("without an address: %v", err)
	}
}

// A counted listener counts what a server sees of its sockets.
type counted struct {
	net.Listener
	in, out atomic.Int64
}

type countedConn struct {
	net.Conn
	l *counted
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countedConn{c, l}, err
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.l.in.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.l.out.Add(int64(n))
	return n, err
}

// Every byte that a link's sockets carry is counted, handshakes and probes
// included: the server's count is the same, and the news add up.
func TestBytesAreCounted(t *testing.T) {
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) { answerJSON(w, 200, uplink.Welcome{}) })
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &counted{Listener: inner}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: c.web.Config.Handler}, TLS: c.web.TLS.Clone()}
	srv.StartTLS()
	defer srv.Close()
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	w := &way{name: "lte", source: netip.MustParseAddr("127.0.0.2")}
	p, err := newPath(uplink.Route{Link: "lte"}, w, u, peer{"gw-1", c.config})
	if err != nil {
		t.Fatal(err)
	}
	var sent, received int64
	for range 3 {
		if _, err := p.client.hello(t.Context(), uplink.Hello{Nonce: strings.Repeat("ab", 16)}); err != nil {
			t.Fatal(err)
		}
		if f := p.prober.probe(t.Context()); f.cause != holdfast.CauseNone {
			t.Fatal(f)
		}
		s, r := w.news()
		sent, received = sent+s, received+r
	}
	p.client.http.CloseIdleConnections()
	srv.Close() // waits until its handlers have ended
	s, r := w.news()
	if sent, received = sent+s, received+r; sent != w.sent.Load() || received != w.received.Load() {
		t.Errorf("news of %d and %d bytes, counted %d and %d", sent, received, w.sent.Load(), w.received.Load())
	}
	// Either side ends each of the four connections with a TLS alert of 24 bytes,
	// which may find nobody.
	near := func(a, b int64) bool { return a-b <= 8*24 && b-a <= 8*24 }
	if sent < 3000 || !near(sent, l.in.Load()) || !near(received, l.out.Load()) {
		t.Errorf("counted %d sent and %d received, the server %d and %d", sent, received, l.in.Load(), l.out.Load())
	}
}

// A wish over loopback TCP is refused: it asks nobody who they are.
func TestSyncNowOnlyOnTheSocket(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	cfg.Local.Listen = "127.0.0.1:0"
	d := start(t, cfg)
	r := d.online("the first contact")
	resp, err := http.Post("http://"+r.Listening[1]+"/v1/sync", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("over loopback: HTTP %d", resp.StatusCode)
	}
	if err := SyncNow(t.Context(), cfg.Local.Socket); err != nil {
		t.Error(err)
	}
	d.until("the wish in the books", func(*Report) bool { return b.count("link.route") == 1 })
	d.end()
	http.DefaultClient.CloseIdleConnections()
}

// What the usage of a link with a budget was is known after a restart.
func TestUsageSurvivesARestart(t *testing.T) {
	b := newBooks(t)
	cfg := enrolledSite(t, b)
	cfg.Links = []LinkConfig{{Name: "lte", BudgetMiB: 100}}
	d := start(t, cfg)
	boot, leave := d.charger(d.online("the first contact"))
	boot()
	used := d.until("usage", func(r *Report) bool { return r.Links[0].Total() > 0 && r.Backlog == 0 }).Links[0].Total()
	leave()
	d.end()
	d = start(t, cfg)
	again := d.until("the second boot", func(r *Report) bool { return r.Boot == 2 }).Links[0].Total()
	if again < used {
		t.Errorf("%d bytes known after the restart, %d before", again, used)
	}
	d.online("the books to be complete")
	d.end()
	if b.count("link.usage") == 0 {
		t.Error("no usage in the books")
	}
}

// The further endpoints of the enrolment are used when the first is gone; one
// that is no URL is left out.
func TestEnrolmentTellsFurtherEndpoints(t *testing.T) {
	b := newBooks(t)
	first, second := b.before(t), b.before(t)
	b.endpoint = "https://" + first.Addr()
	b.further = []string{"ftp://nonsense", b.endpoint + "/", "https://" + second.Addr()}
	cfg := enrolledSite(t, b)
	cfg.Cloud = CloudConfig{}
	keys, err := OpenIdentity(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"https://" + second.Addr()}; keys.Endpoint != b.endpoint || !slices.Equal(keys.Further, want) {
		t.Fatalf("endpoints %s and %q, want %s and %q", keys.Endpoint, keys.Further, b.endpoint, want)
	}
	d := start(t, cfg)
	if got := d.online("the first contact").Route().Endpoint; got != b.endpoint {
		t.Errorf("%s in use", got)
	}
	if err := first.Set(faultproxy.Refuse); err != nil {
		t.Fatal(err)
	}
	if err := SyncNow(t.Context(), cfg.Local.Socket); err != nil {
		t.Fatal(err)
	}
	d.until("a further endpoint", func(r *Report) bool { return r.Route().Endpoint == keys.Further[0] && r.Backlog == 0 })
	d.end()
}

func TestLinkConfigProblems(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"links:\n  - name: ''\n", `g.yaml:3:5: links[0].name: "", want 1 to 32 letters`},
		{"links:\n  - name: a\n  - name: a\n", `g.yaml:4:5: links[1].name: "a" is links[0] already`},
		{"links:\n  - name: a\n    interface: a/b\n", "links[0].interface: \"a/b\" is not the name"},
		{"links:\n  - name: a\n    interface: sixteen-letters0\n", "is not the name of a network interface"},
		{"links:\n  - name: a\n    source: nowhere\n", `g.yaml:4:5: links[0].source: "nowhere", want an IP address of this machine`},
		{"links:\n  - name: a\n    source: 0.0.0.0\n", "want an IP address of this machine"},
		{"links:\n  - name: a\n    preference: 101\n", "links[0].preference: 101, want 1 to 100"},
		{"links:\n  - name: a\n    cost_micros_per_mib: -1\n", "want 0 to 1000000000 millionths per MiB"},
		{"links:\n  - name: a\n    carry: some\n", "want one of: all, evidence, live"},
		{"links:\n  - name: a\n    budget_mib: 2000000\n", "want 1 to 1048576 MiB"},
		{"links:\n  - name: a\n    budget_mib: 1\n    budget_day: 31\n", "31, want 1 to 28"},
		{"links:\n  - name: a\n    when_spent: close\n", "links[0].budget_mib: missing"},
		{"links:\n  - name: a\n    budget_mib: 1\n    when_spent: panic\n", "want one of: close, emergency"},
		{"links:\n  - name: a\n    windows: ['25:00-26:00']\n", `g.yaml:4:15: links[0].windows[0]: "25:00-26:00" is no time of day`},
		{"links:\n  - name: a\n    windows: soon\n", `"soon", want a list`},
		{"links:\n  - name: a\n    zone: Mars/Base\n", `links[0].zone: "Mars/Base" is not a time zone`},
		{"links:\n  - name: a\n    zone: Local\n", "is not a time zone"},
		{"links:\n  - name: a\n    hold_evidence_minutes: 5\n", "links[0].windows: missing"},
		{"links:\n  - name: a\n    windows: ['01:00-02:00']\n    hold_evidence_minutes: 1441\n", "want 1 to 1440 min"},
		{"links:" + strings.Repeat("\n  - name: a", 9) + "\n", "9 links, at most 8"},
		{"cloud:\n  endpoints:\n    - url: http://a\n", `g.yaml:4:7: cloud.endpoints[0].url: "http://a", want an https URL`},
		{"cloud:\n  endpoint: https://a\n  endpoints:\n    - url: https://a/\n", `cloud.endpoints[0].url: "https://a/" is cloud.endpoint already`},
		{"cloud:\n  endpoints:\n    - url: https://a\n      preference: -2\n", "want 1 to 100"},
	} {
		_, err := ParseConfig("g.yaml", []byte("dir: /d\n"+tt.text))
		if bad := (*ConfigError)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q\ngot  %v\nwant %s", tt.text, err, tt.want)
		}
	}
	c, err := ParseConfig("g.yaml", []byte("dir: /d\nlinks:\n  - name: lte\n    budget_mib: 5\n    zone: +05:30\n    windows: ['22:00-06:00']\n    hold_evidence_minutes: 60\n    when_spent: emergency\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := c.routes(&Identity{Endpoint: "https://a", Further: []string{"https://b"}})
	if got := l.Links[0]; got.Budget.Bytes != 5<<20 || !got.Budget.Emergency || got.HoldEvidenceMs != 3_600_000 || len(got.Windows.List) != 1 ||
		!got.Windows.Open(holdfast.UnixMilli(time.Date(2026, 3, 2, 16, 30, 0, 0, time.UTC).UnixMilli())) {
		t.Errorf("link %+v", got)
	}
	if len(l.Endpoints) != 2 || l.Endpoints[1] != (uplink.EndpointConfig{URL: "https://b", Preference: 2}) {
		t.Errorf("endpoints %+v", l.Endpoints)
	}
}

// A bells is the cloud's end of the doorbells.
type bells struct {
	mu   sync.Mutex
	open map[*websocket.Conn]bool
}

func (b *bells) serve(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	b.mu.Lock()
	b.open[ws] = true
	b.mu.Unlock()
	<-ws.CloseRead(context.Background()).Done()
	b.mu.Lock()
	delete(b.open, ws)
	b.mu.Unlock()
}

func (b *books) ringers() int {
	b.bells.mu.Lock()
	defer b.bells.mu.Unlock()
	return len(b.bells.open)
}

// knock rings every doorbell.
func (b *books) knock(t testing.TB) {
	t.Helper()
	b.bells.mu.Lock()
	defer b.bells.mu.Unlock()
	for ws := range b.bells.open {
		if err := ws.Write(t.Context(), websocket.MessageText, []byte("{}")); err != nil {
			t.Error(err)
		}
	}
}

// The examples of docs/links.md are configurations.
func TestLinksPageParses(t *testing.T) {
	page, err := os.ReadFile("../../docs/links.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		c, err := ParseConfig("links.md", []byte("dir: /d\n"+text))
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
			continue
		}
		if err := c.routes(&Identity{Endpoint: "https://a"}).Validate(); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
	if len(blocks) < 3 {
		t.Errorf("%d examples", len(blocks))
	}
}

// Where the system does not permit binding to an interface, the address chooses
// the way: the link's own, or else the interface's.
func TestWithoutPermissionToBind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused := 0
	forbid := func(string) func(string, string, syscall.RawConn) error {
		return func(string, string, syscall.RawConn) error { refused++; return syscall.EPERM }
	}
	own := []netip.Addr{netip.MustParseAddr("127.0.0.4"), netip.MustParseAddr("127.0.0.5")}
	look := func(string) (*net.Interface, []netip.Addr, error) {
		return &net.Interface{Flags: net.FlagUp | net.FlagRunning}, own, nil
	}
	for want, source := range map[string]netip.Addr{"127.0.0.4": {}, "127.0.0.3": netip.MustParseAddr("127.0.0.3")} {
		refused = 0
		w := &way{name: "lte", iface: "lo", source: source, bind: forbid, look: look}
		c, err := w.dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Errorf("source %v: %v", source, err)
			continue
		}
		if from, _, _ := net.SplitHostPort(c.LocalAddr().String()); from != want || refused == 0 {
			t.Errorf("source %v: from %s, want %s; binding was refused %d times", source, from, want, refused)
		}
		c.Close()
		if err := w.route(l.Addr().(*net.TCPAddr).AddrPort()); err != nil {
			t.Errorf("source %v: %v", source, err)
		}
	}
}
