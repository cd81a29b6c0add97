package command

import (
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/uplink"
)

// The links of a status say what is in use, why the rest is not, what a month
// has cost, and when telemetry goes.
func TestLinksInTheStatus(t *testing.T) {
	const noon = holdfast.UnixMilli(1_772_452_800_000) // 2026-03-02T12:00:00Z
	r := &agent.Report{Status: gateway.Status{Link: holdfast.Online, Links: []uplink.LinkStatus{
		{
			Name: "fibre", State: uplink.Failing, Carry: uplink.CarryAll, Stage: uplink.StageOpen, Left: -1, Open: true,
			Endpoints: []uplink.EndpointStatus{
				{URL: "https://a", State: uplink.Failing, Cause: holdfast.CauseNetworkDown, Detail: "link fibre: interface eth0 is down", RetryInS: 90},
				{URL: "https://b", State: uplink.Trying},
			},
		},
		{
			Name: "lte", State: uplink.InUse, Carry: uplink.CarryAll, Stage: uplink.StageNoTelemetry, Usage: uplink.Usage{Sent: 60 << 20, Received: 20 << 20},
			Budget: 100 << 20, Left: 20 << 20, Resets: noon, Spent: 1_230_000, Endpoints: []uplink.EndpointStatus{{URL: "https://a", State: uplink.InUse}},
		},
		{
			Name: "night", State: uplink.Ready, Carry: uplink.CarryAll, Stage: uplink.StageOpen, Left: -1, NextOpen: noon,
			Endpoints: []uplink.EndpointStatus{{URL: "https://a", State: uplink.Ready}},
		},
		{
			Name: "live", State: uplink.Spent, Carry: uplink.CarryLive, Stage: uplink.StageSpent, Endpoints: []uplink.EndpointStatus{{URL: "https://a", State: uplink.Ready}},
		},
	}}}
	var out strings.Builder
	if err := printLinks(&out, r); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"", "LINK ENDPOINT STATE MONTH BUDGET TELEMETRY WHY",
		"fibre https://a FAILED 0.0 MiB none now NETWORK_DOWN: link fibre: interface eth0 is down (again in 1 m 30 s)",
		"https://b PROVING works again; watched before it is used",
		"lte https://a IN_USE 80.0 MiB, cost 1.23 20.0 MiB left of 100.0 MiB, NO_TELEMETRY, anew on 2026-03-02 12:00Z stopped: budget -",
		"night https://a READY 0.0 MiB none from 12:00Z -",
		"live https://a SPENT 0.0 MiB 0.0 MiB left of 0.0 MiB, SPENT never -", "",
	}
	got := strings.Split(out.String(), "\n")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || strings.Join(strings.Fields(got[i]), " ") != want[i] {
			t.Fatalf("line %d of\n%s\nwant %q", i, out.String(), want)
		}
	}
	if line := linkLine(r); !strings.Contains(line, "over lte") {
		t.Errorf("link line %q", line)
	}
	out.Reset()
	r.Links = []uplink.LinkStatus{{Name: uplink.DefaultLink, Endpoints: []uplink.EndpointStatus{{}}}}
	if err := printLinks(&out, r); err != nil || out.Len() > 0 {
		t.Errorf("one link without a bound: %q, %v", out.String(), err)
	}
}

func TestSyncNowSaysWhatFollows(t *testing.T) {
	for _, tt := range []struct {
		r    gateway.Status
		want string
	}{
		{gateway.Status{Link: holdfast.Online}, "No evidence waits."},
		{gateway.Status{Link: holdfast.Syncing, Backlog: 7}, "7 records wait."},
		{gateway.Status{Link: holdfast.Offline, Cause: holdfast.CauseBudgetSpent, Backlog: 7}, "The link is OFFLINE, cause BUDGET_SPENT: 7 records wait until it is back."},
	} {
		var out strings.Builder
		if err := printSync(&out, &agent.Report{Status: tt.r}); err != nil || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%q, %v, want %q", out.String(), err, tt.want)
		}
	}
}
