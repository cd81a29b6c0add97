package gateway

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/seal"
	"github.com/holdfast-ev/holdfast/tariff"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A Gateway is the core. It is not safe for concurrent use: one loop owns it.
type Gateway struct {
	cfg    Config
	state  *State
	chance chance
	now    holdfast.Instant // of the input being stepped

	ready Ready
	next  map[holdfast.Journal]holdfast.Seq
	epoch map[holdfast.Journal]holdfast.Epoch

	line       *uplink.Line
	router     *uplink.Router
	route      uplink.Route // of the last hello
	conns      map[ConnID]*conn
	chargers   map[holdfast.ChargerID]*conn // the connection that counts
	live       map[holdfast.SessionID]*live
	collecting []*collection // directives whose answer comes in parts, oldest first
	asks       map[uint64]*ask
	signs      map[uint64]holdfast.SessionID
	lastID     uint64 // asks and signs
	coalesced  coalescer
	keys       map[holdfast.TokenHash]seal.Key
	tariffs    map[holdfast.Hash]*tariff.Tariff // parsed, by the hash of their statement
	freed      map[evse]int64                   // EVSEs reported free with a session running: since (mono ms)

	free         int64 // bytes the evidence journal may grow by; -1: not told yet
	checkpoint   checkpointing
	snapshotAt   holdfast.Seq // state.Next at the last snapshot
	snapshotMono int64        // mono ms of it
	snapshots    []uint64     // sizes of attested snapshots, newest last
	helloNonce   string
	journalSize  int64
	counters     Counters
	clockWas     holdfast.Instant
	clocks       map[holdfast.ChargerID]*chargerClock
	lastEnd      holdfast.Seq // record of the last end of a session
	floorNoted   int64        // mono ms + 1 of the last record of signed time; 0 none since boot
	pruned       int64        // mono ms of the last pruning
	repair       repairing
	moves        burst            // of the route
	usageNoted   map[string]int64 // mono ms of the last record of a link's usage
	natives      natives
	power        sharing
	cut          cutOff
	stopping     bool
}

type evse struct {
	charger holdfast.ChargerID
	evse    int
}

// A Start is what the shell knows about a boot and the core cannot: [Gateway.Begin]
// turns it into the boot's first records.
type Start struct {
	Boot        uint32
	Nonce       string
	NewEpoch    *record.EpochOpened         // set when the journal was opened in a new epoch
	Quarantined []record.SegmentQuarantined // found by recovery, and not known to the state
	Settled     []record.SegmentQuarantined // known to the state, and not there any more
}

// New returns a core on a recovered state. heads are the epochs on the disk,
// oldest first; the last of each journal is the current one. [Gateway.Begin]
// must be called before the first Step.
func New(cfg Config, state *State, heads []uplink.Head) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg:       cfg,
		state:     state,
		chance:    chance{seed: cfg.Seed},
		next:      map[holdfast.Journal]holdfast.Seq{},
		epoch:     map[holdfast.Journal]holdfast.Epoch{},
		conns:     map[ConnID]*conn{},
		chargers:  map[holdfast.ChargerID]*conn{},
		live:      map[holdfast.SessionID]*live{},
		asks:      map[uint64]*ask{},
		signs:     map[uint64]holdfast.SessionID{},
		coalesced: coalescer{},
		keys:      map[holdfast.TokenHash]seal.Key{},
		tariffs:   map[holdfast.Hash]*tariff.Tariff{},
		freed:     map[evse]int64{},
		clocks:    map[holdfast.ChargerID]*chargerClock{},
		router:    uplink.NewRouter(cfg.Routes, state.Links),

		usageNoted: map[string]int64{},
		free:       -1,
		counters:   newCounters(),
	}
	for _, h := range heads {
		g.next[h.Journal], g.epoch[h.Journal] = holdfast.Seq(h.Size), h.Epoch
	}
	if g.next[holdfast.Evidence] != state.Next {
		return nil, fmt.Errorf("state is folded up to record %d, the journal's next is %d", state.Next, g.next[holdfast.Evidence])
	}
	g.power = newSharing(&g.cfg)
	g.checkpoint.asked = -CheckpointPauseMillis
	g.line = uplink.NewLine(0, holdfast.CauseStartup, heads)
	g.lastEnd = state.Next // unknown after a start: no earlier than everything there is
	return g, nil
}

// Begin writes the boot's first records.
func (g *Gateway) Begin(now holdfast.Instant, s Start) {
	g.now, g.clockWas = now, now
	if s.NewEpoch != nil {
		g.emit(record.Record{Body: s.NewEpoch})
	}
	cause := holdfast.CausePowerCycle
	if g.state.Stopped || g.state.Boot == 0 {
		cause = holdfast.CausePlanned
	}
	was := g.state.Link
	g.emit(record.Record{Body: &record.GatewayBooted{
		Boot: s.Boot, Nonce: s.Nonce, Software: g.cfg.Software, Cause: cause, Config: g.cfg.ConfigHash,
	}})
	for _, q := range s.Quarantined {
		g.quarantined(q)
	}
	for i := range s.Settled {
		g.emit(record.Record{Body: &s.Settled[i]})
	}
	if s.NewEpoch != nil && s.NewEpoch.Reason != record.EpochEnrolment {
		g.raise(record.Record{}, "EVID_HISTORY_LOST", fmt.Sprintf("%s: %s", s.NewEpoch.Reason, s.NewEpoch.Detail))
	}
	g.linkChanged(&uplink.Change{From: was.State, To: holdfast.Offline, Cause: cause, Detail: "the gateway started"})
	for _, ses := range g.state.allRunning() {
		g.adopt(ses)
	}
	g.lapse()
	g.askReceipts()
	g.checkpoint.want = true
}

// Step takes one input. It never fails: what is wrong with an input is an
// answer to whoever sent it, and a record.
func (g *Gateway) Step(now holdfast.Instant, in Input) {
	g.now = now
	switch in := in.(type) {
	case Connected:
		g.connected(in)
	case Disconnected:
		g.disconnected(in)
	case Frame:
		g.frame(in)
	case Refused:
		g.refused(in)
	case Tick:
		g.tick()
	case Signed:
		g.signed(in)
	case LinkUp:
		g.linkUp(in)
	case LinkDown:
		g.linkDown(in)
	case LinkUsed:
		g.router.Use(now, in.Link, in.Sent, in.Received)
	case Probed:
		g.router.Probed(now, in.Route, in.Cause, clip(in.Detail))
	case SyncNow:
		g.syncNow()
	case UploadDone:
		g.uploadDone(in)
	case Directives:
		g.router.Ring(now)
		if len(in.List) == 0 {
			g.line.Ring(g.now.Mono) // a doorbell: what there is comes with the next welcome
		}
		g.directives(in.List)
	case Told:
		g.told(in)
	case ClockDoubted:
		g.clockDoubted(in)
	case Space:
		g.free = in.FreeBytes
		g.space()
	case Committed:
		g.committed(in)
	case CheckpointSigned:
		g.ready.Records = append(g.ready.Records, Append{Journal: holdfast.Evidence, Checkpoint: true, Seq: holdfast.Seq(in.Size), Bytes: in.Note})
	case Unreadable:
		g.unreadable(in)
	case SegmentDamaged:
		g.segmentDamaged(in)
	case Fetched:
		g.fetched(in)
	case SnapshotStored:
		g.emit(record.Record{Body: &record.SnapshotTaken{Size: in.Size, Hash: in.Hash}})
		g.snapshots = append(g.snapshots, in.Size)
	case Book:
		g.took(in)
	case CutOut:
		g.cutOut(in)
	case CutOutRelease:
		g.releaseCutOut(in)
	case Quit:
		g.quit()
	default:
		panic(fmt.Sprintf("gateway: input %T", in))
	}
	if _, disk := in.(Committed); !disk {
		g.steer()
	}
}

// Ready returns what the inputs since the last Advance demand. The line is
// asked last, so that a call or an upload goes out only when its turn has come.
func (g *Gateway) Ready() Ready {
	if g.stopping {
		return g.ready
	}
	g.contact()
	g.look()
	if g.ready.Upload == nil {
		may := func(j holdfast.Journal) bool { return g.router.May(g.now, j) }
		if s := g.line.Next(g.now.Mono, may); s != nil {
			g.ready.Upload = &Upload{s.Journal, s.Epoch, s.First}
		}
	}
	if g.ready.Fetch == nil {
		g.ready.Fetch = g.fetch()
	}
	g.checkpoints()
	if g.snapshotDue() {
		g.snapshotAt, g.snapshotMono = g.state.Next, g.now.Mono
		g.ready.Snapshot = true
	}
	return g.ready
}

// snapshotDue reports whether recovery has far enough to fold. Under a heavy
// load snapshots are rarer: one takes as long as many messages.
func (g *Gateway) snapshotDue() bool {
	n := g.state.Next - min(g.state.Next, g.snapshotAt)
	return n >= SnapshotEvery && g.now.Mono-g.snapshotMono >= SnapshotPauseMillis || n >= SnapshotMost
}

// Advance forgets what Ready returned: the loop has carried it out.
func (g *Gateway) Advance() { g.ready = Ready{} }

// State returns the durable state, for tests, snapshots and status. It must not
// be changed.
func (g *Gateway) State() *State { return g.state }

// Snapshot returns the state as bytes, and the size (next seq) of the evidence
// journal that it folds.
func (g *Gateway) Snapshot() ([]byte, uint64, error) {
	b, err := json.Marshal(g.state)
	if err != nil {
		return nil, 0, fmt.Errorf("encode snapshot: %w", err)
	}
	return b, uint64(g.state.Next), nil
}

// ParseSnapshot is the inverse of [Gateway.Snapshot].
func ParseSnapshot(b []byte) (*State, error) {
	s := NewState()
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	if s.Version != StateVersion {
		return nil, fmt.Errorf("snapshot version %d, this software reads %d", s.Version, StateVersion)
	}
	return s, nil
}

// emit writes a record: it gets its seq, its bytes go to Ready, and, when it is
// evidence, the state folds it. It returns the record's leaf hash.
func (g *Gateway) emit(r record.Record) holdfast.Hash {
	j := record.JournalOf(r.Body.Type())
	r.Seq, r.At = g.next[j], g.now
	b, err := record.Encode(r)
	if err != nil {
		panic("gateway: " + err.Error()) // every input is bounded far below record.MaxBytes
	}
	g.next[j]++
	g.ready.Records = append(g.ready.Records, Append{Journal: j, Seq: r.Seq, Bytes: b})
	leaf := holdfast.LeafHash(b)
	if j == holdfast.Evidence {
		// What was meant is folded. That the bytes say the same is checked where
		// it costs nothing: the tests decode every record and compare the folds
		// after each step.
		if err := g.state.Apply(r, leaf); err != nil {
			panic("gateway: own record does not fold: " + err.Error())
		}
		g.checkpoint.dirty++
	}
	return leaf
}

// raise opens an exception for a person. where names the session or charger.
func (g *Gateway) raise(where record.Record, code, detail string, evidence ...holdfast.Seq) {
	where.Body = &record.ExceptionRaised{Code: code, Detail: detail, Evidence: evidence}
	g.emit(where)
	g.counters.Exceptions[code]++
}

// seal hides a token's value for a record. The first use of a key since boot
// puts its wrapped form into the journal, before the record that needs it.
func (g *Gateway) seal(value string) string {
	if value == "" {
		return ""
	}
	hash := g.hash(holdfast.Token{Value: value})
	key, ok := g.keys[hash]
	if !ok {
		if len(g.keys) >= MaxSealKeys {
			clear(g.keys)
		}
		a, b := g.chance.block(), g.chance.block()
		key = seal.NewKey([40]byte(append(a[:], b[:8]...)))
		g.keys[hash] = key
		for _, j := range []holdfast.Journal{holdfast.Evidence, holdfast.Telemetry} {
			g.ready.Records = append(g.ready.Records, Append{Journal: j, Key: true, Bytes: seal.Wrap(g.cfg.SealKey, key, g.chance.nonce12())})
		}
	}
	return seal.Seal(key, g.chance.nonce12(), value)
}

// MaxSealKeys bounds the sealing keys that are remembered; beyond it a token
// gets a new key, which costs a key frame and nothing else.
const MaxSealKeys = 2048

func (g *Gateway) hash(t holdfast.Token) holdfast.TokenHash { return t.Hash(g.cfg.TokenKey) }

func (g *Gateway) dialect(version string) ocpp.Dialect {
	for _, d := range g.cfg.Dialects {
		if string(d.Version()) == version {
			return d
		}
	}
	return nil
}

func sha(b []byte) holdfast.Hash { return sha256.Sum256(b) }
