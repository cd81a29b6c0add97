package cloud_test

import (
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A limit schedule is signed for its site, the newest alone waits, and one above
// what the gateway reports as commissioned is refused.
func TestLimits(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		b := w.box("north")
		none, err := w.plane.Limits(t.Context(), "north")
		if w.must(err); none.Version != 0 || none.Site != "north" {
			t.Errorf("before any was set: %+v", none)
		}
		set := func(watts holdfast.Watts) (cloud.SiteLimits, error) {
			return w.plane.PutLimits(t.Context(), w.now, "north", cloud.PutLimits{After: 10_000, By: "Ada", Periods: []power.Period{{From: start, To: start + 3_600_000, Limit: watts}}})
		}
		first, err := set(30_000)
		w.must(err)
		second, err := set(20_000)
		w.must(err)
		if second.Version <= first.Version {
			t.Errorf("version %d after %d", second.Version, first.Version)
		}
		var got []power.Schedule
		for _, d := range b.hello().Directives {
			if d.Kind != uplink.InstallLimits {
				continue
			}
			payload, err := statement.Verify(&w.signer.PublicKey, statement.TypLimits, d.Statement)
			w.must(err)
			s, err := power.DecodeSchedule(payload)
			w.must(err)
			got = append(got, s)
		}
		if len(got) != 1 || got[0].Version != second.Version || got[0].Periods[0].Limit != 20_000 || got[0].After != 10_000 {
			t.Errorf("delivered %+v, want the second alone", got)
		}
		b.put(record.Record{Body: &record.PowerLimit{Unit: "W", Level: 20_000, Watts: 20_000, Source: "schedule", Max: 43_000}})
		b.sync()
		site, err := w.plane.Site(t.Context(), "north")
		if w.must(err); site.Contact.PowerMax != 43_000 || site.Contact.PowerLimit != 20_000 || site.Contact.PowerSource != "schedule" {
			t.Errorf("contact %+v", site.Contact)
		}
		for what, watts := range map[string]holdfast.Watts{"0 W": 0, "-1 W": -1, "ten times the fuse": 430_000, "one more than the fuse": 43_001} {
			_, err := set(watts)
			wantError(t, what, err, cloud.ErrInvalid)
		}
		if now, err := w.plane.Limits(t.Context(), "north"); err != nil || now.Version != second.Version {
			t.Errorf("after refused ones: %+v, %v", now, err)
		}
		_, err = w.plane.PutLimits(t.Context(), w.now, "nowhere", cloud.PutLimits{After: 1})
		wantError(t, "an unknown site", err, cloud.ErrNotFound)
	})
}
