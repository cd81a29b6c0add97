package loop_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/loop"
	"github.com/holdfast-ev/holdfast/internal/faultfs"
	"github.com/holdfast-ev/holdfast/journal"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A cloud takes slices strictly in order, believes everything, and gives back
// what it was sent. It outlives the site's power cuts.
type cloud struct {
	down    bool
	streams map[uplink.Slot]*stream // First is 0
	spoil   bool                    // copies that it gives away have a bit flipped
	fetches int
}

type stream struct {
	frames  []byte
	records []record.Record
	ends    []int // of each record in frames
	skipped uint64
}

func (c *cloud) of(j holdfast.Journal, e holdfast.Epoch) *stream {
	k := uplink.Slot{Journal: j, Epoch: e}
	if c.streams == nil {
		c.streams = map[uplink.Slot]*stream{}
	}
	if c.streams[k] == nil {
		c.streams[k] = &stream{}
	}
	return c.streams[k]
}

func (t *stream) size() uint64 { return t.skipped + uint64(len(t.records)) }

func (c *cloud) hello(s *site, h uplink.Hello) {
	if c == nil {
		return
	}
	if c.down {
		s.notes = append(s.notes, gateway.LinkDown{Cause: holdfast.CauseCloudUnreachable, Detail: "down"})
		return
	}
	var w uplink.Welcome
	for _, head := range h.Heads {
		st := c.of(head.Journal, head.Epoch)
		if head.Journal == holdfast.Telemetry && head.First > st.size() {
			st.skipped += head.First - st.size()
		}
		w.Cursors = append(w.Cursors, uplink.Cursor{Journal: head.Journal, Epoch: head.Epoch, Received: st.size(), Reconciled: st.size()})
	}
	s.notes = append(s.notes, gateway.LinkUp{Welcome: w})
}

func (c *cloud) upload(s *site, u gateway.Upload, slice []byte) {
	if c == nil {
		return
	}
	if c.down {
		s.notes = append(s.notes, gateway.LinkDown{Cause: holdfast.CauseCloudUnreachable, Detail: "down"})
		return
	}
	st := c.of(u.Journal, u.Epoch)
	if uint64(u.First) != st.size() {
		s.t.Fatalf("upload %+v, the cloud has %d", u, st.size())
	}
	frames, err := journal.ParseSlice(slice, u.First)
	if err != nil {
		s.t.Fatal(err)
	}
	const overhead = 20
	for off := 0; len(frames) > 0; frames = frames[1:] {
		end := off + overhead + len(frames[0].Body)
		if frames[0].Kind != journal.Key {
			st.frames = append(st.frames, slice[off:end]...)
		}
		if frames[0].Kind == journal.Record {
			r, err := record.Decode(frames[0].Body)
			if err != nil {
				s.t.Fatal(err)
			}
			st.records, st.ends = append(st.records, r), append(st.ends, len(st.frames))
		}
		off = end
	}
	s.notes = append(s.notes, gateway.UploadDone{Journal: u.Journal, Epoch: u.Epoch, First: u.First, Ack: uplink.Ack{Received: st.size(), Reconciled: st.size()}})
}

// Fetch implements loop.Shell.
func (s *site) Fetch(f gateway.Fetch) {
	c := s.cloud
	if c == nil {
		s.t.Fatalf("fetch %+v without a cloud", f)
	}
	c.fetches++
	st := c.of(f.Journal, f.Epoch)
	got := gateway.Fetched{Fetch: f}
	switch {
	case c.down:
		got.Err = "down"
	case st.skipped > 0 || uint64(f.To) > st.size():
		s.t.Fatalf("fetch %+v of %d records", f, st.size())
	default:
		from := 0
		if f.First > 0 {
			from = st.ends[f.First-1]
		}
		got.Frames = append([]byte{}, st.frames[from:st.ends[f.To-1]]...)
		if c.spoil {
			got.Frames[len(got.Frames)/2] ^= 4
		}
	}
	s.notes = append(s.notes, got)
}

// count counts the records of all epochs that the cloud has and that ok takes.
func (c *cloud) count(ok func(record.Body) bool) (n int) {
	for _, st := range c.streams {
		for _, r := range st.records {
			if ok(r.Body) {
				n++
			}
		}
	}
	return n
}

func (c *cloud) raised(code string) int {
	return c.count(func(b record.Body) bool { x, ok := b.(*record.ExceptionRaised); return ok && x.Code == code })
}

func (c *cloud) repairs(r record.Repair) int {
	return c.count(func(b record.Body) bool { q, ok := b.(*record.SegmentQuarantined); return ok && q.Repair == r })
}

// smallSite is a site with a cloud and segments of a few records.
func smallSite(t *testing.T) *site {
	s := newSite(t)
	s.journal.SegmentBytes = 2 << 10
	s.cloud = &cloud{}
	return s
}

// boot opens the gateway, in a new epoch where it asks for one.
func (s *site) boot() {
	s.t.Helper()
	for range 3 {
		err := s.open()
		if err == nil {
			err = s.connect()
		}
		if err == nil {
			err = s.install()
		}
		again := (*loop.RestartError)(nil)
		if err == nil {
			return
		}
		if !errors.As(err, &again) {
			s.t.Fatal(err)
		}
		_ = s.l.Close()
		s.restart = &again.Restart
	}
	s.t.Fatal("one new epoch after the other")
}

// settle turns until nothing is on its way.
func (s *site) settle() {
	s.t.Helper()
	s.now.Mono += 60_000
	s.now.Wall += 60_000
	for range 200 {
		if err := s.turn(gateway.Tick{}); err != nil {
			s.t.Fatal(err)
		}
		if len(s.notes) == 0 {
			return
		}
	}
	s.t.Fatal("it never comes to rest")
}

// charge makes one session and returns its transaction id. Every answer is
// checked: charging goes on whatever happens to the past.
func (s *site) charge() string {
	s.t.Helper()
	f, err := s.call("StartTransaction", fmt.Sprintf(`{"connectorId":1,"idTag":"CARD","meterStart":%d,"timestamp":%q}`, 1+s.msg, s.now.Wall))
	if err != nil || f.Type != ocpp.CallResult || !strings.Contains(string(f.Payload), "Accepted") {
		s.t.Fatalf("start: %s, %v", f.Payload, err)
	}
	tx := txOf(f)
	f, err = s.call("StopTransaction", fmt.Sprintf(`{"transactionId":%s,"meterStop":%d,"timestamp":%q}`, tx, 501+s.msg, s.now.Wall))
	if err != nil || f.Type != ocpp.CallResult {
		s.t.Fatalf("stop: %s, %v", f.Payload, err)
	}
	return tx
}

// stop ends the gateway in order.
func (s *site) stop() {
	s.t.Helper()
	if err := errors.Join(s.turn(gateway.Quit{}), s.l.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// lived is a stopped site whose evidence of some sessions the cloud has.
func lived(t *testing.T) *site {
	s := smallSite(t)
	s.boot()
	for range 8 {
		s.charge()
		s.settle()
	}
	s.stop()
	return s
}

// TestDamagedSegmentIsRepairedFromTheCloud: damage in a sealed segment that
// nobody reads any more is found by checking, set aside, named, alarmed, and
// repaired with what the cloud has received, while charging goes on.
func TestDamagedSegmentIsRepairedFromTheCloud(t *testing.T) {
	s := lived(t)
	s.boot()
	victim := s.sealed(holdfast.Evidence)[1]
	s.stop()
	flip(t, s.ev, victim.Name)
	s.cloud.down = true
	s.boot()
	if n := len(s.report.Evidence.Quarantined); n != 0 {
		t.Fatalf("recovery read what it did not need: %d", n)
	}
	if n := s.inspect(holdfast.Evidence, s.ev); n != 1 {
		t.Fatalf("%d segments are damaged, want 1", n)
	}
	s.charge()
	gaps := s.l.Core().Status(s.now).Gaps
	if len(gaps) != 1 || gaps[0].File != victim.Name || gaps[0].First != victim.First || gaps[0].To != victim.End || gaps[0].Offset == 0 {
		t.Fatalf("gaps %+v, want %+v", gaps, victim)
	}
	for range 3 { // once, not at every start
		s.stop()
		s.boot()
	}
	s.cloud.down = false
	s.settle()
	s.charge()
	s.settle()
	if n := len(s.l.Core().Status(s.now).Gaps); n != 0 || len(s.l.Log(holdfast.Evidence).Gaps()) != 0 {
		t.Errorf("%d gaps after the repair", n)
	}
	if c := s.cloud; c.raised("EVID_SEGMENT_DAMAGED") != 1 || c.repairs(record.RepairPending) != 1 || c.repairs(record.RepairCloud) != 1 || c.fetches != 1 {
		t.Errorf("%d alarms, %d pending, %d repaired, %d fetches", c.raised("EVID_SEGMENT_DAMAGED"), c.repairs(record.RepairPending), c.repairs(record.RepairCloud), c.fetches)
	}
	s.stop()
	whole(t, s.ev)
}

// TestNeighboursAreRepairedInOnePiece: two damaged segments in a row are one
// gap, because only its two ends are known.
func TestNeighboursAreRepairedInOnePiece(t *testing.T) {
	s := lived(t)
	s.boot()
	segs := s.sealed(holdfast.Evidence)
	s.stop()
	flip(t, s.ev, segs[1].Name)
	flip(t, s.ev, segs[2].Name)
	s.boot()
	s.inspect(holdfast.Evidence, s.ev)
	s.settle()
	s.settle()
	if len(s.l.Log(holdfast.Evidence).Gaps()) != 0 || len(s.l.Core().Status(s.now).Gaps) != 0 {
		t.Errorf("gaps left: %+v, %+v", s.l.Log(holdfast.Evidence).Gaps(), s.l.Core().Status(s.now).Gaps)
	}
	s.stop()
	whole(t, s.ev)
}

// TestBadCopyIsNotBelieved: what does not lead from the tree before the gap to
// the tree behind it changes nothing, and is asked for again later.
func TestBadCopyIsNotBelieved(t *testing.T) {
	s := lived(t)
	s.boot()
	victim := s.sealed(holdfast.Evidence)[1]
	s.stop()
	flip(t, s.ev, victim.Name)
	s.cloud.spoil = true
	s.boot()
	s.inspect(holdfast.Evidence, s.ev)
	s.settle()
	if len(s.l.Log(holdfast.Evidence).Gaps()) != 1 || s.cloud.repairs(record.RepairCloud) != 0 {
		t.Fatalf("a spoiled copy was put in place")
	}
	tries := s.cloud.fetches
	for range 5 {
		if err := s.turn(gateway.Tick{}); err != nil {
			t.Fatal(err)
		}
	}
	if s.cloud.fetches != tries {
		t.Errorf("asked %d times more without a pause", s.cloud.fetches-tries)
	}
	s.charge()
	s.cloud.spoil = false
	s.settle()
	s.settle()
	if s.cloud.fetches != tries+1 || s.cloud.repairs(record.RepairCloud) != 1 {
		t.Errorf("%d fetches and %d repairs after the copy was good", s.cloud.fetches-tries, s.cloud.repairs(record.RepairCloud))
	}
	s.stop()
	whole(t, s.ev)
}

// TestRepairWithFaultsInPairs: whichever operation of setting aside and putting
// back fails, and whether or not it got through, the gap is alarmed and repaired.
func TestRepairWithFaultsInPairs(t *testing.T) {
	for _, done := range []bool{false, true} {
		faults := 0
		for op := 1; ; op++ {
			s := lived(t)
			s.boot()
			victim := s.sealed(holdfast.Evidence)[1]
			s.stop()
			flip(t, s.ev, victim.Name)
			s.boot()
			s.settle()
			s.ev.Inject(s.ev.Ops()+op, faultfs.Fault{Err: errors.New("input/output error"), Done: done})
			hit := s.mendOnce(victim.Name)
			for range 3 {
				s.ev.Heal()
				if hit {
					_ = s.l.Close()
					s.ev = s.ev.Revive()
					s.boot()
				}
				s.settle()
				s.inspect(holdfast.Evidence, s.ev)
				s.settle()
			}
			// A write may end between the alarm and the record of the gap: then
			// the alarm comes twice, and never not at all.
			if c := s.cloud; c.raised("EVID_SEGMENT_DAMAGED") < 1 || c.raised("EVID_SEGMENT_DAMAGED") > 2 || c.repairs(record.RepairCloud) != 1 || len(s.l.Log(holdfast.Evidence).Gaps()) != 0 {
				t.Errorf("done %v, op %d: %d alarms, %d repairs, gaps %+v", done, op, c.raised("EVID_SEGMENT_DAMAGED"), c.repairs(record.RepairCloud), s.l.Log(holdfast.Evidence).Gaps())
			}
			s.stop()
			whole(t, s.ev)
			if !hit {
				break
			}
			faults++
		}
		if faults < 8 {
			t.Errorf("done %v: only %d faults were hit", done, faults)
		}
	}
}

// mendOnce hands in the damage and turns until the repair is through or a turn
// fails, and reports whether one did.
func (s *site) mendOnce(name string) (hit bool) {
	damage := (*journal.Damage)(nil)
	for _, i := range s.sealed(holdfast.Evidence) {
		if i.Name == name && !errors.As(journal.CheckSegment(s.ev, i), &damage) {
			return true // the fault hit the check itself
		}
	}
	if s.turn(gateway.SegmentDamaged{Journal: holdfast.Evidence, File: damage.Segment, Offset: damage.Offset, Detail: damage.What}) != nil {
		return true
	}
	for range 20 {
		if s.turn(gateway.Tick{}) != nil {
			return true
		}
	}
	return false
}
