package interop

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/internal/faultproxy"
	"github.com/holdfast-ev/holdfast/record"
)

// A site with two links and two endpoints of one cloud loses, again and again,
// the way in use with the acknowledgement of an upload that the cloud has
// committed. It goes on over another way, is never OFFLINE, and every session is
// in the books once with equal Wh.
func TestFailoverBooksEverySessionOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, "links", "CP-1")
	second := s.secondEndpoint()
	c := newChargePoint(t, s, "CP-1", setup{})
	c.boot()
	at := seconds(time.Now())
	var want []metered
	var used []string
	for i := range int64(7) {
		tx := c.begin(cardA, 100*i, at.Add(time.Duration(20*i)*time.Second))
		s.runningSession("CP-1")
		if err := agent.SyncNow(t.Context(), s.socket); err != nil { // nothing is put aside from the round before
			t.Fatal(err)
		}
		s.quiet(len(want))
		way := s.until("a route", func(r *agent.Report) bool { return r.Route().Link != "" }).Route()
		used = append(used, way.Link+" "+way.Endpoint)
		in := s.uplink
		if strings.HasSuffix(way.Endpoint, second.Addr()) {
			in = second
		}
		if i%4 == 3 { // the link itself breaks, whatever the endpoint
			from := netip.MustParseAddr(map[string]string{"fibre": "127.0.0.2", "lte": "127.0.0.3"}[way.Link])
			for _, p := range []*faultproxy.Proxy{s.uplink, second} {
				p.Bar(from, true)
				defer p.Bar(from, false)
			}
		} else {
			in.CutAfter(int(i)*40, true)
		}
		c.stop(tx, cardA, 100*i+100, at.Add(time.Duration(20*i+10)*time.Second))
		want = append(want, metered{charger: "CP-1", start: 100 * i, stop: 100*i + 100})
		if !s.received(len(want), patience) {
			t.Fatalf("the end of session %d did not come over another way", i)
		}
		if i%4 == 3 {
			continue // the link stays broken
		}
		s.set(in, faultproxy.Pass)
	}
	s.balanced(want...)
	slices.Sort(used)
	if n := len(slices.Compact(used)); n < 2 {
		t.Errorf("%d ways were used: %v", n, used)
	}
	moves, offline := 0, 0
	for _, r := range s.records(holdfast.Evidence) {
		switch b := r.Body.(type) {
		case *record.LinkRoute:
			if b.FromLink != "" && b.Cause == holdfast.CauseCloudUnreachable {
				moves++
			}
		case *record.LinkChanged:
			if b.To == holdfast.Offline && b.Cause == holdfast.CauseCloudUnreachable {
				offline++
			}
		}
	}
	if moves < 4 || offline > 0 {
		t.Errorf("%d changes of the route and %d times OFFLINE, want some and none", moves, offline)
	}
}

// secondEndpoint gives the site two links and another way into its cloud, and
// starts it anew with them.
func (s *site) secondEndpoint() *faultproxy.Proxy {
	s.t.Helper()
	u := strings.TrimPrefix(here.cloud.GatewayURL(), "https://")
	p, err := faultproxy.New(u)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { p.Close() })
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	more := "  endpoints:\n    - url: \"https://" + p.Addr() + "\"\nlinks:\n  - name: fibre\n    source: 127.0.0.2\n  - name: lte\n    source: 127.0.0.3\n    preference: 2\nocpp:\n"
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(text), "ocpp:\n", more, 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.stop()
	s.start()
	s.online()
	return p
}
