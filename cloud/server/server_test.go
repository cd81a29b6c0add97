package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/uplink"
)

// fill puts names into the wildcards of a pattern.
func fill(pattern string) (method, at string) {
	method, at, _ = strings.Cut(pattern, " ")
	at = strings.NewReplacer("{site}", "north", "{id}", "gw-north", "{session}", strings.Repeat("a", 64),
		"{directive}", "d1", "{tariff}", "standard", "{journal}", "evidence", "{epoch}", strings.Repeat("b", 32), "{first}", "0").Replace(at)
	return method, at
}

func TestEveryCallNeedsTheToken(t *testing.T) {
	w := start(t)
	n := 0
	for _, rt := range w.s.operators().declared() {
		if rt.who != callerOperator {
			continue
		}
		n++
		p := rt.at
		method, at := fill(p)
		for name, auth := range map[string]string{
			"none": "", "empty": "Bearer ", "wrong": "Bearer hfa_" + strings.Repeat("x", 43),
			"scheme": "Basic " + w.s.fresh, "part": "Bearer " + w.s.fresh[:20], "hash": "Bearer " + fmt.Sprintf("%x", w.s.token.sum),
		} {
			a := send(t, http.DefaultClient, method, w.s.APIURL()+at, map[string]string{"Authorization": auth}, nil)
			a.want(t, kindToken)
			if a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s (%s): no WWW-Authenticate", p, name)
			}
		}
	}
	if n < 25 {
		t.Fatalf("only %d routes were tried", n)
	}
	if sites := do[List[cloud.Site]](w, "GET", "/v1/sites", nil); len(sites.Items) != 0 {
		t.Fatal("somebody without a token added a site")
	}
}

func TestRequestsAreBounded(t *testing.T) {
	w := start(t)
	w.ask("POST", "/v1/sites", strings.Repeat(" ", smallBody+1)).want(t, kindTooLarge)
	w.ask("POST", "/v1/sites", `{"id":"north"} x`).want(t, kindBadRequest)
	w.ask("POST", "/v1/sites", `{"id":"north","id":"south"}`).want(t, kindBadRequest)
	w.ask("POST", "/v1/sites", `{"id":"north","naem":"x"}`).want(t, kindBadRequest)
	w.ask("POST", "/v1/sites", `{"id":5}`).want(t, kindBadRequest)
	w.ask("POST", "/v1/sites", `{"id":"No Such"}`).want(t, kindInvalid)
	w.ask("GET", "/v1/sites?limit=0", nil).want(t, kindInvalid)
	w.ask("GET", "/v1/sites?limit=1001", nil).want(t, kindInvalid)
	w.ask("GET", "/v1/sites?limt=5", nil).want(t, kindBadRequest)
	w.ask("GET", "/v1/sites?limit=5&limit=6", nil).want(t, kindBadRequest)
	w.ask("GET", "/v1/sessions?running=yes", nil).want(t, kindInvalid)
	w.ask("GET", "/v1/sessions?stage=done", nil).want(t, kindInvalid)
	w.ask("GET", "/v1/exceptions?state=gone", nil).want(t, kindInvalid)
	w.ask("GET", "/v1/sessions/abc", nil).want(t, kindInvalid)
	w.ask("GET", "/v1/sites/south", nil).want(t, kindNotFound)
	w.ask("GET", "/v1/nothing", nil).want(t, kindNotFound)
	if a := w.ask("DELETE", "/v1/sites", nil); a.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	} else {
		a.want(t, kindMethod)
	}
	a := send(t, http.DefaultClient, "POST", w.s.APIURL()+"/v1/sites",
		map[string]string{"Authorization": "Bearer " + w.s.fresh, "Content-Type": "text/plain"}, []byte(`{"id":"north"}`))
	a.want(t, kindMedia)
	if sites := do[List[cloud.Site]](w, "GET", "/v1/sites", nil); len(sites.Items) != 0 {
		t.Fatal("a refused request changed state")
	}
	do[NewSite](w, "POST", "/v1/sites", `{"id":"north"}`)
	w.ask("POST", "/v1/sites", `{"id":"north"}`).want(t, kindConflict)
}

// dialLink opens a gateway's WebSocket.
func TestCloseFinishesWhatIsUnderWay(t *testing.T) {
	w := start(t)
	// A request whose body comes in two parts; the server closes in between.
	body, feed := io.Pipe()
	req, _ := http.NewRequest("POST", w.s.APIURL()+"/v1/sites", body)
	req.Header.Set("Authorization", "Bearer "+w.s.fresh)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Expect", "100-continue") // so that the first byte is asked for by the endpoint itself
	tr := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer tr.CloseIdleConnections()
	status := make(chan int, 1)
	go func() {
		resp, err := tr.RoundTrip(req)
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	feed.Write([]byte(`{"id":`)) // returns when the endpoint reads: the call is under way
	closed := make(chan error, 1)
	go func() { closed <- w.s.Close() }()
	<-w.s.stopping
	feed.Write([]byte(`"north"}`))
	feed.Close()
	if got := <-status; got != http.StatusCreated {
		t.Fatalf("the call under way got HTTP %d", got)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(w.s.APIURL(), "http://")); err == nil {
		t.Fatal("still listening")
	}
	w.open()
	if got := do[cloud.Site](w, "GET", "/v1/sites/north", nil); got.ID != "north" {
		t.Fatalf("what was answered 201 is gone: %+v", got)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	before := w.s.CA()
	if err := w.s.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	if w.s.Token() != d.w.s.fresh || !bytes.Equal(before, w.s.CA()) {
		t.Fatal("the token or the authority changed")
	}
	if a := d.hello(); a.status != http.StatusOK {
		t.Fatalf("an enrolled gateway is not known any more: HTTP %d: %s", a.status, a.body)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	w := start(t)
	_, err := Start(context.Background(), Options{DataDir: w.dir, APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Fatalf("a second cloud on the same data: %v", err)
	}
}

func TestAPIStaysOnThisMachine(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "cloud.example:0"} {
		_, err := Start(context.Background(), Options{DataDir: t.TempDir(), APIAddr: addr, GatewayAddr: "127.0.0.1:0"})
		if err == nil || !strings.Contains(err.Error(), "--expose-api") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestExposedAPIIsTLSAndGuardsMetrics(t *testing.T) {
	w := start(t, func(o *Options) { o.APIAddr, o.ExposeAPI, o.Hosts = "0.0.0.0:0", true, []string{"127.0.0.1"} })
	if !strings.HasPrefix(w.s.APIURL(), "https://127.0.0.1:") {
		t.Fatal(w.s.APIURL())
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.s.CA())
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	send(t, c, "GET", w.s.APIURL()+"/metrics", nil, nil).want(t, kindToken)
	send(t, c, "GET", w.s.APIURL()+"/v1/sites", nil, nil).want(t, kindToken)
	if a := send(t, c, "GET", w.s.APIURL()+"/v1/sites", map[string]string{"Authorization": "Bearer " + w.s.fresh}, nil); a.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", a.status, a.body)
	}
}

func TestLogHoldsNoSecrets(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	const card, label = "04DEADBEEF7780", "Visitor badge"
	do[cloud.Token](w, "POST", "/v1/tokens", cloud.PutToken{Value: card, Label: label})
	do[cloud.Grant](w, "POST", "/v1/grants", cloud.IssueGrant{Site: "north", Token: card, Expires: holdfast.UnixMilli(time.Now().Add(time.Hour).UnixMilli())})
	do[Queued](w, "POST", "/v1/sites/north/start", uplink.StartBody{Charger: "CP-1", EVSE: 1, Token: card})
	w.ask("POST", "/v1/tokens", `{"value":"`+card+`","valu":1}`)
	w.ask("POST", "/v1/tokens", `{"value":"`+card+`","whitelist":"SOMETIMES"}`)
	w.ask("POST", "/v1/tokens/"+card, nil)
	w.ask("GET", "/v1/tokens?value="+card, nil)
	w.ask("POST", "/v1/tokens/revoke", TokenName{card})
	w.ask("POST", "/v1/tokens/erase", TokenName{card})
	d.post("/authorize", []byte(`{"token":"`+card+`"}`))
	send(t, http.DefaultClient, "GET", w.s.APIURL()+"/v1/sites", map[string]string{"Authorization": "Bearer hfa_wrong-but-secret"}, nil)
	log := w.log.String()
	if strings.Count(log, "\n") < 10 {
		t.Fatalf("the log is nearly empty:\n%s", log)
	}
	for name, secret := range map[string]string{
		"card": card, "lower-case card": strings.ToLower(card), "API token": w.s.fresh, "API token's tail": w.s.fresh[20:],
		"wrong API token": "wrong-but-secret", "token key": fmt.Sprintf("%x", d.got.TokenKey), "label": label,
	} {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("the log holds the %s: %s", name, log[max(0, i-200):min(len(log), i+60)])
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
		if !json.Valid([]byte(line)) {
			t.Fatalf("not JSON: %s", line)
		}
	}
}

func TestHealthAndMetrics(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	do[NewSite](w, "POST", "/v1/sites", `{"id":"dark"}`)
	d.hello()
	for _, at := range []string{"/healthz", "/readyz"} {
		if a := send(t, http.DefaultClient, "GET", w.s.APIURL()+at, nil, nil); a.status != http.StatusOK {
			t.Errorf("%s: HTTP %d: %s", at, a.status, a.body)
		}
	}
	a := send(t, http.DefaultClient, "GET", w.s.APIURL()+"/metrics", nil, nil)
	for _, want := range []string{
		`holdfast_link_state{site="north",state="ONLINE"} 1`, `holdfast_link_state{site="north",state="OFFLINE"} 0`,
		`holdfast_link_state{site="dark",state="ONLINE"} 0`,
		`holdfast_build_info{component="cloud",go="`, `holdfast_energy_delivered_joules_total 0`, `holdfast_journal_records 0`,
		`holdfast_requests_total{call="hello",status="200"} 1`, `holdfast_links 0`,
	} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(string(a.body), `holdfast_last_contact_timestamp_seconds{site="dark"}`) {
		t.Error("a site that was never seen has a last contact")
	}
	close(w.s.stopping)
	send(t, http.DefaultClient, "GET", w.s.APIURL()+"/readyz", nil, nil).want(t, kindBusy)
	w.s.stopping = make(chan struct{}) // for Close
}

func TestPanicIsAProblemAndNotTheEnd(t *testing.T) {
	w := start(t)
	const secret = "impossible state of charger CP-1"
	r := w.s.newRoutes(callerAny)
	handle(r, route{at: "GET /", name: "test"}, func(context.Context, *call, none) (none, error) { panic(secret) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: r}
	go srv.Serve(l)
	defer srv.Close()
	a := send(t, http.DefaultClient, "GET", "http://"+l.Addr().String(), nil, nil)
	p := a.want(t, kindInternal)
	if strings.Contains(string(a.body), "impossible") {
		t.Error("the peer learns what went wrong inside")
	}
	if log := w.log.String(); !strings.Contains(log, secret) || !strings.Contains(log, p.Request) {
		t.Error("the log lacks the panic or its request")
	}
}

func TestFailedStartLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	if _, err := Start(context.Background(), Options{DataDir: dir, APIAddr: taken.Addr().String(), GatewayAddr: "127.0.0.1:0"}); err == nil ||
		!strings.Contains(err.Error(), "another address") {
		t.Fatalf("%v", err)
	}
	s, err := Start(context.Background(), Options{DataDir: dir, APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatalf("the lock was not given back: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := filepath.Glob(filepath.Join(dir, "*")); err != nil {
		t.Fatal(err)
	}
}

func TestContextEndsTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Start(ctx, Options{DataDir: t.TempDir(), APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-s.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("still running")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// The acknowledgement of an upload is lost after the cloud committed it: the
// gateway repeats it and is told where to go on.
// A gateway's restored image writes other records under positions that the
// cloud knows.
func TestNobodyCanFillTheLogByKnocking(t *testing.T) {
	now := time.Now()
	w := start(t, func(o *Options) { o.Clock = func() time.Time { return now } })
	for range 3 * maxSecurityLines {
		send(t, http.DefaultClient, "GET", w.s.APIURL()+"/v1/sites", nil, nil).want(t, kindToken)
	}
	if n := strings.Count(w.log.String(), `"level":"WARN"`); n != maxSecurityLines {
		t.Errorf("%d lines", n)
	}
	m := send(t, http.DefaultClient, "GET", w.s.APIURL()+"/metrics", nil, nil)
	if want := fmt.Sprintf(`holdfast_security_events_total{kind="api_token"} %d`, 3*maxSecurityLines); !strings.Contains(string(m.body), want) {
		t.Errorf("/metrics lacks %s", want)
	}
}
