package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

func TestEveryGatewayCallNeedsItsOwnCertificate(t *testing.T) {
	w := start(t)
	north, south := w.enrol("north"), w.enrol("south")
	anonymous := north.http.Transport.(*http.Transport).Clone()
	anonymous.TLSClientConfig.Certificates = nil
	defer anonymous.CloseIdleConnections()
	for _, rt := range w.s.gateways().declared() {
		if rt.who != callerGateway {
			continue
		}
		method, at := fill(rt.at)
		a := send(t, &http.Client{Transport: anonymous}, method, w.s.GatewayURL()+at, nil, nil)
		a.want(t, kindCertificate)
		a = send(t, south.http, method, w.s.GatewayURL()+at, nil, nil)
		a.want(t, kindForeign)
	}
	if !regexp.MustCompile(`"level":"WARN","msg":"security","event":"wrong_gateway","certificate":"gw-south"`).MatchString(w.log.String()) {
		t.Error("no line in the log names the foreign certificate")
	}
	if a := north.hello(); a.status != http.StatusOK {
		t.Fatalf("the rightful gateway: HTTP %d: %s", a.status, a.body)
	}
}

func TestReplacedGatewayIsLockedOut(t *testing.T) {
	w := start(t)
	old := w.enrol("north")
	again := do[NewSite](w, "POST", "/v1/sites/north/codes", nil)
	if a := old.hello(); a.status != http.StatusOK {
		t.Fatalf("a code that nobody redeemed locks the gateway out: %s", a.body)
	}
	if a := w.redeem(again.Code, newKey(t)); a.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", a.status, a.body)
	}
	old.hello().want(t, kindUnknown)
}

func TestEnrolmentCodes(t *testing.T) {
	w := start(t)
	added := do[NewSite](w, "POST", "/v1/sites", `{"id":"north","name":"Car park"}`)
	if !regexp.MustCompile(`^hf-[A-Za-z0-9_]+-[0-9a-f]{32}$`).MatchString(added.Code) || added.Endpoint != w.s.GatewayURL() {
		t.Fatalf("code %q, endpoint %q", added.Code, added.Endpoint)
	}
	key := newKey(t)
	random := strings.Split(added.Code, "-")[1]
	wrong := strings.Replace(added.Code, random, strings.Repeat("z", len(random)), 1)
	w.redeem(wrong, key).want(t, kindCode)
	if a := w.redeem(added.Code, key); a.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", a.status, a.body)
	}
	if a := w.redeem(added.Code, key); a.status != http.StatusOK { // the answer may have been lost
		t.Fatalf("again with the same key: HTTP %d: %s", a.status, a.body)
	}
	w.redeem(added.Code, newKey(t)).want(t, kindCode)
	if log := w.log.String(); strings.Contains(log, random) || strings.Contains(log, wrong) {
		t.Error("the log holds an enrolment code")
	}
}

// A cloud with several ways in tells them at enrolment; what is no URL is
// refused before anything starts.
func TestFurtherEndpointsAreTold(t *testing.T) {
	further := []string{"https://cloud-2.example:8443", "https://192.0.2.7:8443"}
	w := start(t, func(o *Options) { o.Further = further })
	added := do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	a := w.redeem(added.Code, newKey(t))
	var e uplink.Enrolled
	if err := json.Unmarshal(a.body, &e); err != nil || e.Endpoint != w.s.GatewayURL() || !slices.Equal(e.Endpoints, further) {
		t.Errorf("HTTP %d: endpoint %q, further %q, %v", a.status, e.Endpoint, e.Endpoints, err)
	}
	for _, bad := range [][]string{{"http://cloud"}, {"https://"}, {"https://a?b"}, make([]string, uplink.MaxEndpoints)} {
		if s, err := Start(t.Context(), Options{DataDir: t.TempDir(), Further: bad}); err == nil {
			s.Close()
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestEnrolmentIsRateLimited(t *testing.T) {
	now := time.Now()
	w := start(t, func(o *Options) { o.Clock = func() time.Time { return now } })
	added := do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	key := newKey(t)
	random := strings.Split(added.Code, "-")[1]
	wrong := strings.Replace(added.Code, random, strings.Repeat("z", len(random)), 1)
	for range enrolPerMinute {
		w.redeem(wrong, key).want(t, kindCode)
	}
	p := w.redeem(added.Code, key).want(t, kindRate)
	if p.LaterMs <= 0 || p.LaterMs > 60_000 {
		t.Fatalf("later_ms %d", p.LaterMs)
	}
}

func TestTLS(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	base := d.http.Transport.(*http.Transport).TLSClientConfig
	dial := func(change func(*tls.Config)) (tls.ConnectionState, error) {
		c := base.Clone()
		change(c)
		conn, err := tls.Dial("tcp", strings.TrimPrefix(w.s.GatewayURL(), "https://"), c)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		// In TLS 1.3 the server's verdict on the certificate comes with the first read.
		fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		_, err = io.ReadAll(conn)
		return conn.ConnectionState(), err
	}
	state, err := dial(func(*tls.Config) {})
	if err != nil || state.Version != tls.VersionTLS13 {
		t.Fatalf("version %x, %v", state.Version, err)
	}
	if _, err := dial(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	if _, err := dial(func(c *tls.Config) { c.NextProtos = []string{"h2"} }); err == nil {
		t.Error("a client that speaks HTTP/2 only was accepted")
	}
	other := newKeys(t)
	key := newKey(t)
	der, err := other.authority.issueDevice(request(t, key), "gw-north", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(func(c *tls.Config) {
		c.Certificates = nil
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil // although the server did not ask for it
		}
	}); err == nil {
		t.Error("a certificate of another cloud's authority was accepted")
	}
	w.s.Close() // so that its last words are written
	if !regexp.MustCompile(`"level":"WARN","msg":"security","event":"tls_certificate"`).MatchString(w.log.String()) {
		t.Error("the log does not tell of a foreign certificate")
	}
	w.open(func(o *Options) { o.GatewayAddr = strings.TrimPrefix(w.s.GatewayURL(), "https://") })
	// A device certificate cannot stand in for the authority.
	roots := x509.NewCertPool()
	cert, _ := x509.ParseCertificate(d.got.Certificate)
	roots.AddCert(cert)
	if _, err := dial(func(c *tls.Config) { c.RootCAs = roots }); err == nil {
		t.Error("a device certificate vouched for the server")
	}
}

func TestUploadRefusals(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	e := holdfast.Epoch{1}
	j := d.journal(10)
	for name, c := range map[string]struct {
		a    answer
		kind ProblemKind
	}{
		"journal":  {d.put("money", e, "0", compress(t, []byte("x"))), kindInvalid},
		"first":    {d.put("evidence", e, "-1", compress(t, []byte("x"))), kindInvalid},
		"huge":     {d.put("evidence", e, "18446744073709551616", compress(t, []byte("x"))), kindInvalid},
		"not zstd": {d.put("evidence", e, "0", []byte("plain")), kindBadRequest},
		"bomb":     {d.put("evidence", e, "0", compress(t, make([]byte, 64<<20))), kindTooLarge},
		"wire":     {d.put("evidence", e, "0", make([]byte, uplink.MaxWireBytes+1)), kindTooLarge},
		"garbage":  {d.put("evidence", e, "0", compress(t, []byte("x"))), kindEvidence},
		"position": {d.put("evidence", j.epoch, "7", compress(t, j.slice(7))), kindPosition},
	} {
		p := c.a.want(t, c.kind)
		if name == "position" && (p.Type != uplink.ProblemPositionMismatch || p.Expected == nil || *p.Expected != 0) {
			t.Errorf("mismatch %s does not say where to go on", c.a.body)
		}
	}
	if n := len(w.s.uploads); n != 0 {
		t.Fatalf("%d upload slots were not given back", n)
	}
}

func TestBusyCloudNamesATime(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	for range maxUploads {
		if !w.s.uploads.enter() {
			t.Fatal("slot taken")
		}
	}
	a := d.put("evidence", holdfast.Epoch{1}, "0", compress(t, []byte("x")))
	p := a.want(t, kindBusy)
	if p.LaterMs < laterLeastMillis || p.LaterMs > uplink.MaxLaterMillis || a.header.Get("Retry-After") == "" {
		t.Fatalf("later_ms %d, Retry-After %q", p.LaterMs, a.header.Get("Retry-After"))
	}
	// What is live goes on, and says that uploads should wait.
	var welcome uplink.Welcome
	if a := d.hello(); a.status != http.StatusOK || json.Unmarshal(a.body, &welcome) != nil || welcome.LaterMillis < laterLeastMillis {
		t.Fatalf("hello: HTTP %d: %s", a.status, a.body)
	}
	w.s.uploads.leave()
	if a := d.put("evidence", holdfast.Epoch{1}, "0", compress(t, []byte("x"))); a.status == http.StatusServiceUnavailable {
		t.Fatal("busy with a free slot")
	}
}

func (d *device) dialLink(ctx context.Context) *websocket.Conn {
	d.w.t.Helper()
	conn, resp, err := websocket.Dial(ctx, "wss"+strings.TrimPrefix(d.w.s.GatewayURL(), "https")+"/v1/gateways/"+string(d.id)+"/link",
		&websocket.DialOptions{HTTPClient: d.http})
	if err != nil {
		d.w.t.Fatalf("link: %v (%v)", err, resp)
	}
	conn.SetReadLimit(uplink.MaxMessageBytes)
	d.w.t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func readKnock(ctx context.Context, t *testing.T, conn *websocket.Conn) uplink.Knock {
	t.Helper()
	_, b, err := conn.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var k uplink.Knock
	if err := json.Unmarshal(b, &k); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return k
}

func TestDoorbell(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w := start(t)
	north, south := w.enrol("north"), w.enrol("south")
	north.http.Timeout = 0 // it would end the socket
	south.http.Timeout = 0
	bell, other := north.dialLink(ctx), south.dialLink(ctx)
	readKnock(ctx, t, bell) // what was due when it opened
	readKnock(ctx, t, other)

	do[cloud.Token](w, "POST", "/v1/tokens", `{"value":"04A2B3C4D5E680","sites":["north"]}`)
	if !carries(readKnock(ctx, t, bell), uplink.InstallList) {
		t.Fatal("a changed list did not come down the link")
	}
	q := do[Queued](w, "POST", "/v1/sites/north/start", `{"charger":"CP-1","evse":1,"token":"04A2B3C4D5E680"}`)
	k := readKnock(ctx, t, bell)
	if !carries(k, uplink.StartSession) {
		t.Fatalf("a start did not come down the link: %+v", k)
	}
	if got := do[cloud.Directive](w, "GET", "/v1/directives/"+q.Directive, nil); got.Outcome != "" || got.Gateway != "gw-north" {
		t.Fatalf("directive %+v", got)
	}
	// The other site heard nothing of it: its next message is of its own.
	do[cloud.Token](w, "POST", "/v1/tokens", `{"value":"04FFFFFFFFFF80","sites":["south"]}`)
	if k := readKnock(ctx, t, other); carries(k, uplink.StartSession) || !carries(k, uplink.InstallList) {
		t.Fatalf("another site's command came down: %+v", k)
	}
}

func carries(k uplink.Knock, kind uplink.DirectiveKind) bool {
	for _, d := range k.Directives {
		if d.Kind == kind {
			return true
		}
	}
	return false
}

func TestNewestLinkWinsAndShutdownSaysSo(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w := start(t)
	d := w.enrol("north")
	d.http.Timeout = 0
	first := d.dialLink(ctx)
	readKnock(ctx, t, first)
	second := d.dialLink(ctx)
	readKnock(ctx, t, second)
	if _, _, err := first.Read(ctx); websocket.CloseStatus(err) != endReplaced.code {
		t.Fatalf("the older link: %v", err)
	}
	w.s.links.ring(d.id)
	readKnock(ctx, t, second)
	closed := make(chan error, 1)
	go func() { closed <- w.s.Close() }()
	if _, _, err := second.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Fatalf("shutdown: %v", err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestUploadWithALostAnswer(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	j := d.journal(10)
	a := d.put("evidence", j.epoch, "0", compress(t, j.slice(0)))
	var ack uplink.Ack
	if a.status != http.StatusOK || json.Unmarshal(a.body, &ack) != nil || ack.Received != 10 || ack.Reconciled != 10 {
		t.Fatalf("HTTP %d: %s", a.status, a.body)
	}
	p := d.put("evidence", j.epoch, "0", compress(t, j.slice(0))).want(t, kindPosition)
	if *p.Expected != 10 {
		t.Fatalf("expected %d", *p.Expected)
	}
	if err := w.s.Close(); err != nil { // and the cloud restarts in between
		t.Fatal(err)
	}
	w.open()
	p = d.put("evidence", j.epoch, "5", compress(t, j.slice(5))).want(t, kindPosition)
	if *p.Expected != 10 {
		t.Fatalf("expected %d after a restart", *p.Expected)
	}
	g := do[cloud.Gateway](w, "GET", "/v1/gateways/gw-north", nil)
	if len(g.Cursors) != 1 || g.Cursors[0].Received != 10 || g.Cursors[0].Reconciled != 10 {
		t.Fatalf("cursors %+v", g.Cursors)
	}
	m := send(t, http.DefaultClient, "GET", w.s.APIURL()+"/metrics", nil, nil)
	for _, want := range []string{"holdfast_journal_records 10", `holdfast_reconcile_mismatches_total{code="POSITION"} 1`} {
		if !strings.Contains(string(m.body), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestForkIsRefusedAndRaised(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	j := d.journal(10)
	d.put("evidence", j.epoch, "0", compress(t, j.slice(0)))
	fork := d.journal(4)
	for range 8 {
		fork.add(&record.TimeFloorRaised{Floor: 2})
	}
	fork.sync()
	size, root := fork.log.Head()
	note, err := journal.SignCheckpoint(journal.CheckpointText(fork.log.Identity().Origin(), size, root), fork.log.Identity().Origin(), d.key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fork.log.Append(journal.Checkpoint, note)
	fork.sync()
	p := d.put("evidence", j.epoch, "10", compress(t, fork.slice(10))).want(t, kindEvidence)
	if p.Code == "" || p.Expected == nil {
		t.Fatalf("%+v", p)
	}
	list := do[List[cloud.Exception]](w, "GET", "/v1/exceptions?state=open", nil)
	if len(list.Items) != 1 || list.Items[0].Code != p.Code {
		t.Fatalf("exceptions %+v", list.Items)
	}
}
