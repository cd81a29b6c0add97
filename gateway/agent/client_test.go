package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// An authority is a cloud's CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var (
	longAgo = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	farOff  = time.Date(2055, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cloud"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: longAgo, NotAfter: farOff, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(t, tmpl, tmpl, &a.key.PublicKey)
	return a
}

func (a *authority) sign(t testing.TB, tmpl, parent *x509.Certificate, pub any) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue returns a certificate for usage, with the authority in its chain.
func (a *authority) issue(t testing.TB, usage x509.ExtKeyUsage, from, to time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	cert := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "gw-1"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, a.cert, &key.PublicKey)
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key}
}

// A cloud is a gateway endpoint with a handler of the test's.
type cloud struct {
	*authority
	web    *httptest.Server
	url    *url.URL
	config *tls.Config // of the gateway
	client *client
	prober *prober
}

func untrusted() (time.Time, bool) { return time.Time{}, false }

func newCloud(t testing.TB, handler http.HandlerFunc) *cloud {
	t.Helper()
	c := &cloud{authority: newAuthority(t)}
	c.web = httptest.NewUnstartedServer(handler)
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	c.web.TLS = &tls.Config{
		Certificates: []tls.Certificate{c.issue(t, x509.ExtKeyUsageServerAuth, longAgo, farOff)},
		ClientCAs:    pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS13,
	}
	c.web.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.web.StartTLS()
	t.Cleanup(c.web.Close)
	c.url, _ = url.Parse(c.web.URL)
	c.config = cloudTLS(c.issue(t, x509.ExtKeyUsageClientAuth, longAgo, farOff), c.cert, untrusted)
	c.use(t)
	return c
}

// use makes client and prober anew, after config or url were changed.
func (c *cloud) use(t testing.TB) {
	t.Helper()
	var err error
	if c.client, err = newClient(c.url, "gw-1", c.config, new(way).dial); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.http.CloseIdleConnections)
	c.prober = newProber(c.url, c.config)
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

var someEpoch = holdfast.Epoch{1, 2, 3}

// The calls are the ones that docs/uplink.md describes, byte for byte.
func TestClientCalls(t *testing.T) {
	slice := bytes.Repeat([]byte("evidence "), 1000)
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "gw-1" {
			t.Errorf("no device certificate on %s", r.URL)
		}
		body, _ := io.ReadAll(r.Body)
		switch r.Method + " " + r.URL.Path {
		case "POST /v1/gateways/gw-1/hello":
			var h uplink.Hello
			if err := json.Unmarshal(body, &h); err != nil || h.Boot != 5 {
				t.Errorf("hello %s", body)
			}
			answerJSON(w, 200, uplink.Welcome{LaterMillis: 7})
		case "POST /v1/gateways/gw-1/authorize":
			answerJSON(w, 200, uplink.Told{Status: "Blocked"})
		case "PUT /v1/gateways/gw-1/journals/evidence/" + someEpoch.String() + "/42":
			dec, _ := zstd.NewReader(nil)
			defer dec.Close()
			if plain, err := dec.DecodeAll(body, nil); err != nil || !bytes.Equal(plain, slice) || r.Header.Get("Content-Encoding") != "zstd" {
				t.Errorf("slice of %d bytes, %v, %v", len(plain), err, r.Header)
			}
			answerJSON(w, 200, uplink.Ack{Received: 50, Reconciled: 49})
		case "PUT /v1/gateways/gw-1/journals/evidence/" + someEpoch.String() + "/43":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(409)
			json.NewEncoder(w).Encode(uplink.Mismatch{Type: uplink.ProblemPositionMismatch, Status: 409, Expected: 12})
		default:
			t.Errorf("call %s %s", r.Method, r.URL)
		}
	})
	if w, err := c.client.hello(t.Context(), uplink.Hello{Boot: 5}); err != nil || w.LaterMillis != 7 {
		t.Errorf("hello: %+v, %v", w, err)
	}
	if told, err := c.client.authorize(t.Context(), uplink.Ask{}); err != nil || told.Status != "Blocked" {
		t.Errorf("authorize: %+v, %v", told, err)
	}
	slot := uplink.Slot{Journal: holdfast.Evidence, Epoch: someEpoch, First: 42}
	if ack, m, err := c.client.upload(t.Context(), slot, slice); err != nil || m != nil || ack.Received != 50 || ack.Reconciled != 49 {
		t.Errorf("upload: %+v, %+v, %v", ack, m, err)
	}
	slot.First = 43
	if _, m, err := c.client.upload(t.Context(), slot, slice); err != nil || m == nil || m.Expected != 12 {
		t.Errorf("mismatch: %+v, %v", m, err)
	}
}

// Answers of the cloud name their cause themselves.
func TestAnswersAndTheirCauses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		cause  holdfast.Cause
		detail string
		later  time.Duration
	}{
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, holdfast.CauseAuthRejected, "HTTP 401", 0},
		{"403 problem", func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, 403, map[string]any{"title": "Revoked", "detail": "by a person"})
		}, holdfast.CauseAuthRejected, "Revoked: by a person", 0},
		{"503 retry-after", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "30"); w.WriteHeader(503) }, holdfast.CauseCloudBusy, "HTTP 503", 30 * time.Second},
		{"429 later_ms", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 429, map[string]any{"later_ms": 1500}) }, holdfast.CauseCloudBusy, "HTTP 429", 1500 * time.Millisecond},
		{"503 for a year", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "31536000")
			w.WriteHeader(503)
		}, holdfast.CauseCloudBusy, "", uplink.MaxLaterMillis * time.Millisecond},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, holdfast.CauseCloudError, "HTTP 500", 0},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		}, holdfast.CauseCloudError, "HTTP 302", 0},
		{"captive portal", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>please log in")) }, holdfast.CauseCloudError, "not the protocol", 0},
		{"not JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte("{"))
		}, holdfast.CauseCloudError, "not the protocol", 0},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(bytes.Repeat([]byte(" "), uplink.MaxMessageBytes+2))
		}, holdfast.CauseCloudError, "more than", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t, tt.answer)
			_, err := c.client.hello(t.Context(), uplink.Hello{})
			e := (*callError)(nil)
			if !errors.As(err, &e) || e.cause != tt.cause || !strings.Contains(e.detail, tt.detail) || e.later != tt.later {
				t.Fatalf("error %#v, want %s %q later %v", err, tt.cause, tt.detail, tt.later)
			}
			if f := c.prober.diagnose(t.Context(), err); f.cause != tt.cause {
				t.Errorf("diagnosed as %s", f.cause)
			}
		})
	}
}

// Each layer that does not work is found by looking at it.
func TestProbeFindsTheLayer(t *testing.T) {
	ok := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200) }
	noName := func(context.Context, string) ([]net.IPAddr, error) {
		return nil, &net.DNSError{Err: "server misbehaving", Name: "cloud.example", IsTemporary: true}
	}
	named := func(c *cloud) { c.prober.endpoint = &url.URL{Scheme: "https", Host: "cloud.example:443"} }
	noRoute := func(netip.AddrPort) error { return syscall.ENETUNREACH }
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		breaks func(t *testing.T, c *cloud)
		cause  holdfast.Cause
	}{
		{"nothing", ok, func(*testing.T, *cloud) {}, holdfast.CauseNone},
		{"no carrier", ok, func(_ *testing.T, c *cloud) {
			named(c)
			c.prober.carrier = func() (bool, error) { return false, nil }
		}, holdfast.CauseNetworkDown},
		{"no route", ok, func(_ *testing.T, c *cloud) { c.prober.routed = noRoute }, holdfast.CauseNetworkDown},
		{"no name, no route", ok, func(_ *testing.T, c *cloud) {
			named(c)
			c.prober.carrier, c.prober.lookup, c.prober.routed = up, noName, noRoute
		}, holdfast.CauseNetworkDown},
		{"no name", ok, func(_ *testing.T, c *cloud) {
			named(c)
			c.prober.carrier, c.prober.lookup = up, noName
			c.prober.routed = func(netip.AddrPort) error { return nil }
		}, holdfast.CauseDNSFailure},
		{"refused", ok, func(_ *testing.T, c *cloud) { c.web.Close() }, holdfast.CauseCloudUnreachable},
		{"another authority", ok, func(t *testing.T, c *cloud) {
			c.prober.tls = cloudTLS(tls.Certificate{}, newAuthority(t).cert, untrusted)
		}, holdfast.CauseTLSFailure},
		{"no TLS there", ok, func(t *testing.T, c *cloud) { c.speaks(t, "HTTP/1.0 200 OK\r\n\r\n<html>") }, holdfast.CauseTLSFailure},
		{"hangs up", ok, func(t *testing.T, c *cloud) { c.speaks(t, "") }, holdfast.CauseCloudUnreachable},
		{"hangs", ok, func(t *testing.T, c *cloud) { c.silent(t) }, holdfast.CauseCloudUnreachable},
		{"our certificate is refused", ok, func(t *testing.T, c *cloud) {
			c.web.TLS.ClientAuth, c.web.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
			c.web.TLS.ClientCAs.AddCert(newAuthority(t).cert)
		}, holdfast.CauseAuthRejected},
		{"busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, func(*testing.T, *cloud) {}, holdfast.CauseCloudBusy},
		{"forbidden", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, func(*testing.T, *cloud) {}, holdfast.CauseAuthRejected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t, tt.handle)
			tt.breaks(t, c)
			if f := c.prober.diagnose(t.Context(), errors.New("it failed")); f.cause != tt.cause || f.detail == "" {
				t.Errorf("found %s (%s), want %s", f.cause, f.detail, tt.cause)
			}
		})
	}
}

func up() (bool, error) { return true, nil }

// speaks puts a server in the cloud's place that says text and hangs up.
func (c *cloud) speaks(t testing.TB, text string) {
	l := c.instead(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, text)
			conn.Close()
		}
	}()
}

// silent puts a server in the cloud's place that lets the kernel accept and
// never says a word.
func (c *cloud) silent(t testing.TB) { c.instead(t) }

func (c *cloud) instead(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c.prober.endpoint = &url.URL{Scheme: "https", Host: l.Addr().String()}
	return l
}

// With an untrusted clock dates are ignored and everything else is not; with a
// trusted one an expired server is refused.
func TestPinnedTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	year := func(y int) func() (time.Time, bool) {
		return func() (time.Time, bool) { return time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC), true }
	}
	expired := func(a *authority, usage x509.ExtKeyUsage) []*x509.Certificate {
		c := a.issue(t, usage, longAgo, longAgo.AddDate(1, 0, 0))
		leaf, _ := x509.ParseCertificate(c.Certificate[0])
		return []*x509.Certificate{leaf, a.cert}
	}
	for _, tt := range []struct {
		name  string
		chain []*x509.Certificate
		now   func() (time.Time, bool)
		ok    bool
	}{
		{"valid now", expired(ours, x509.ExtKeyUsageServerAuth), year(2025), true},
		{"expired", expired(ours, x509.ExtKeyUsageServerAuth), year(2027), false},
		{"expired, clock untrusted", expired(ours, x509.ExtKeyUsageServerAuth), untrusted, true},
		{"another authority", expired(other, x509.ExtKeyUsageServerAuth), untrusted, false},
		{"a gateway that plays cloud", expired(ours, x509.ExtKeyUsageClientAuth), untrusted, false},
		{"nothing", nil, untrusted, false},
	} {
		if err := verifyPinned(tt.chain, ours.cert, tt.now); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])[:fingerprintLen]
}

// Enrolment trusts what the code says and nothing else.
func TestEnrolPinsTheAuthority(t *testing.T) {
	answer := uplink.Enrolled{Gateway: "gw-1", Site: "site-1"}
	var calls atomic.Int32
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var in uplink.Enrol
		json.NewDecoder(r.Body).Decode(&in)
		if r.URL.Path != "/v1/enrol" || !strings.HasPrefix(in.Code, "hf-secret-") || len(in.CSR) == 0 {
			t.Errorf("enrol %s %+v", r.URL, in)
		}
		answerJSON(w, 200, answer)
	})
	good := "hf-secret-" + fingerprint(c.cert)
	answer.CA = c.cert.Raw
	if out, err := enrol(t.Context(), c.url, good, []byte("csr")); err != nil || out.Gateway != "gw-1" {
		t.Errorf("enrol: %+v, %v", out, err)
	}
	answer.CA = newAuthority(t).cert.Raw
	if _, err := enrol(t.Context(), c.url, good, []byte("csr")); err == nil || !strings.Contains(err.Error(), "another authority") {
		t.Errorf("swapped authority: %v", err)
	}
	was := calls.Load()
	for _, code := range []string{"hf-secret-" + fingerprint(newAuthority(t).cert), "hf-secret-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "hf-secret", "", "xx-secret-" + fingerprint(c.cert)} {
		if _, err := enrol(t.Context(), c.url, code, []byte("csr")); err == nil {
			t.Errorf("code %q was accepted", code)
		}
	}
	if calls.Load() != was {
		t.Error("a code was shown to a server that its fingerprint does not fit")
	}
}

// line is a cloudLink with a recording core.
func (c *cloud) line(t testing.TB, key *ecdsa.PublicKey) (*cloudLink, *recorder, *feed) {
	t.Helper()
	r := newRecorder()
	e := r.running(t, func() {})
	l := newCloudLink(quiet(), []*path{{client: c.client, prober: c.prober}}, e.clock, key)
	f := e.feed()
	t.Cleanup(func() { go l.stop() }) // returns when the engine's cleanup has ended the feed
	return l, r, f
}

// The signed time sets the clock only when it answers our question and the
// cloud's key signed it.
func TestHelloSetsTheClock(t *testing.T) {
	const cloudNow = holdfast.UnixMilli(1_900_000_000_000)
	nonce := strings.Repeat("ab", 16)
	key, other := newKey(t), newKey(t)
	for _, tt := range []struct {
		name  string
		by    *ecdsa.PrivateKey
		nonce string
		want  holdfast.UnixMilli
	}{{"signed", key, nonce, cloudNow}, {"another key", other, nonce, 0}, {"replayed", key, strings.Repeat("cd", 16), 0}} {
		t.Run(tt.name, func(t *testing.T) {
			payload, err := statement.EncodeTime(statement.Time{Nonce: tt.nonce, Now: cloudNow})
			if err != nil {
				t.Fatal(err)
			}
			signed, err := statement.Sign(tt.by, rand.Reader, statement.TypTime, payload)
			if err != nil {
				t.Fatal(err)
			}
			c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/hello") {
					answerJSON(w, 200, uplink.Welcome{Time: signed})
					return
				}
				w.WriteHeader(404)
			})
			l, core, f := c.line(t, &key.PublicKey)
			l.hello(f, uplink.Hello{Nonce: nonce})
			if up := wait[gateway.LinkUp](t, core, nil); up.CloudTime != tt.want {
				t.Errorf("cloud time %v, want %v", up.CloudTime, tt.want)
			}
			if _, trusted := l.clock.Trusted(); trusted != (tt.want != 0) {
				t.Errorf("clock trusted: %v", trusted)
			}
		})
	}
}

// A connection that dies in the middle of a call while everything works is no
// outage: the call is made once more. When the second dies too, it is one.
func TestCallIsMadeTwice(t *testing.T) {
	var calls atomic.Int32
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz":
			w.WriteHeader(200)
		case !strings.HasSuffix(r.URL.Path, "/authorize") && calls.Add(1) == 1, strings.Contains(r.URL.Path, "telemetry"):
			panic(http.ErrAbortHandler)
		default:
			answerJSON(w, 200, uplink.Ack{Received: 3, Reconciled: 3})
		}
	})
	l, core, f := c.line(t, nil)
	l.upload(f, gateway.Upload{Journal: holdfast.Evidence, Epoch: someEpoch}, []byte("slice"))
	if done := wait[gateway.UploadDone](t, core, nil); done.Ack.Received != 3 || done.Epoch != someEpoch {
		t.Errorf("done %+v", done)
	}
	l.upload(f, gateway.Upload{Journal: holdfast.Telemetry, Epoch: someEpoch}, []byte("slice"))
	if down := wait[gateway.LinkDown](t, core, nil); down.Cause != holdfast.CauseCloudUnreachable || !strings.Contains(down.Detail, "every stage works") {
		t.Errorf("down %+v", down)
	}
}

// A busy cloud names a time; until then it is not called again.
func TestBusyCloudIsLeftAlone(t *testing.T) {
	var calls atomic.Int32
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(503)
	})
	l, core, f := c.line(t, nil)
	l.hello(f, uplink.Hello{})
	wait(t, core, func(d gateway.LinkDown) bool {
		return d.Cause == holdfast.CauseCloudBusy && strings.Contains(d.Detail, "503")
	})
	l.hello(f, uplink.Hello{})
	wait(t, core, func(d gateway.LinkDown) bool {
		return d.Cause == holdfast.CauseCloudBusy && strings.Contains(d.Detail, "come back in")
	})
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// Directives and knocks come down the WebSocket, and its loss is noticed.
func TestDoorbell(t *testing.T) {
	knock, cut := make(chan uplink.Knock), make(chan struct{})
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/hello") {
			answerJSON(w, 200, uplink.Welcome{})
			return
		}
		if r.URL.Path != "/v1/gateways/gw-1/link" {
			w.WriteHeader(404)
			return
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ctx := ws.CloseRead(context.Background())
		for {
			select {
			case k := <-knock:
				b, _ := json.Marshal(k)
				ws.Write(ctx, websocket.MessageText, b)
			case <-cut:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	l, core, f := c.line(t, nil)
	l.hello(f, uplink.Hello{})
	wait[gateway.LinkUp](t, core, nil)
	knock <- uplink.Knock{Directives: []uplink.Directive{{ID: "d-1"}}}
	wait(t, core, func(d gateway.Directives) bool { return len(d.List) == 1 && d.List[0].ID == "d-1" })
	knock <- uplink.Knock{}
	wait(t, core, func(d gateway.Directives) bool { return len(d.List) == 0 })
	c.web.Listener.Close()
	close(cut)
	wait(t, core, func(d gateway.LinkDown) bool { return d.Cause == holdfast.CauseCloudUnreachable })
}

// A charger that waits at the plug gets an answer in time from a cloud that
// hangs, and too many questions at once are refused at once.
func TestAsksAreBounded(t *testing.T) {
	hang := make(chan struct{})
	c := newCloud(t, func(w http.ResponseWriter, r *http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	l, core, f := c.line(t, nil)
	for i := range MaxAsks {
		if !l.ask(f, gateway.Ask{ID: uint64(i)}) {
			t.Fatalf("ask %d refused", i)
		}
	}
	if l.ask(f, gateway.Ask{ID: 999}) {
		t.Error("an ask beyond the bound was taken")
	}
	began := time.Now()
	if told := wait[gateway.Told](t, core, nil); told.Err == "" || time.Since(began) > 10*time.Second {
		t.Errorf("told %+v after %v", told, time.Since(began))
	}
}

// A slice is cut at frame boundaries and keeps its first record.
func TestCutSlice(t *testing.T) {
	frame := func(kind byte, n int) []byte {
		return append([]byte{0, 0, byte(n >> 8), byte(n), kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, n)...)
	}
	slice := append(append(append(frame(3, 10), frame(1, 500)...), frame(1, 500)...), frame(2, 100)...)
	for _, tt := range []struct{ most, want int }{{1, 550}, {600, 550}, {1069, 550}, {1070, 1070}, {1189, 1070}, {1190, 1190}, {1 << 20, 1190}} {
		if got := len(cutSlice(slice, tt.most)); got != tt.want {
			t.Errorf("most %d: %d bytes, want %d", tt.most, got, tt.want)
		}
	}
}

// Slices shrink on a slow link and grow again on a fast one.
func TestSlicesAdapt(t *testing.T) {
	c := &client{}
	c.slice.Store(uplink.MaxSliceBytes)
	for range 5 {
		c.adapt(c.sliceBytes(), UploadTimeout)
	}
	if got := c.sliceBytes(); got != MinSliceBytes {
		t.Errorf("after five timeouts %d bytes, want %d", got, MinSliceBytes)
	}
	for range 20 {
		c.adapt(c.sliceBytes(), time.Second)
	}
	if got := c.sliceBytes(); got != uplink.MaxSliceBytes {
		t.Errorf("on a fast link %d bytes", got)
	}
}
