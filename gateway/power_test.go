package gateway_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
	"pgregory.net/rapid"
)

// plant is a site with a limit of 43 kW, and its chargers as physics sees them:
// each obeys the last profiles that it has accepted, and draws all it may.
type plant struct {
	*bench
	chargers map[holdfast.ChargerID]*dummy
}

type dummy struct {
	conn   gateway.ConnID
	seen   int // frames of conn that were looked at
	inbox  []ocpp.Frame
	safe   int64 // W; -1: it holds no default profile
	rated  int64
	tx     map[int]int   // transaction by EVSE
	point  map[int]lease // by EVSE
	refuse bool          // every charging profile
	mute   bool          // no answers at all
}

type lease struct {
	w     int64
	until holdfast.UnixMilli
}

const siteLimit = 43_000

func newPlant(t testing.TB) *plant {
	b := newBench(t)
	b.cfg.Power = power.Site{Unit: power.Watts, Max: siteLimit, Phases: 3, Voltage: 230}
	b.cfg.CutOut = gateway.CutOutConfig{Fitted: true, DeadlineMs: 5000, Floor: 50}
	feed := func(n int, w holdfast.Watts) gateway.ChargerFeed {
		return gateway.ChargerFeed{EVSEs: n, Unit: power.Watts, FailSafe: w}
	}
	b.cfg.Chargers = map[holdfast.ChargerID]gateway.ChargerConfig{
		"CP1": {MaxPower: 22_000, Feed: feed(2, 4140)}, "CP2": {MaxPower: 22_000, Feed: feed(1, 5000)}, "CP3": {MaxPower: 50_000, Feed: feed(1, 0)},
	}
	b.crash()
	p := &plant{bench: b, chargers: map[holdfast.ChargerID]*dummy{}}
	for id, c := range b.cfg.Chargers {
		p.chargers[id] = &dummy{safe: -1, rated: int64(c.MaxPower), tx: map[int]int{}, point: map[int]lease{}}
	}
	b.step(gateway.CutOut{Line: "input"})
	b.installed(1, "CARD1:ALWAYS", "CARD2:ALWAYS", "CARD3:ALWAYS", "CARD4:ALWAYS")
	return p
}

// commission connects every charger and lets it take its fail-safe.
func (p *plant) commission() {
	for _, id := range []holdfast.ChargerID{"CP1", "CP2", "CP3"} {
		p.join(id)
		p.call(p.chargers[id].conn, "boot"+string(id), "BootNotification", `{"chargePointVendor":"A","chargePointModel":"B"}`)
	}
	p.settle()
}

func (p *plant) join(id holdfast.ChargerID) {
	d := p.chargers[id]
	d.conn, d.seen, d.inbox = p.connect(id, "ocpp1.6"), 0, nil
}

// ids in a fixed order.
func (p *plant) ids() []holdfast.ChargerID { return []holdfast.ChargerID{"CP1", "CP2", "CP3"} }

// take moves new CALLs into the chargers' inboxes.
func (p *plant) take() {
	for _, id := range p.ids() {
		d := p.chargers[id]
		for _, f := range p.sent[d.conn][d.seen:] {
			if f.Type == ocpp.Call && d.conn != 0 {
				d.inbox = append(d.inbox, f)
			}
		}
		d.seen = len(p.sent[d.conn])
	}
}

// settle answers everything, with time passing, until nothing more is said.
func (p *plant) settle() {
	p.t.Helper()
	for quiet := 0; quiet < 12; {
		p.take()
		quiet++
		for _, id := range p.ids() {
			if d := p.chargers[id]; d.conn != 0 && !d.mute {
				for len(d.inbox) > 0 {
					quiet = 0
					p.reply(id, true)
					p.take()
				}
			}
		}
		p.pass(1000)
		p.step(gateway.Tick{})
	}
}

type profileFrame struct {
	Connector int `json:"connectorId"`
	Profile   struct {
		Purpose     string `json:"chargingProfilePurpose"`
		Kind        string `json:"chargingProfileKind"`
		Transaction int    `json:"transactionId"`
		Schedule    struct {
			Duration int64  `json:"duration"`
			Start    string `json:"startSchedule"`
			Unit     string `json:"chargingRateUnit"`
			Periods  []struct {
				Limit json.Number `json:"limit"`
			} `json:"chargingSchedulePeriod"`
		} `json:"chargingSchedule"`
	} `json:"csChargingProfiles"`
}

func (f profileFrame) watts(t testing.TB) int64 {
	w, err := f.Profile.Schedule.Periods[0].Limit.Int64()
	if err != nil || f.Profile.Schedule.Unit != "W" {
		t.Fatalf("profile %+v", f)
	}
	return w
}

// reply carries out the oldest command, and answers it unless the answer is
// lost.
func (p *plant) reply(id holdfast.ChargerID, arrives bool) {
	p.t.Helper()
	d := p.chargers[id]
	f := d.inbox[0]
	d.inbox = d.inbox[1:]
	status := "Accepted"
	switch f.Action {
	case "SetChargingProfile":
		var c profileFrame
		if err := json.Unmarshal(f.Payload, &c); err != nil {
			p.t.Fatal(err)
		}
		switch {
		case d.refuse:
			status = "Rejected"
		case c.Profile.Purpose == "TxDefaultProfile":
			d.safe = c.watts(p.t)
		case d.tx[c.Connector] == 0 || d.tx[c.Connector] != c.Profile.Transaction:
			status = "Rejected"
		default:
			from, _ := ocpp.ParseTime(c.Profile.Schedule.Start)
			d.point[c.Connector] = lease{c.watts(p.t), from + holdfast.UnixMilli(c.Profile.Schedule.Duration*1000)}
		}
	case "RemoteStopTransaction":
		defer p.obeyStop(id, f)
	}
	if !arrives {
		return
	}
	body := fmt.Sprintf(`{"status":%q}`, status)
	if f.Action == "GetCompositeSchedule" {
		body = fmt.Sprintf(`{"status":"Accepted","chargingSchedule":{"chargingRateUnit":"W","chargingSchedulePeriod":[{"startPeriod":0,"limit":%d}]}}`, d.safe)
	}
	p.step(gateway.Frame{Conn: d.conn, Raw: []byte(fmt.Sprintf(`[3,%q,%s]`, f.ID, body))})
}

func (p *plant) obeyStop(id holdfast.ChargerID, f ocpp.Frame) {
	var c struct {
		ID int `json:"transactionId"`
	}
	if err := json.Unmarshal(f.Payload, &c); err != nil {
		p.t.Fatal(err)
	}
	d := p.chargers[id]
	for e, tx := range d.tx {
		if tx == c.ID {
			p.stop(id, e)
		}
	}
	_ = d
}

func (p *plant) start(id holdfast.ChargerID, e int, card string) {
	d := p.chargers[id]
	f := p.call(d.conn, fmt.Sprintf("start%d", len(p.records)), "StartTransaction", fmt.Sprintf(
		`{"connectorId":%d,"idTag":%q,"meterStart":1000,"timestamp":%q}`, e, card, p.now.Wall))
	var a struct {
		ID int `json:"transactionId"`
	}
	if err := json.Unmarshal(f.Payload, &a); err != nil {
		p.t.Fatal(err)
	}
	d.tx[e] = a.ID
	delete(d.point, e)
}

func (p *plant) stop(id holdfast.ChargerID, e int) {
	d := p.chargers[id]
	tx := d.tx[e]
	delete(d.tx, e)
	delete(d.point, e)
	if d.conn != 0 {
		p.call(d.conn, fmt.Sprintf("stop%d", len(p.records)), "StopTransaction", fmt.Sprintf(`{"transactionId":%d,"meterStop":1000,"timestamp":%q}`, tx, p.now.Wall))
	}
}

// may is what an EVSE may draw now, by the profiles that its charger holds.
func (p *plant) may(id holdfast.ChargerID, e int) int64 {
	d := p.chargers[id]
	if l, ok := d.point[e]; ok && d.tx[e] != 0 && p.now.Wall < l.until {
		return l.w
	}
	if d.safe < 0 {
		return d.rated
	}
	return d.safe
}

func (p *plant) total() (sum int64) {
	for _, id := range p.ids() {
		for e := range max(p.cfg.Chargers[id].Feed.EVSEs, 1) {
			sum += p.may(id, e+1)
		}
	}
	return sum
}

// written is what the journal says that the chargers may draw.
func (p *plant) written() (sum int64) {
	s := p.g.State().Power
	for _, id := range p.ids() {
		for e := range p.cfg.Chargers[id].Feed.EVSEs {
			l, ok := s.Points[fmt.Sprintf("%s/%d", id, e+1)]
			if !ok {
				l = s.FailSafe[id].Level
			}
			sum += int64(l)
		}
	}
	return sum
}

// limits gives the site a schedule.
func (p *plant) limits(version uint64, after holdfast.Watts, periods ...power.Period) string {
	p.t.Helper()
	id := fmt.Sprintf("limits-%d-%d", version, len(p.records))
	p.install(id, uplink.InstallLimits, statement.TypLimits, must(power.EncodeSchedule(power.Schedule{
		Site: "site-1", Version: version, Issued: p.now.Wall, After: after, Periods: periods,
	})))
	done := bodies[*record.DirectiveDone](p.bench)
	return done[len(done)-1].Outcome + " " + done[len(done)-1].Detail
}

// The limit is shared; who comes and goes makes room and takes it.
func TestSiteLimitIsShared(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.settle()
	if got := p.may("CP1", 1); got != 22_000 {
		t.Errorf("alone it may draw %d W, want all it can", got)
	}
	p.start("CP1", 2, "CARD2")
	p.start("CP2", 1, "CARD3")
	p.settle()
	// 43000, and 0 for CP3: 14333 each.
	for _, e := range []struct {
		id holdfast.ChargerID
		e  int
	}{{"CP1", 1}, {"CP1", 2}, {"CP2", 1}} {
		if got := p.may(e.id, e.e); got != 14_333 {
			t.Errorf("%s/%d may draw %d W of 43000", e.id, e.e, got)
		}
	}
	p.stop("CP1", 1)
	p.settle()
	if a, b := p.may("CP1", 2), p.may("CP2", 1); a != 19_430 || b != 19_430 {
		t.Errorf("after one has left the others may draw %d and %d W, want 19430: the idle EVSE keeps its fail-safe", a, b)
	}
	if p.total() > siteLimit {
		t.Errorf("together %d W", p.total())
	}
}

// A charger without its fail-safe counts at its rating: beside it the others
// have what is left, and it may begin nothing that does not fit.
func TestRefusedFailSafeCountsAtItsRating_I24(t *testing.T) {
	p := newPlant(t)
	p.chargers["CP3"].refuse = true
	p.commission()
	var codes []string
	for _, x := range bodies[*record.ExceptionRaised](p.bench) {
		codes = append(codes, x.Code)
	}
	if !slices.Contains(codes, "POWER_FAILSAFE") {
		t.Errorf("exceptions %v, want POWER_FAILSAFE", codes)
	}
	p.start("CP1", 1, "CARD1")
	p.settle()
	if got := p.may("CP1", 1); got > 4140 {
		t.Errorf("beside a charger that may draw 50 kW another may draw %d W", got)
	}
	f := p.call(p.chargers["CP3"].conn, "a", "Authorize", `{"idTag":"CARD2"}`)
	d := bodies[*record.AccessDecided](p.bench)
	if !strings.Contains(string(f.Payload), "Blocked") || d[len(d)-1].Rule != "site.power" {
		t.Errorf("a charger that the site cannot carry was told %s by %s", f.Payload, d[len(d)-1].Rule)
	}
	p.chargers["CP3"].refuse = false
	p.pass(gateway.SafeAgainMillis)
	p.settle()
	if got := p.may("CP1", 1); got != 22_000 {
		t.Errorf("after it took its fail-safe the other may draw %d W", got)
	}
}

// The gateway dies: leases lapse, and what is left is the fail-safes.
func TestDeadGatewayFallsBackToTheFailSafe_I24(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.settle()
	p.pass(gateway.LeaseMillis + gateway.LeaseSlackMillis)
	if got := p.may("CP1", 1); got != 4140 {
		t.Errorf("15 minutes after the gateway's death a session may draw %d W, want its fail-safe", got)
	}
}

// While the gateway lives, leases are renewed, and renewing leaves no records.
func TestLeasesAreRenewed(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.settle()
	before := len(p.records)
	for range 60 {
		p.pass(60_000)
		p.step(gateway.Tick{})
		p.settle()
		if got := p.may("CP1", 1); got != 22_000 {
			t.Fatalf("may draw %d W", got)
		}
	}
	for _, raw := range p.records[before:] {
		r := must(record.Decode(raw))
		if strings.HasPrefix(string(r.Body.Type()), "power.") || strings.HasPrefix(string(r.Body.Type()), "command.") {
			t.Errorf("renewing wrote %s", raw)
		}
	}
}

// A schedule that falls is obeyed before it falls, offline, and over a restart;
// when it is over its own fail-safe limit holds, not the site's maximum.
func TestScheduleIsObeyedOffline(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.start("CP2", 1, "CARD2")
	p.settle()
	h := holdfast.UnixMilli(3_600_000)
	at := p.now.Wall
	if got := p.limits(1, 15_000, power.Period{From: at, To: at + h, Limit: 40_000}, power.Period{From: at + h, To: at + 2*h, Limit: 20_000}); got != "done " {
		t.Fatalf("outcome %s", got)
	}
	p.settle()
	reach := func(wall holdfast.UnixMilli, want int64) {
		t.Helper()
		p.now.Mono += int64(wall - p.now.Wall)
		p.now.Wall = wall
		if p.total() > want {
			t.Errorf("at %s the chargers may draw %d W, want at most %d", wall, p.total(), want)
		}
		p.step(gateway.Tick{})
		p.settle()
		if got := p.total(); got > want || got < want-4 {
			t.Errorf("later the chargers may draw %d W, want about %d", got, want)
		}
	}
	for p.now.Wall < at+h-gateway.LeaseRenewMillis { // leases are renewed on the way
		p.pass(60_000)
		p.settle()
	}
	p.now.Mono, p.now.Wall = p.now.Mono+int64(at+h-60_000-p.now.Wall), at+h-60_000
	p.step(gateway.Tick{})
	p.settle()
	reach(at+h, 20_000)
	p.crash()
	for _, id := range p.ids() {
		p.join(id)
	}
	p.step(gateway.CutOut{Line: "input"})
	p.settle()
	p.now.Mono, p.now.Wall = p.now.Mono+int64(at+2*h-60_000-p.now.Wall), at+2*h-60_000
	p.step(gateway.Tick{})
	p.settle()
	reach(at+2*h, 15_000)
	limits := bodies[*record.PowerLimit](p.bench)
	if l := limits[len(limits)-1]; l.Source != string(power.FromFailSafe) || l.Level != 15_000 {
		t.Errorf("last limit %+v", l)
	}
}

// Impossible limits are refused and change nothing.
func TestImpossibleSchedulesAreRefused(t *testing.T) {
	p := newPlant(t)
	at := p.now.Wall
	if got := p.limits(5, 20_000, power.Period{From: at, To: at + 1000, Limit: 30_000}); got != "done " {
		t.Fatal(got)
	}
	before := stateOf(p.bench)
	for _, c := range []struct {
		version uint64
		after   holdfast.Watts
		want    string
	}{
		{6, 430_000, "above the commissioned maximum of 43000 W"},
		{6, 43_001, "above the commissioned maximum"},
		{6, 9_000, "fail-safe profiles alone"},
		{4, 20_000, "version 4, version 5 is installed"},
	} {
		if got := p.limits(c.version, c.after); !strings.HasPrefix(got, "refused") || !strings.Contains(got, c.want) {
			t.Errorf("%d W: %s, want it to say %q", c.after, got, c.want)
		}
	}
	if after := stateOf(p.bench); !strings.Contains(after, `"schedule":"`) || before == "" || strings.Count(after, "30000") != strings.Count(before, "30000") {
		t.Error("a refused schedule changed what is in force")
	}
}

// A charger that meters more than it acknowledged is told again, then stopped.
func TestMeteredPowerIsChecked(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.start("CP1", 2, "CARD2")
	p.start("CP2", 1, "CARD3")
	p.settle()
	d := p.chargers["CP1"]
	for i := range 20 {
		p.pass(15_000)
		p.call(d.conn, fmt.Sprintf("v%d", i), "MeterValues", fmt.Sprintf(
			`{"connectorId":1,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"22000","measurand":"Power.Active.Import","unit":"W"}]}]}`, p.now.Wall))
		p.settle()
		if d.tx[1] == 0 {
			break
		}
	}
	var actions []string
	for _, l := range bodies[*record.SessionLimited](p.bench) {
		actions = append(actions, l.Action)
	}
	if fmt.Sprint(actions) != "[throttle stop]" || d.tx[1] != 0 {
		t.Errorf("actions %v, running: %v; want it told again, then stopped", actions, d.tx[1] != 0)
	}
	x := bodies[*record.ExceptionRaised](p.bench)
	if len(x) == 0 || x[len(x)-1].Code != "POWER_EXCEEDED" {
		t.Errorf("exceptions %+v", x)
	}
	for _, ses := range p.g.State().Sessions {
		if ses.EVSE() == 2 && ses.Limited[session.LimitPower] != "" {
			t.Error("the wrong session was limited")
		}
	}
}

// TestChargersNeverExceedTheSiteLimit_I23 plays lives of a site: starts, stops,
// lost orders, lost answers, refusals, silence, reconnects, power cuts of the
// gateway, schedules. What the chargers may draw, by the profiles that they hold,
// is never more than the limit.
func TestChargersNeverExceedTheSiteLimit_I23(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newPlant(t)
		p.commission()
		version, limit, ceiling := uint64(0), int64(siteLimit), int64(siteLimit)
		check := func(what string) {
			sum := p.total()
			if p.written() <= limit { // orders from before a fall may still be on their way
				ceiling = limit
			}
			if sum > ceiling {
				rt.Fatalf("after %s the chargers may draw %d W, the limit is %d", what, sum, limit)
			}
		}
		for i := range rapid.IntRange(1, 50).Draw(rt, "moves") {
			id := rapid.SampledFrom(p.ids()).Draw(rt, "charger")
			d := p.chargers[id]
			e := rapid.IntRange(1, p.cfg.Chargers[id].Feed.EVSEs).Draw(rt, "evse")
			move := rapid.SampledFrom([]string{"start", "start", "stop", "answer", "answer", "answer", "answer", "lose", "refuse", "cut", "join", "pass", "pass", "long", "crash", "limit"}).Draw(rt, "move")
			switch move {
			case "start":
				if d.conn != 0 && d.tx[e] == 0 {
					p.start(id, e, fmt.Sprintf("CARD%d", 1+i%4))
				}
			case "stop":
				if d.tx[e] != 0 && d.conn != 0 {
					p.stop(id, e)
				}
			case "answer", "refuse", "lose":
				if p.take(); len(d.inbox) > 0 {
					d.refuse = move == "refuse"
					p.reply(id, move != "lose")
					d.refuse = false
				}
			case "cut":
				if d.conn != 0 {
					p.step(gateway.Disconnected{Conn: d.conn})
					d.conn, d.inbox, d.seen = 0, nil, 0
				}
			case "join":
				p.join(id)
			case "pass", "long":
				n := map[string]int64{"pass": 5_000, "long": 180_000}[move]
				p.pass(n)
				p.step(gateway.Tick{})
			case "crash":
				for _, d := range p.chargers {
					d.conn, d.inbox, d.seen = 0, nil, 0
				}
				p.crash()
				p.step(gateway.CutOut{Line: "input"})
			case "limit":
				version++
				w := int64(rapid.IntRange(14_000, siteLimit).Draw(rt, "w"))
				p.limits(version, holdfast.Watts(w))
				ceiling, limit = max(w, ceiling), w
			}
			check(move)
			p.step(gateway.Tick{})
			check("a tick")
		}
	})
}
