package interop

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp1.6/core"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/remotetrigger"
	types16 "github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/remotecontrol"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/transactions"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
	"github.com/holdfast-ev/holdfast/record"
)

// giveUp is how long a charger waits for an answer in tests that lose one.
const giveUp = 3 * time.Second

// road puts a fault proxy between a charger and the gateway.
func (s *site) road() *faultproxy.Proxy {
	s.t.Helper()
	p, err := faultproxy.New(s.ocpp)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { p.Close() })
	return p
}

// set changes a proxy's mode.
func (s *site) set(p *faultproxy.Proxy, m faultproxy.Mode) {
	s.t.Helper()
	if err := p.Set(m); err != nil {
		s.t.Fatal(err)
	}
}

// ended returns how a charger's sessions ended, in the order of the journal.
func (s *site) ended(charger string) []*record.SessionEnded {
	s.t.Helper()
	out, _ := bodies[*record.SessionEnded](s, charger)
	return out
}

// The roads between chargers and gateway break in every way there is. One site
// carries all of it at once; each test has a charger and a road of its own.
func TestBrokenRoads(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roads", "CP-offline", "CP-silence", "CP-cut", "CS-offline", "CS-silence")
	for name, test := range map[string]func(*testing.T, *site){
		"StopWhileOffline16": stopWhileOffline16, "StopWhileOffline201": stopWhileOffline201,
		"LostAnswersInSilence16": func(t *testing.T, s *site) { lostAnswers16(t, s, "CP-silence", cardE, silence) },
		"LostAnswersInACut16":    func(t *testing.T, s *site) { lostAnswers16(t, s, "CP-cut", cardF, cut) },
		"LostAnswers201":         lostAnswers201,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s.in(t))
		})
	}
}

// A 1.6 charge point loses the site's network in a transaction, ends it, serves
// another driver by itself, and replays all of it in order with the times at
// which it happened (OCPP 1.6 section 3.7).
func stopWhileOffline16(t *testing.T, s *site) {
	road := s.road()
	c := newChargePoint(t, s, "CP-offline", setup{addr: road.Addr()})
	c.boot()
	began := seconds(time.Now().Add(-time.Minute))
	tx := c.begin(cardA, 5_000, began)
	c.meter(tx, 5_200, began.Add(10*time.Second))

	s.set(road, faultproxy.Refuse)
	c.wait("the loss of the connection", c.down)
	samples := begin(c.metering(tx, 5_400, began.Add(20*time.Second)))
	c.queued(1)
	stop := begin(c.ending(tx, cardA, 5_500, began.Add(25*time.Second)))
	c.queued(2)
	next := begin(c.starting(cardB, 5_500, began.Add(30*time.Second)))
	c.queued(3)
	s.until("the charger to be gone", func(r *agent.Report) bool {
		ch, running := look(r, c.id)
		return !ch.Connected && len(running) == 1
	})

	s.set(road, faultproxy.Pass)
	c.wait("the reconnection", c.up)
	if _, err := samples.result(); err != nil {
		t.Errorf("replayed meter values: %v", err)
	}
	if got, err := stop.result(); err != nil {
		t.Errorf("replayed stop: %v", err)
	} else {
		c.stopped(got)
	}
	second, err := next.result()
	if err != nil {
		t.Fatalf("replayed start: %v", err)
	}
	if second.TransactionId == tx || second.TransactionId <= 0 || second.IdTagInfo.Status != types16.AuthorizationStatusAccepted {
		t.Errorf("replayed start answered with %+v %+v after transaction %d", second, second.IdTagInfo, tx)
	}
	c.stop(second.TransactionId, cardB, 5_900, began.Add(45*time.Second))

	s.balanced(metered{charger: c.id, start: 5_000, stop: 5_500}, metered{charger: c.id, start: 5_500, stop: 5_900})
	s.times(c.id, began, began.Add(25*time.Second), began.Add(30*time.Second), began.Add(45*time.Second))
}

// times checks that two sessions of a charger are booked at the times at which
// they happened, not at those at which the gateway heard of them.
func (s *site) times(charger string, want ...time.Time) {
	s.t.Helper()
	all := list[bookSession](s.t, "/v1/sessions", url.Values{"site": {s.name}, "charger": {charger}})
	slices.SortFunc(all, func(a, b bookSession) int { return int(a.Started - b.Started) })
	for i, b := range all {
		if b.Started != want[2*i].UnixMilli() || b.Stopped != want[2*i+1].UnixMilli() {
			s.t.Errorf("session %d is booked from %d to %d, want %d to %d", i, b.Started, b.Stopped, want[2*i].UnixMilli(), want[2*i+1].UnixMilli())
		}
	}
	_, records := bodies[*record.SessionEnded](s, charger)
	if len(records) == 0 || !records[0].At.Wall.Time().After(want[1]) {
		s.t.Errorf("ends in the journal: %+v", records)
	}
}

// The same with a 2.0.1 charging station, which marks what it replays
// (TransactionEventRequest.offline, E12).
func stopWhileOffline201(t *testing.T, s *site) {
	road := s.road()
	c := newStation(t, s, "CS-offline", setup{addr: road.Addr()})
	c.boot()
	began := seconds(time.Now().Add(-time.Minute))
	after := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second) }
	c.tell(moment{kind: transactions.TransactionEventStarted, trigger: transactions.TriggerReasonAuthorized, tx: "a", seq: 0, at: began, wh: 5_000, card: cardC})

	s.set(road, faultproxy.Refuse)
	c.wait("the loss of the connection", c.down)
	story := []moment{
		{kind: transactions.TransactionEventUpdated, trigger: transactions.TriggerReasonMeterValuePeriodic, tx: "a", seq: 1, at: after(10), wh: 5_300, offline: true},
		{kind: transactions.TransactionEventEnded, trigger: transactions.TriggerReasonStopAuthorized, tx: "a", seq: 2, at: after(25), wh: 5_500, card: cardC, offline: true},
		{kind: transactions.TransactionEventStarted, trigger: transactions.TriggerReasonAuthorized, tx: "b", seq: 0, at: after(30), wh: 5_500, card: cardD, offline: true},
		{kind: transactions.TransactionEventUpdated, trigger: transactions.TriggerReasonMeterValuePeriodic, tx: "b", seq: 1, at: after(40), wh: 5_800, offline: true},
		{kind: transactions.TransactionEventEnded, trigger: transactions.TriggerReasonStopAuthorized, tx: "b", seq: 2, at: after(45), wh: 5_900, card: cardD, offline: true},
	}
	var answers []*later[*transactions.TransactionEventResponse]
	for i, m := range story {
		answers = append(answers, begin(c.telling(m)))
		c.queued(i + 1)
	}

	s.set(road, faultproxy.Pass)
	c.wait("the reconnection", c.up)
	for i, a := range answers {
		got, err := a.result()
		if err != nil {
			t.Fatalf("replayed event %d: %v", i, err)
		}
		c.told(story[i], got)
	}
	s.balanced(metered{charger: c.id, start: 5_000, stop: 5_500}, metered{charger: c.id, start: 5_500, stop: 5_900, offline: true})
	s.times(c.id, after(0), after(25), after(30), after(45))
	if ends := s.ended(c.id); len(ends) != 2 || !ends[0].Offline || !ends[1].Offline {
		t.Errorf("ends in the journal: %+v", ends)
	}
}

// A loss is what becomes of a connection on which an answer got lost.
type loss func(*site, *chargePoint, *faultproxy.Proxy)

// silence: the connection stays up and carries no answer for a while.
func silence(*site, *chargePoint, *faultproxy.Proxy) {}

// cut: the connection is cut after the call went through.
func cut(s *site, c *chargePoint, road *faultproxy.Proxy) {
	s.t.Helper()
	road.Cut()
	s.set(road, faultproxy.Pass)
	c.wait("the loss of the connection", c.down)
	c.wait("the reconnection", c.up)
}

// The gateway hears a StartTransaction and its answer is lost. The charge point
// gives up and sends the start again, under a new message id: it must get the
// same transaction id, and there is one session. Then the same with the stop.
func lostAnswers16(t *testing.T, s *site, id, card string, lose loss) {
	road := s.road()
	c := newChargePoint(t, s, id, setup{addr: road.Addr(), timeout: giveUp})
	c.boot()
	at := seconds(time.Now())

	s.set(road, faultproxy.LoseAnswers)
	first := begin(c.starting(card, 7_000, at))
	opened := s.opened(id, 1)
	lose(s, c, road)
	if got, err := first.result(); err == nil {
		t.Fatalf("the answer that had to be lost came: %+v", got)
	}
	s.set(road, faultproxy.Pass)
	tx := c.begin(card, 7_000, at)
	if got := decimal(int64(tx)); got != opened.Labels["ocpp16.transaction_id"] {
		t.Errorf("the repeated start got transaction %s, the first one was given %v", got, opened.Labels)
	}
	if again := c.begin(card, 7_000, at); again != tx {
		t.Errorf("the third start got transaction %d, want %d", again, tx)
	}
	s.opened(id, 1)

	s.set(road, faultproxy.LoseAnswers)
	stop := begin(c.ending(tx, card, 7_600, at.Add(30*time.Second)))
	eventually(t, "the stop in the journal", func() (bool, any) { e := s.ended(id); return len(e) == 1, e })
	lose(s, c, road)
	if got, err := stop.result(); err == nil {
		t.Fatalf("the answer that had to be lost came: %+v", got)
	}
	s.set(road, faultproxy.Pass)
	c.stop(tx, card, 7_600, at.Add(30*time.Second))
	s.balanced(metered{charger: id, start: 7_000, stop: 7_600})
	if n := len(s.ended(id)); n != 1 {
		t.Errorf("%d ends in the journal, want 1", n)
	}

	// What comes after the stop is another session.
	other := c.begin(card, 7_600, at.Add(40*time.Second))
	if other == tx {
		t.Errorf("another session got the same transaction id %d", tx)
	}
	c.stop(other, card, 7_700, at.Add(50*time.Second))
	s.balanced(metered{charger: id, start: 7_000, stop: 7_600}, metered{charger: id, start: 7_600, stop: 7_700})
}

// A 2.0.1 station repeats an event that was not answered, with the same seqNo
// and under a new message id (E13).
func lostAnswers201(t *testing.T, s *site) {
	road := s.road()
	c := newStation(t, s, "CS-silence", setup{addr: road.Addr(), timeout: giveUp})
	c.boot()
	at := seconds(time.Now())
	for _, m := range []moment{
		{kind: transactions.TransactionEventStarted, trigger: transactions.TriggerReasonAuthorized, tx: "a", seq: 0, at: at, wh: 7_000, card: cardG},
		{kind: transactions.TransactionEventEnded, trigger: transactions.TriggerReasonStopAuthorized, tx: "a", seq: 1, at: at.Add(30 * time.Second), wh: 7_600, card: cardG},
	} {
		s.set(road, faultproxy.LoseAnswers)
		lost := begin(c.telling(m))
		if got, err := lost.result(); err == nil {
			t.Fatalf("the answer that had to be lost came: %+v", got)
		}
		s.set(road, faultproxy.Pass)
		c.tell(m)
		c.tell(m)
		s.opened(c.id, 1)
	}
	s.balanced(metered{charger: c.id, start: 7_000, stop: 7_600})
	if n := len(s.ended(c.id)); n != 1 {
		t.Errorf("%d ends in the journal, want 1", n)
	}
}

// The gateway tells old connections from new ones. One site, one test after the
// other, because they count its sockets.
func TestNewestConnectionWins(t *testing.T) {
	t.Parallel()
	s := newSite(t, "newest", "CP-1", "CP-2")
	t.Run("ReconnectWithinMilliseconds", func(t *testing.T) { reconnectWithinMilliseconds(t, s.in(t)) })
	t.Run("HalfOpen", func(t *testing.T) { reconnectOverAHalfOpenSocket(t, s.in(t)) })
}

// A cut that lasts milliseconds: the new connection is there before anybody has
// noticed that the old one is gone, and takes its place, again and again, in the
// middle of a transaction.
func reconnectWithinMilliseconds(t *testing.T, s *site) {
	const cuts = 20
	road := s.road()
	c := newChargePoint(t, s, "CP-1", setup{addr: road.Addr(), reconnect: time.Millisecond})
	c.boot()
	at := seconds(time.Now())
	tx := c.begin(cardA, 1_000, at)
	var took []time.Duration
	for i := range cuts {
		began := time.Now()
		road.Cut()
		c.wait("the loss of the connection", c.down)
		c.wait("the reconnection", c.up)
		c.heartbeat()
		took = append(took, time.Since(began))
		c.meter(tx, 1_000+int64(i), at.Add(time.Duration(i)*time.Second))
	}
	r := s.until("one socket", func(r *agent.Report) bool { return r.Sockets == 1 })
	if ch, running := look(r, c.id); !ch.Connected || len(running) != 1 {
		t.Errorf("after %d cuts: %+v %+v", cuts, ch, running)
	}
	c.stop(tx, cardA, 1_100, at.Add(cuts*time.Second))
	s.balanced(metered{charger: "CP-1", start: 1_000, stop: 1_100})
	p50, p99 := percentiles(took)
	t.Logf("%d cuts: from the cut to the answer to the next call: p50 %s, p99 %s", cuts, p50, p99)
	if p99 > 10*time.Second {
		t.Errorf("p99 is %s, at most 10 s", p99)
	}
}

// percentiles returns the median and the 99th percentile.
func percentiles(all []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(all)
	at := func(p int) time.Duration { return all[min(len(all)-1, len(all)*p/100)].Round(10 * time.Microsecond) }
	return at(50), at(99)
}

// The old connection is half-open: the network has forgotten it, and the gateway
// cannot know. The charger comes back by another way and is served at once; the
// old connection is fenced, and what it still held changes nothing when the
// network delivers it after all.
func reconnectOverAHalfOpenSocket(t *testing.T, s *site) {
	s.until("the sockets of others to be gone", func(r *agent.Report) bool { return r.Sockets == 0 })
	const id = "CP-2"
	road := s.road()
	old := newChargePoint(t, s, id, setup{addr: road.Addr()})
	old.boot()
	at := seconds(time.Now())
	tx := old.begin(cardA, 3_000, at)

	s.set(road, faultproxy.BlackHole)
	held := begin(old.ending(tx, cardA, 3_999, at.Add(10*time.Second)))
	old.queued(1)
	if r := s.until("the old connection to count", func(r *agent.Report) bool { return r.Sockets == 1 }); len(r.Sessions) != 1 {
		t.Error("the gateway noticed a silence that it cannot have noticed yet")
	}

	dialed := time.Now()
	c := newChargePoint(t, s, id, setup{})
	if got := ordered[*remotetrigger.TriggerMessageRequest](c.peer); got.RequestedMessage != core.MeterValuesFeatureName {
		t.Errorf("a charger with a running session was asked for %s", got.RequestedMessage)
	}
	c.boot()
	t.Logf("served on the new connection after %s", time.Since(dialed).Round(time.Millisecond))
	c.meter(tx, 3_300, at.Add(20*time.Second))

	// The old client dies with what it had sent still on its way, and then the
	// network delivers it.
	old.hangUp(old.cp)
	if got, err := held.result(); err == nil {
		t.Errorf("a call into a black hole was answered with %+v", got)
	}
	s.set(road, faultproxy.Pass)
	r := s.until("the old connection to be gone", func(r *agent.Report) bool { return r.Sockets == 1 })
	if ch, running := look(r, id); !ch.Connected || len(running) != 1 || len(s.ended(id)) != 0 {
		t.Errorf("what the fenced connection delivered had an effect: %+v %+v", ch, running)
	}
	c.stop(tx, cardA, 3_500, at.Add(30*time.Second))
	s.balanced(metered{charger: id, start: 3_000, stop: 3_500})
}

// The gateway is killed between start and stop, twice, and nobody has to notice
// but for the broken connection: the sessions are the same afterwards.
func TestKilledBetweenStartAndStop(t *testing.T) {
	t.Parallel()
	s := newSite(t, "killed", "CP-1", "CS-1")
	c16, c201 := newChargePoint(t, s, "CP-1", setup{}), newStation(t, s, "CS-1", setup{})
	c16.boot()
	c201.boot()
	at := seconds(time.Now())
	after := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	tx := c16.begin(cardA, 1_000, at)
	c201.tell(moment{kind: transactions.TransactionEventStarted, trigger: transactions.TriggerReasonAuthorized, tx: "a", seq: 0, at: at, wh: 2_000, card: cardB})
	before := s.until("two sessions", func(r *agent.Report) bool { return len(r.Sessions) == 2 })

	for n := 1; n <= 2; n++ {
		s.kill()
		c16.wait("the loss of the connection", c16.down)
		c201.wait("the loss of the connection", c201.down)
		began := time.Now()
		s.start()
		c16.wait("the reconnection", c16.up)
		c201.wait("the reconnection", c201.up)
		t.Logf("kill %d: both chargers back %s after the start", n, time.Since(began).Round(time.Millisecond))
		r := s.until("the sessions to be running", func(r *agent.Report) bool { return len(r.Sessions) == 2 })
		for i, ses := range r.Sessions {
			if ses.ID != before.Sessions[i].ID {
				t.Errorf("session %d is %s after the kill, was %s", i, ses.ID, before.Sessions[i].ID)
			}
		}
		if got := ordered[*remotetrigger.TriggerMessageRequest](c16.peer); n == 2 && got.RequestedMessage != core.MeterValuesFeatureName {
			t.Errorf("after the kill the charge point was asked for %s", got.RequestedMessage)
		}
		ordered[*remotecontrol.TriggerMessageRequest](c201.peer)
		c16.meter(tx, 1_000+int64(n)*100, after(10*n))
		c201.tell(moment{kind: transactions.TransactionEventUpdated, trigger: transactions.TriggerReasonMeterValuePeriodic, tx: "a", seq: n, at: after(10 * n), wh: 2_000 + int64(n)*100})
	}
	c16.stop(tx, cardA, 1_450, after(30))
	c201.tell(moment{kind: transactions.TransactionEventEnded, trigger: transactions.TriggerReasonStopAuthorized, tx: "a", seq: 3, at: after(30), wh: 2_470, card: cardB})

	s.balanced(metered{charger: "CP-1", start: 1_000, stop: 1_450}, metered{charger: "CS-1", start: 2_000, stop: 2_470})
	for i, b := range list[bookSession](t, "/v1/sessions", url.Values{"site": {s.name}}) {
		if !slices.ContainsFunc(before.Sessions, func(ses gateway.SessionStatus) bool { return ses.ID.String() == b.ID }) {
			t.Errorf("session %d in the books, %s, is none of those before the kills", i, b.ID)
		}
	}
	var causes []holdfast.Cause
	for _, r := range s.records(holdfast.Evidence) {
		if b, ok := r.Body.(*record.GatewayBooted); ok {
			causes = append(causes, b.Cause)
		}
	}
	if len(causes) != 3 || causes[1] != holdfast.CausePowerCycle || causes[2] != holdfast.CausePowerCycle {
		t.Errorf("causes of the boots: %v", causes)
	}
}
