package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A world is a running server and what the tests know of it.
type world struct {
	t   *testing.T
	s   *Server
	dir string
	log *syncBuffer
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs a server on free loopback ports.
func start(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &syncBuffer{}}
	w.open(change...)
	return w
}

// open starts the server on the world's directory; also after a close.
func (w *world) open(change ...func(*Options)) {
	w.t.Helper()
	o := Options{
		DataDir: w.dir, APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0", Version: "test",
		Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&o)
	}
	s, err := Start(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.s != nil && s.fresh == "" {
		s.fresh = w.s.fresh // the operator kept it
	}
	w.s = s
	w.t.Cleanup(func() { s.Close() })
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) problem(t *testing.T) *Problem {
	t.Helper()
	p := &Problem{}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("HTTP %d, Content-Type %q, want a problem: %s", a.status, ct, a.body)
	}
	if err := json.Unmarshal(a.body, p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if p.Status != a.status || p.Title == "" || p.Request != a.header.Get("X-Request-Id") {
		t.Fatalf("problem %s does not agree with its answer (HTTP %d)", a.body, a.status)
	}
	return p
}

// want checks the kind of a problem.
func (a answer) want(t *testing.T, kind ProblemKind) *Problem {
	t.Helper()
	p := a.problem(t)
	if p.Slug() != kind.Slug || p.Status != kind.Status {
		t.Fatalf("got %s (HTTP %d), want %s: %s", p.Slug(), p.Status, kind.Slug, a.body)
	}
	return p
}

func send(t *testing.T, c *http.Client, method, url string, header map[string]string, body []byte) answer {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{resp.StatusCode, resp.Header, b}
	document(t).check(t, req, body, a)
	return a
}

// ask calls the API with the token; in is JSON or any value.
func (w *world) ask(method, path string, in any) answer {
	w.t.Helper()
	header := map[string]string{"Authorization": "Bearer " + w.s.fresh}
	var body []byte
	switch v := in.(type) {
	case nil:
	case string:
		body = []byte(v)
	default:
		body = mustJSON(w.t, v)
	}
	if in != nil {
		header["Content-Type"] = "application/json"
	}
	switch method {
	case "POST":
		header[keyHeader] = newRequestID()
	case "PUT": // of the state as it is now
		if tag := w.ask("GET", path, nil).header.Get("ETag"); tag != "" {
			header["If-Match"] = tag
		} else {
			header["If-None-Match"] = "*"
		}
	}
	return send(w.t, http.DefaultClient, method, w.s.APIURL()+path, header, body)
}

// do is ask for a call that must succeed.
func do[T any](w *world, method, path string, in any) T {
	w.t.Helper()
	a := w.ask(method, path, in)
	if a.status >= 300 {
		w.t.Fatalf("%s %s: HTTP %d: %s", method, path, a.status, a.body)
	}
	var out T
	if err := json.Unmarshal(a.body, &out); err != nil {
		w.t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
	}
	return out
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A device is an enrolled gateway's end of the wire.
type device struct {
	w    *world
	id   holdfast.GatewayID
	key  *ecdsa.PrivateKey
	got  uplink.Enrolled
	http *http.Client
}

// pinned trusts only an authority with the fingerprint at the end of a code: it
// is what a gateway does at its enrolment, when it knows nothing else.
func pinned(code string) *tls.Config {
	want := code[strings.LastIndexByte(code, '-')+1:]
	return &tls.Config{
		InsecureSkipVerify: true, // replaced by the check below
		VerifyConnection: func(cs tls.ConnectionState) error {
			ca := cs.PeerCertificates[len(cs.PeerCertificates)-1]
			sum := sha256.Sum256(ca.Raw)
			if hex.EncodeToString(sum[:16]) != want {
				return errors.New("the cloud's authority is not the one in the code")
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca)
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: cs.ServerName})
			return err
		},
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// enrol adds a site and enrols its gateway.
func (w *world) enrol(site string) *device {
	w.t.Helper()
	added := do[NewSite](w, "POST", "/v1/sites", cloud.AddSite{ID: holdfast.SiteID(site)})
	d := &device{w: w, id: added.Site.Gateway, key: newKey(w.t)}
	a := w.redeem(added.Code, d.key)
	if a.status != http.StatusOK {
		w.t.Fatalf("enrol: HTTP %d: %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &d.got); err != nil {
		w.t.Fatal(err)
	}
	d.connect()
	return d
}

// redeem posts a code with a request for key.
func (w *world) redeem(code string, key *ecdsa.PrivateKey) answer {
	w.t.Helper()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: pinned(code)}}
	defer c.CloseIdleConnections()
	return send(w.t, c, "POST", w.s.GatewayURL()+"/v1/enrol", map[string]string{"Content-Type": "application/json"},
		mustJSON(w.t, uplink.Enrol{Code: code, CSR: request(w.t, key).Raw}))
}

// connect makes the client with the device certificate.
func (d *device) connect() {
	roots := x509.NewCertPool()
	ca, err := x509.ParseCertificate(d.got.CA)
	if err != nil {
		d.w.t.Fatal(err)
	}
	roots.AddCert(ca)
	tr := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{{Certificate: [][]byte{d.got.Certificate}, PrivateKey: d.key}},
	}}
	d.w.t.Cleanup(tr.CloseIdleConnections)
	d.http = &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

func (d *device) post(path string, body []byte) answer {
	d.w.t.Helper()
	return send(d.w.t, d.http, "POST", d.w.s.GatewayURL()+"/v1/gateways/"+string(d.id)+path,
		map[string]string{"Content-Type": "application/json"}, body)
}

func (d *device) hello(heads ...uplink.Head) answer {
	d.w.t.Helper()
	return d.post("/hello", mustJSON(d.w.t, uplink.Hello{
		Gateway: d.id, Boot: 1, Software: "test", Nonce: strings.Repeat("ab", 16), Heads: heads,
	}))
}

func (d *device) put(j holdfast.Journal, e holdfast.Epoch, first string, slice []byte) answer {
	d.w.t.Helper()
	return send(d.w.t, d.http, "PUT", d.w.s.GatewayURL()+"/v1/gateways/"+string(d.id)+"/journals/"+string(j)+"/"+e.String()+"/"+first,
		map[string]string{"Content-Type": "application/octet-stream", "Content-Encoding": "zstd"}, slice)
}

// A testJournal is a gateway's evidence journal.
type testJournal struct {
	t     *testing.T
	epoch holdfast.Epoch
	log   *journal.Log
}

// journal makes an evidence journal of n records with a checkpoint over them.
func (d *device) journal(n int) *testJournal {
	t := d.w.t
	t.Helper()
	id := journal.Identity{Gateway: d.id, Journal: holdfast.Evidence, Epoch: holdfast.Epoch{0: 7, 15: 9}}
	log, err := journal.Create(faultfs.New(), id, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	j := &testJournal{t, id.Epoch, log}
	j.add(&record.EpochOpened{Reason: record.EpochEnrolment})
	for range n - 1 {
		j.add(&record.TimeFloorRaised{Floor: 1})
	}
	j.sync()
	size, root := log.Head()
	note, err := journal.SignCheckpoint(journal.CheckpointText(id.Origin(), size, root), id.Origin(), d.key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(journal.Checkpoint, note); err != nil {
		t.Fatal(err)
	}
	j.sync()
	return j
}

func (j *testJournal) add(b record.Body) {
	j.t.Helper()
	raw, err := record.Encode(record.Record{Seq: j.log.Next(), At: holdfast.Instant{Wall: 1_800_000_000_000, Quality: "S", Boot: 1, Mono: 5}, Body: b})
	if err != nil {
		j.t.Fatal(err)
	}
	if err := j.log.Append(journal.Record, raw); err != nil {
		j.t.Fatal(err)
	}
}

func (j *testJournal) sync() {
	j.t.Helper()
	if err := j.log.Sync(); err != nil {
		j.t.Fatal(err)
	}
}

// slice returns all frames from a position on.
func (j *testJournal) slice(from holdfast.Seq) []byte {
	j.t.Helper()
	b, err := j.log.Slice(j.epoch, from, uplink.MaxSliceBytes)
	if err != nil {
		j.t.Fatal(err)
	}
	return b
}
