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
	"github.com/holdfast-ev/holdfast/record"
)

// flip changes one bit in the body of a record in a sealed segment of a stopped
// gateway.
func flip(t *testing.T, d *faultfs.Disk, name string) {
	t.Helper()
	b := d.Bytes(name)
	b[len(b)/2] ^= 1
	d.Put(name, b)
}

// sealed lists a journal's sealed segments.
func (s *site) sealed(j holdfast.Journal) (out []journal.SegmentInfo) {
	for _, i := range s.l.Log(j).Segments() {
		if i.Sealed {
			out = append(out, i)
		}
	}
	return out
}

// inspect does what the shell does in the background: it checks sealed segments
// and hands damage to the loop.
func (s *site) inspect(j holdfast.Journal, d *faultfs.Disk) (found int) {
	s.t.Helper()
	for _, i := range s.sealed(j) {
		damage := (*journal.Damage)(nil)
		if err := journal.CheckSegment(d, i); errors.As(err, &damage) {
			found++
			if err := s.turn(gateway.SegmentDamaged{Journal: j, File: damage.Segment, Offset: damage.Offset, Detail: damage.What}); err != nil {
				s.t.Fatal(err)
			}
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
	return found
}

// whole checks that a stopped gateway's journal verifies.
func whole(t *testing.T, d *faultfs.Disk) {
	t.Helper()
	rep, err := journal.Verify(d, &key("device").PublicKey)
	if err != nil || !rep.OK() {
		t.Errorf("the journal does not verify: %+v, %v", rep.Problems, err)
	}
}

// TestDamageThatRecoveryMeets: damage in what recovery has to read, because a
// header is hit or no snapshot is left, keeps nobody from charging either, and
// is alarmed once however often the gateway starts.
func TestDamageThatRecoveryMeets(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(s *site, name string)
	}{
		{"a header", func(s *site, name string) {
			b := s.ev.Bytes(name)
			b[40] ^= 1
			s.ev.Put(name, b)
		}},
		{"a file that is gone", func(s *site, name string) {
			if err := s.ev.Remove(name); err != nil {
				t.Fatal(err)
			}
		}},
		{"a record, and no snapshot", func(s *site, name string) {
			flip(t, s.ev, name)
			s.sn = faultfs.New()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := lived(t)
			s.t = t
			s.boot()
			victim := s.sealed(holdfast.Evidence)[2]
			s.stop()
			test.damage(s, victim.Name)
			s.cloud.down = true
			for range 3 {
				s.boot()
				s.charge()
				s.stop()
			}
			s.boot()
			if gaps := s.l.Core().Status(s.now).Gaps; len(gaps) != 1 || gaps[0].First != victim.First || gaps[0].To != victim.End {
				t.Fatalf("gaps %+v, want %+v", gaps, victim)
			}
			s.cloud.down = false
			s.settle()
			s.settle()
			if c := s.cloud; c.raised("EVID_SEGMENT_DAMAGED") != 1 || c.repairs(record.RepairCloud) != 1 {
				t.Errorf("%d alarms, %d repaired", c.raised("EVID_SEGMENT_DAMAGED"), c.repairs(record.RepairCloud))
			}
			s.stop()
			whole(t, s.ev)
		})
	}
}

// TestLostBeforeItWasSent: a sealed segment goes bad in an outage, before the
// cloud has it. Nothing behind it can be uploaded in its epoch: the gateway goes
// on in a new one, says so once, and everything from then on arrives.
func TestLostBeforeItWasSent(t *testing.T) {
	for _, checked := range []bool{true, false} {
		t.Run(fmt.Sprintf("checked %v", checked), func(t *testing.T) {
			s := smallSite(t)
			s.boot()
			s.settle()
			s.cloud.down = true
			s.settle()
			before := len(s.sealed(holdfast.Evidence))
			for range 8 {
				s.charge()
			}
			old := s.l.Core().Status(s.now).Epoch
			victim := s.sealed(holdfast.Evidence)[before+1]
			flip(t, s.ev, victim.Name)
			if checked {
				s.inspect(holdfast.Evidence, s.ev)
			}
			s.charge()
			s.cloud.down = false
			again := s.untilRestart()
			if again.Restart.Reason != record.EpochLostHistory || !strings.Contains(again.Restart.Detail, victim.Name) {
				t.Fatalf("restart %+v, want one that names %s", again.Restart, victim.Name)
			}
			_ = s.l.Close()
			s.restart = &again.Restart
			s.boot()
			if s.l.Core().Status(s.now).Epoch == old {
				t.Fatal("still in the old epoch")
			}
			s.charge()
			for range 5 {
				s.settle()
			}
			s.charge()
			s.settle()
			c := s.cloud
			if n := c.of(holdfast.Evidence, old).size(); n < uint64(victim.First) || n >= uint64(victim.End) {
				t.Errorf("of the old epoch the cloud has %d records, want all before the damage in %d to %d", n, victim.First, victim.End-1)
			}
			now := s.l.Core().Status(s.now)
			if n := c.of(holdfast.Evidence, now.Epoch).size(); n != now.Records {
				t.Errorf("of the new epoch the cloud has %d of %d records", n, now.Records)
			}
			if c.raised("EVID_HISTORY_LOST") != 1 || c.fetches != 0 {
				t.Errorf("%d alarms of lost history, %d fetches of what the cloud has not got", c.raised("EVID_HISTORY_LOST"), c.fetches)
			}
			if now.Link != holdfast.Synced && now.Link != holdfast.Online {
				t.Errorf("the link is %s", now.Link)
			}
			sessions := c.count(func(b record.Body) bool { _, ok := b.(*record.SessionEnded); return ok })
			for range 2 { // and not at every start
				s.stop()
				s.boot()
				s.settle()
			}
			if c.raised("EVID_HISTORY_LOST") != 1 || sessions < 2 {
				t.Errorf("%d alarms after two more starts; %d sessions", c.raised("EVID_HISTORY_LOST"), sessions)
			}
			if gaps := s.l.Core().Status(s.now).Gaps; len(gaps) != 1 || !gaps[0].Lost {
				t.Errorf("gaps %+v", gaps)
			}
		})
	}
}

// untilRestart turns until the core asks for a new epoch.
func (s *site) untilRestart() *loop.RestartError {
	s.t.Helper()
	s.now.Mono += 60_000
	for range 100 {
		again := (*loop.RestartError)(nil)
		if err := s.turn(gateway.Tick{}); errors.As(err, &again) {
			return again
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Fatal("no restart")
	return nil
}

// TestTelemetryGapIsSkipped: telemetry that went bad before it was sent costs
// itself and nothing else.
func TestTelemetryGapIsSkipped(t *testing.T) {
	s := smallSite(t)
	s.boot()
	s.settle()
	s.cloud.down = true
	s.settle()
	status := func() {
		if _, err := s.call("StatusNotification", fmt.Sprintf(`{"connectorId":1,"errorCode":"NoError","status":"Available","info":%q}`, strings.Repeat("x", 40))); err != nil {
			t.Fatal(err)
		}
	}
	for range 60 {
		status()
	}
	segs := s.sealed(holdfast.Telemetry)
	flip(t, s.tel, segs[1].Name)
	s.inspect(holdfast.Telemetry, s.tel)
	s.cloud.down = false
	for range 3 {
		s.settle()
		status()
	}
	s.settle()
	log := s.l.Log(holdfast.Telemetry)
	size, _ := log.Head()
	st := s.cloud.of(holdfast.Telemetry, log.Identity().Epoch)
	if st.size() != size || st.skipped != uint64(segs[1].End-segs[1].First) {
		t.Errorf("the cloud is at %d of %d and skipped %d, want %d", st.size(), size, st.skipped, segs[1].End-segs[1].First)
	}
	if c := s.cloud; c.raised("EVID_SEGMENT_DAMAGED") != 1 || c.raised("EVID_HISTORY_LOST") != 0 || c.fetches != 0 || c.repairs(record.RepairNone) != 1 {
		t.Errorf("%d and %d alarms, %d fetches, %d given up", c.raised("EVID_SEGMENT_DAMAGED"), c.raised("EVID_HISTORY_LOST"), c.fetches, c.repairs(record.RepairNone))
	}
}

// TestTelemetryThatMadeRoom: what was dropped for want of space in an outage is
// skipped when the link is back, and is no damage.
func TestTelemetryThatMadeRoom(t *testing.T) {
	s := smallSite(t)
	s.journal.MaxBytes = 64 << 10
	s.boot()
	s.settle()
	s.cloud.down = true
	s.settle()
	for range 400 {
		if _, err := s.call("StatusNotification", fmt.Sprintf(`{"connectorId":1,"errorCode":"NoError","status":"Available","info":%q}`, strings.Repeat("x", 40))); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, dropped := s.l.Stats(); dropped == 0 {
		t.Fatal("nothing was dropped")
	}
	s.cloud.down = false
	hellos := s.hellos
	for range 4 {
		s.settle()
	}
	log := s.l.Log(holdfast.Telemetry)
	size, _ := log.Head()
	if st := s.cloud.of(holdfast.Telemetry, log.Identity().Epoch); st.size() != size || st.skipped == 0 {
		t.Errorf("the cloud is at %d of %d and skipped %d", st.size(), size, st.skipped)
	}
	if n := s.cloud.raised("EVID_SEGMENT_DAMAGED"); n != 0 || s.hellos-hellos > 12 {
		t.Errorf("%d alarms, %d hellos", n, s.hellos-hellos)
	}
}

// TestRestoredImageOpensOneEpoch: a site whose disk was restored from an old
// image goes on in one new epoch of each journal, although the cloud goes on
// knowing more of the old ones.
func TestRestoredImageOpensOneEpoch(t *testing.T) {
	s := smallSite(t)
	s.boot()
	s.charge()
	if _, err := s.call("StatusNotification", `{"connectorId":1,"errorCode":"NoError","status":"Available"}`); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.stop()
	ev, tel, sn := s.ev.Clone(), s.tel.Clone(), s.sn.Clone()
	s.boot()
	s.charge()
	for range 5 {
		if _, err := s.call("StatusNotification", `{"connectorId":1,"errorCode":"NoError","status":"Available"}`); err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	s.stop()

	s.ev, s.tel, s.sn = ev, tel, sn
	old := s.l.Core().Status(s.now).Epoch
	s.boot()
	for range 5 {
		s.settle()
		s.charge()
	}
	s.settle()
	for _, j := range []holdfast.Journal{holdfast.Evidence, holdfast.Telemetry} {
		epochs := s.l.Log(j).Epochs()
		last := epochs[len(epochs)-1]
		if len(epochs) != 2 || s.cloud.of(j, last.Epoch).size() != last.Size {
			t.Errorf("%s: %d epochs, the cloud has %d of the last one's %d records", j, len(epochs), s.cloud.of(j, last.Epoch).size(), last.Size)
		}
	}
	if now := s.l.Core().Status(s.now); now.Epoch == old || now.Link == holdfast.Offline {
		t.Errorf("epoch %s after %s, link %s", now.Epoch, old, now.Link)
	}
	if n := s.cloud.raised("EVID_HISTORY_LOST"); n != 1 {
		t.Errorf("%d alarms of lost history", n)
	}
}
