package command

import (
	"fmt"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
)

// TestClockLine: what a person reads about the time, for each source of it.
func TestClockLine(t *testing.T) {
	far := func(n int) (list []gateway.ChargerStatus) {
		for i := range n {
			list = append(list, gateway.ChargerStatus{ID: holdfast.ChargerID(fmt.Sprintf("CP%d", i)), Clock: &gateway.ChargerClockStatus{OffsetMs: -7_200_000, Far: true}})
		}
		return append(list, gateway.ChargerStatus{ID: "right", Clock: &gateway.ChargerClockStatus{}}, gateway.ChargerStatus{ID: "silent"})
	}
	for _, tt := range []struct {
		clock    agent.ClockStatus
		chargers []gateway.ChargerStatus
		want     string
	}{
		{agent.ClockStatus{Quality: "S", Source: agent.SourceCloud, ForS: 60}, nil, "synchronised with the cloud (S), for 1 m 0 s"},
		{agent.ClockStatus{Quality: "R", Source: agent.SourceCloud}, nil, "the cloud's, carried on for more than a day (R), for 0 s"},
		{agent.ClockStatus{Quality: "I", Source: agent.SourceNTP, NTP: &agent.HintStatus{OffsetMs: -90_000, Verdict: "used", AgeS: 5}}, nil,
			"from NTP, not confirmed by the cloud (I), for 0 s; NTP is 1 m 30 s behind and used (5 s ago)"},
		{agent.ClockStatus{Quality: "I", Source: agent.SourceSystem}, nil, "of this machine, not confirmed by the cloud (I), for 0 s"},
		{agent.ClockStatus{Quality: "U", Source: agent.SourceFloor}, nil, "not set: this machine's clock lost its time, counting on from the last proven one (U), for 0 s"},
		{agent.ClockStatus{Quality: "U", Source: agent.SourceSystem}, nil, "not set: this machine's clock reads before the journal's last record (U), for 0 s"},
		{agent.ClockStatus{Quality: "S"}, far(1), "synchronised with the cloud (S), for 0 s; off by more than 5 minutes: CP0 (2 h 0 m behind)"},
		{agent.ClockStatus{Quality: "S"}, far(7), "synchronised with the cloud (S), for 0 s; off by more than 5 minutes: CP0 (2 h 0 m behind), CP1 (2 h 0 m behind), " +
			"CP2 (2 h 0 m behind), CP3 (2 h 0 m behind), CP4 (2 h 0 m behind), and 2 more"},
	} {
		r := &agent.Report{Clock: tt.clock}
		r.Chargers = tt.chargers
		if got := clockLine(r); got != "-, "+tt.want {
			t.Errorf("%s\nwant -, %s", got, tt.want)
		}
	}
}
