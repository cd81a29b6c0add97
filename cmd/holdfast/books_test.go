package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud/server"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A bench is a running cloud with one enrolled gateway whose journal the test
// writes itself.
type bench struct {
	t      *testing.T
	s      *server.Server
	key    *ecdsa.PrivateKey
	http   *http.Client
	log    *journal.Log
	sent   holdfast.Seq
	tariff record.TariffRef
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s, err := server.Start(t.Context(), server.Options{DataDir: t.TempDir(), APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("HOLDFAST_CLOUD", s.APIURL())
	t.Setenv("HOLDFAST_TOKEN", s.Token())
	b := &bench{t: t, s: s}
	b.enrol()
	return b
}

// enrol does what holdfast-gateway enroll does.
func (b *bench) enrol() {
	b.t.Helper()
	var site server.NewSite
	b.decode(b.run("sites", "add", "north", "--json"), &site)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b.check(err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	b.check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.s.CA())
	b.key, b.http = key, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	body, err := json.Marshal(uplink.Enrol{Code: site.Code, CSR: csr})
	b.check(err)
	var got uplink.Enrolled
	b.decode(b.send("POST", "/v1/enrol", "application/json", "", body), &got)
	b.http.CloseIdleConnections()
	b.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{{Certificate: [][]byte{got.Certificate}, PrivateKey: key}},
	}}}
	b.t.Cleanup(b.http.CloseIdleConnections)
	id := journal.Identity{Gateway: got.Gateway, Journal: holdfast.Evidence, Epoch: holdfast.Epoch{0: 0xab, 15: 1}}
	b.log, err = journal.Create(faultfs.New(), id, journal.Options{})
	b.check(err)
	b.add(0, record.Record{Body: &record.EpochOpened{Reason: record.EpochEnrolment}})
}

func (b *bench) send(method, path, kind, encoding string, body []byte) []byte {
	b.t.Helper()
	req, err := http.NewRequest(method, b.s.GatewayURL()+path, bytes.NewReader(body))
	b.check(err)
	req.Header.Set("Content-Type", kind)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := b.http.Do(req)
	b.check(err)
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	b.check(err)
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s %s: HTTP %d: %s", method, path, resp.StatusCode, out)
	}
	return out
}

// at is a moment of the story.
func at(minute int) holdfast.UnixMilli {
	return holdfast.UnixMilli(time.Date(2026, 3, 2, 17, minute, 0, 0, time.UTC).UnixMilli())
}

// add appends a record and returns its leaf hash.
func (b *bench) add(minute int, r record.Record) holdfast.Hash {
	b.t.Helper()
	r.Seq = b.log.Next()
	r.At = holdfast.Instant{Wall: at(minute), Quality: holdfast.Synchronised, Boot: 1, Mono: int64(minute) * 60_000}
	raw, err := record.Encode(r)
	b.check(err)
	b.check(b.log.Append(journal.Record, raw))
	return holdfast.LeafHash(raw)
}

// upload sends what was added since; with a checkpoint it is reconciled.
func (b *bench) upload(checkpoint bool) {
	b.t.Helper()
	b.check(b.log.Sync())
	id := b.log.Identity()
	if checkpoint {
		size, root := b.log.Head()
		note, err := journal.SignCheckpoint(journal.CheckpointText(id.Origin(), size, root), id.Origin(), b.key, rand.Reader)
		b.check(err)
		b.check(b.log.Append(journal.Checkpoint, note))
		b.check(b.log.Sync())
	}
	slice, err := b.log.Slice(id.Epoch, b.sent, uplink.MaxSliceBytes)
	b.check(err)
	enc, err := zstd.NewWriter(nil)
	b.check(err)
	pos := holdfast.Pos{Gateway: id.Gateway, Journal: id.Journal, Epoch: id.Epoch, Seq: b.sent}
	path := strings.Replace(pos.String(), "/evidence/", "/journals/evidence/", 1)
	b.send("PUT", "/v1/gateways/"+path, "application/octet-stream", "zstd", enc.EncodeAll(slice, nil))
	b.sent = b.log.Next()
}

// card is the driver's.
var card = holdfast.TokenHash{1, 2, 3}

// open adds a decision and the start of a session, and returns its id.
func (b *bench) open(minute int, charger holdfast.ChargerID, register holdfast.WattHours, tariff *record.TariffRef) holdfast.SessionID {
	b.t.Helper()
	decision := b.log.Next()
	b.add(minute, record.Record{Charger: charger, Body: &record.AccessDecided{
		Token: card, EVSE: 1, Accepted: true, Rule: "listed", Reason: "the token is on the list", Source: "list",
		ListVersion: 1, Link: holdfast.Offline, Count: 1,
	}})
	return holdfast.SessionID(b.add(minute, record.Record{Charger: charger, Body: &record.SessionOpened{
		Decision: &decision, Token: card,
		Nonce: strings.Repeat("0", 32), Source: record.StartAuthorized, EVSE: 1, Connector: 1, StartedAt: at(minute),
		ClaimedAt: at(minute).String(), Start: &register, StartTrust: record.Trusted, Link: holdfast.Offline,
		Tariff: tariff, Labels: map[string]string{"ocpp16.transaction_id": "7"}, PowerBudget: 22_000,
	}}))
}

// end adds the end of a session.
func (b *bench) end(minute int, charger holdfast.ChargerID, id holdfast.SessionID, register holdfast.WattHours) {
	b.t.Helper()
	b.add(minute, record.Record{Session: id, Charger: charger, Body: &record.SessionEnded{
		StoppedAt: at(minute), ClaimedAt: at(minute).String(), Stop: &register, StopTrust: record.Trusted, Reason: "Local", Token: card,
	}})
}

// run runs a verb, which must succeed.
func (b *bench) run(args ...string) string {
	b.t.Helper()
	out, err := b.try(args...)
	if err != nil {
		b.t.Fatalf("holdfast %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func (b *bench) try(args ...string) (string, error) {
	b.t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err := root.ExecuteContext(b.t.Context())
	return out.String(), err
}

func (b *bench) decode(from any, to any) {
	b.t.Helper()
	raw, ok := from.([]byte)
	if !ok {
		raw = []byte(from.(string))
	}
	if err := json.Unmarshal(raw, to); err != nil {
		b.t.Fatalf("%v: %s", err, raw)
	}
}

func (b *bench) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// setTariff sets the tariff that sessions of this bench refer to.
func (b *bench) setTariff() {
	b.t.Helper()
	file := b.t.TempDir() + "/tariff.json"
	b.check(os.WriteFile(file, []byte(`{"id":"standard","currency":"EUR","elements":[{"price_components":[
		{"type":"ENERGY","price":0.45,"vat":19,"step_size":1},{"type":"FLAT","price":0.50,"vat":19,"step_size":1}]}]}`), 0o600))
	b.run("tariffs", "set", file)
	body, err := json.Marshal(uplink.Hello{Gateway: "gw-north", Boot: 1, Software: "bench 1", Nonce: strings.Repeat("0", 32)})
	b.check(err)
	var w uplink.Welcome
	b.decode(b.send("POST", "/v1/gateways/gw-north/hello", "application/json", "", body), &w)
	for _, d := range w.Directives {
		if d.Kind == uplink.InstallTariff {
			b.tariff = record.TariffRef{ID: "standard", Version: 1, Hash: sha256.Sum256(d.Statement), Currency: "EUR"}
			return
		}
	}
	b.t.Fatal("no tariff came with the hello")
}

// The whole way: journals of three sessions in, tables for people out.
func TestBooksForPeople(t *testing.T) {
	b := newBench(t)
	b.setTariff()
	billed := b.open(3, "CP-1", 910_000, &b.tariff)
	b.end(41, "CP-1", billed, 922_345)
	unpriced := b.open(10, "CP-2", 5_000, nil)
	b.end(30, "CP-2", unpriced, 6_500)
	b.open(20, "CP-3", 777, &b.tariff)
	b.upload(true)

	b.like([]string{"sessions", "--oldest"}, `
STARTED                  SITE   CHARGER  EVSE  SESSION       LASTED       KWH    AMOUNT  STAGE       NOTES
2026-03-02 17:03:00 UTC  north  CP-1        1  <session-->  38 m 0 s  12.345  7.21 EUR  rated       offline
2026-03-02 17:10:00 UTC  north  CP-2        1  <session-->  20 m 0 s   1.500         -  reconciled  offline, RATE_TARIFF_MISSING
2026-03-02 17:20:00 UTC  north  CP-3        1  <session-->  running    0.000         -  reconciled  offline
`)
	b.like([]string{"sessions", "show", billed.Short()}, `
Session <session id>
  Site         north
  Charger      CP-1, EVSE 1
  Started      2026-03-02 17:03:00 UTC
  Stopped      2026-03-02 17:41:00 UTC
  Lasted       38 m 0 s
  Started by   authorized
  Stop reason  Local
  Notes        offline
  Energy       12.345 kWh (register 910.000 kWh to 922.345 kWh)
  Tariff       standard version 1
  Amount       7.21 EUR
  Stage        rated

Charge detail records
CDR                             SITE   STOPPED                     KWH       NET       VAT     GROSS  STATE
<the first 28 of its digits>-1  north  2026-03-02 17:41:00 UTC  12.345  6.06 EUR  1.15 EUR  7.21 EUR  current

Evidence, 2 records
POSITION                                              RECORD          TIME                     RECONCILED
gw-north/evidence/ab000000000000000000000000000001/2  session.opened  2026-03-02 17:03:00 UTC  yes
gw-north/evidence/ab000000000000000000000000000001/3  session.ended   2026-03-02 17:41:00 UTC  yes
`)
	b.like([]string{"exceptions"}, `
CODE                 STATE  OPENED                   SITE   SESSION       WHAT
RATE_TARIFF_MISSING  open   <when the test ran--->  north  <session-->  the session began without a tariff
docs/exceptions.md says what each code means and what to do.
`)
	b.like([]string{"ledger", "balance"}, `
ACCOUNT                DEBIT        CREDIT
receivable      7.205748 EUR
revenue.energy                5.555250 EUR
revenue.flat                  0.500000 EUR
vat                           1.150498 EUR
`)
	b.like([]string{"ledger", "--site", "south"}, "\nNothing matches.\n")
	b.like([]string{"sessions", "--running=false", "--stage", "received"}, "\nNothing matches.\n")
	if out := b.run("ledger", "--oldest"); strings.Count(out, "\n") != 5 || !strings.Contains(out, "receivable") {
		t.Errorf("ledger:\n%s", out)
	}
	if out := b.run("cdrs", "--current"); strings.Count(out, "\n") != 2 {
		t.Errorf("cdrs:\n%s", out)
	}
	if _, err := b.try("sessions", "show", "000000"); err == nil || !strings.Contains(err.Error(), "none of the newest") {
		t.Errorf("a prefix of no session: %v", err)
	}
}

// A session is not yet covered by a checkpoint: it says whose turn it is.
func TestUncoveredSessionSaysWhatItWaitsFor(t *testing.T) {
	b := newBench(t)
	b.setTariff()
	id := b.open(3, "CP-1", 910_000, &b.tariff)
	b.upload(true)
	b.end(41, "CP-1", id, 922_345)
	b.upload(false)
	if out := b.run("sessions", "show", id.String()); !strings.Contains(out, "waits for the gateway's signed checkpoint") ||
		!strings.Contains(out, "not yet\n") {
		t.Errorf("%s", out)
	}
	if out := b.run("gateways"); !regexp.MustCompile(`gw-north  north  ONLINE +\d s ago +4 +3 +0  bench 1`).MatchString(out) {
		t.Errorf("%s", out)
	}
	b.upload(true)
	if out := b.run("sessions"); !strings.Contains(out, "7.21 EUR  rated") {
		t.Errorf("the checkpoint did not settle it:\n%s", out)
	}
}

// The gateway's outcome ends a waiting command.
func TestStartWaitsForTheOutcome(t *testing.T) {
	for outcome, want := range map[string]string{"done": "", "refused": "refused: the charger is faulted"} {
		b := newBench(t)
		done := make(chan error, 1)
		go func() {
			_, err := b.try("start", "04A2B3C4D5E680", "--site", "north", "--charger", "CP-1")
			done <- err
		}()
		detail := ""
		if want != "" {
			detail = "the charger is faulted"
		}
		b.add(1, record.Record{Body: &record.DirectiveDone{ID: b.awaitStart(), Outcome: outcome, Detail: detail}})
		b.upload(true)
		err := <-done
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: %v", outcome, err)
		}
		if f := (*failure)(nil); want != "" && (!errors.As(err, &f) || f.code != exitFailed) {
			t.Errorf("%s: %v, want exit %d", outcome, err, exitFailed)
		}
	}
}

// awaitStart waits on the live link for a start and returns its directive.
func (b *bench) awaitStart() string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, b.s.GatewayURL()+"/v1/gateways/gw-north/link", &websocket.DialOptions{HTTPClient: b.http})
	b.check(err)
	defer ws.CloseNow()
	ws.SetReadLimit(uplink.MaxMessageBytes)
	for {
		_, raw, err := ws.Read(ctx)
		b.check(err)
		var k uplink.Knock
		b.decode(raw, &k)
		for _, d := range k.Directives {
			if d.Kind == uplink.StartSession {
				return d.ID
			}
		}
	}
}

// like compares a verb's output with want, where "<...>" stands for what differs
// from run to run and is as long as that, but for one character less.
func (b *bench) like(args []string, want string) {
	b.t.Helper()
	got := "\n" + b.run(args...)
	got = regexp.MustCompile(`\b[0-9a-f]{64}\b`).ReplaceAllString(got, "<session id>")
	got = regexp.MustCompile(`\b[0-9a-f]{28}-`).ReplaceAllString(got, "<the first 28 of its digits>-")
	got = regexp.MustCompile(`\b[0-9a-f]{12}\b`).ReplaceAllString(got, "<session-->")
	got = regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC`).ReplaceAllStringFunc(got, func(m string) string {
		if strings.HasPrefix(m, "2026-03-02 17:") {
			return m
		}
		return "<when the test ran--->"
	})
	if got != want {
		b.t.Errorf("holdfast %s printed%s\nwant%s", strings.Join(args, " "), got, want)
	}
}
