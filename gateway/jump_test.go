package gateway_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ledger"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/tariff"
	"github.com/holdfast-ev/holdfast/uplink"
	"pgregory.net/rapid"
)

// fiftyYears is how far clocks leap here, in ms.
const fiftyYears = 50 * 365 * 24 * 3600 * 1000

// A leap is one thing that happens on a site of three chargers. It is data, so
// that the same life can be lived with and without leaping clocks.
type leap struct {
	kind    string
	charger int
	n       int64
	back    bool
}

func lives() *rapid.Generator[[]leap] {
	one := rapid.Custom(func(t *rapid.T) leap {
		return leap{
			kind: rapid.SampledFrom([]string{"connect", "connect", "cut", "start", "start", "start", "meter", "meter", "meter", "stop", "stop",
				"idle", "pass", "pass", "pass", "pass", "charger leaps", "charger leaps", "gateway leaps", "crash", "charger starts"}).Draw(t, "kind"),
			charger: rapid.IntRange(0, 2).Draw(t, "charger"),
			n:       rapid.Int64Range(1, 3000).Draw(t, "n"),
			back:    rapid.Bool().Draw(t, "back"),
		}
	})
	return rapid.SliceOfN(one, 20, 70)
}

// A station is a charger with a clock of its own and a memory for what it could
// not send. Its meter counts what really flows.
type station struct {
	s       *siteLife
	id      holdfast.ChargerID
	v2      bool
	conn    gateway.ConnID
	off     int64 // its clock minus the truth, ms
	tx      string
	running bool
	idle    bool
	wh      int64
	seq     int
	queue   []func(offline bool)
}

// A siteLife is one run of a life.
type siteLife struct {
	b        *bench
	leaps    bool
	truth    holdfast.UnixMilli
	wall     int64 // the gateway's clock minus the truth, ms
	stations []*station
	frames   int
}

func newSiteLife(t testing.TB, q holdfast.Quality, leaps bool) *siteLife {
	s := &siteLife{b: newBench(t), leaps: leaps, truth: epoch}
	s.b.now.Quality = holdfast.Synchronised
	s.install()
	s.b.tariff()
	s.b.now.Quality = q
	for i := range 3 {
		s.stations = append(s.stations, &station{s: s, id: holdfast.ChargerID(fmt.Sprintf("CP%d", i+1)), v2: i == 1, wh: 1000})
	}
	return s
}

// install gives the site a list whose caps on money at risk do not bind: what a
// session whose span nobody can tell keeps at risk is its worst case, and that
// is another right on purpose.
func (s *siteLife) install() {
	l := &access.List{Site: "site-1", Version: 1, Issued: s.b.now.Wall, Entries: map[holdfast.TokenHash]access.Entry{},
		Policy: access.Policy{TokenCap: access.MaxAmount, SiteCap: access.MaxAmount}}
	for i, mode := range []access.Whitelist{access.Allowed, access.Always, access.Allowed} {
		l.Entries[holdfast.Token{Value: fmt.Sprintf("CARD%d", i)}.Hash(tokenKey)] = access.Entry{Valid: true, Whitelist: mode}
	}
	s.b.install("list-1", uplink.InstallList, statement.TypList, must(access.EncodeList(l)))
}

func (s *siteLife) pass(ms int64) {
	s.b.pass(ms)
	s.truth += holdfast.UnixMilli(ms)
	for _, st := range s.stations {
		if st.running && !st.idle {
			st.wh += ms * 7 / 3600 // 7 kW
		}
	}
	s.b.step(gateway.Tick{})
}

// claim is what the charger's clock says.
func (st *station) claim() string {
	return ocpp.FormatTime(st.s.truth + holdfast.UnixMilli(st.off))
}

func (st *station) send(action, payload string) ocpp.Frame {
	st.s.frames++
	return st.s.b.call(st.conn, fmt.Sprintf("f%d", st.s.frames), action, payload)
}

// later sends now, or keeps for later what a charger keeps.
func (st *station) later(f func(offline bool)) {
	if st.conn == 0 {
		st.queue = append(st.queue, f)
		return
	}
	f(false)
}

func (st *station) connect() {
	if st.conn != 0 {
		return
	}
	version := "ocpp1.6"
	if st.v2 {
		version = "ocpp2.0.1"
	}
	st.conn = st.s.b.connect(st.id, version)
	st.status()
	for _, f := range st.queue {
		f(true)
	}
	st.queue = nil
}

func (st *station) status() {
	switch state := map[bool]string{true: "Occupied", false: "Available"}[st.running]; {
	case st.conn == 0:
	case st.v2:
		st.send("StatusNotification", fmt.Sprintf(`{"timestamp":%q,"connectorStatus":%q,"evseId":1,"connectorId":1}`, st.claim(), state))
	default:
		state := map[bool]string{true: "Charging", false: "Preparing"}[st.running]
		st.send("StatusNotification", fmt.Sprintf(`{"connectorId":1,"errorCode":"NoError","status":%q,"timestamp":%q}`, state, st.claim()))
	}
}

func (st *station) event(kind, more string) func(bool) {
	st.seq++
	at, wh, seq, tx := st.claim(), st.wh, st.seq, st.tx
	return func(offline bool) {
		st.send("TransactionEvent", fmt.Sprintf(`{"eventType":%q,"timestamp":%q,"triggerReason":"Authorized","seqNo":%d,"offline":%v,"evse":{"id":1,"connectorId":1},`+
			`"transactionInfo":{"transactionId":%q%s},"meterValue":[{"timestamp":%q,"sampledValue":[{"value":%d}]}]%s}`,
			kind, at, seq, offline, tx, more, at, wh, map[bool]string{true: `,"idToken":{"idToken":"CARD1","type":"ISO14443"}`}[kind == "Started"]))
	}
}

func (st *station) start(n int64) {
	if st.running {
		return
	}
	st.status()
	st.running, st.idle = true, false
	if st.v2 {
		st.tx = fmt.Sprintf("T%d", st.s.truth)
		st.later(st.event("Started", ""))
		return
	}
	at, wh, card := st.claim(), st.wh, fmt.Sprintf("CARD%d", n%3)
	st.tx = ""
	st.later(func(bool) {
		answer := st.send("StartTransaction", fmt.Sprintf(`{"connectorId":1,"idTag":%q,"meterStart":%d,"timestamp":%q}`, card, wh, at))
		var a struct {
			ID int `json:"transactionId"`
		}
		if json.Unmarshal(answer.Payload, &a) != nil || a.ID == 0 {
			st.s.b.t.Fatalf("no transaction id in %s", answer.Payload)
		}
		st.tx = fmt.Sprint(a.ID)
	})
}

func (st *station) meter() {
	if !st.running {
		return
	}
	if st.v2 {
		st.later(st.event("Updated", ""))
		return
	}
	at, wh := st.claim(), st.wh
	st.later(func(bool) {
		st.send("MeterValues", fmt.Sprintf(`{"connectorId":1,"transactionId":%s,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"%d"}]}]}`, st.tx, at, wh))
	})
}

func (st *station) stop() {
	if !st.running {
		return
	}
	st.running = false
	if st.v2 {
		st.later(st.event("Ended", ""))
		return
	}
	at, wh := st.claim(), st.wh
	st.later(func(bool) {
		st.send("StopTransaction", fmt.Sprintf(`{"transactionId":%s,"meterStop":%d,"timestamp":%q}`, st.tx, wh, at))
	})
}

// pause makes the vehicle stop charging, or go on.
func (st *station) pause() {
	if !st.running || st.conn == 0 {
		return
	}
	st.idle = !st.idle
	if st.v2 {
		st.event("Updated", map[bool]string{true: `,"chargingState":"SuspendedEV"`, false: `,"chargingState":"Charging"`}[st.idle])(false)
		return
	}
	st.send("StatusNotification", fmt.Sprintf(`{"connectorId":1,"errorCode":"NoError","status":%q,"timestamp":%q}`,
		map[bool]string{true: "SuspendedEV", false: "Charging"}[st.idle], st.claim()))
}

func live(t testing.TB, q holdfast.Quality, life []leap, leaps bool) *siteLife {
	s := newSiteLife(t, q, leaps)
	for _, l := range life {
		st := s.stations[l.charger]
		far := int64(fiftyYears)
		if l.back {
			far = -far
		}
		switch l.kind {
		case "connect":
			st.connect()
		case "cut":
			s.b.step(gateway.Disconnected{Conn: st.conn})
			st.conn = 0
		case "start":
			st.start(l.n)
		case "meter":
			st.meter()
		case "stop":
			st.stop()
		case "idle":
			st.pause()
		case "charger starts":
			if st.conn != 0 {
				st.send("BootNotification", map[bool]string{false: `{"chargePointVendor":"A","chargePointModel":"B"}`,
					true: `{"reason":"PowerUp","chargingStation":{"vendorName":"A","model":"B"}}`}[st.v2])
				st.status()
			}
		case "charger leaps":
			if leaps && st.off == 0 {
				st.off = far
			} else if leaps {
				st.off = 0
			}
		case "gateway leaps":
			if leaps && q != holdfast.Synchronised {
				if s.wall != 0 {
					far = -s.wall
				}
				s.wall += far
				s.b.now.Wall += holdfast.UnixMilli(far)
				s.b.step(gateway.Tick{})
			}
		case "crash":
			s.b.crash()
			for _, st := range s.stations {
				st.conn = 0
			}
		case "pass":
			s.pass(l.n * 1000)
		}
		s.pass(1000)
	}
	return s
}

// told are the decisions and sessions of a life in their order, without anything
// that a wall clock has a say in.
func (s *siteLife) told() (out []string) {
	for _, raw := range s.b.records {
		r, err := record.Decode(raw)
		if err != nil {
			s.b.t.Fatal(err)
		}
		switch b := r.Body.(type) {
		case *record.AccessDecided:
			out = append(out, fmt.Sprintf("%s decided %v %s %s %+v reserves %d", r.Charger, b.Accepted, b.Rule, b.Source, b.Limits, b.Reserved))
		case *record.AccessLapsed:
			out = append(out, fmt.Sprintf("%s lapsed", r.Charger))
		case *record.SessionOpened:
			// Whether it began before we were asked is a mark of how late the message
			// came, which a leap may hide; whether it was refused is a right.
			out = append(out, fmt.Sprintf("%s opened, refused %v %d %s %+v", r.Charger, b.Source == record.StartRefused, *b.Start, b.StartTrust, b.Limits))
		case *record.SessionLimited:
			out = append(out, fmt.Sprintf("%s limited %s %s", r.Charger, b.Kind, b.Action))
		case *record.SessionEnded:
			stop := holdfast.WattHours(-1)
			if b.Stop != nil {
				stop = *b.Stop
			}
			out = append(out, fmt.Sprintf("%s ended %s %d", r.Charger, b.Reason, stop))
		case *record.StopOrphaned:
			out = append(out, fmt.Sprintf("%s orphan %d", r.Charger, *b.Stop))
		}
	}
	return out
}

// books settles every session of a life, in the order in which they began.
func (s *siteLife) books() (out []ledger.Outcome) {
	priced, err := tariff.Parse([]byte(tariffJSON))
	if err != nil {
		s.b.t.Fatal(err)
	}
	items := map[holdfast.SessionID][]ledger.Item{}
	var order []holdfast.SessionID
	for i, raw := range s.b.records {
		r, _ := record.Decode(raw)
		id := r.Session
		switch r.Body.(type) {
		case *record.SessionOpened, *record.StopOrphaned:
			id = holdfast.SessionID(holdfast.LeafHash(raw))
			order = append(order, id)
		}
		if !id.IsZero() {
			pos := holdfast.Pos{Gateway: "gw-1", Journal: holdfast.Evidence, Epoch: evidenceEpoch, Seq: holdfast.Seq(i)}
			items[id] = append(items[id], ledger.Item{Pos: pos, Leaf: holdfast.LeafHash(raw), Record: r})
		}
	}
	for _, id := range order {
		out = append(out, ledger.Settle(items[id], func(record.TariffRef) (*tariff.Tariff, bool) { return priced, true }))
	}
	return out
}

// doubts the time: an exception that asks a person about a clock or a span.
func doubtsTime(o ledger.Outcome) bool {
	return slices.ContainsFunc(o.Exceptions, func(e ledger.Exception) bool {
		return slices.Contains([]string{"EVID_CLOCK", "EVID_DURATION", "EVID_NO_DATE", "FEAS_DURATION", "FEAS_ENERGY"}, e.Code)
	})
}

// near: the spans differ by no more than a live message may take. Where the
// charger's clock leapt the arrival of its message is all there is.
func near(a, b ledger.View) bool {
	d := max(a.Seconds-b.Seconds, b.Seconds-a.Seconds)
	return d > 0 && d <= gateway.LiveDelayMillis/1000 && (b.SpanQuality == holdfast.Synchronised || b.SpanQuality == holdfast.Relative)
}

func price(o ledger.Outcome) string {
	if o.CDR == nil {
		return "none"
	}
	return fmt.Sprint(o.CDR.TotalCost.InclVAT)
}

// TestClockJumpsChangeNoOrderPriceOrRight_issue3 lives every life twice, the
// second time with clocks of the gateway and of the chargers that leap 50 years
// forth and back. The records tell the same decisions and sessions in the same
// order; every session has the same energy; and it has the same price, give or
// take the time that a message took, or an exception asks a person about its
// time: a leap is never billed in silence.
func TestClockJumpsChangeNoOrderPriceOrRight_issue3(t *testing.T) {
	same, close, asked := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		q := rapid.SampledFrom([]holdfast.Quality{holdfast.Synchronised, holdfast.Informative}).Draw(rt, "quality")
		life := lives().Draw(rt, "life")
		calm, wild := live(t, q, life, false), live(t, q, life, true)
		if a, b := calm.told(), wild.told(); !slices.Equal(a, b) {
			rt.Fatalf("%s\nwithout leaps:\n%s\nwith leaps:\n%s", q, strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
		a, b := calm.books(), wild.books()
		for i := range a {
			if a[i].Session.Running && doubtsTime(b[i]) {
				asked++ // a reading that cannot be judged waits for the register of the stop
				continue
			}
			if a[i].Session.Energy != b[i].Session.Energy {
				rt.Fatalf("session %d: %s without leaps, %s with them\n%+v\n%+v", i, a[i].Session.Energy, b[i].Session.Energy, a[i].Session, b[i].Session)
			}
			switch {
			case price(a[i]) == price(b[i]):
				same++
			case near(a[i].Session, b[i].Session):
				close++
			case doubtsTime(b[i]):
				asked++
			default:
				rt.Fatalf("session %d (%s): %s without leaps, %s with them, and nobody is asked\n%+v\n%+v\n%+v", i, q, price(a[i]), price(b[i]), a[i].Session, b[i].Session, b[i].Exceptions)
			}
		}
	})
	t.Logf("%d sessions with the same price, %d by the time that a message took, %d with a question for a person", same, close, asked)
	if same == 0 {
		t.Error("no session was compared")
	}
}
