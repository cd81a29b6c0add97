package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// The tests in this file replay what real chargers and other servers were seen
// to do. Each name carries the issue that reported it.

const (
	t0 = "2026-09-21T14:13:20Z"
	t1 = "2026-09-21T14:23:20Z"
)

// site16 is a site with one allowed card and a 1.6 charger on connection 1.
func site16(t *testing.T) (*bench, gateway.ConnID) {
	b := newBench(t)
	b.installed(1, "CARD1", "CARD2")
	b.tariff()
	c := b.connect("CP1", "ocpp1.6")
	b.call(c, "boot", "BootNotification", `{"chargePointVendor":"Acme","chargePointModel":"Wall-22"}`)
	return b, c
}

func start16(b *bench, c gateway.ConnID, id, tag string, meter int, at string) ocpp.Frame {
	b.t.Helper()
	return b.call(c, id, "StartTransaction", fmt.Sprintf(`{"connectorId":1,"idTag":%q,"meterStart":%d,"timestamp":%q}`, tag, meter, at))
}

func stop16(b *bench, c gateway.ConnID, id string, tx, meter int, at string) ocpp.Frame {
	b.t.Helper()
	return b.call(c, id, "StopTransaction", fmt.Sprintf(`{"transactionId":%d,"meterStop":%d,"timestamp":%q}`, tx, meter, at))
}

func meter16(b *bench, c gateway.ConnID, id string, wh int, at string) {
	b.t.Helper()
	b.call(c, id, "MeterValues", fmt.Sprintf(`{"connectorId":1,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"%d"}]}]}`, at, wh))
}

// only returns the one session that the state remembers.
func only(b *bench) *gateway.Session {
	b.t.Helper()
	if n := len(b.g.State().Sessions); n != 1 {
		b.t.Fatalf("%d sessions, want 1", n)
	}
	for _, s := range b.g.State().Sessions {
		return s
	}
	return nil
}

func doubts(s *gateway.Session) (codes []string) {
	for _, d := range s.Bill().Doubts {
		codes = append(codes, d.Code)
	}
	return codes
}

func has(codes []string, code string) bool {
	return strings.Contains(" "+strings.Join(codes, " ")+" ", " "+code+" ")
}

func exceptions(b *bench) (codes []string) {
	for _, e := range bodies[*record.ExceptionRaised](b) {
		codes = append(codes, e.Code)
	}
	return codes
}

// A lost answer to StartTransaction: the charger repeats it after 60 s with a
// new unique id and the same payload. Same transaction, same id.
func TestLostStartAnswerRepeatedWithNewMessageID_SteVe81(t *testing.T) {
	b, c := site16(t)
	first := start16(b, c, "m1", "CARD1", 1000, t0)
	b.pass(60_000)
	again := start16(b, c, "m2", "CARD1", 1000, t0)
	if string(first.Payload) != string(again.Payload) {
		t.Errorf("answered %s, then %s", first.Payload, again.Payload)
	}
	only(b)
	stop16(b, c, "m3", b.txID(), 2000, t1)
	// After the stop the same content is another session.
	start16(b, c, "m4", "CARD1", 1000, t0)
	if n := len(b.g.State().Sessions); n != 2 {
		t.Errorf("%d sessions after the same start behind a stop, want 2", n)
	}
}

// The answer was lost because the gateway was killed: it must not be forgotten.
func TestLostStartAnswerAcrossKill(t *testing.T) {
	b, c := site16(t)
	first := start16(b, c, "m1", "CARD1", 1000, t0)
	b.crash()
	c = b.connect("CP1", "ocpp1.6")
	again := start16(b, c, "m9", "CARD1", 1000, t0)
	if string(first.Payload) != string(again.Payload) {
		t.Errorf("answered %s, after the kill %s", first.Payload, again.Payload)
	}
	only(b)
}

// A server that was killed gave transaction id 1 again (citrineos#172).
func TestTransactionIDNotReusedAfterKill_citrineos172(t *testing.T) {
	b, c := site16(t)
	seen := map[int]bool{}
	for i := range 20 {
		start16(b, c, fmt.Sprintf("s%d", i), "CARD1", 1000+i, t0)
		id := b.txID()
		if seen[id] || id <= 0 {
			t.Fatalf("transaction id %d given twice or not positive", id)
		}
		seen[id] = true
		stop16(b, c, fmt.Sprintf("e%d", i), id, 1000+i, t0)
		b.crash()
		c = b.connect("CP1", "ocpp1.6")
	}
}

// A charger that never got the answer to its start stops transaction -1. There
// is one session that it can be.
func TestStopWithMinusOne_libocpp495(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 1000, t0)
	stop16(b, c, "m2", -1, 3000, t1)
	s := only(b)
	if s.Running() || s.Meter.Energy() != 2000 {
		t.Errorf("running %v, energy %v, want stopped with 2.000 kWh", s.Running(), s.Meter.Energy())
	}
	if !has(exceptions(b), "PAIR_GUESSED") {
		t.Errorf("exceptions %v, want PAIR_GUESSED", exceptions(b))
	}
}

// -1 with a register below the start is another session's: refuse to guess.
func TestStopWithMinusOneThatFitsNothing_libocpp495(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 1000, t0)
	stop16(b, c, "m2", -1, 500, t1)
	if n := len(bodies[*record.StopOrphaned](b)); n != 1 {
		t.Errorf("%d orphaned stops, want 1", n)
	}
	if n := len(bodies[*record.SessionEnded](b)); n != 0 {
		t.Errorf("%d sessions ended by a stop that fits none", n)
	}
}

// A stop for an id that nobody knows was acknowledged and dropped by every
// server measured. Ours is acknowledged and kept, once.
func TestOnlyTheStopArrives(t *testing.T) {
	b, c := site16(t)
	for _, id := range []string{"m1", "m2", "m3"} {
		if f := stop16(b, c, id, 4711, 3000, t1); f.Type != ocpp.CallResult {
			t.Fatalf("answered %v", f)
		}
	}
	if n := len(bodies[*record.StopOrphaned](b)); n != 1 {
		t.Errorf("%d orphaned stops, want 1", n)
	}
	if s := only(b); !has(doubts(s), session.DoubtMissingStart) || !s.Bill().Blocked() {
		t.Errorf("doubts %v, want a blocking %s", doubts(s), session.DoubtMissingStart)
	}
}

// Stop sent twice, the second time at boot (libocpp#907).
func TestStopTwice_libocpp907(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 1000, t0)
	tx := b.txID()
	stop16(b, c, "m2", tx, 3000, t1)
	b.crash()
	c = b.connect("CP1", "ocpp1.6")
	if f := stop16(b, c, "m3", tx, 3000, t1); f.Type != ocpp.CallResult {
		t.Errorf("answered %v", f)
	}
	if n := len(bodies[*record.SessionEnded](b)); n != 1 {
		t.Errorf("%d ends, want 1", n)
	}
	// Another register in a stop of the same transaction is for a person.
	stop16(b, c, "m4", tx, 4000, t1)
	if s := only(b); s.Meter.Energy() != 2000 || !has(exceptions(b), "PAIR_DUPLICATE") {
		t.Errorf("energy %v, exceptions %v", s.Meter.Energy(), exceptions(b))
	}
}

// 910.031 kWh billed instead of 0.083: a firmware sends meterStart 0 before it
// has read its meter. On a meter that is known the zero is not believed.
func TestPlaceholderZeroOnKnownMeter_evcc15874(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 909_000, t0)
	stop16(b, c, "m2", b.txID(), 909_948, t1)
	start16(b, c, "m3", "CARD2", 0, t1)
	meter16(b, c, "m4", 909_948, t1)
	stop16(b, c, "m5", b.txID(), 910_031, "2026-09-21T14:33:20Z")
	for _, s := range b.g.State().Sessions {
		if s.Opened.ClaimedAt != t1 {
			continue
		}
		if bill := s.Bill(); bill.Energy != 83 || bill.Blocked() || !has(doubts(s), session.DoubtBaseline) {
			t.Errorf("billed %v, doubts %v, want 0.083 kWh and %s", bill.Energy, doubts(s), session.DoubtBaseline)
		}
	}
}

// The same on a meter that nobody knows yet: the next reading cannot be true
// with a start of zero, so the zero was none.
func TestPlaceholderZeroOnUnknownMeter_evcc15874(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 0, t0)
	b.pass(60_000)
	meter16(b, c, "m2", 909_948, "2026-09-21T14:14:20Z")
	b.pass(60_000)
	stop16(b, c, "m3", b.txID(), 910_031, "2026-09-21T14:15:20Z")
	s := only(b)
	if bill := s.Bill(); bill.Energy != 83 || bill.Blocked() || !has(doubts(s), session.DoubtBaseline) {
		t.Errorf("billed %v, doubts %v, want 0.083 kWh and %s", bill.Energy, doubts(s), session.DoubtBaseline)
	}
}

// With nothing but the zero and an impossible end, nobody knows: a person.
func TestPlaceholderZeroAndOnlyTheEnd_evcc15874(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 0, t0)
	b.pass(60_000)
	stop16(b, c, "m2", b.txID(), 910_031, "2026-09-21T14:14:20Z")
	if s := only(b); !s.Bill().Blocked() || !has(doubts(s), session.DoubtEnergy) {
		t.Errorf("doubts %v, want a blocking %s", doubts(s), session.DoubtEnergy)
	}
}

// A real zero on a new meter is a register like any other.
func TestTrueZeroOnNewMeter(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 0, t0)
	b.pass(600_000)
	stop16(b, c, "m2", b.txID(), 3000, t1)
	if s := only(b); s.Bill().Energy != 3000 || len(s.Bill().Doubts) != 0 {
		t.Errorf("billed %v, doubts %v", s.Bill().Energy, doubts(s))
	}
}

// The meter is replaced in the middle of a session: both parts are billed, the
// fall is shown, nothing is invented.
func TestMeterReset(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 500_000, t0)
	for i, wh := range []int{500_500, 501_000, 10, 400} {
		b.pass(150_000)
		meter16(b, c, fmt.Sprintf("v%d", i), wh, b.now.Wall.String())
	}
	stop16(b, c, "m2", b.txID(), 600, b.now.Wall.String())
	s := only(b)
	if s.Bill().Energy != 1000+590 || !has(doubts(s), session.DoubtRegression) || s.Bill().Blocked() {
		t.Errorf("billed %v, doubts %v, want 1.590 kWh and %s", s.Bill().Energy, doubts(s), session.DoubtRegression)
	}
}

// A charger without a clock: the span between two wrong times is still true.
func TestClockStartsIn1970(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 1000, "1970-01-01T00:01:00Z")
	b.pass(600_000)
	stop16(b, c, "m2", b.txID(), 3000, "1970-01-01T00:11:00Z")
	bill := only(b).Bill()
	if bill.Seconds != 600 || bill.Started != epoch || bill.Quality != holdfast.Relative || bill.Blocked() {
		t.Errorf("bill %+v, want 600 s from %v, quality R", bill, epoch)
	}
}

// A repeat with an unset clock and a zero register may be another session.
func TestAmbiguousRepeatIn1970BecomesAnException(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 0, "1970-01-01T00:00:05Z")
	start16(b, c, "m2", "CARD1", 0, "1970-01-01T00:00:05Z")
	only(b)
	if !has(exceptions(b), "PAIR_DUPLICATE") {
		t.Errorf("exceptions %v, want PAIR_DUPLICATE", exceptions(b))
	}
}

// A stop for another charger's transaction ends nothing there.
func TestForeignStop_SteVeCVE202628230(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 1000, t0)
	tx := b.txID()
	thief := b.connect("CP3", "ocpp1.6")
	stop16(b, thief, "x1", tx, 1500, t1)
	if n := len(bodies[*record.SessionEnded](b)); n != 0 {
		t.Fatal("a foreign charger ended the session")
	}
	events := bodies[*record.SecurityEvent](b)
	if len(events) != 1 || events[0].Kind != "foreign_stop" {
		t.Errorf("security events %v, want one foreign_stop", events)
	}
	meter16(b, thief, "x2", 999_999, t1)
	stop16(b, c, "m2", tx, 3000, t1)
	for _, s := range b.g.State().Sessions {
		if s.Charger == "CP1" && s.Bill().Energy != 2000 {
			t.Errorf("billed %v, want 2.000 kWh", s.Bill().Energy)
		}
	}
}

// A reconnect within milliseconds of a cut takes over; the half-open socket is
// fenced and its late frames change nothing (ocpp-go#314).
func TestReconnectFencesTheOlderSocket_ocppgo314(t *testing.T) {
	b, old := site16(t)
	fresh := b.connect("CP1", "ocpp1.6")
	if len(b.last.Closes) != 1 || b.last.Closes[0].Conn != old {
		t.Fatalf("closes %v, want the older connection", b.last.Closes)
	}
	if f := start16(b, old, "m1", "CARD1", 1000, t0); f.ID != "" {
		t.Error("a fenced socket was answered")
	}
	if len(b.g.State().Sessions) != 0 {
		t.Error("a fenced socket opened a session")
	}
	b.step(gateway.Disconnected{Conn: old})
	if f := start16(b, fresh, "m1", "CARD1", 1000, t0); f.Type != ocpp.CallResult {
		t.Errorf("the newer socket was answered %v", f)
	}
}

// A connection that did not prove its identity never displaces one that did.
func TestUnprovedNeverDisplacesProved(t *testing.T) {
	b, c := site16(t)
	b.conns++
	b.step(gateway.Connected{Conn: b.conns, Charger: "CP1", Version: "ocpp1.6"})
	if len(b.last.Closes) != 1 || b.last.Closes[0].Conn != b.conns {
		t.Errorf("closes %v, want the unproved newcomer", b.last.Closes)
	}
	if f := b.call(c, "h", "Heartbeat", `{}`); f.Type != ocpp.CallResult {
		t.Error("the honest connection is gone")
	}
}

// An answer that comes over a new connection matches no call of the old one.
func TestResultDoesNotMatchAcrossReconnect_libocpp1137(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 1000, t0)
	s := only(b)
	b.step(gateway.Frame{Conn: c, Raw: []byte(`[3,"` + b.commands(c, "TriggerMessage")[0].ID + `",{"status":"Accepted"}]`)})
	b.directive("d1", "session.stop", fmt.Sprintf(`{"session":%q}`, s.ID))
	stop := b.commands(c, "RemoteStopTransaction")
	if len(stop) != 1 {
		t.Fatalf("%d remote stops", len(stop))
	}
	fresh := b.connect("CP1", "ocpp1.6")
	b.step(gateway.Frame{Conn: fresh, Raw: []byte(`[3,"` + stop[0].ID + `",{"status":"Accepted"}]`)})
	if b.g.Counters().StrayResults != 1 {
		t.Errorf("stray results %d, want 1", b.g.Counters().StrayResults)
	}
	done := bodies[*record.DirectiveDone](b)
	if last := done[len(done)-1]; last.ID != "d1" || last.Outcome != "unknown" {
		t.Errorf("outcome %+v, want d1 unknown", last)
	}
	// Delivered again, it is not carried out again: it is ambiguous.
	b.directive("d1", "session.stop", fmt.Sprintf(`{"session":%q}`, s.ID))
	if n := len(b.commands(fresh, "RemoteStopTransaction")); n != 0 {
		t.Error("an ambiguous command was sent again")
	}
}

// The same message id with the same bytes is answered with the same bytes; with
// other bytes it is another message.
func TestRepeatedMessageID(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 1000, t0)
	start16(b, c, "m1", "CARD1", 1000, t0)
	only(b)
	stop16(b, c, "m1", b.txID(), 2000, t1)
	if s := only(b); s.Running() {
		t.Error("a stop under a used message id was taken for a repeat")
	}
}

// A charger that breaks the schema in a readable way is refused, unless the
// site's configuration tolerates it; then its message is kept as it came.
func TestLenientSite(t *testing.T) {
	const odd = `{"connectorId":1,"errorCode":"NoError","status":"Charging","info":"` + "0123456789012345678901234567890123456789012345678901234567890123456789" + `"}`
	for _, lenient := range []bool{false, true} {
		b := newBench(t)
		b.cfg.Lenient = lenient
		b.crash()
		c := b.connect("CP1", "ocpp1.6")
		f := b.call(c, "s", "StatusNotification", odd)
		kept := 0
		for _, a := range b.last.Records {
			if r, err := record.Decode(a.Bytes); err == nil && r.Body.Type() == "frame.noted" {
				kept++
			}
		}
		if lenient && (f.Type != ocpp.CallResult || kept != 1 || b.g.Counters().Tolerated != 1) {
			t.Errorf("lenient: answered %s, kept %d", f.Encode(), kept)
		}
		if !lenient && (f.Type != ocpp.CallError || kept != 0) {
			t.Errorf("strict: answered %s, kept %d", f.Encode(), kept)
		}
	}
}

// The gateway was killed in a session. The charger answers a trigger with what
// the meter says now, and then sends the sample that waited for the connection:
// it is late, and no fall of the register. Seed 1 of the demo billed 28 Wh twice.
func TestQueuedSampleBehindATriggeredOne_demoSeed1(t *testing.T) {
	b, c := site16(t)
	b.call(c, "s1", "StatusNotification", fmt.Sprintf(`{"connectorId":1,"errorCode":"NoError","status":"Preparing","timestamp":%q}`, b.now.Wall))
	start16(b, c, "m1", "CARD1", 267_220, b.now.Wall.String())
	tx := b.txID()
	b.crash()
	b.pass(60_000)
	queued := b.now.Wall
	b.pass(50)
	c = b.connect("CP1", "ocpp1.6")
	b.pass(600)
	meter16(b, c, "v1", 267_318, b.now.Wall.String())
	meter16(b, c, "v2", 267_290, queued.String())
	b.pass(60_000)
	stop16(b, c, "m2", tx, 267_381, b.now.Wall.String())
	if s := only(b); s.Bill().Energy != 161 || has(doubts(s), session.DoubtRegression) {
		t.Errorf("billed %v, doubts %v, want 0.161 kWh and none", s.Bill().Energy, doubts(s))
	}
}
