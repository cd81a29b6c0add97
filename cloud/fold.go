package cloud

import (
	"crypto/ecdsa"
	"fmt"
	"reflect"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/ledger"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/tariff"
)

// A fold is one step of folding evidence into the tables: what is written, when
// (the time of the entry in the cloud's journal, so that folding again gives
// the same rows) and as part of which entry. Receiving and rebuilding use the
// same fold.
type fold struct {
	p       *Plane
	tx      Tx
	now     holdfast.UnixMilli
	n       uint64 // entry of the cloud's journal: what was known by then counts
	gw      gatewayDoc
	keys    []*ecdsa.PublicKey
	streams map[uint64]stream
	slicing uint64 // number of the stream that the slice at hand belongs to
	sites   map[holdfast.GatewayID]holdfast.SiteID

	desk     *desk                                // tx, once something is folded
	fresh    map[holdfast.SessionID][]ledger.Item // all evidence of sessions that began with this slice
	tariffs  map[tariffName]*tariff.Tariff        // those that records named
	balances map[string]balanceDoc                // changed, by key
	totals   map[holdfast.SiteID]*totalDoc        // changed
}

func (p *Plane) newFold(tx Tx, now holdfast.UnixMilli, n uint64, gw holdfast.GatewayID) (*fold, error) {
	f := &fold{p: p, tx: tx, now: now, n: n, streams: map[uint64]stream{}, sites: map[holdfast.GatewayID]holdfast.SiteID{},
		fresh: map[holdfast.SessionID][]ledger.Item{}, tariffs: map[tariffName]*tariff.Tariff{}, balances: map[string]balanceDoc{}, totals: map[holdfast.SiteID]*totalDoc{}}
	var err error
	if f.gw, err = get[gatewayDoc](tx, KindGateway, string(gw)); err != nil {
		if isNotFound(err) {
			err = fmt.Errorf("%w: %w", err, ErrForbidden)
		}
		return nil, err
	}
	f.sites[gw] = f.gw.Site
	f.keys, err = f.gw.publicKeys()
	return f, err
}

// begin lays the documents open; from here on the fold writes, and ends with
// [desk.flush].
func (f *fold) begin() {
	f.desk = newDesk(f.tx)
	f.tx = f.desk
}

// examine holds a slice against what is known, and writes nothing.
func (f *fold) examine(s *slice) (st stream, j judgement, err error) {
	if st, err = streamAt(f.tx, s.Gateway, s.Journal, s.Epoch); err != nil {
		return st, j, err
	}
	if e := s.examined; e != nil && reflect.DeepEqual(e.st, st) && reflect.DeepEqual(e.gw, f.gw) {
		return st, e.j, nil // looked at a moment ago, and nothing has changed since
	}
	if uint64(s.First) != st.Received {
		if err := f.sameAsKnown(&st, s); err != nil {
			return st, j, err
		}
		return st, j, &PositionError{Journal: s.Journal, Epoch: s.Epoch, Given: s.First, Expected: holdfast.Seq(st.Received)}
	}
	if s.Journal == holdfast.Telemetry {
		return st, j, nil // may have gaps: it has no tree here
	}
	j, err = st.judge(f.tx, f.keys, s.frames, s.leaves)
	return st, j, err
}

// sameAsKnown compares the part of a slice that lies before the cursor with the
// records there.
func (f *fold) sameAsKnown(st *stream, s *slice) error {
	if s.Journal == holdfast.Telemetry || uint64(s.First) > st.Received {
		return nil
	}
	to := min(uint64(s.First)+uint64(s.Records), st.Received)
	return f.tx.Leaves(st.n, s.First, holdfast.Seq(to), func(at holdfast.Seq, leaf holdfast.Hash) error {
		if s.leaves[at-s.First] != leaf {
			return st.contradiction(at, CodeFork, fmt.Sprintf("record %d is known with leaf %s and came again with leaf %s", at, leaf, s.leaves[at-s.First]))
		}
		return nil
	})
}

// slice folds an examined slice.
func (f *fold) slice(s *slice, st stream, j judgement) (stream, error) {
	before := st.Reconciled
	st.Received += uint64(s.Records)
	if err := f.index(&st, s); err != nil {
		return st, err
	}
	if s.Journal == holdfast.Telemetry {
		st.Reconciled = st.Received
		return st, st.put(f.tx)
	}
	st.Reconciled = max(st.Reconciled, j.tree.Size())
	st.Base = j.tree.AppendFrontier(nil)
	if err := st.put(f.tx); err != nil {
		return st, err
	}
	rows, records, err := f.rows(st, s)
	if err != nil {
		return st, err
	}
	if err := f.began(st, rows, records); err != nil {
		return st, err
	}
	if err := f.tx.AddRecords(st.n, rows); err != nil {
		return st, err
	}
	if err := f.checkpoints(&st, j); err != nil {
		return st, err
	}
	if err := f.facts(&st, records); err != nil {
		return st, err
	}
	f.streams[st.n], f.slicing = st, st.n
	covers, err := f.ancestors(st)
	if err != nil {
		return st, err
	}
	return st, f.sessions(rows, append([]cover{{st, before}}, covers...))
}

// rows makes the rows of a slice's records. One that does not decode is kept
// like any other: it is part of the tree, and a later version may read it.
func (f *fold) rows(st stream, s *slice) (rows []Row, records []record.Record, err error) {
	for _, fr := range s.frames {
		if fr.Kind != journal.Record {
			continue
		}
		row := Row{Stream: st.n, Seq: fr.Seq, Leaf: s.leaves[len(rows)], Body: fr.Body}
		r, err := record.Decode(fr.Body)
		if err != nil {
			if err := f.raise(exceptionAt(CodeUnreadable, st.pos(fr.Seq), err.Error())); err != nil {
				return nil, nil, err
			}
		}
		switch r.Body.(type) {
		case *record.SessionOpened, *record.StopOrphaned:
			row.Session = holdfast.SessionID(row.Leaf)
		default:
			row.Session = r.Session
		}
		rows, records = append(rows, row), append(records, r)
	}
	return rows, records, nil
}

// began finds the sessions that nothing was known of before this slice: all
// that there is of them is at hand. rows are not stored yet.
func (f *fold) began(st stream, rows []Row, records []record.Record) error {
	var ids []holdfast.SessionID
	for _, r := range rows {
		if _, seen := f.fresh[r.Session]; !seen && !r.Session.IsZero() {
			f.fresh[r.Session] = nil
			ids = append(ids, r.Session)
		}
	}
	known, err := f.tx.Known(ids)
	if err != nil {
		return err
	}
	for _, id := range known {
		delete(f.fresh, id)
	}
	for id := range f.fresh {
		f.desk.startsFresh(id)
	}
	for i, r := range rows {
		if items, ok := f.fresh[r.Session]; ok {
			f.fresh[r.Session] = append(items, ledger.Item{Pos: st.pos(r.Seq), Leaf: r.Leaf, Record: records[i]})
		}
	}
	return nil
}

// checkpoints keeps the good ones and reports the others.
func (f *fold) checkpoints(st *stream, j judgement) error {
	for _, c := range j.good {
		if _, err := put(f.tx, KindCheckpoint, checkpointKey(st, c.Size), nil, c); err != nil {
			return err
		}
	}
	for _, b := range j.bad {
		x := exceptionAt(CodeSignature, st.pos(holdfast.Seq(b.size)), b.detail)
		x.ID = badSignatureKey(st)
		if err := f.raise(x); err != nil {
			return err
		}
	}
	return nil
}

// badSignatureKey names the case that unsigned checkpoints make: one an epoch.
func badSignatureKey(st *stream) string {
	return key("stream", CodeSignature, streamKey(st.Gateway, st.Journal, st.Epoch))
}

// facts folds what records say about anything but sessions. records[i] may have
// no body: it did not decode.
func (f *fold) facts(st *stream, records []record.Record) error {
	first := holdfast.Seq(st.Received) - holdfast.Seq(len(records))
	for i, r := range records {
		if err := f.fact(st, st.pos(first+holdfast.Seq(i)), r); err != nil {
			return err
		}
	}
	return f.children(st)
}

func (f *fold) fact(st *stream, pos holdfast.Pos, r record.Record) error {
	switch b := r.Body.(type) {
	case *record.EpochOpened:
		if pos.Seq != 0 {
			return nil // no epoch begins in the middle
		}
		st.Parent, st.ParentSize, st.ParentRoot = b.Parent, b.ParentSize, b.ParentRoot
		return f.parent(st)
	case *record.LinkChanged:
		return f.link(r.At, b)
	case *record.DirectiveDone:
		return f.done(b)
	case *record.PowerLimit:
		return f.power(r.At, b)
	case *record.SegmentQuarantined:
		return f.gap(pos, b)
	case *record.StatementInstalled:
		return f.tariff(b)
	case *record.ExceptionRaised:
		if r.Session.IsZero() { // those of a session come with its outcome
			return f.raise(exceptionAt(b.Code, pos, b.Detail))
		}
	case *record.AccessDecided:
		return ownSealKey(f.tx, f.gw.ID, b.Sealed, b.Token)
	case *record.SessionOpened:
		return ownSealKey(f.tx, f.gw.ID, b.Sealed, b.Token)
	case *record.SessionAuthorized:
		return ownSealKey(f.tx, f.gw.ID, b.Sealed, b.Token)
	case *record.StopOrphaned:
		return ownSealKey(f.tx, f.gw.ID, b.Sealed, b.Token)
	}
	return nil
}

// link keeps the latest link state.
func (f *fold) link(at holdfast.Instant, b *record.LinkChanged) error {
	c, err := contactOf(f.tx, f.gw.ID)
	if err != nil || earlier(at, c.Since) {
		return err
	}
	c.Link, c.Cause, c.Since = b.To, b.Cause, at
	_, err = put(f.tx, KindContact, string(f.gw.ID), nil, c)
	return err
}

// earlier orders two instants of one gateway by its boots and its monotonic
// clock; the wall clock does not order anything.
func earlier(a, b holdfast.Instant) bool {
	return a.Boot < b.Boot || a.Boot == b.Boot && a.Mono < b.Mono
}

// done closes a directive of this gateway. The first record counts: each
// directive has one outcome.
func (f *fold) done(b *record.DirectiveDone) error {
	d, err := get[directiveDoc](f.tx, KindDirective, b.ID)
	if isNotFound(err) || err == nil && d.Gateway != f.gw.ID {
		return nil // from before a restore of the store, or another's
	}
	if err != nil {
		return err
	}
	d.Outcome, d.Detail, d.Result, d.Statement = b.Outcome, b.Detail, b.Result, nil
	return d.put(f.tx)
}

// sessions folds the sessions again that rows touch, and those that are covered
// now.
func (f *fold) sessions(rows []Row, covers []cover) error {
	var touched []holdfast.SessionID
	have := map[holdfast.SessionID]bool{}
	touch := func(id holdfast.SessionID) {
		if !id.IsZero() && !have[id] {
			have[id] = true
			touched = append(touched, id)
		}
	}
	for _, c := range covers {
		ids, err := f.tx.Touched(c.st.n, holdfast.Seq(c.from), holdfast.Seq(c.st.Reconciled))
		if err != nil {
			return err
		}
		for _, id := range ids {
			touch(id)
		}
	}
	for _, r := range rows {
		touch(r.Session)
	}
	waiting, err := f.waiting(rows)
	if err != nil {
		return err
	}
	for _, id := range append(touched, waiting...) {
		if err := f.session(id, true); err != nil {
			return err
		}
	}
	total, err := f.total(f.gw.Site)
	if err != nil {
		return err
	}
	total.Records += uint64(len(rows))
	return f.flush()
}

// stream reads a stream by its number, once.
func (f *fold) stream(n uint64) (stream, error) {
	if s, ok := f.streams[n]; ok {
		return s, nil
	}
	s, err := streamByNumber(f.tx, n)
	if err == nil {
		f.streams[n] = s
	}
	return s, err
}

// site returns the site of a gateway, once.
func (f *fold) site(gw holdfast.GatewayID) (holdfast.SiteID, error) {
	if s, ok := f.sites[gw]; ok {
		return s, nil
	}
	g, err := get[gatewayDoc](f.tx, KindGateway, string(gw))
	if err == nil {
		f.sites[gw] = g.Site
	}
	return g.Site, err
}
