package gateway_test

import (
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
	"pgregory.net/rapid"
)

// An uplinked bench has links and a cloud behind them that takes records
// strictly by position.
type uplinked struct {
	*bench
	at     uplink.Route
	down   map[string]holdfast.Cause // by link, endpoint, or both with a slash
	busy   bool                      // the cloud names a time
	lose   int                       // so many acknowledgements are lost after the cloud has committed
	cloud  map[holdfast.Journal]uint64
	taken  map[holdfast.Journal]int // records committed, each time one is
	hellos map[string]int           // by link
}

func newUplinked(t testing.TB, routes uplink.Routes) *uplinked {
	u := &uplinked{
		bench: newBench(t), down: map[string]holdfast.Cause{}, cloud: map[holdfast.Journal]uint64{}, taken: map[holdfast.Journal]int{}, hellos: map[string]int{},
	}
	u.cfg.Routes = routes
	u.crash() // with the routes
	u.answer(u.last)
	return u
}

// second lets a second pass and answers what it demands.
func (u *uplinked) second() {
	u.pass(1000)
	u.answer(u.step(gateway.Tick{}))
}

func (u *uplinked) seconds(n int) {
	for range n {
		u.second()
	}
}

func (u *uplinked) answer(r gateway.Ready) {
	if r.Route != nil {
		u.at = *r.Route
	}
	for r.Hello != nil || r.Upload != nil || r.Probe != nil {
		var in []gateway.Input
		if r.Route != nil {
			u.at = *r.Route
		}
		if r.Probe != nil {
			in = append(in, gateway.Probed{Route: *r.Probe, Cause: u.works(*r.Probe)})
		}
		if r.Hello != nil {
			u.hellos[u.at.Link]++
			in = append(in, u.hello())
		}
		if r.Upload != nil {
			in = append(in, u.upload(*r.Upload))
		}
		r = u.step(in...)
	}
}

func (u *uplinked) works(at uplink.Route) holdfast.Cause {
	for _, key := range []string{at.Link, at.Endpoint, at.Link + "/" + at.Endpoint} {
		if c := u.down[key]; c != "" {
			return c
		}
	}
	return holdfast.CauseNone
}

func (u *uplinked) failed(cause holdfast.Cause) gateway.Input {
	at := u.at
	return gateway.LinkDown{Cause: cause, Route: &at, Named: cause == holdfast.CauseCloudBusy && u.busy}
}

func (u *uplinked) hello() gateway.Input {
	if c := u.works(u.at); c != holdfast.CauseNone {
		return u.failed(c)
	}
	if u.busy {
		return u.failed(holdfast.CauseCloudBusy)
	}
	var w uplink.Welcome
	for j, e := range map[holdfast.Journal]holdfast.Epoch{holdfast.Evidence: evidenceEpoch, holdfast.Telemetry: telemetryEpoch} {
		w.Cursors = append(w.Cursors, uplink.Cursor{Journal: j, Epoch: e, Received: u.cloud[j], Reconciled: u.cloud[j]})
	}
	return gateway.LinkUp{Welcome: w}
}

func (u *uplinked) upload(up gateway.Upload) gateway.Input {
	if c := u.works(u.at); c != holdfast.CauseNone {
		return u.failed(c)
	}
	done := gateway.UploadDone{Journal: up.Journal, Epoch: up.Epoch, First: up.First}
	if have := u.cloud[up.Journal]; uint64(up.First) != have {
		done.Mismatch = &have
		return done
	}
	size := uint64(u.next[up.Journal])
	u.taken[up.Journal] += int(size - u.cloud[up.Journal])
	u.cloud[up.Journal] = size
	if u.lose > 0 {
		u.lose--
		return u.failed(holdfast.CauseCloudUnreachable)
	}
	done.Ack = uplink.Ack{Received: size, Reconciled: size}
	return done
}

// complete asserts that the cloud has every record, and took each once.
func (u *uplinked) complete(t rapid.TB) {
	t.Helper()
	for j, n := range u.next {
		if u.cloud[j] != uint64(n) || u.taken[j] != int(n) {
			t.Errorf("%s: the cloud has %d records and took %d, the journal has %d", j, u.cloud[j], u.taken[j], n)
		}
	}
}

func twoLinks() uplink.Routes {
	return uplink.Routes{
		Links:     []uplink.LinkConfig{{Name: "fibre"}, {Name: "lte", Preference: 2, CostMicros: 5}},
		Endpoints: []uplink.EndpointConfig{{URL: "https://a"}, {URL: "https://b", Preference: 2}},
	}
}

// The better link goes while an upload is under way, and the acknowledgement
// with it: the other link takes over in the same turn, goes on at the right
// record, and the site was never OFFLINE. Later it goes back.
func TestFailoverWithoutGoingOffline(t *testing.T) {
	u := newUplinked(t, twoLinks())
	u.seconds(60)
	changes := len(bodies[*record.LinkChanged](u.bench))
	u.lose = 1
	u.connect("CP1", "ocpp1.6") // a record, and with it an upload whose answer is lost
	u.answer(u.last)
	u.down["fibre"] = holdfast.CauseNetworkDown
	u.connect("CP2", "ocpp1.6")
	u.answer(u.last)
	u.seconds(2)
	if u.at.Link != "lte" {
		t.Fatalf("%+v in use", u.at)
	}
	delete(u.down, "fibre")
	u.seconds(400)
	if u.at != (uplink.Route{Link: "fibre", Endpoint: "https://a"}) {
		t.Errorf("%+v in use, want the better one again", u.at)
	}
	if got := bodies[*record.LinkChanged](u.bench)[changes:]; len(got) != 0 {
		t.Errorf("the site's link changed: %+v", *got[0])
	}
	u.seconds(70)
	var story []string
	for _, r := range bodies[*record.LinkRoute](u.bench) {
		story = append(story, r.FromLink+">"+r.Link+" "+r.Endpoint+" "+string(r.Cause))
	}
	if len(story) < 3 || story[0] != ">fibre https://a STARTUP" || story[len(story)-1] != "lte>fibre https://a NONE" {
		t.Errorf("routes %q", story)
	}
	u.complete(t)
}

// Links and endpoints come and go, acknowledgements are lost, the box loses
// power: when all is well again the cloud has every record, once.
func TestNothingTwiceOverAnyRoute(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		u := newUplinked(t, twoLinks())
		for range rapid.IntRange(1, 12).Draw(rt, "moves") {
			switch rapid.SampledFrom([]string{"break", "break", "heal", "lose", "record", "record", "crash", "busy"}).Draw(rt, "move") {
			case "break":
				what := rapid.SampledFrom([]string{"fibre", "lte", "https://a", "https://b", "fibre/https://a"}).Draw(rt, "what")
				u.down[what] = rapid.SampledFrom([]holdfast.Cause{
					holdfast.CauseNetworkDown, holdfast.CauseCloudUnreachable, holdfast.CauseTLSFailure, holdfast.CauseAuthRejected, holdfast.CauseCloudError,
				}).Draw(rt, "cause")
			case "heal":
				clear(u.down)
			case "lose":
				u.lose = rapid.IntRange(1, 3).Draw(rt, "acknowledgements")
			case "record":
				u.connect("CP1", "ocpp1.6")
				u.answer(u.last)
			case "crash":
				u.crash()
				u.answer(u.last)
			case "busy":
				u.busy = !u.busy
			}
			u.seconds(rapid.SampledFrom([]int{0, 1, 5, 20}).Draw(rt, "s"))
			u.pass(rapid.Int64Range(0, 100_000).Draw(rt, "ms"))
		}
		clear(u.down)
		u.lose, u.busy = 0, false
		for range 2 * uplink.RouteBackoffMaxMillis / 1000 {
			if u.second(); u.cloud[holdfast.Evidence] == uint64(u.next[holdfast.Evidence]) {
				break
			}
		}
		u.complete(rt)
	})
}

// A busy cloud that names a time is not asked over its other endpoints.
func TestBusyCloudKeepsTheRoute(t *testing.T) {
	u := newUplinked(t, twoLinks())
	u.seconds(5)
	u.busy = true
	u.seconds(120)
	if n := len(bodies[*record.LinkRoute](u.bench)); n != 1 || u.hellos["lte"] != 0 {
		t.Errorf("%d routes, %d hellos over the other link", n, u.hellos["lte"])
	}
	if cause := u.g.Status(u.now).Cause; cause != holdfast.CauseCloudBusy {
		t.Errorf("cause %s", cause)
	}
}

// What a link has carried survives a power cut, but for a step of its budget;
// a spent link is closed with a cause of its own, and open in the next month.
func TestBudgetAcrossPowerCuts(t *testing.T) {
	const budget = 64_000
	u := newUplinked(t, uplink.Routes{Links: []uplink.LinkConfig{{Name: "lte", Budget: uplink.Budget{Bytes: budget}}}})
	use := func(bytes int64) {
		u.answer(u.step(gateway.LinkUsed{Link: "lte", Sent: bytes, Received: bytes}))
		u.second()
	}
	use(400)
	if n := len(bodies[*record.LinkUsage](u.bench)); n > 1 {
		t.Errorf("%d records of less than a step", n)
	}
	for range 20 {
		use(1000)
	}
	u.crash()
	u.answer(u.last)
	if got := u.g.State().Links["lte"].Total(); got < 40_000-budget/gateway.UsageSteps || got > 41_000 {
		t.Errorf("%d bytes known after a power cut, want 40800 but for a step", got)
	}
	s := u.g.Status(u.now).Links[0]
	if s.Stage != uplink.StageOpen || s.Left != budget-s.Total() {
		t.Errorf("status %+v", s)
	}
	use(12_000)
	u.second()
	if state := u.g.Status(u.now); state.Link != holdfast.Offline || state.Cause != holdfast.CauseBudgetSpent || state.Links[0].State == uplink.Ready {
		t.Errorf("a spent link: %s, %s, %+v", state.Link, state.Cause, state.Links[0])
	}
	if u.at != (uplink.Route{}) {
		t.Error("the doorbell over a spent link is not hung up")
	}
	before := u.hellos["lte"]
	u.seconds(300)
	if u.hellos["lte"] != before {
		t.Error("hellos over a spent link")
	}
	u.pass(31 * 24 * 3600 * 1000)
	u.seconds(100)
	if state := u.g.Status(u.now); state.Link == holdfast.Offline || state.Links[0].Total() != 0 {
		t.Errorf("a new month: %s, %+v", state.Link, state.Links[0])
	}
	if n := len(bodies[*record.LinkUsage](u.bench)); n > 2*gateway.UsageSteps {
		t.Errorf("%d records of usage", n)
	}
	u.complete(t)
}

// When the budget of the better link is spent the next one takes over, the site
// is not OFFLINE, and in the new month it goes back.
func TestSpentLinkHandsOver(t *testing.T) {
	u := newUplinked(t, uplink.Routes{Links: []uplink.LinkConfig{
		{Name: "sim-a", Budget: uplink.Budget{Bytes: 64_000}}, {Name: "sim-b", Preference: 2, Budget: uplink.Budget{Bytes: 64_000}},
	}})
	u.seconds(5)
	changes := len(bodies[*record.LinkChanged](u.bench))
	u.answer(u.step(gateway.LinkUsed{Link: "sim-a", Sent: 64_000}))
	u.seconds(2)
	for _, c := range bodies[*record.LinkChanged](u.bench)[changes:] {
		if c.To == holdfast.Offline {
			t.Errorf("the site went OFFLINE: %+v", *c)
		}
	}
	routes := bodies[*record.LinkRoute](u.bench)
	if last := routes[len(routes)-1]; u.at.Link != "sim-b" || last.Link != "sim-b" || last.Cause != holdfast.CauseBudgetSpent {
		t.Errorf("%s in use, %+v", u.at.Link, last)
	}
	u.pass(31 * 24 * 3600 * 1000)
	u.seconds(300)
	if u.at.Link != "sim-a" {
		t.Errorf("%s in use in the new month", u.at.Link)
	}
	u.complete(t)
}

// Outside the window telemetry waits and evidence goes; a person lifts it, and
// that is history.
func TestWindowAndSyncNow(t *testing.T) {
	u := newUplinked(t, uplink.Routes{Links: []uplink.LinkConfig{{
		Name: "lte", Windows: uplink.Windows{List: []uplink.Window{{From: 60, To: 120}}}, // it is 14:13
	}}})
	c := u.connect("CP1", "ocpp1.6")
	u.call(c, "1", "StatusNotification", `{"connectorId":1,"errorCode":"NoError","status":"Available"}`)
	u.seconds(120)
	if u.cloud[holdfast.Telemetry] != 0 || u.cloud[holdfast.Evidence] != uint64(u.next[holdfast.Evidence]) || u.next[holdfast.Telemetry] == 0 {
		t.Fatalf("the cloud has %v of %v", u.cloud, u.next)
	}
	u.answer(u.step(gateway.SyncNow{}))
	u.seconds(5)
	u.complete(t)
	routes := bodies[*record.LinkRoute](u.bench)
	if last := routes[len(routes)-1]; last.Cause != holdfast.CausePlanned || last.Detail == "" {
		t.Errorf("the wish is not in the journal: %+v", last)
	}
}

// In RESERVE evidence waits for hours, and a session's end with it, but live
// traffic does not; the doorbell lets it go.
func TestThriftAndTheDoorbell(t *testing.T) {
	u := newUplinked(t, uplink.Routes{Links: []uplink.LinkConfig{{Name: "lte", Budget: uplink.Budget{Bytes: 100_000}}}})
	u.seconds(5)
	u.answer(u.step(gateway.LinkUsed{Link: "lte", Sent: 96_000}))
	u.seconds(5)
	u.connect("CP1", "ocpp1.6")
	u.answer(u.last)
	hellos := u.hellos["lte"]
	u.seconds(1800)
	if waits := uint64(u.next[holdfast.Evidence]) - u.cloud[holdfast.Evidence]; waits == 0 {
		t.Error("evidence does not wait")
	}
	if n := u.hellos["lte"] - hellos; n < 1 || n > 3 {
		t.Errorf("%d hellos in half an hour, want 2", n)
	}
	u.answer(u.step(gateway.Directives{}))
	u.seconds(2)
	if waits := uint64(u.next[holdfast.Evidence]) - u.cloud[holdfast.Evidence]; waits != 0 {
		t.Errorf("%d records wait after the doorbell", waits)
	}
	u.connect("CP2", "ocpp1.6")
	u.seconds(uplink.ReserveHoldMillis/1000 + 120)
	u.complete(t)
}
