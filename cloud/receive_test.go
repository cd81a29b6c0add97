package cloud_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// readyBox is a gateway with a tariff, everything so far uploaded.
func readyBox(w *world, site holdfast.SiteID) *box {
	w.t.Helper()
	b := w.box(site)
	_, err := w.plane.PutTariff(context.Background(), w.now, cloud.PutTariff{OCPI: []byte(dayTariff), By: "test"})
	w.must(err)
	b.hello()
	b.checkpoint()
	b.sync()
	return b
}

func TestSessionBecomesABill(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		id := b.charge(visit{wh: 10_000})
		b.sync()

		// Received, shown, and not billed: no checkpoint covers it yet.
		d, err := w.plane.Session(t.Context(), id)
		w.must(err)
		if d.Stage != cloud.StageReceived || d.Amount != nil || d.Running || d.Energy != 10_000 || len(d.CDRs) != 0 {
			t.Errorf("before the checkpoint: %+v", d.Session)
		}
		b.checkpoint()
		b.sync()
		if d, err = w.plane.Session(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		// 0.50 + 10 kWh x 0.49 = 5.40 net, 19 % VAT.
		if d.Stage != cloud.StageRated || d.Amount == nil || d.Amount.Micros != 6_426_000 || len(d.CDRs) != 1 || d.CDRs[0].Net != 5_400_000 || d.CDRs[0].VAT != 1_026_000 {
			t.Errorf("after the checkpoint: %+v %+v", d.Session, d.CDRs)
		}
		if len(d.Evidence) != 3 || !d.Evidence[0].Reconciled || holdfast.SessionID(d.Evidence[0].Leaf) != id || holdfast.LeafHash(d.Evidence[1].Record) != d.Evidence[1].Leaf {
			t.Errorf("evidence: %+v", d.Evidence)
		}
		balances, err := w.plane.Balances(t.Context(), cloud.LedgerFilter{})
		w.must(err)
		got := map[string]holdfast.Micros{}
		for _, l := range balances {
			got[l.Account] = l.Amount
		}
		if got["receivable"] != 6_426_000 || got["vat"] != -1_026_000 || got["revenue.energy"] != -4_900_000 || got["revenue.flat"] != -500_000 {
			t.Errorf("balances: %v", got)
		}
		totals, err := w.plane.Totals(t.Context())
		w.must(err)
		if totals.Sites != 1 || totals.Sessions != 1 || totals.CDRs != 1 || totals.Energy != 10_000 || totals.Running != 0 || totals.Records != b.size() {
			t.Errorf("totals: %+v", totals)
		}
		w.balanced()
	})
}

func (b *box) size() uint64 { n, _ := b.evidence.Head(); return n }

// Exactly once for ever: whatever was taken is never taken again, and the answer
// says where to go on.
func TestRepeatedSlicesChangeNothing(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		from := b.w.cursor(b, b.evidence).Received
		b.charge(visit{wh: 5000})
		b.checkpoint()
		first, err := b.evidence.Slice(b.evidence.Identity().Epoch, holdfast.Seq(from), 1<<20)
		w.must(err)
		if _, err := b.raw(b.evidence.Identity(), holdfast.Seq(from), first); err != nil {
			t.Fatal(err)
		}
		before, books := w.dump(), w.books()
		w.now += 400 * 24 * 3600_000 // there is no window
		for range 3 {
			_, err := b.raw(b.evidence.Identity(), holdfast.Seq(from), first)
			wantPosition(t, err, holdfast.Seq(b.size()))
		}
		for _, at := range []holdfast.Seq{0, holdfast.Seq(from) + 1} { // overlaps
			_, err := b.send(at, 1<<20)
			wantPosition(t, err, holdfast.Seq(b.size()))
		}
		// The last checkpoint again, as after every hello: an answer, and no news.
		ack, err := b.send(holdfast.Seq(b.size()), 1<<20)
		if err != nil || ack.Received != b.size() || ack.Reconciled != b.size() {
			t.Errorf("the last checkpoint again: %+v, %v", ack, err)
		}
		if after := w.books(); after != books {
			t.Errorf("books changed:\n%s\nto\n%s", books, after)
		}
		if strings.Count(w.dump(), "record ") != strings.Count(before, "record ") {
			t.Error("records were added")
		}
		w.balanced()
	})
}

func TestSliceAheadOfTheCursor(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := w.box("north")
		b.charge(visit{wh: 5000})
		_, err := b.send(2, 1<<20)
		wantPosition(t, err, 0)
		if c := w.cursor(b, b.evidence); c.Received != 0 {
			t.Errorf("cursor moved to %+v", c)
		}
	})
}

// reconciled never passes the last verified checkpoint: checked after every
// slice of a journal in which checkpoints come late, twice, unsigned and signed
// by somebody else.
func TestReconciledNeverPassesTheLastVerifiedCheckpoint(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := w.box("north")
		_, err := w.plane.PutTariff(t.Context(), w.now, cloud.PutTariff{OCPI: []byte(dayTariff)})
		w.must(err)
		b.hello()
		origin := b.evidence.Identity().Origin()
		note := func(n []byte) {
			w.must(b.evidence.Append(journal.Checkpoint, n))
			w.must(b.evidence.Sync())
		}
		stranger := newKey(t)
		verified := map[uint64]bool{0: true}
		for i := range 12 {
			b.charge(visit{wh: 1000})
			size, root := b.evidence.Head()
			switch i % 4 {
			case 0: // signed late: two more records are there by then
				n := b.sign(b.key, origin, size, root)
				b.charge(visit{wh: 500})
				note(n)
				verified[size] = true
			case 1: // signed by a stranger
				note(b.sign(stranger, origin, size, root))
			case 2: // twice
				b.checkpoint()
				b.checkpoint()
				verified[size] = true
			}
		}
		for at := uint64(0); at < b.size(); {
			ack, err := b.send(holdfast.Seq(at), 900)
			w.must(err)
			if ack.Reconciled > ack.Received {
				t.Fatalf("reconciled %d beyond received %d", ack.Reconciled, ack.Received)
			}
			if !verified[ack.Reconciled] {
				t.Fatalf("reconciled %d: there is no verified checkpoint of that size", ack.Reconciled)
			}
			at = ack.Received
			w.billedOnlyWhatIsCovered(ack.Reconciled)
		}
		open, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{Code: cloud.CodeSignature}, cloud.Page{})
		if err != nil || len(open) != 1 {
			t.Errorf("unsigned checkpoints made %d exceptions, want one for the epoch: %v", len(open), err)
		}
	})
}

// billedOnlyWhatIsCovered checks that each CDR's session ended before the mark.
func (w *world) billedOnlyWhatIsCovered(mark uint64) {
	w.t.Helper()
	cdrs, _, err := w.plane.CDRs(context.Background(), cloud.CDRFilter{}, cloud.Page{Limit: cloud.MaxPage})
	w.must(err)
	for _, c := range cdrs {
		d, err := w.plane.Session(context.Background(), c.Session)
		w.must(err)
		last := d.Evidence[len(d.Evidence)-1]
		if uint64(last.Pos.Seq) >= mark {
			w.t.Fatalf("session %s is billed and its end at %d is not covered by %d", c.Session, last.Pos.Seq, mark)
		}
	}
}

// A signed root that the records do not have: somebody changed, left out or
// added a record on the way. Nothing of the slice is stored.
func TestSignedRootThatTheRecordsDoNotHave(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		before := w.books()
		c := w.cursor(b, b.evidence)
		twin := b.twin(c.Received)
		twin.charge(visit{wh: 9999})
		twin.checkpoint()
		b.charge(visit{wh: 5000})
		records, err := b.evidence.Slice(b.evidence.Identity().Epoch, holdfast.Seq(c.Received), 1<<20)
		w.must(err)
		signed, err := twin.evidence.Slice(b.evidence.Identity().Epoch, holdfast.Seq(b.size()), 1<<20)
		w.must(err)
		_, err = b.raw(b.evidence.Identity(), holdfast.Seq(c.Received), append(records, signed...))
		w.wantEvidence(err, cloud.CodeChainGap)
		if now := w.cursor(b, b.evidence); now != c {
			t.Errorf("cursor moved from %+v to %+v", c, now)
		}
		if !strings.HasPrefix(w.books(), strings.Split(before, "\n")[0]) {
			t.Errorf("books changed: %s", w.books())
		}
		open, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{Code: cloud.CodeChainGap}, cloud.Page{})
		w.must(err)
		if kept, err := w.archive.Get(t.Context(), open[0].Archive); err != nil || len(kept) == 0 {
			t.Errorf("the refused bytes are not kept: %v", err)
		}
	})
}

// twin is another machine with the same key, the same epoch and the same records
// before at.
func (b *box) twin(at uint64) *box {
	other := *b
	other.registers = map[string]holdfast.WattHours{}
	id := b.evidence.Identity()
	other.evidence = b.create(holdfast.Evidence, id.Epoch)
	b.w.must(b.evidence.Read(id.Epoch, 0, func(f journal.Frame) error {
		if f.Kind == journal.Record && uint64(f.Seq) < at {
			return other.evidence.Append(f.Kind, bytes.Clone(f.Body))
		}
		return nil
	}))
	b.w.must(other.evidence.Sync())
	return &other
}

// Two machines from one image go on in one epoch: the second one's records are
// refused, loudly, and overwrite nothing.
func TestForkOfAnEpoch(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		epoch := b.evidence.Identity()
		at := w.cursor(b, b.evidence).Received
		other := b.twin(at)
		other.charge(visit{wh: 7777, token: "DEADBEEF"})
		other.checkpoint()
		theirs, err := other.evidence.Slice(epoch.Epoch, holdfast.Seq(at), 1<<20)
		w.must(err)
		id := b.charge(visit{wh: 5000})
		b.checkpoint()
		b.sync()
		before := w.dump()
		_, err = b.raw(epoch, holdfast.Seq(at), theirs)
		w.wantEvidence(err, cloud.CodeFork)
		_, err = b.raw(epoch, holdfast.Seq(at), theirs) // again: the same case
		w.wantEvidence(err, cloud.CodeFork)
		open, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{Code: cloud.CodeFork}, cloud.Page{})
		if err != nil || len(open) != 1 || open[0].Archive == "" {
			t.Errorf("fork exceptions: %+v, %v", open, err)
		}
		for line := range strings.Lines(before) {
			if !strings.Contains(w.dump(), line) {
				t.Errorf("changed or gone: %s", line)
			}
		}
		d, err := w.plane.Session(t.Context(), id)
		if err != nil || d.Energy != 5000 {
			t.Errorf("the first machine's session: %+v, %v", d.Session, err)
		}
		w.balanced()
	})
}

func TestAnotherGatewaysSliceIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		north, south := readyBox(w, "zenith"), readyBox(w, "abyss") // the thief sorts first
		id := north.charge(visit{wh: 5000})
		north.checkpoint()
		stolen, err := north.evidence.Slice(north.evidence.Identity().Epoch, 0, 1<<20)
		w.must(err)
		_, err = south.raw(north.evidence.Identity(), 0, stolen)
		w.wantEvidence(err, cloud.CodeSignature)
		if _, err := w.plane.Session(t.Context(), id); err == nil {
			t.Error("the other site's session is in the books")
		}
		_, err = w.plane.Receive(t.Context(), w.now, "gw-nobody", holdfast.Evidence, holdfast.Epoch{1}, 0, stolen)
		wantError(t, "an unknown gateway", err, cloud.ErrForbidden)

		// Without its checkpoints the copy cannot be told from records; the thief
		// signs them, and gains nothing: the session stays with who opened it.
		north.sync()
		before := w.bill(id)
		copied := south.create(holdfast.Evidence, south.newEpoch())
		w.must(north.evidence.Read(north.evidence.Identity().Epoch, 0, func(f journal.Frame) error {
			if f.Kind != journal.Record {
				return nil
			}
			return copied.Append(f.Kind, bytes.Clone(f.Body))
		}))
		w.must(copied.Sync())
		south.evidence = copied
		south.checkpoint()
		south.sync()
		if after := w.bill(id); after != before {
			t.Errorf("the bill went from\n%s\nto\n%s", before, after)
		}
		d, err := w.plane.Session(t.Context(), id)
		w.must(err)
		if d.Site != "zenith" || d.Gateway != north.id || d.Opening.Gateway != north.id || len(d.Session.Exception) == 0 {
			t.Errorf("session: %+v, want the owner's with an exception", d.Session)
		}
		w.balanced()
	})
}

func (w *world) bill(id holdfast.SessionID) string {
	list, _, err := w.plane.CDRs(context.Background(), cloud.CDRFilter{Session: id}, cloud.Page{})
	w.must(err)
	return string(mustJSON(w.t, list))
}

func TestBytesThatAreNoSlice(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		id, c := b.evidence.Identity(), w.cursor(b, b.evidence)
		b.charge(visit{wh: 5000})
		good, err := b.evidence.Slice(id.Epoch, holdfast.Seq(c.Received), 1<<20)
		w.must(err)
		noise := make([]byte, 2000)
		_, _ = rand.Read(noise)
		flipped := bytes.Clone(good)
		flipped[len(flipped)/2] ^= 1
		for name, raw := range map[string][]byte{"noise": noise, "one bit": flipped, "cut short": good[:len(good)-1], "a frame missing": good[21:]} {
			_, err := b.raw(id, holdfast.Seq(c.Received), raw)
			if err == nil {
				t.Errorf("%s was taken", name)
				continue
			}
			w.wantEvidence(err, cloud.CodeFrame)
		}
		for name, raw := range map[string][]byte{"nothing": nil, "a bomb": make([]byte, uplink.MaxSliceBytes+1)} {
			_, err := b.raw(id, holdfast.Seq(c.Received), raw)
			wantError(t, name, err, cloud.ErrInvalid)
		}
		_, err = w.plane.Receive(t.Context(), w.now, b.id, "diary", id.Epoch, 0, good)
		wantError(t, "an unknown journal", err, cloud.ErrInvalid)
		_, err = w.plane.Receive(t.Context(), w.now, b.id, holdfast.Evidence, holdfast.Epoch{}, 0, good)
		wantError(t, "the zero epoch", err, cloud.ErrInvalid)
		if now := w.cursor(b, b.evidence); now != c {
			t.Errorf("cursor moved from %+v to %+v", c, now)
		}
		// And the good bytes are still welcome.
		if _, err := b.raw(id, holdfast.Seq(c.Received), good); err != nil {
			t.Error(err)
		}
	})
}

// Nobody can fill the store with garbage under ever new epochs.
func TestRefusedSlicesAreBounded(t *testing.T) {
	w := memoryWorld(t)
	b := w.box("north")
	for i := range 200 {
		_, err := w.plane.Receive(t.Context(), w.now, b.id, holdfast.Evidence, holdfast.Epoch{1, byte(i)}, 0, []byte("garbage"))
		if err == nil {
			t.Fatal("garbage was taken")
		}
	}
	open, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{Code: cloud.CodeFrame}, cloud.Page{Limit: 1000})
	if err != nil || len(open) == 0 || len(open) > 50 {
		t.Errorf("%d exceptions, %v", len(open), err)
	}
}

// Records that this software cannot read are evidence like any other: kept,
// covered, and shown to a person.
func TestUnreadableRecordsAreKept(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := readyBox(w, "north")
		b.write(b.evidence, []byte(`{"v":2,"t":"session.opened","n":1,"at":{},"d":{}}`))
		b.write(b.evidence, []byte(`not json`))
		b.write(b.evidence, []byte(`{"v":1,"t":"of.a.newer.kind","n":4,"at":{"wall":0,"q":"U","boot":0,"mono":0},"d":{"x":1}}`))
		b.charge(visit{wh: 5000})
		b.checkpoint()
		b.sync()
		if c := w.cursor(b, b.evidence); c.Reconciled != b.size() {
			t.Errorf("cursor %+v, want all %d", c, b.size())
		}
		open, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{Code: cloud.CodeUnreadable}, cloud.Page{})
		if err != nil || len(open) != 2 {
			t.Errorf("%d exceptions, want 2: %v", len(open), err)
		}
	})
}

// A child epoch says where it left its parent. The cloud checks that as soon as
// it has the parent that far, in whichever order the epochs come.
func TestChildEpochContinuesItsParent(t *testing.T) {
	for _, test := range []struct {
		name        string
		parentFirst bool
		lie         bool
	}{{"parent first", true, false}, {"child first", false, false}, {"a lie", true, true}, {"a lie that comes first", false, true}} {
		t.Run(test.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, w *world) {
				b := w.box("north")
				running := b.charge(visit{wh: 4000, open: true})
				b.checkpoint()
				old := b.evidence.Identity()
				parent, err := b.evidence.Slice(old.Epoch, 0, 1<<20)
				w.must(err)
				size, root := b.evidence.Head()
				if test.lie {
					root[5] ^= 1
				}
				b.evidence = b.create(holdfast.Evidence, b.newEpoch())
				b.put(record.Record{Body: &record.EpochOpened{Parent: old.Epoch, ParentSize: size, ParentRoot: root, Reason: record.EpochRestored}})
				b.stop(running, "CP1")
				b.checkpoint()
				if test.parentFirst {
					_, err := b.raw(old, 0, parent)
					w.must(err)
				}
				b.sync()
				if !test.parentFirst {
					_, err := b.raw(old, 0, parent)
					w.must(err)
				}
				forks, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{Code: cloud.CodeFork}, cloud.Page{})
				if err != nil || (len(forks) == 1) != test.lie {
					t.Errorf("fork exceptions: %+v, %v", forks, err)
				}
				d, err := w.plane.Session(t.Context(), running)
				if err != nil || d.Running || d.Energy != 4000 {
					t.Errorf("the session that went on in the child: %+v, %v", d.Session, err)
				}
				missing, _, err := w.plane.Exceptions(t.Context(), cloud.ExceptionFilter{Code: "EVID_NO_OPENING", State: cloud.StateOpen}, cloud.Page{})
				if err != nil || len(missing) != 0 {
					t.Errorf("the opening record is here, and %+v is open: %v", missing, err)
				}
			})
		})
	}
}

// Telemetry may have gaps: what a gateway dropped is skipped at the next hello,
// and never in an upload.
func TestTelemetryThatWasDropped(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := w.box("north")
		for range 3 {
			b.put(record.Record{Charger: "CP1", Body: &record.StatusNoted{EVSE: 1, Connector: 1, Status: "Available"}})
		}
		id := b.telemetry.Identity()
		raw, err := b.telemetry.Slice(id.Epoch, 2, 1<<20)
		w.must(err)
		_, err = b.raw(id, 2, raw)
		wantPosition(t, err, 0)
		h := uplink.Hello{Gateway: b.id, Nonce: strings.Repeat("ab", 16), Heads: []uplink.Head{
			{Journal: holdfast.Telemetry, Epoch: id.Epoch, First: 2, Size: 3}, {Journal: holdfast.Evidence, Epoch: b.evidence.Identity().Epoch, First: 2, Size: 2},
		}}
		wel, err := w.plane.Hello(t.Context(), w.now, b.id, h)
		w.must(err)
		if wel.Cursors[0].Received != 2 || wel.Cursors[1].Received != 0 {
			t.Errorf("cursors %+v: telemetry goes on at 2, evidence is never skipped", wel.Cursors)
		}
		if ack, err := b.raw(id, 2, raw); err != nil || ack.Received != 3 || ack.Reconciled != 3 {
			t.Errorf("%+v, %v", ack, err)
		}
		w.must(w.plane.Rebuild(t.Context()))
		if c := w.cursor(b, b.telemetry); c.Received != 3 {
			t.Errorf("after a rebuild: %+v", c)
		}
	})
}

// Evidence that arrives later and tells another story makes a credit that names
// the old CDR and a new one, in the books as in the list (I8); running it again
// adds nothing (I7).
func TestLateEvidenceMakesACreditAndANewCDR(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx, b := t.Context(), readyBox(w, "north")
		from := w.cursor(b, b.evidence).Received
		id := b.charge(visit{wh: 8000, open: true, mid: true, reset: true})
		b.checkpoint()
		old := b.evidence
		size, root := old.Head()
		b.evidence = b.create(holdfast.Evidence, b.newEpoch())
		b.put(record.Record{Body: &record.EpochOpened{Parent: old.Identity().Epoch, ParentSize: size, ParentRoot: root, Reason: record.EpochLostHistory}})
		b.stop(id, "CP1")
		b.checkpoint()

		// First comes the start, then the end from the epoch after; the meter reset
		// in between is still on its way.
		most := 0
		for records, notes := 0, 0; records < 2 || notes < 1; most++ { // cut behind the checkpoint that covers the start
			raw, err := old.Slice(old.Identity().Epoch, holdfast.Seq(from), most)
			w.must(err)
			frames, err := journal.ParseSlice(raw, holdfast.Seq(from))
			w.must(err)
			records, notes = 0, 0
			for _, f := range frames {
				switch {
				case f.Kind == journal.Record:
					records++
				case f.Kind == journal.Checkpoint && uint64(f.Seq) == from+2:
					notes++
				}
			}
		}
		if ack, err := b.sendOf(old, holdfast.Seq(from), most); err != nil || ack.Received != from+2 || ack.Reconciled != from+2 {
			t.Fatalf("the start: %+v, %v", ack, err)
		}
		b.sync()
		cdrs, _, err := w.plane.CDRs(ctx, cloud.CDRFilter{Session: id}, cloud.Page{Oldest: true})
		if err != nil || len(cdrs) != 1 || cdrs[0].Energy != 3000 {
			t.Fatalf("with half of the evidence: %+v, %v", cdrs, err)
		}
		if _, err := b.sendOf(old, holdfast.Seq(from)+2, 1<<20); err != nil {
			t.Fatal(err)
		}
		cdrs, _, err = w.plane.CDRs(ctx, cloud.CDRFilter{Session: id}, cloud.Page{Oldest: true})
		if err != nil || len(cdrs) != 3 {
			t.Fatalf("with all of it: %+v, %v", cdrs, err)
		}
		first, credit, second := cdrs[0], cdrs[1], cdrs[2]
		if first.Current || credit.Current || !second.Current || credit.Credits != first.ID || credit.Gross != -first.Gross || second.Energy != 8000 || second.Revision != 2 {
			t.Errorf("CDRs: %+v", cdrs)
		}
		d, err := w.plane.Session(ctx, id)
		if err != nil || d.Amount.Micros != second.Gross {
			t.Errorf("session: %+v, %v", d.Session, err)
		}
		entries, _, err := w.plane.Ledger(ctx, cloud.LedgerFilter{Session: id, Account: "receivable"}, cloud.Page{Oldest: true})
		if err != nil || len(entries) != 3 || entries[1].Reverses != entries[0].Key || entries[0].Amount+entries[1].Amount != 0 {
			t.Errorf("entries: %+v, %v", entries, err)
		}
		w.balanced()
		before := w.dump()
		w.must(w.plane.Rebuild(ctx))
		if after := w.dump(); after != before {
			t.Error(firstDifference(before, after))
		}
	})
}
