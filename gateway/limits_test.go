package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// granted gives the site one grant for CARD9 with limits, and a charger.
func granted(t *testing.T, l holdfast.Limits) (*bench, gateway.ConnID) {
	b, c := site16(t)
	b.install("grant-1", uplink.InstallGrant, statement.TypGrant, must(access.EncodeGrant(access.Grant{
		ID: "g1", Token: holdfast.Token{Value: "CARD9"}.Hash(tokenKey), Site: "site-1",
		NotBefore: b.now.Wall - 1000, Expires: b.now.Wall + 3_600_000, Limits: l,
	})))
	return b, c
}

// drive meters a constant power every 10 s until the session is told to stop,
// obeys, and returns what was delivered.
func drive(t *testing.T, b *bench, c gateway.ConnID, watts, seconds int) (wh int, stopped bool) {
	t.Helper()
	f := start16(b, c, "start", "CARD9", 1_000_000, b.now.Wall.String())
	if string(f.Payload) == "" {
		t.Fatal("no answer to the start")
	}
	for s := 0; s < seconds; s += 10 {
		b.pass(10_000)
		wh += watts * 10 / 3600
		b.call(c, fmt.Sprintf("v%d", s), "MeterValues", fmt.Sprintf(
			`{"connectorId":1,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"%d"},{"value":"%d","measurand":"Power.Active.Import","unit":"W"}]}]}`,
			b.now.Wall, 1_000_000+wh, watts))
		b.step(gateway.Tick{})
		if len(b.commands(c, "RemoteStopTransaction")) > 0 {
			stop16(b, c, "stop", b.txID(), 1_000_000+wh, b.now.Wall.String())
			return wh, true
		}
	}
	return wh, false
}

func TestLimitsStopASessionBeforeTheyArePassed(t *testing.T) {
	tests := []struct {
		name   string
		limits holdfast.Limits
		kind   string
		passed func(wh int, s *gateway.Session) bool
	}{
		{"energy", holdfast.Limits{Energy: 5000}, session.LimitEnergy, func(wh int, _ *gateway.Session) bool { return wh > 5000 }},
		{"time", holdfast.Limits{Seconds: 900}, session.LimitTime, func(_ int, s *gateway.Session) bool { return s.Bill().Seconds > 900+session.StopLatencyS }},
		{"cost", holdfast.Limits{Cost: 3_000_000}, session.LimitCost, func(_ int, s *gateway.Session) bool { return s.Ended.Cost > 3_000_000 }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b, c := granted(t, tc.limits)
			wh, stopped := drive(t, b, c, 21_000, 7200)
			if !stopped {
				t.Fatalf("never stopped; %d Wh", wh)
			}
			s := only(b)
			if tc.passed(wh, s) {
				t.Errorf("the limit was passed: %d Wh, %d s, %d micros", wh, s.Bill().Seconds, s.Ended.Cost)
			}
			if s.Limited[tc.kind] != session.ActionStop {
				t.Errorf("limited by %v, want %s", s.Limited, tc.kind)
			}
			if wh == 0 {
				t.Error("nothing was delivered at all")
			}
		})
	}
}

// A power limit below the connector's rating is a charging profile at once; it
// counts when the charger has acknowledged it, and a charger that exceeds it
// nevertheless is stopped.
func TestPowerLimitThrottlesThenStops(t *testing.T) {
	b, c := granted(t, holdfast.Limits{Power: 11_000})
	answer := func(action string) {
		t.Helper()
		f := b.commands(c, action)
		if len(f) == 0 {
			t.Fatalf("no %s was sent", action)
		}
		b.step(gateway.Frame{Conn: c, Raw: []byte(`[3,"` + f[len(f)-1].ID + `",{"status":"Accepted"}]`)})
	}
	answer("TriggerMessage")
	start16(b, c, "start", "CARD9", 1000, b.now.Wall.String())
	b.pass(gateway.BeginMillis)
	b.step(gateway.Tick{})
	answer("SetChargingProfile")
	b.pass(60_000)
	b.call(c, "v1", "MeterValues", fmt.Sprintf(`{"connectorId":1,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"1100"},{"value":"10900","measurand":"Power.Active.Import","unit":"W"}]}]}`, b.now.Wall))
	if n := len(b.commands(c, "RemoteStopTransaction")); n != 0 {
		t.Fatal("stopped a charger that obeys")
	}
	b.pass(60_000)
	b.call(c, "v2", "MeterValues", fmt.Sprintf(`{"connectorId":1,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"1450"},{"value":"21000","measurand":"Power.Active.Import","unit":"W"}]}]}`, b.now.Wall))
	if n := len(b.commands(c, "RemoteStopTransaction")); n != 1 {
		t.Fatalf("%d remote stops for a charger that does not obey", n)
	}
}

// A charger that refuses the profile must not go on without it.
func TestRefusedThrottleStops(t *testing.T) {
	b, c := granted(t, holdfast.Limits{Power: 11_000})
	start16(b, c, "start", "CARD9", 1000, b.now.Wall.String())
	b.pass(gateway.BeginMillis)
	b.step(gateway.Tick{})
	for _, action := range []string{"TriggerMessage", "SetChargingProfile"} {
		f := b.commands(c, action)
		if len(f) == 0 {
			t.Fatalf("no %s was sent", action)
		}
		b.step(gateway.Frame{Conn: c, Raw: []byte(`[3,"` + f[len(f)-1].ID + `",{"status":"Rejected"}]`)})
		b.step(gateway.Tick{})
	}
	if n := len(b.commands(c, "RemoteStopTransaction")); n != 1 {
		t.Errorf("%d remote stops, want 1", n)
	}
}

// A stop that is not obeyed is ordered again, also after the gateway was killed
// and the charger came back.
func TestUnobeyedStopIsOrderedAgainAfterAKill(t *testing.T) {
	b, c := granted(t, holdfast.Limits{Seconds: 300})
	start16(b, c, "start", "CARD9", 1000, b.now.Wall.String())
	b.step(gateway.Frame{Conn: c, Raw: []byte(`[3,"` + b.commands(c, "TriggerMessage")[0].ID + `",{"status":"Accepted"}]`)})
	b.pass(300_000)
	b.step(gateway.Tick{})
	if n := len(b.commands(c, "RemoteStopTransaction")); n != 1 {
		t.Fatalf("%d remote stops at the limit, want 1", n)
	}
	b.crash()
	c = b.connect("CP1", "ocpp1.6")
	b.pass(31_000)
	b.step(gateway.Tick{})
	for range 3 { // the triggers go first
		for _, f := range b.sent[c] {
			if f.Type == ocpp.Call && f.Action == "TriggerMessage" {
				b.step(gateway.Frame{Conn: c, Raw: []byte(`[3,"` + f.ID + `",{"status":"Accepted"}]`)})
			}
		}
	}
	if n := len(b.commands(c, "RemoteStopTransaction")); n != 1 {
		t.Errorf("%d remote stops after the kill, want 1", n)
	}
}

// A charger that starts although its driver was refused is told to stop, and
// what it says stays on record.
func TestRefusedStartIsStopped(t *testing.T) {
	b, c := site16(t)
	b.step(gateway.Frame{Conn: c, Raw: []byte(`[3,"` + b.commands(c, "TriggerMessage")[0].ID + `",{"status":"Accepted"}]`)})
	f := start16(b, c, "m1", "STRANGER", 1000, t0)
	if want := `"status":"Invalid"`; !contains(string(f.Payload), want) {
		t.Errorf("answered %s, want %s", f.Payload, want)
	}
	if s := only(b); s.Opened.Source != record.StartRefused {
		t.Errorf("source %s", s.Opened.Source)
	}
	if n := len(b.commands(c, "RemoteStopTransaction")); n != 1 {
		t.Errorf("%d remote stops, want 1", n)
	}
}

func contains(s, sub string) bool { return strings.Contains(s, sub) }

// Exposure is reserved by the decision, kept across a kill, carried by the
// session, spent at its end and settled when the cloud has it.
func TestExposureAcrossItsLife(t *testing.T) {
	b, c := site16(t)
	b.call(c, "a1", "Authorize", `{"idTag":"CARD1"}`)
	reserved := b.g.State().Access.Exposure()
	if reserved == 0 {
		t.Fatal("an accepted card reserved nothing")
	}
	b.crash()
	if got := b.g.State().Access.Exposure(); got != reserved {
		t.Errorf("after a kill %d is reserved, want %d", got, reserved)
	}
	c = b.connect("CP1", "ocpp1.6")
	start16(b, c, "m1", "CARD1", 1000, b.now.Wall.String())
	if got := b.g.State().Access.Exposure(); got != reserved {
		t.Errorf("a session carries %d, want %d", got, reserved)
	}
	b.pass(600_000)
	stop16(b, c, "m2", b.txID(), 4000, b.now.Wall.String())
	cost := only(b).Ended.Cost
	if got := b.g.State().Access.Exposure(); got != cost || cost == 0 {
		t.Errorf("after the end %d is at risk, the session cost %d", got, cost)
	}
	n := uint64(b.next[holdfast.Evidence])
	b.step(gateway.LinkUp{Welcome: uplink.Welcome{Cursors: []uplink.Cursor{{Journal: holdfast.Evidence, Epoch: evidenceEpoch, Received: n, Reconciled: n}}}})
	if got := b.g.State().Access.Exposure(); got != 0 {
		t.Errorf("after the cloud has it %d is at risk, want 0", got)
	}
}

// An accepted card that starts nothing gives its reservation back.
func TestDecisionLapses(t *testing.T) {
	b, c := site16(t)
	b.call(c, "a1", "Authorize", `{"idTag":"CARD1"}`)
	b.pass(121_000)
	b.step(gateway.Tick{})
	if got := b.g.State().Access.Exposure(); got != 0 || len(b.g.State().Pending) != 0 {
		t.Errorf("%d at risk, %d pending after the lapse", got, len(b.g.State().Pending))
	}
	if n := len(bodies[*record.AccessLapsed](b)); n != 1 {
		t.Errorf("%d lapse records, want 1", n)
	}
}

// When space ends new sessions are refused and running ones end.
func TestNoSpaceRefusesNewSessionsAndEndsRunningOnes(t *testing.T) {
	b, c := site16(t)
	start16(b, c, "m1", "CARD1", 1000, t0)
	b.step(gateway.Space{FreeBytes: gateway.SpaceMarginBytes + gateway.SessionReserveBytes})
	f := b.call(c, "a1", "Authorize", `{"idTag":"CARD2"}`)
	if contains(string(f.Payload), "Accepted") {
		t.Errorf("accepted without space: %s", f.Payload)
	}
	if f := stop16(b, c, "m2", b.txID(), 2000, t1); f.Type != ocpp.CallResult {
		t.Errorf("the running session could not end: %v", f)
	}
	if st := b.g.Status(b.now); st.Charging != gateway.ChargingStopped {
		t.Errorf("charging %s, want %s", st.Charging, gateway.ChargingStopped)
	}
	b.step(gateway.Space{FreeBytes: 1 << 30})
	if f := b.call(c, "a2", "Authorize", `{"idTag":"CARD2"}`); !contains(string(f.Payload), "Accepted") {
		t.Errorf("refused with space: %s", f.Payload)
	}
}

// A session that was opened before its driver was known carries the exposure
// from the moment that the driver is.
func TestExposureOfASessionThatIsIdentifiedLater(t *testing.T) {
	b := newBench(t)
	b.installed(1, "CARD1")
	b.tariff()
	c := b.connect("CP2", "ocpp2.0.1")
	event := func(id, kind, extra string) {
		b.call(c, id, "TransactionEvent", fmt.Sprintf(`{"eventType":%q,"timestamp":%q,"triggerReason":"CablePluggedIn","seqNo":0,"transactionInfo":{"transactionId":"T"},"evse":{"id":1}%s}`, kind, b.now.Wall, extra))
	}
	event("e0", "Started", "")
	if got := b.g.State().Access.Exposure(); got != 0 {
		t.Fatalf("nobody is known, and %d is at risk", got)
	}
	event("e1", "Updated", `,"idToken":{"idToken":"CARD1","type":"Local"}`)
	if got := b.g.State().Access.Exposure(); got == 0 {
		t.Fatal("a driver charges, and nothing is at risk")
	}
}

// Signed time becomes a record when it is news, and at least every half hour:
// it proves the list fresh.
func TestSignedTimeIsNotedHalfHourly(t *testing.T) {
	b := newBench(t)
	up := func() {
		b.step(gateway.LinkUp{CloudTime: b.now.Wall})
	}
	up()
	up()
	if n := len(bodies[*record.TimeFloorRaised](b)); n != 1 {
		t.Errorf("%d records of signed time, want 1", n)
	}
	b.pass(gateway.FloorEveryMillis + 1)
	up()
	if n := len(bodies[*record.TimeFloorRaised](b)); n != 2 {
		t.Errorf("%d records of signed time after half an hour, want 2", n)
	}
	b.crash()
	up()
	if n := len(bodies[*record.TimeFloorRaised](b)); n != 3 {
		t.Errorf("%d records of signed time after a start, want 3", n)
	}
}

// The largest frame that is taken fits a record whatever it is made of; a
// larger one is refused and changes nothing.
func TestLargestFrameFitsARecord(t *testing.T) {
	b, c := site16(t)
	value := func(n int) string {
		return `{"transactionId":1,"meterStop":5,"timestamp":"` + t1 + `","transactionData":[{"timestamp":"` + t1 + `","sampledValue":[{"value":"` +
			strings.Repeat(`\"`, n/2) + `","format":"SignedData"},{"value":"5"}]}]}`
	}
	if f := b.call(c, "big", "StopTransaction", value(gateway.MaxFrameBytes-1000)); f.Type != ocpp.CallResult {
		t.Fatalf("answered %s", f.Encode())
	}
	records := len(b.records)
	if f := b.call(c, "bigger", "StopTransaction", value(gateway.MaxFrameBytes)); f.Type != ocpp.CallError || f.Code != ocpp.FormatViolation {
		t.Fatalf("answered %s", f.Encode())
	}
	if len(b.records) != records {
		t.Error("a refused frame left records")
	}
}

// What the cloud has reconciled is kept for its backup horizon, so that a cloud
// restored from yesterday's backup can be sent it again; when there is no room
// for a session, room goes before comfort.
func TestPruningKeepsTheBackupHorizon(t *testing.T) {
	b := newBench(t)
	up := func() {
		n := uint64(b.next[holdfast.Evidence])
		b.step(gateway.LinkUp{Welcome: uplink.Welcome{Cursors: []uplink.Cursor{{Journal: holdfast.Evidence, Epoch: evidenceEpoch, Received: n, Reconciled: n}}}})
	}
	pruned := func() (before holdfast.Seq) {
		r := b.step(gateway.Tick{})
		for _, p := range r.Prune {
			if p.Journal == holdfast.Evidence {
				before = p.Before
			}
		}
		return before
	}
	const day = 24 * 3_600_000
	dayOf := map[int]holdfast.Seq{}
	for d := range 40 {
		dayOf[d] = b.next[holdfast.Evidence]
		b.installed(uint64(d+1), "CARD1")
		if d == 1 || d == 38 {
			b.step(gateway.SnapshotStored{Size: uint64(b.next[holdfast.Evidence])})
			b.step(gateway.SnapshotStored{Size: uint64(b.next[holdfast.Evidence])})
		}
		b.pass(day)
		up()
	}
	before := pruned()
	if before == 0 || before > dayOf[11] {
		t.Errorf("on day 40 records before %d may go; those of the last 30 days begin at %d", before, dayOf[10])
	}
	b.step(gateway.Space{FreeBytes: 1000})
	b.pass(gateway.PruneEveryMillis)
	if got := pruned(); got <= before {
		t.Errorf("without room only records before %d may go", got)
	}
}
