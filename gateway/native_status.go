package gateway

import (
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// A NativeVerdict says in one word how a charger is prepared for a time without
// the gateway.
type NativeVerdict string

// The verdicts.
const (
	NativeReady    NativeVerdict = "ready"
	NativeNotReady NativeVerdict = "not ready"
	NativeUnasked  NativeVerdict = "not asked yet"
	NativeAlone    NativeVerdict = "left alone" // by configuration
)

// NativeVerdicts lists the verdicts, for metrics.
func NativeVerdicts() []NativeVerdict {
	return []NativeVerdict{NativeReady, NativeNotReady, NativeUnasked, NativeAlone}
}

// NativeStatus is how a charger would cope if the gateway were gone now.
type NativeStatus struct {
	Verdict  NativeVerdict           `json:"verdict"`
	Missing  []string                `json:"missing"`       // why it is not ready
	Restart  []string                `json:"restart"`       // set, and in force after the charger's next restart
	List     record.ListOutcome      `json:"list"`          // of the last update of its list; "" none yet
	Version  int32                   `json:"list_version"`  // of its list
	Count    int                     `json:"list_count"`    // entries in it
	LeftOut  int                     `json:"list_left_out"` // drivers who found no room in it
	Settings []record.NativeVariable `json:"settings"`      // as read last
}

// nativeStatus describes a charger as the last records of it do.
func (g *Gateway) nativeStatus(id holdfast.ChargerID) NativeStatus {
	s := NativeStatus{Verdict: NativeUnasked, Missing: []string{}, Restart: []string{}, Settings: []record.NativeVariable{}}
	known := g.state.Chargers[id].native()
	if r := known.Readiness; r != nil {
		s.Verdict = NativeNotReady
		if r.Ready {
			s.Verdict = NativeReady
		}
		s.Missing, s.Restart = append(s.Missing, r.Missing...), append(s.Restart, r.Restart...)
		s.Settings = append(s.Settings, r.Variables...)
	}
	if l := known.List; l != nil {
		s.List, s.Version, s.Count, s.LeftOut = l.Outcome, l.Version, l.Count, l.LeftOut
	}
	if g.cfg.native(id).Mode == NativeOff {
		s.Verdict = NativeAlone
	}
	return s
}
