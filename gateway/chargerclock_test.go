package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

const hourMs = 3_600_000 // ms

// session lets a charger whose clock is off charge for an hour, with change in
// the middle, and returns what was opened and ended.
func (st *station) charge(change func()) {
	st.status()
	st.s.pass(40_000)
	st.status()
	st.s.pass(40_000)
	st.start(1)
	st.s.pass(hourMs / 2)
	if change != nil {
		change()
	}
	st.meter()
	st.s.pass(hourMs / 2)
	st.stop()
}

// TestChargerClocks_issue3: chargers whose clocks are off by nothing, by the
// hours of a zone or of summer time, since 1970 or since their firmware was
// built, and set in mid-session: the claim stays, the corrected time is right,
// and the bill has the hour.
func TestChargerClocks_issue3(t *testing.T) {
	for _, tt := range []struct {
		name  string
		off   int64 // of the charger's clock, ms
		then  int64 // added in mid-session
		noted int   // charger.clock records
	}{
		{"right", 0, 0, 0},
		{"half a second", 500, 0, 0},
		{"a minute and a half ahead", 90_000, 0, 1},
		{"summer time is over", hourMs, 0, 1},
		{"local time without a zone", -8 * hourMs, 0, 1},
		{"since 1970", -int64(epoch) + 60_000, 0, 1},
		{"since its build", -3 * 365 * 24 * hourMs, 0, 1},
		{"set from 1970 in mid-session", -int64(epoch) + 60_000, int64(epoch) - 60_000, 2},
		{"summer time begins in mid-session", 0, hourMs, 1},
		{"summer time ends in mid-session", 0, -hourMs, 1},
		{"leaps 50 years in mid-session", 0, fiftyYears, 1},
		{"falls 50 years in mid-session", 0, -fiftyYears, 1},
	} {
		for i, version := range []string{"1.6", "2.0.1"} {
			t.Run(tt.name+"/"+version, func(t *testing.T) {
				s := newSiteLife(t, holdfast.Synchronised, true)
				st := s.stations[i]
				st.off = tt.off
				st.connect()
				began := s.truth + 80_000
				st.charge(func() { st.off += tt.then; st.status() })
				for range 3 {
					s.pass(20_000)
					st.status()
				}
				opened, ended := bodies[*record.SessionOpened](s.b)[0], bodies[*record.SessionEnded](s.b)[0]
				if opened.StartedAt != began.Add(0)+holdfast.UnixMilli(tt.off) || opened.Time == nil || opened.Time.At.Wall != began || opened.Time.OffsetMs != tt.off {
					t.Errorf("opened: claimed %s, worked out %+v; truly %s", opened.StartedAt, opened.Time, began)
				}
				if ended.Time == nil || ended.Time.At.Wall != began+hourMs || ended.StoppedAt != began+hourMs+holdfast.UnixMilli(tt.off+tt.then) {
					t.Errorf("ended: claimed %s, worked out %+v", ended.StoppedAt, ended.Time)
				}
				if notes := bodies[*record.ChargerClock](s.b); len(notes) != tt.noted {
					t.Errorf("%d notes of the clock, want %d: %+v", len(notes), tt.noted, notes)
				} else if tt.noted > 0 && notes[tt.noted-1].OffsetMs != tt.off+tt.then {
					t.Errorf("noted %d ms, it is %d ms", notes[tt.noted-1].OffsetMs, tt.off+tt.then)
				}
				o := s.books()[0]
				if o.CDR == nil || o.Session.Seconds != 3600 || max(o.Session.Started-began, began-o.Session.Started) > 60_000 || o.Session.SpanQuality != holdfast.Synchronised {
					t.Errorf("billed %v: %+v %+v", o.CDR != nil, o.Session, o.Exceptions)
				}
				if far := max(tt.off+tt.then, -tt.off-tt.then) > gateway.OffsetFarMillis; s.b.g.Status(s.b.now).Chargers[i].Clock.Far != far {
					t.Errorf("status %+v", s.b.g.Status(s.b.now).Chargers[i].Clock)
				}
			})
		}
	}
}

// TestZonelessTimestamp_issue3: a timestamp without a zone reads as UTC, and the
// hours that this is off are measured like any other error.
func TestZonelessTimestamp_issue3(t *testing.T) {
	b := newBench(t)
	c := b.connect("CP1", "ocpp1.6")
	for range 4 {
		local := strings.TrimSuffix((b.now.Wall + 2*hourMs).String(), "Z")
		b.call(c, "s"+local, "StatusNotification", `{"connectorId":1,"errorCode":"NoError","status":"Available","timestamp":"`+local+`"}`)
		b.pass(20_000)
	}
	if notes := bodies[*record.ChargerClock](b); len(notes) != 1 || notes[0].OffsetMs != 2*hourMs || notes[0].Quality != holdfast.Synchronised {
		t.Errorf("notes %+v", notes)
	}
}

// offline lets a charger charge for an hour while it is not connected, and three
// hours later come back.
func (st *station) offline(change func()) (began holdfast.UnixMilli) {
	for range 4 {
		st.status()
		st.s.pass(20_000)
	}
	st.s.b.step(gateway.Disconnected{Conn: st.conn})
	st.conn = 0
	st.s.pass(hourMs)
	began = st.s.truth
	st.start(1)
	st.s.pass(hourMs)
	st.stop()
	st.s.pass(hourMs)
	if change != nil {
		change()
	}
	st.s.pass(2 * hourMs)
	st.connect()
	return began
}

// TestQueuedMessagesOfAChargerThatIsOff_issue3: messages that waited are put
// where they belong by the offset that was measured before; where the clock was
// set meanwhile, by the one that was in force when they were made; and where
// nobody can say, a person is asked.
func TestQueuedMessagesOfAChargerThatIsOff_issue3(t *testing.T) {
	for _, tt := range []struct {
		name   string
		off    int64
		change func(*station) func()
		how    record.TimeSource
		billed bool
	}{
		{"right", 0, nil, record.TimeOffset, true},
		{"two hours behind", -2 * hourMs, nil, record.TimeOffset, true},
		{"since 1970", -int64(epoch) + hourMs, nil, record.TimeOffset, true},
		{"four hours behind and set right before it came back", -4 * hourMs, func(st *station) func() {
			return func() { st.off = 0 }
		}, record.TimeOffset, true},
		{"half an hour behind and set right before it came back", -hourMs / 2, func(st *station) func() {
			return func() { st.off = 0 }
		}, record.TimeUnknown, false},
		{"since 1970 and set right before it came back", -int64(epoch) + hourMs, func(st *station) func() {
			return func() { st.off = 0 }
		}, record.TimeOffset, true},
	} {
		for i, version := range []string{"1.6", "2.0.1"} {
			t.Run(tt.name+"/"+version, func(t *testing.T) {
				s := newSiteLife(t, holdfast.Synchronised, true)
				st := s.stations[i]
				st.off = tt.off
				st.connect()
				var change func()
				if tt.change != nil {
					change = tt.change(st)
				}
				began := st.offline(change)
				opened := bodies[*record.SessionOpened](s.b)[0]
				if opened.StartedAt != began+holdfast.UnixMilli(tt.off) || opened.Time == nil || opened.Time.How != tt.how || !opened.Offline {
					t.Errorf("opened: claimed %s, worked out %+v, truly %s", opened.StartedAt, opened.Time, began)
				}
				o := s.books()[0]
				if (o.CDR != nil) != tt.billed {
					t.Fatalf("billed %v: %+v %+v", o.CDR != nil, o.Session, o.Exceptions)
				}
				if tt.billed && (o.Session.Seconds != 3600 || max(o.Session.Started-began, began-o.Session.Started) > 60_000) {
					t.Errorf("%+v", o.Session)
				}
				if !tt.billed && !doubtsTime(o) {
					t.Errorf("nobody is asked: %+v", o.Exceptions)
				}
			})
		}
	}
}

// TestStepOfTheGatewaysClockDisturbsNoOffset_issue3: offsets are measured
// against the monotonic clock.
func TestStepOfTheGatewaysClockDisturbsNoOffset_issue3(t *testing.T) {
	s := newSiteLife(t, holdfast.Informative, true)
	st := s.stations[0]
	st.connect()
	st.charge(func() { s.b.now.Wall += fiftyYears })
	o := s.books()[0]
	if o.CDR == nil || o.Session.Seconds != 3600 || o.Session.SpanQuality != holdfast.Relative {
		t.Errorf("billed %v: %+v %+v", o.CDR != nil, o.Session, o.Exceptions)
	}
	if notes := bodies[*record.ChargerClock](s.b); len(notes) != 0 {
		t.Errorf("an unsigned clock is no measure: %+v", notes)
	}
}

// TestNoChargerIsToldATimeBelowTheFloor_issue3: with the gateway's clock in
// 1970, fifty years early, or fifty years late, boot and heartbeat are answered
// with the floor.
func TestNoChargerIsToldATimeBelowTheFloor_issue3(t *testing.T) {
	for _, q := range []holdfast.Quality{holdfast.Unknown, holdfast.Informative} {
		for _, wall := range []holdfast.UnixMilli{0, epoch - fiftyYears, epoch - 1, epoch + fiftyYears, holdfast.LatestPlausible + 1} {
			b := newBench(t)
			b.step(gateway.LinkUp{Welcome: uplink.Welcome{}, CloudTime: epoch + 5000})
			b.now.Wall, b.now.Quality = wall, q
			c := b.connect("CP1", "ocpp1.6")
			boot := b.call(c, "b", "BootNotification", `{"chargePointVendor":"A","chargePointModel":"B"}`)
			beat := b.call(c, "h", "Heartbeat", `{}`)
			want := `"currentTime":"` + (epoch + 5000).String() + `"`
			if !strings.Contains(string(boot.Payload), want) || !strings.Contains(string(beat.Payload), want) {
				t.Errorf("clock at %s (%s): told %s and %s", wall, q, boot.Payload, beat.Payload)
			}
		}
	}
}

// TestSignedTimeThatCannotBe_issue3: a signed time before the floor does not
// lower it, one years after it does not raise it, and both survive a restart.
func TestSignedTimeThatCannotBe_issue3(t *testing.T) {
	b := newBench(t)
	up := func(at holdfast.UnixMilli) {
		b.pass(gateway.FloorEveryMillis)
		b.step(gateway.LinkUp{Welcome: uplink.Welcome{}, CloudTime: at})
	}
	up(epoch + 10*hourMs)
	floor := b.g.State().Access.Floor(b.now)
	for _, bad := range []holdfast.UnixMilli{epoch, epoch - fiftyYears, epoch + fiftyYears, holdfast.LatestPlausible + 1} {
		up(bad)
		if now := b.g.State().Access.Floor(b.now); now < floor || now > floor+10*hourMs {
			t.Errorf("after %s the floor went from %s to %s", bad, floor, now)
		}
	}
	doubts := bodies[*record.ClockDoubted](b)
	if len(doubts) == 0 || doubts[0].Source != "cloud" || b.g.Counters().ClockDoubts["cloud"] < 2 {
		t.Errorf("doubts %+v, counted %v", doubts, b.g.Counters().ClockDoubts)
	}
	b.crash()
	if after, last := b.g.State().Proven(); after < floor || last.Boot != b.now.Boot {
		t.Errorf("after a restart the floor is %s, it was %s", after, floor)
	}
}

// TestDoubtedTimesAreCoalesced_issue3: a server that lies every minute fills no
// disk.
func TestDoubtedTimesAreCoalesced_issue3(t *testing.T) {
	b := newBench(t)
	for range 100 {
		b.step(gateway.ClockDoubted{Source: "ntp", OffsetMs: fiftyYears, Detail: "3 servers agree"})
		b.pass(1000)
		b.step(gateway.Tick{})
	}
	n := 0
	for _, d := range bodies[*record.ClockDoubted](b) {
		n += d.Count
	}
	if list := bodies[*record.ClockDoubted](b); len(list) > 3 || n < 60 {
		t.Errorf("%d records for %d doubts", len(list), n)
	}
}

// TestTimeLimitSurvivesALeapOverARestart_issue3: a session's time limit counts
// what the boots saw, and not what an unproven wall clock says of the gap.
func TestTimeLimitSurvivesALeapOverARestart_issue3(t *testing.T) {
	s := newSiteLife(t, holdfast.Informative, true)
	st := s.stations[0]
	st.connect()
	st.start(1)
	s.b.now.Wall += fiftyYears
	s.b.crash()
	st.conn = 0
	s.pass(1000)
	if l := bodies[*record.SessionLimited](s.b); len(l) != 0 {
		t.Fatalf("a leap of the clock ended a session: %+v", l[0])
	}
	for range 13 {
		s.pass(hourMs)
	}
	if l := bodies[*record.SessionLimited](s.b); len(l) == 0 {
		t.Error("13 hours are over and the limit of 12 does not hold")
	}
}

// A station sends a message online, gets no answer, restarts, and sends it again
// a minute later as it was (2.0.1 E13): its time is of before the start, and no
// sign that its clock was set back.
func TestMessageOfBeforeTheStartIsNotLive_E13(t *testing.T) {
	b := newBench(t)
	b.installed(1, "CARD1")
	b.tariff()
	b.pass(600_000)
	c := b.connect("CS1", "ocpp2.0.1")
	b.call(c, "boot", "BootNotification", `{"reason":"PowerUp","chargingStation":{"model":"Rapid-150","vendorName":"Acme"}}`)
	for _, status := range []string{"Available", "Occupied"} {
		b.pass(500)
		b.call(c, status, "StatusNotification", fmt.Sprintf(`{"timestamp":%q,"connectorStatus":%q,"evseId":1,"connectorId":1}`, b.now.Wall, status))
	}
	claimed := b.now.Wall - 61_000
	b.call(c, "e1", "TransactionEvent", fmt.Sprintf(`{"eventType":"Started","timestamp":%q,"triggerReason":"Authorized","seqNo":0,"transactionInfo":{"transactionId":"TX-1"},"evse":{"id":1,"connectorId":1},"idToken":{"idToken":"CARD1","type":"ISO14443"}}`, claimed))
	opened := bodies[*record.SessionOpened](b)[0]
	if opened.StartedAt != claimed || opened.Time != nil {
		t.Errorf("started at %s by the charger, %+v by the gateway; want the claim alone", opened.StartedAt, opened.Time)
	}
}
