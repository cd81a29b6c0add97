package interop

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	types16 "github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/transactions"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
	"github.com/holdfast-ev/holdfast/record"
)

// The site loses its uplink in a session. Charging goes on: that session ends,
// another begins and ends, a third begins, and strangers are refused. When the
// link is back the cloud has each session once with equal Wh.
func TestUplinkCutDuringSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t, "outage", "CP-1", "CP-2", "CS-1")
	c1, c2, c201 := newChargePoint(t, s, "CP-1", setup{}), newChargePoint(t, s, "CP-2", setup{}), newStation(t, s, "CS-1", setup{})
	c1.boot()
	c2.boot()
	c201.boot()
	at := seconds(time.Now())
	after := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	tx1 := c1.begin(cardA, 1_000, at)
	c1.meter(tx1, 1_200, after(10))
	s.runningSession("CP-1")

	s.set(s.uplink, faultproxy.Refuse)
	r := s.until("the outage to be noticed", func(r *agent.Report) bool { return r.Link == holdfast.Offline })
	if r.Cause != holdfast.CauseCloudUnreachable {
		t.Errorf("the outage's cause is %s", r.Cause)
	}
	c1.meter(tx1, 1_400, after(20))
	c1.stop(tx1, cardA, 1_500, after(30))
	if got := c201.authorize(cardB); got != "Accepted" {
		t.Errorf("a listed card offline: %s", got)
	}
	c201.tell(moment{kind: transactions.TransactionEventStarted, trigger: transactions.TriggerReasonAuthorized, tx: "a", seq: 0, at: after(5), wh: 2_000, card: cardB})
	c201.tell(moment{kind: transactions.TransactionEventEnded, trigger: transactions.TriggerReasonStopAuthorized, tx: "a", seq: 1, at: after(25), wh: 2_345, card: cardB})
	if got := c2.authorize(stranger); got != types16.AuthorizationStatusInvalid {
		t.Errorf("a stranger offline: %s", got)
	}
	if got := c2.authorize(stolen); got != types16.AuthorizationStatusBlocked {
		t.Errorf("a revoked card offline: %s", got)
	}
	tx2 := c2.begin(cardA, 3_000, after(32))
	if r := s.until("a backlog", func(r *agent.Report) bool { return r.Backlog > 0 }); r.Link != holdfast.Offline {
		t.Errorf("the link is %s in the outage", r.Link)
	}
	if n := len(list[bookCDR](t, "/v1/cdrs", url.Values{"site": {s.name}})); n != 0 {
		t.Errorf("%d CDRs in the books before the link was back", n)
	}

	began := time.Now()
	s.set(s.uplink, faultproxy.Pass)
	s.until("the link to be SYNCED", func(r *agent.Report) bool { return r.Link == holdfast.Synced || r.Link == holdfast.Online })
	t.Logf("SYNCED %s after the link was back", time.Since(began).Round(time.Millisecond))
	c2.stop(tx2, cardA, 3_250, after(50))
	s.balanced(
		metered{charger: "CP-1", start: 1_000, stop: 1_500},
		metered{charger: "CS-1", start: 2_000, stop: 2_345, offline: true},
		metered{charger: "CP-2", start: 3_000, stop: 3_250, offline: true},
	)
	s.transitions(holdfast.Offline, holdfast.Syncing, holdfast.Synced)
	for _, charger := range []string{"CP-2", "CS-1"} {
		all, _ := bodies[*record.AccessDecided](s, charger)
		for _, d := range all {
			if d.Link != holdfast.Offline {
				t.Errorf("decision of %s: link %s", charger, d.Link)
			}
		}
	}
}

// transitions checks that the journal's last changes of the link ended with
// these states, in this order.
func (s *site) transitions(want ...holdfast.LinkState) {
	s.t.Helper()
	var got []holdfast.LinkState
	for _, r := range s.records(holdfast.Evidence) {
		if b, ok := r.Body.(*record.LinkChanged); ok && b.From != b.To {
			got = append(got, b.To)
		}
	}
	if n := len(got); n > 0 && got[n-1] == holdfast.Online { // SYNCED became ONLINE meanwhile
		got = got[:n-1]
	}
	if len(got) < len(want) {
		s.t.Fatalf("link states in the journal: %v, want them to end with %v", got, want)
	}
	for i, st := range got[len(got)-len(want):] {
		if st != want[i] {
			s.t.Errorf("link states in the journal: %v, want them to end with %v", got, want)
			return
		}
	}
}

// The cloud commits an upload and its acknowledgement is lost: the gateway
// cannot know, asks where the cloud is, and nothing is booked twice.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	s := newSite(t, "lostack", "CP-1")
	c := newChargePoint(t, s, "CP-1", setup{})
	c.boot()
	at := seconds(time.Now())
	tx := c.begin(cardA, 1_000, at)
	s.runningSession("CP-1")

	// A round in which another answer was on its way loses that one instead; go
	// on until enough rounds hit an upload that the cloud has committed.
	var want []metered
	wh, stop := int64(1_000), at
	for hits, rounds := 0, 0; hits < 2; rounds++ {
		if rounds == 6 {
			t.Fatalf("only %d acknowledgements of committed uploads were lost in %d rounds", hits, rounds)
		}
		s.quiet(len(want))
		s.set(s.uplink, faultproxy.LoseAnswers)
		stop = stop.Add(20 * time.Second)
		c.stop(tx, cardA, wh+100, stop)
		if s.received(len(want)+1, 3*time.Second) {
			hits++
		}
		want = append(want, metered{charger: "CP-1", start: wh, stop: wh + 100})
		wh += 100
		tx = c.begin(cardA, wh, stop)
		s.uplink.Cut()
		s.set(s.uplink, faultproxy.Pass)
	}
	c.stop(tx, cardA, wh+150, stop.Add(30*time.Second))
	s.balanced(append(want, metered{charger: "CP-1", start: wh, stop: wh + 150})...)
}

// quiet waits until the cloud has everything, the ends of n sessions among it,
// and the gateway has had a moment to hear so.
func (s *site) quiet(n int) {
	s.t.Helper()
	if !s.received(n, patience) {
		s.t.Fatalf("the cloud did not get the ends of %d sessions", n)
	}
	for calm := 0; calm < 5; {
		r := s.until("the link to be back", func(r *agent.Report) bool { return r.Link == holdfast.Synced || r.Link == holdfast.Online })
		var gw struct {
			Cursors []struct {
				Journal  string `json:"journal"`
				Received uint64 `json:"received"`
			} `json:"cursors"`
		}
		here.api.must(s.t, http.MethodGet, "/v1/gateways/gw-"+s.name, nil, &gw)
		calm++
		for _, c := range gw.Cursors {
			if c.Journal == string(holdfast.Evidence) && c.Received != r.Records || c.Journal == string(holdfast.Telemetry) && int(c.Received) != len(s.records(holdfast.Telemetry)) {
				calm = 0
			}
		}
	}
}

// received reports whether the cloud knows the ends of n sessions within a
// limit, whatever the gateway has been told about it.
func (s *site) received(n int, limit time.Duration) bool {
	s.t.Helper()
	return within(limit, func() (bool, any) {
		all := list[bookSession](s.t, "/v1/sessions", url.Values{"site": {s.name}, "running": {"false"}})
		return len(all) == n, all
	}) == nil
}
