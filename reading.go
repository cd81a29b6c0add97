package holdfast

// ReadingContext says when in a session a meter was read (OCPP 1.6
// ReadingContext, 2.0.1 ReadingContextEnumType).
type ReadingContext string

// The contexts, in OCPP's own spelling.
const (
	ContextPeriodic          ReadingContext = "Sample.Periodic"
	ContextClock             ReadingContext = "Sample.Clock"
	ContextBegin             ReadingContext = "Transaction.Begin"
	ContextEnd               ReadingContext = "Transaction.End"
	ContextInterruptionBegin ReadingContext = "Interruption.Begin"
	ContextInterruptionEnd   ReadingContext = "Interruption.End"
	ContextTrigger           ReadingContext = "Trigger"
	ContextOther             ReadingContext = "Other"
)

// A Reading is one moment of a meter, folded to whole Wh and W over phases and
// units. An absent register stays absent: it is never a zero.
type Reading struct {
	At       UnixMilli      `json:"at"`               // charger's clock; 0 when it gave none
	Context  ReadingContext `json:"ctx,omitempty"`    // "" reads as Sample.Periodic
	Register *WattHours     `json:"wh,omitempty"`     // Energy.Active.Import.Register
	Power    *Watts         `json:"w,omitempty"`      // Power.Active.Import
	SoC      *int           `json:"soc,omitempty"`    // percent, 0..100
	Signed   string         `json:"signed,omitempty"` // signed meter value (OCMF or other), verbatim
}

// Limits bound a session. Zero means "no limit of this kind"; a refused
// session has no limits at all.
type Limits struct {
	Seconds int64     `json:"s,omitempty"`   // longest duration
	Energy  WattHours `json:"wh,omitempty"`  // most energy
	Power   Watts     `json:"w,omitempty"`   // highest power
	Cost    Micros    `json:"cur,omitempty"` // most money, in the tariff's currency
}

// Tighten returns the stricter of l and m, limit by limit.
func (l Limits) Tighten(m Limits) Limits {
	return Limits{
		Seconds: tighter(l.Seconds, m.Seconds),
		Energy:  tighter(l.Energy, m.Energy),
		Power:   tighter(l.Power, m.Power),
		Cost:    tighter(l.Cost, m.Cost),
	}
}

func tighter[N ~int64](a, b N) N {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
