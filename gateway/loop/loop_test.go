package loop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/loop"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/ocpp"
	v16 "github.com/holdfast-ev/holdfast/ocpp/v16"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

const epoch holdfast.UnixMilli = 1_790_000_000_000

var schemas = ocpp.NewSchemas()

func key(name string) *ecdsa.PrivateKey {
	sum := sha256.Sum256([]byte(name))
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		panic(err)
	}
	return k
}

// site is a gateway on three disks that lose power, and the charger-side memory
// of everything that it was told.
type site struct {
	t           *testing.T
	ev, tel, sn *faultfs.Disk
	l           *loop.Loop
	now         holdfast.Instant
	next        gateway.ConnID
	sent        []ocpp.Frame // since the last turn began
	notes       []gateway.Input
	uploads     []gateway.Upload
	hellos      int
	report      loop.Report
	restart     *gateway.Restart
	msg         int
	cloud       *cloud          // nil: nobody answers
	journal     journal.Options // of both journals
}

func newSite(t *testing.T) *site {
	return &site{t: t, ev: faultfs.New(), tel: faultfs.New(), sn: faultfs.New(), now: holdfast.Instant{Wall: epoch, Quality: holdfast.Synchronised}}
}

func (s *site) Send(f gateway.Send) {
	fr, bad := ocpp.Parse(ocpp.V16, f.Raw)
	if bad != nil {
		s.t.Fatalf("sent %s: %v", f.Raw, bad)
	}
	s.sent = append(s.sent, fr)
}
func (s *site) Close(gateway.Close)       {}
func (s *site) Ask(gateway.Ask)           {}
func (s *site) Route(uplink.Route)        {}
func (s *site) Probe(uplink.Route)        {}
func (s *site) Output(gateway.Output)     {}
func (s *site) Book(gateway.BookRequest)  {}
func (s *site) KeepBook(gateway.KeepBook) {}

func (s *site) Hello(h uplink.Hello) {
	s.hellos++
	s.cloud.hello(s, h)
}
func (s *site) Sign(gateway.SignRequest) {}
func (s *site) SignCheckpoint(origin string, size uint64, root holdfast.Hash) {
	note, err := journal.SignCheckpoint(journal.CheckpointText(origin, size, root), origin, key("device"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.notes = append(s.notes, gateway.CheckpointSigned{Size: size, Note: note})
}
func (s *site) Upload(u gateway.Upload, slice []byte) {
	if _, err := journal.ParseSlice(slice, u.First); err != nil {
		s.t.Fatalf("slice for %+v: %v", u, err)
	}
	s.uploads = append(s.uploads, u)
	s.cloud.upload(s, u, slice)
}

func (s *site) open() error {
	s.now.Boot++
	s.now.Mono = 0
	s.notes = nil // what was on its way to the last core went with it
	var err error
	var nonce [16]byte
	nonce[0] = byte(s.now.Boot)
	s.l, s.report, err = loop.Open(loop.Options{
		Clock: func(holdfast.UnixMilli, holdfast.Instant) holdfast.Instant { return s.now },
		Config: gateway.Config{
			Gateway: "gw-1", Site: "site-1", Software: "test",
			Chargers: map[holdfast.ChargerID]gateway.ChargerConfig{"CP1": {MaxPower: 22_000}},
			TokenKey: make([]byte, 32), StatementKey: &key("cloud").PublicKey, Seed: [32]byte{byte(s.now.Boot), byte(s.now.Boot >> 8)},
			Dialects: []ocpp.Dialect{v16.Dialect{}}, Schemas: schemas,
		},
		Evidence: s.ev, Telemetry: s.tel, Snapshots: s.sn, Shell: s, Boot: s.now.Boot, Nonce: nonce,
		Epochs:  [2]holdfast.Epoch{{byte(s.now.Boot), byte(s.now.Boot >> 8), 1}, {byte(s.now.Boot), byte(s.now.Boot >> 8), 2}},
		Restart: s.restart, Journal: s.journal, Telem: s.journal,
	})
	s.restart = nil
	return err
}

func (s *site) turn(in ...gateway.Input) error {
	s.now.Mono += 10
	s.now.Wall += 10
	s.sent = s.sent[:0]
	in = append(s.notes, in...)
	s.notes = nil
	return s.l.Turn(s.now, in)
}

// call sends one message and returns its answer; no answer means that the turn
// failed.
func (s *site) call(action, payload string) (ocpp.Frame, error) {
	s.msg++
	id := fmt.Sprintf("m%d", s.msg)
	err := s.turn(gateway.Frame{Conn: s.next, Raw: []byte(fmt.Sprintf(`[2,%q,%q,%s]`, id, action, payload))})
	for _, f := range s.sent {
		if f.ID == id {
			return f, err
		}
	}
	return ocpp.Frame{}, err
}

func (s *site) connect() error {
	s.next++
	return s.turn(gateway.Connected{Conn: s.next, Charger: "CP1", Version: "ocpp1.6", Proved: true})
}

func (s *site) install() error {
	l := &access.List{Site: "site-1", Version: 1, Issued: s.now.Wall, Entries: map[holdfast.TokenHash]access.Entry{
		holdfast.Token{Value: "CARD"}.Hash(make([]byte, 32)): {Valid: true, Whitelist: access.Always},
	}, Policy: access.Policy{TokenCap: 1_000_000_000_000, SiteCap: 10_000_000_000_000, MaxSessions: 5}}
	payload, err := access.EncodeList(l)
	if err != nil {
		s.t.Fatal(err)
	}
	st, err := statement.Sign(key("cloud"), nil, statement.TypList, payload)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.turn(gateway.Directives{List: []uplink.Directive{{ID: "list", Kind: uplink.InstallList, Statement: st}}})
}

func (s *site) power(c faultfs.Chooser) {
	s.ev, s.tel, s.sn = s.ev.Restart(c), s.tel.Restart(c), s.sn.Restart(c)
}

// A charger is what the other side remembers: what it was told is what must
// still be true after any crash.
type charger struct {
	tx      string // running and acknowledged; "" none
	started map[string]int
	stopped map[string]int
}

// TestPowerCutsAtRandomOperations cuts the power at random disk operations of a
// charger's life and checks invariant I1 from the charger's side: whatever was
// acknowledged is there after the restart, once.
func TestPowerCutsAtRandomOperations(t *testing.T) {
	cuts := 0
	for seed := range uint64(35) {
		cuts += powerCutLife(t, seed)
	}
	if cuts < 200 {
		t.Errorf("only %d power cuts were hit", cuts)
	}
}

func powerCutLife(t *testing.T, seed uint64) (cuts int) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := newSite(t)
	ch := &charger{started: map[string]int{}, stopped: map[string]int{}}
	for life := range 6 {
		if life > 0 {
			s.ev.Inject(s.ev.Ops()+1+rnd.IntN(30), faultfs.Fault{PowerOff: true})
		}
		if err := live(s, ch, rnd); err == nil {
			t.Fatalf("seed %d: a life ended without a power cut", seed)
		}
		cuts++
		s.power(rnd)
	}
	// Now let it live, and look.
	for s.open() != nil {
		s.power(rnd)
	}
	verify(t, seed, s, ch)
	return cuts
}

// live opens the gateway and charges until something fails.
func live(s *site, ch *charger, rnd *rand.Rand) error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	if err := s.install(); err != nil {
		return err
	}
	for range 400 {
		s.now.Wall += 1000
		s.now.Mono += 1000
		if err := step(s, ch, rnd); err != nil {
			return err
		}
	}
	s.ev.PowerOff() // it never came to the operation: cut now
	return faultfs.ErrPowerOff
}

func step(s *site, ch *charger, rnd *rand.Rand) error {
	switch {
	case ch.tx == "" && rnd.IntN(2) == 0:
		meter := len(ch.started) * 1000
		f, err := s.call("StartTransaction", fmt.Sprintf(`{"connectorId":1,"idTag":"CARD","meterStart":%d,"timestamp":%q}`, meter+1, s.now.Wall))
		if f.Type == ocpp.CallResult {
			ch.tx = txOf(f)
			ch.started[ch.tx] = meter + 1
		}
		return err
	case ch.tx != "" && rnd.IntN(4) == 0:
		meter := ch.started[ch.tx] + 500
		f, err := s.call("StopTransaction", fmt.Sprintf(`{"transactionId":%s,"meterStop":%d,"timestamp":%q}`, ch.tx, meter, s.now.Wall))
		if f.Type == ocpp.CallResult {
			ch.stopped[ch.tx] = meter
			ch.tx = ""
		}
		return err
	}
	_, err := s.call("Heartbeat", `{}`)
	return errors.Join(err, s.turn(gateway.Tick{}))
}

func txOf(f ocpp.Frame) string {
	var n int
	if _, err := fmt.Sscanf(string(f.Payload[bytesIndex(f.Payload, `"transactionId":`):]), `"transactionId":%d`, &n); err != nil {
		panic(err)
	}
	return fmt.Sprint(n)
}

func bytesIndex(b []byte, sub string) int {
	for i := range b {
		if len(b)-i >= len(sub) && string(b[i:i+len(sub)]) == sub {
			return i
		}
	}
	return 0
}

func verify(t *testing.T, seed uint64, s *site, ch *charger) {
	t.Helper()
	opened, ended := map[string]int{}, map[string]int{}
	ids := map[holdfast.SessionID]string{}
	scan(t, s, func(r record.Record, leaf holdfast.Hash) {
		switch b := r.Body.(type) {
		case *record.SessionOpened:
			tx := b.Labels[gateway.LabelOCPP16]
			opened[tx]++
			ids[holdfast.SessionID(leaf)] = tx
		case *record.SessionEnded:
			if b.Stop != nil {
				ended[ids[r.Session]]++
				if want, ok := ch.stopped[ids[r.Session]]; ok && want != int(*b.Stop) {
					t.Errorf("seed %d: transaction %s stopped at %d, acknowledged %d", seed, ids[r.Session], *b.Stop, want)
				}
			}
		}
	})
	for tx := range ch.started {
		if opened[tx] != 1 {
			t.Errorf("seed %d: acknowledged start of %s is in the journal %d times", seed, tx, opened[tx])
		}
	}
	for tx := range ch.stopped {
		if ended[tx] != 1 {
			t.Errorf("seed %d: acknowledged stop of %s is in the journal %d times", seed, tx, ended[tx])
		}
	}
}

// scan reads the evidence journal with the power on, as recovery left it.
func scan(t *testing.T, s *site, fn func(record.Record, holdfast.Hash)) {
	t.Helper()
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	log, rec, err := journal.Open(s.ev, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rec.Lost != nil {
		t.Fatalf("history lost: %v", rec.Lost)
	}
	defer log.Close()
	for _, e := range log.Epochs() {
		err := log.Read(e.Epoch, e.First, func(f journal.Frame) error {
			if f.Kind != journal.Record {
				return nil
			}
			r, err := record.Decode(f.Body)
			if err != nil {
				return err
			}
			fn(r, holdfast.LeafHash(f.Body))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFailedSyncReleasesNothing: a sync that fails, whether or not the data got
// through, ends the core before anybody was told; after recovery the charger's
// retry gives one session.
func TestFailedSyncReleasesNothing(t *testing.T) {
	for _, done := range []bool{false, true} {
		for op := 1; op <= 2; op++ {
			s := newSite(t)
			if err := errors.Join(s.open(), s.connect(), s.install()); err != nil {
				t.Fatal(err)
			}
			if err := s.turn(gateway.Tick{}); err != nil {
				t.Fatal(err)
			}
			start := fmt.Sprintf(`{"connectorId":1,"idTag":"CARD","meterStart":7,"timestamp":%q}`, epoch)
			s.ev.Inject(s.ev.Ops()+op, faultfs.Fault{Err: errors.New("input/output error"), Done: done})
			f, err := s.call("StartTransaction", start)
			if err == nil {
				t.Fatalf("done %v, op %d: the turn did not fail", done, op)
			}
			if f.ID != "" || len(s.sent) > 0 {
				t.Fatalf("done %v, op %d: answered %v before the disk had it", done, op, s.sent)
			}
			if err := s.l.Close(); err != nil {
				t.Logf("close after a failure: %v", err)
			}
			if err := errors.Join(s.open(), s.connect()); err != nil {
				t.Fatal(err)
			}
			if f, err := s.call("StartTransaction", start); err != nil || f.Type != ocpp.CallResult {
				t.Fatalf("done %v, op %d: retry answered %v, %v", done, op, f, err)
			}
			opened := 0
			scan(t, s, func(r record.Record, _ holdfast.Hash) {
				if _, ok := r.Body.(*record.SessionOpened); ok {
					opened++
				}
			})
			if opened != 1 {
				t.Errorf("done %v, op %d: %d sessions, want 1", done, op, opened)
			}
		}
	}
}

// TestSnapshotIsAShortcut: recovery from a snapshot and from the whole journal
// give the same state, and an unattested or spoiled snapshot is passed over.
func TestSnapshotIsAShortcut(t *testing.T) {
	s := newSite(t)
	if err := errors.Join(s.open(), s.connect(), s.install()); err != nil {
		t.Fatal(err)
	}
	ch := &charger{started: map[string]int{}, stopped: map[string]int{}}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		if err := step(s, ch, rnd); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.turn(gateway.Quit{}), s.l.Close()); err != nil {
		t.Fatal(err)
	}
	open := func(spoil func(sn *faultfs.Disk)) (string, loop.Report) {
		clone := *s
		clone.ev, clone.tel, clone.sn = s.ev.Clone(), s.tel.Clone(), s.sn.Clone()
		spoil(clone.sn)
		if err := clone.open(); err != nil {
			t.Fatal(err)
		}
		b, _, err := clone.l.Core().Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return string(b), clone.report
	}
	with, rep := open(func(*faultfs.Disk) {})
	if rep.Snapshot == "" || rep.Folded > 5 {
		t.Fatalf("recovered from %q, folding %d records", rep.Snapshot, rep.Folded)
	}
	without, rep := open(func(sn *faultfs.Disk) { sn.Put(rep.Snapshot, nil) })
	if rep.Snapshot != "" || rep.Folded < 100 {
		t.Fatalf("recovered from %q, folding %d records", rep.Snapshot, rep.Folded)
	}
	names, _ := s.sn.Names()
	spoiled, rep := open(func(sn *faultfs.Disk) {
		b := sn.Bytes(names[0])
		b[len(b)/2] ^= 1
		sn.Put(names[0], b)
	})
	if rep.Snapshot != "" {
		t.Fatal("a spoiled snapshot was used")
	}
	if with != without || with != spoiled {
		t.Errorf("states differ:\nwith    %s\nwithout %s\nspoiled %s", with, without, spoiled)
	}
}

// TestCloudAheadOpensANewEpoch: yesterday's disk image was restored. The cloud
// knows more of the epoch than the disk, so the gateway goes on in a new one.
func TestCloudAheadOpensANewEpoch(t *testing.T) {
	s := newSite(t)
	if err := errors.Join(s.open(), s.connect(), s.install()); err != nil {
		t.Fatal(err)
	}
	old := s.l.Core().Status(s.now).Epoch
	err := s.turn(gateway.LinkUp{Welcome: uplink.Welcome{Cursors: []uplink.Cursor{{Journal: holdfast.Evidence, Epoch: old, Received: 999}}}})
	again := (*loop.RestartError)(nil)
	if !errors.As(err, &again) || again.Restart.Reason != record.EpochRestored {
		t.Fatalf("turn returned %v, want a restart", err)
	}
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	s.restart = &again.Restart
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	if s.l.Core().Status(s.now).Epoch == old {
		t.Error("still in the old epoch")
	}
	var opened []*record.EpochOpened
	codes := map[string]bool{}
	scan(t, s, func(r record.Record, _ holdfast.Hash) {
		switch b := r.Body.(type) {
		case *record.EpochOpened:
			opened = append(opened, b)
		case *record.ExceptionRaised:
			codes[b.Code] = true
		}
	})
	if len(opened) != 2 || opened[1].Parent != old || opened[1].ParentSize == 0 || opened[1].ParentRoot.IsZero() {
		t.Errorf("epochs %+v, want the second to name the first", opened)
	}
	if !codes["EVID_HISTORY_LOST"] {
		t.Errorf("exceptions %v, want EVID_HISTORY_LOST", codes)
	}
}

// TestOneSyncForManyChargers: the records of everybody who was waiting share
// one sync.
func TestOneSyncForManyChargers(t *testing.T) {
	s := newSite(t)
	if err := errors.Join(s.open(), s.connect(), s.install()); err != nil {
		t.Fatal(err)
	}
	before := s.ev.Syncs()
	var in []gateway.Input
	for i := range 50 {
		in = append(in, gateway.Frame{Conn: s.next, Raw: []byte(fmt.Sprintf(
			`[2,"g%d","StartTransaction",{"connectorId":%d,"idTag":"CARD","meterStart":%d,"timestamp":%q}]`, i, i+1, i, epoch))})
	}
	if err := s.turn(in...); err != nil {
		t.Fatal(err)
	}
	if n := s.ev.Syncs() - before; n > 2 {
		t.Errorf("%d syncs for 50 starts, want 1 (and 1 for what followed)", n)
	}
	if len(s.sent) < 50 {
		t.Errorf("%d answers, want 50", len(s.sent))
	}
}

// TestTurnOfHugeMessages: more bytes in one turn than the journal takes in one
// batch are still one turn.
func TestTurnOfHugeMessages(t *testing.T) {
	s := newSite(t)
	if err := errors.Join(s.open(), s.connect(), s.install()); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", gateway.MaxFrameBytes-1000)
	var in []gateway.Input
	for i := range journal.MaxBatch/len(big) + 2 {
		in = append(in, gateway.Frame{Conn: s.next, Raw: []byte(fmt.Sprintf(`[2,"g%d","DataTransfer",{"vendorId":"v","data":%q}]`, i, big))})
	}
	if err := s.turn(in...); err != nil {
		t.Fatal(err)
	}
	if len(s.sent) < len(in) {
		t.Errorf("%d answers, want %d", len(s.sent), len(in))
	}
}
