package record

import "github.com/holdfast-ev/holdfast"

// ChargerClock notes how far a charger's clock is off, when that has changed by
// more than a bound (docs/time.md). It is not written for a charger whose clock
// was never off by more.
type ChargerClock struct {
	OffsetMs int64            `json:"offset_ms"` // the charger's clock minus the gateway's
	Quality  holdfast.Quality `json:"q"`         // of the gateway's clock that it was measured against: S or R
	Samples  int              `json:"samples"`   // live messages that agree
}

// A TimeSource says how a [ChargerTime] is known.
type TimeSource string

// The time sources.
const (
	TimeLive    TimeSource = "live"    // the message was live: it happened as it arrived
	TimeOffset  TimeSource = "offset"  // the message was late: the charger's time less the offset of its clock
	TimeUnknown TimeSource = "unknown" // what is known of the charger's clock contradicts what the message says
)

// A ChargerTime is when something happened on a charger by the gateway's clock,
// beside what the charger claims. It is left out where nothing is known about
// the charger's clock: then the claim stands unchecked.
type ChargerTime struct {
	At       holdfast.Instant `json:"at"`                  // zero with quality U when How is TimeUnknown
	How      TimeSource       `json:"how"`                 //
	OffsetMs int64            `json:"offset_ms,omitempty"` // the charger's clock minus the gateway's, as measured when the message came
}

// Known reports whether t says when it was.
func (t *ChargerTime) Known() bool { return t != nil && t.How != TimeUnknown }

// Live reports whether t was told as it happened.
func (t *ChargerTime) Live() bool { return t != nil && t.How == TimeLive }

// Type implements [Body].
func (*ChargerClock) Type() Type { return "charger.clock" }
