package cloud_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/cloud/store"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/seal"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// start is when every test begins.
const start holdfast.UnixMilli = 1_790_000_000_000

// TB is what testing.T, testing.B and rapid.T share.
type TB interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

// A world is a cloud with its keeper.
type world struct {
	t       TB
	plane   *cloud.Plane
	store   cloud.Store
	archive cloud.Archive
	signer  *ecdsa.PrivateKey
	now     holdfast.UnixMilli
}

func newKey(t TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// onEach runs a test on every keeper.
func onEach(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("memory", func(t *testing.T) { test(t, memoryWorld(t)) })
	t.Run("sqlite", func(t *testing.T) {
		s, err := store.Open(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, newWorld(t, s, s.Archive()))
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, newWorld(t, openPostgres(t, postgres.Server(t).Schema(t)), store.NewFiles(t.TempDir())))
	})
}

func memoryWorld(t TB) *world {
	m := store.NewMemory()
	return newWorld(t, m, m.Archive())
}

func newWorld(t TB, s cloud.Store, a cloud.Archive) *world {
	t.Helper()
	w := &world{t: t, store: s, archive: a, signer: newKey(t), now: start}
	w.over(s, a)
	return w
}

// over puts a new plane over other keepers, as after a restart.
func (w *world) over(s cloud.Store, a cloud.Archive) {
	ca := []byte("the authority's certificate")
	w.plane = cloud.New(cloud.Options{
		Store: s, Archive: a, Signer: w.signer, Rand: rand.Reader, Secret: [32]byte{1, 2, 3}, CACertificate: ca,
		Issue: func(csr *x509.CertificateRequest, gw holdfast.GatewayID, _ holdfast.UnixMilli) ([]byte, error) {
			return []byte("certificate of " + string(gw)), nil
		},
		Endpoint: "https://cloud.example:8443",
	})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

const dayTariff = `{"country_code":"DE","party_id":"HFT","id":"day","currency":"EUR","elements":[{"price_components":[
	{"type":"FLAT","price":0.50,"vat":19,"step_size":1},{"type":"ENERGY","price":0.49,"vat":19,"step_size":1}]}]}`

// A box is a gateway: it writes real journals, signs real checkpoints, and says
// hello. It decides nothing.
type box struct {
	w         *world
	id        holdfast.GatewayID
	site      holdfast.SiteID
	key       *ecdsa.PrivateKey
	enrolled  uplink.Enrolled
	code      string
	evidence  *journal.Log
	telemetry *journal.Log
	at        holdfast.Instant
	tariff    *record.TariffRef
	signed    []byte // its statement
	list      []byte
	done      []string // directives carried out
	registers map[string]holdfast.WattHours
}

func csr(t TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "any"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// box adds a site, enrols its gateway and boots it.
func (w *world) box(site holdfast.SiteID) *box {
	w.t.Helper()
	_, code, err := w.plane.AddSite(context.Background(), w.now, cloud.AddSite{ID: site, By: "test"})
	w.must(err)
	b := &box{w: w, site: site, key: newKey(w.t), code: code, registers: map[string]holdfast.WattHours{},
		at: holdfast.Instant{Wall: w.now, Quality: holdfast.Synchronised, Boot: 1}}
	b.enrolled, err = w.plane.Enrol(context.Background(), w.now, uplink.Enrol{Code: code, CSR: csr(w.t, b.key)})
	w.must(err)
	b.id = b.enrolled.Gateway
	b.evidence = b.create(holdfast.Evidence, b.newEpoch())
	b.telemetry = b.create(holdfast.Telemetry, b.newEpoch())
	b.put(record.Record{Body: &record.EpochOpened{Reason: record.EpochEnrolment}})
	b.put(record.Record{Body: &record.GatewayBooted{Boot: 1, Nonce: strings.Repeat("0", 32), Software: "test", Cause: holdfast.CausePlanned}})
	return b
}

func (b *box) newEpoch() (e holdfast.Epoch) {
	_, err := rand.Read(e[:])
	b.w.must(err)
	return e
}

func (b *box) create(j holdfast.Journal, e holdfast.Epoch) *journal.Log {
	l, err := journal.Create(faultfs.New(), journal.Identity{Gateway: b.id, Journal: j, Epoch: e}, journal.Options{})
	b.w.must(err)
	return l
}

// wait lets time pass at the site.
func (b *box) wait(seconds int64) {
	b.at.Wall += holdfast.UnixMilli(seconds * 1000)
	b.at.Mono += seconds * 1000
}

// put appends a record to the journal that it belongs to and syncs it.
func (b *box) put(r record.Record) (holdfast.Seq, holdfast.Hash) {
	b.w.t.Helper()
	l := b.evidence
	if record.JournalOf(r.Body.Type()) == holdfast.Telemetry {
		l = b.telemetry
	}
	r.Seq, r.At = l.Next(), b.at
	raw, err := record.Encode(r)
	b.w.must(err)
	return r.Seq, b.write(l, raw)
}

func (b *box) write(l *journal.Log, raw []byte) holdfast.Hash {
	b.w.must(l.Append(journal.Record, raw))
	b.w.must(l.Sync())
	return holdfast.LeafHash(raw)
}

// sign returns a signed checkpoint of what is synced.
func (b *box) sign(key *ecdsa.PrivateKey, origin string, size uint64, root holdfast.Hash) []byte {
	n, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, key, rand.Reader)
	b.w.must(err)
	return n
}

func (b *box) checkpoint() {
	b.w.t.Helper()
	size, root := b.evidence.Head()
	b.w.must(b.evidence.Append(journal.Checkpoint, b.sign(b.key, b.evidence.Identity().Origin(), size, root)))
	b.w.must(b.evidence.Sync())
}

// token seals a value as a record carries it, with its key frame before it.
func (b *box) token(value string) (holdfast.TokenHash, string) {
	var random [64]byte
	_, err := rand.Read(random[:])
	b.w.must(err)
	k := seal.NewKey([40]byte(random[:40]))
	b.w.must(b.evidence.Append(journal.Key, seal.Wrap([32]byte(b.enrolled.SealKey), k, [12]byte(random[40:52]))))
	return holdfast.Token{Value: value}.Hash(b.enrolled.TokenKey), seal.Seal(k, [12]byte(random[52:]), value)
}

// A visit is a driver who charges.
type visit struct {
	charger holdfast.ChargerID
	token   string
	wh      holdfast.WattHours
	seconds int64
	open    bool // does not stop yet
	bare    bool // the gateway has no tariff
	reset   bool // the meter falls to zero half-way
	mid     bool // a checkpoint is signed right after the start
}

// charge writes a session's records and returns its id. A session that is left
// open is ended by [box.stop].
func (b *box) charge(v visit) holdfast.SessionID {
	b.w.t.Helper()
	if v.charger == "" {
		v.charger = "CP1"
	}
	if v.token == "" {
		v.token = "04A1B2C3"
	}
	if v.seconds == 0 {
		v.seconds = 1800
	}
	hash, sealed := b.token(v.token)
	at, _ := b.put(record.Record{Charger: v.charger, Body: &record.AccessDecided{
		Token: hash, Sealed: sealed, EVSE: 1, Accepted: true, Rule: "list.always", Reason: "listed", Source: "list", Link: holdfast.Online, Count: 1,
	}})
	reg := b.registers[string(v.charger)] + 1000
	tariff := b.tariff
	if v.bare {
		tariff = nil
	}
	_, leaf := b.put(record.Record{Charger: v.charger, Body: &record.SessionOpened{
		Decision: &at, Nonce: strings.Repeat("0", 32), Source: record.StartAuthorized, Token: hash, Sealed: sealed, EVSE: 1, Connector: 1,
		StartedAt: b.at.Wall, ClaimedAt: b.at.Wall.String(), Start: &reg, StartTrust: record.Trusted, Link: holdfast.Online,
		Tariff: tariff, Labels: map[string]string{}, PowerBudget: 22_000,
	}})
	id := holdfast.SessionID(leaf)
	if v.mid {
		b.checkpoint()
	}
	b.wait(v.seconds / 2)
	half, end := reg+v.wh/2, reg+v.wh
	read := func(wh holdfast.WattHours, why string) {
		b.put(record.Record{Session: id, Charger: v.charger, Body: &record.SessionReading{
			Reading: holdfast.Reading{At: b.at.Wall, Register: &wh}, Why: why,
		}})
	}
	read(half, "hourly")
	if v.reset {
		b.wait(1)
		read(0, "reset")
		end = v.wh - v.wh/2
	}
	b.wait(v.seconds - v.seconds/2)
	b.registers[string(v.charger)] = end
	if !v.open {
		b.stop(id, v.charger)
	}
	return id
}

func (b *box) stop(id holdfast.SessionID, c holdfast.ChargerID) {
	b.w.t.Helper()
	reg := b.registers[string(c)]
	b.put(record.Record{Session: id, Charger: c, Body: &record.SessionEnded{
		StoppedAt: b.at.Wall, ClaimedAt: b.at.Wall.String(), Stop: &reg, StopTrust: record.Trusted, Reason: "Local",
	}})
	b.wait(60)
}

// hello says hello and carries out what it is told: it installs, and records the
// outcome of each directive.
func (b *box) hello() uplink.Welcome {
	b.w.t.Helper()
	h := uplink.Hello{Gateway: b.id, Boot: b.at.Boot, Software: "test 1", Now: b.at, Nonce: strings.Repeat("ab", 16)}
	for _, l := range []*journal.Log{b.evidence, b.telemetry} {
		for _, e := range l.Epochs() {
			h.Heads = append(h.Heads, uplink.Head{
				Journal: e.Identity.Journal, Epoch: e.Identity.Epoch, Parent: e.Identity.Parent, ParentSize: e.Identity.ParentSize,
				ParentRoot: e.Identity.ParentRoot, First: uint64(e.First), Size: e.Size,
			})
		}
	}
	w, err := b.w.plane.Hello(context.Background(), b.w.now, b.id, h)
	b.w.must(err)
	b.obey(w.Directives)
	return w
}

func (b *box) obey(list []uplink.Directive) {
	for _, d := range list {
		if slices.Contains(b.done, d.ID) {
			continue
		}
		b.done = append(b.done, d.ID)
		switch d.Kind {
		case uplink.InstallList:
			b.list = d.Statement
		case uplink.InstallTariff:
			payload, err := statement.Verify(&b.w.signer.PublicKey, statement.TypTariff, d.Statement)
			b.w.must(err)
			t, err := statement.DecodeTariff(payload)
			b.w.must(err)
			b.signed = d.Statement
			b.tariff = &record.TariffRef{ID: t.ID, Version: t.Version, Hash: sha256.Sum256(d.Statement), Currency: "EUR"}
		}
		b.put(record.Record{Body: &record.DirectiveDone{ID: d.ID, Outcome: "done"}})
	}
}

// send uploads one slice of the current evidence epoch.
func (b *box) send(from holdfast.Seq, most int) (uplink.Ack, error) {
	b.w.t.Helper()
	return b.sendOf(b.evidence, from, most)
}

func (b *box) sendOf(l *journal.Log, from holdfast.Seq, most int) (uplink.Ack, error) {
	b.w.t.Helper()
	raw, err := l.Slice(l.Identity().Epoch, from, most)
	b.w.must(err)
	return b.raw(l.Identity(), from, raw)
}

func (b *box) raw(id journal.Identity, from holdfast.Seq, raw []byte) (uplink.Ack, error) {
	return b.w.plane.Receive(context.Background(), b.w.now, b.id, id.Journal, id.Epoch, from, raw)
}

// sync uploads everything, a little at a time, and checks on the way that
// nothing is called reconciled that no checkpoint covers.
func (b *box) sync() {
	b.w.t.Helper()
	for _, l := range []*journal.Log{b.evidence, b.telemetry} {
		for at := b.w.cursor(b, l).Received; ; {
			raw, err := l.Slice(l.Identity().Epoch, holdfast.Seq(at), 4000)
			b.w.must(err)
			if len(raw) == 0 {
				break
			}
			ack, err := b.raw(l.Identity(), holdfast.Seq(at), raw)
			b.w.must(err)
			if ack.Received == at {
				break
			}
			at = ack.Received
		}
	}
}

func (w *world) cursor(b *box, l *journal.Log) uplink.Cursor {
	w.t.Helper()
	g, err := w.plane.Gateway(context.Background(), b.id)
	w.must(err)
	for _, c := range g.Cursors {
		if c.Journal == l.Identity().Journal && c.Epoch == l.Identity().Epoch {
			return c
		}
	}
	return uplink.Cursor{}
}

// dump is everything that is folded, as text: two stores that hold the same
// have the same dump.
func (w *world) dump() string {
	w.t.Helper()
	var out strings.Builder
	w.must(w.store.View(context.Background(), func(tx cloud.Tx) error {
		for _, k := range []cloud.Kind{
			cloud.KindStream, cloud.KindCheckpoint, cloud.KindSlice, cloud.KindContact, cloud.KindSealKey, cloud.KindDirective, cloud.KindSession, cloud.KindPlace,
			cloud.KindCDR, cloud.KindEntry, cloud.KindException, cloud.KindBalance, cloud.KindTotal,
		} {
			docs, err := tx.List(k, cloud.Query{Oldest: true})
			if err != nil {
				return err
			}
			for _, d := range docs {
				fmt.Fprintf(&out, "%s %d %s %v %s\n", k, d.N, d.Key, d.Fields, d.Body)
			}
			if k == cloud.KindStream {
				for _, d := range docs {
					err := tx.Leaves(d.N, 0, 1<<40, func(s holdfast.Seq, h holdfast.Hash) error {
						fmt.Fprintf(&out, "record %d %d %s\n", d.N, s, h)
						return nil
					})
					if err != nil {
						return err
					}
				}
			}
		}
		return nil
	}))
	return out.String()
}

// books is what the books come to, whatever the order in which things arrived:
// per session what counts, and per account the balance.
func (w *world) books() string {
	w.t.Helper()
	ctx := context.Background()
	var lines []string
	sessions, _, err := w.plane.Sessions(ctx, cloud.SessionFilter{}, cloud.Page{Limit: cloud.MaxPage})
	w.must(err)
	for _, s := range sessions {
		lines = append(lines, fmt.Sprintf("session %s %s %s %d Wh running %v %v %v %v", s.ID, s.Site, s.Stage, s.Energy, s.Running, s.Started, s.Amount, s.Exception))
	}
	cdrs, _, err := w.plane.CDRs(ctx, cloud.CDRFilter{Current: true}, cloud.Page{Limit: cloud.MaxPage})
	w.must(err)
	for _, c := range cdrs {
		lines = append(lines, fmt.Sprintf("cdr %s %d Wh %d %d %d", c.Session, c.Energy, c.Net, c.VAT, c.Gross))
	}
	open, _, err := w.plane.Exceptions(ctx, cloud.ExceptionFilter{State: cloud.StateOpen}, cloud.Page{Limit: cloud.MaxPage})
	w.must(err)
	for _, x := range open {
		lines = append(lines, fmt.Sprintf("exception %s %s %s %v", x.ID, x.Code, x.Detail, x.Evidence))
	}
	slices.Sort(lines)
	balances, err := w.plane.Balances(ctx, cloud.LedgerFilter{})
	w.must(err)
	for _, b := range balances {
		if b.Amount != 0 {
			lines = append(lines, fmt.Sprintf("balance %s %s %d", b.Account, b.Currency, b.Amount))
		}
	}
	return strings.Join(lines, "\n")
}

// balanced checks I6 and I3 on what is stored: every booking sums to zero, keys
// are unique, the balances are the sums of the entries, and no session has two
// CDRs that count.
func (w *world) balanced() {
	w.t.Helper()
	ctx := context.Background()
	sums, accounts, seen := map[string]holdfast.Micros{}, map[string]holdfast.Micros{}, map[string]bool{}
	for page := (cloud.Page{Oldest: true, Limit: 50}); ; {
		list, next, err := w.plane.Ledger(ctx, cloud.LedgerFilter{}, page)
		w.must(err)
		for _, e := range list {
			if seen[e.Key] {
				w.t.Errorf("entry %s is there twice", e.Key)
			}
			seen[e.Key] = true
			sums[e.Booking] += e.Amount
			accounts[e.Account] += e.Amount
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	for booking, sum := range sums {
		if sum != 0 {
			w.t.Errorf("booking %s sums to %d", booking, sum)
		}
	}
	balances, err := w.plane.Balances(ctx, cloud.LedgerFilter{})
	w.must(err)
	for _, b := range balances {
		if accounts[b.Account] != b.Amount {
			w.t.Errorf("account %s: balance %d, entries sum to %d", b.Account, b.Amount, accounts[b.Account])
		}
	}
	current := map[holdfast.SessionID]int{}
	cdrs, _, err := w.plane.CDRs(ctx, cloud.CDRFilter{Current: true}, cloud.Page{Limit: cloud.MaxPage})
	w.must(err)
	for _, c := range cdrs {
		if current[c.Session]++; current[c.Session] > 1 {
			w.t.Errorf("session %s has %d CDRs that count", c.Session, current[c.Session])
		}
	}
}

// certificate is what a gateway would show in TLS.
func (b *box) certificate(key *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string(b.id)}, NotAfter: time.Unix(1<<31, 0),
	}, &x509.Certificate{SerialNumber: big.NewInt(2)}, &key.PublicKey, b.w.signer)
	b.w.must(err)
	c, err := x509.ParseCertificate(der)
	b.w.must(err)
	return c
}

func mustJSON(t TB, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wants checks for one kind of error.
func wantError(t TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantPosition checks for a position mismatch.
func wantPosition(t TB, err error, expected holdfast.Seq) {
	t.Helper()
	var p *cloud.PositionError
	if !errors.As(err, &p) || p.Expected != expected {
		t.Errorf("got %v, want a PositionError that expects %d", err, expected)
	}
}

// wantEvidence checks for refused evidence and its exception.
func (w *world) wantEvidence(err error, code string) {
	w.t.Helper()
	var e *cloud.EvidenceError
	if !errors.As(err, &e) || e.Code != code {
		w.t.Errorf("got %v, want an EvidenceError %s", err, code)
		return
	}
	open, _, err := w.plane.Exceptions(context.Background(), cloud.ExceptionFilter{Code: code, State: cloud.StateOpen}, cloud.Page{})
	w.must(err)
	if len(open) == 0 {
		w.t.Errorf("no exception %s was raised", code)
	}
}
