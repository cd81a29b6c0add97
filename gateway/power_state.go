package gateway

import (
	"strconv"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/record"
)

// PowerState is what is known for good about the site's power.
type PowerState struct {
	Limit    *record.PowerLimit                 `json:"limit,omitempty"`    // in force
	Schedule []byte                             `json:"schedule,omitempty"` // the signed limit schedule
	FailSafe map[holdfast.ChargerID]FailSafeNow `json:"failsafe"`
	Points   map[string]power.Level             `json:"points"` // the most that an EVSE's session may draw, by "charger/evse"; absent: the fail-safe
	Unit     string                             `json:"unit"`   // of FailSafe and Points
	CutOut   CutOutNow                          `json:"cutout"`
}

// FailSafeNow is a charger's fail-safe profile as the last record of it says.
type FailSafeNow struct {
	Status   string      `json:"status"`
	Level    power.Level `json:"level"`
	Verified bool        `json:"verified"`
}

// CutOutNow is the site's cut-out.
type CutOutNow struct {
	Latched bool             `json:"latched"`
	Line    string           `json:"line,omitempty"`
	At      holdfast.Instant `json:"at,omitzero"`      // when it tripped
	Ran     int64            `json:"ran_ms,omitempty"` // State.Time.RanMs at At
	Failed  bool             `json:"failed,omitempty"` // sessions did not stop by the deadline
	Result  string           `json:"result,omitempty"` // record.CutOutStopped or CutOutNotStopped, when that is known
	Ms      int64            `json:"ms,omitempty"`     // until Result
}

func newPowerState() PowerState {
	return PowerState{FailSafe: map[holdfast.ChargerID]FailSafeNow{}, Points: map[string]power.Level{}}
}

func pointKey(id holdfast.ChargerID, evse int) string { return string(id) + "/" + strconv.Itoa(evse) }

// forget drops an EVSE's set-point: it belonged to a transaction that is over.
func (p *PowerState) forget(id holdfast.ChargerID, evse int) { delete(p.Points, pointKey(id, evse)) }

// in makes unit the unit of what follows. Levels of another unit, from before
// the site was configured anew, say nothing any more.
func (p *PowerState) in(unit string) {
	if p.Unit != unit {
		clear(p.FailSafe)
		clear(p.Points)
		p.Unit = unit
	}
}

// apply folds a record of the power rules, when the timeline stands at ran.
func (p *PowerState) apply(r record.Record, ran int64) {
	switch b := r.Body.(type) {
	case *record.PowerLimit:
		p.Limit = b
	case *record.PowerShared:
		p.in(b.Unit)
		for _, pt := range b.Points {
			p.Points[pointKey(pt.Charger, pt.EVSE)] = power.Level(pt.Level)
		}
	case *record.PowerFailSafe:
		p.in(b.Unit)
		p.FailSafe[r.Charger] = FailSafeNow{b.Status, power.Level(b.Level), b.Verified}
	case *record.PowerCutOut:
		p.applyCutOut(r, b, ran)
	}
}

func (p *PowerState) applyCutOut(r record.Record, b *record.PowerCutOut, ran int64) {
	switch b.Event {
	case record.CutOutTripped:
		p.CutOut = CutOutNow{Latched: true, Line: b.Line, At: r.At, Ran: ran}
	case record.CutOutReleased:
		p.CutOut = CutOutNow{}
	default:
		p.CutOut.Result, p.CutOut.Ms = b.Event, b.Ms
		p.CutOut.Failed = p.CutOut.Failed || b.Event == record.CutOutNotStopped
	}
}
