package tariff

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/holdfast-ev/holdfast"
)

// Bounds. With all of them at their limits a bill's gross stays below 2^63
// micros, so pricing cannot overflow.
const (
	MaxBytes      = 64 << 10                               // of a tariff document
	MaxElements   = 64                                     // tariff elements
	MaxPrice      = holdfast.Micros(1_000_000 * 1_000_000) // 1,000,000 units per kWh, per hour or flat
	MaxVATppm     = 1_000_000                              // 100 %
	MaxStep       = 1_000_000                              // Wh or s: 1 MWh, 11.5 days
	MaxEnergy     = holdfast.WattHours(1_000_000_000)      // 1 GWh in one session
	MaxSeconds    = 1_000_000_000                          // 31 years of one session
	MaxIDLen      = 36                                     // OCPI CiString(36)
	unbounded     = holdfast.Micros(1<<63 - 1)             // what Worst answers when nothing bounds a session
	roundingSlack = holdfast.Micros(4)                     // more than the half micros of two lines and their VAT
)

// ErrUsage is wrapped by the error of [Tariff.Price] for a usage that cannot be
// real: negative, or beyond a bound.
var ErrUsage = errors.New("usage out of range")

// A Dimension is OCPI's TariffDimensionType.
type Dimension string

// The dimensions, in the order of a bill's lines.
const (
	Flat        Dimension = "FLAT"         // once per session
	Energy      Dimension = "ENERGY"       // per kWh
	Time        Dimension = "TIME"         // per hour of charging
	ParkingTime Dimension = "PARKING_TIME" // per hour of not charging while plugged in
)

// Dimensions lists the dimensions in the order of a bill's lines.
func Dimensions() []Dimension { return []Dimension{Flat, Energy, Time, ParkingTime} }

// A Component is the price of one dimension.
type Component struct {
	Dimension Dimension
	Price     holdfast.Micros // per kWh, per hour, or once; without VAT
	VATppm    int64           // VAT in millionths: 19 % is 190,000
	Taxed     bool            // false: no vat in the tariff, which OCPI tells from 0 %
	Step      int64           // Wh or s that quantities are rounded up to; 1 for FLAT
}

// unit is how many counted units one price buys.
func (c Component) unit() int64 {
	switch c.Dimension {
	case Energy:
		return 1000 // Wh in a kWh
	case Time, ParkingTime:
		return 3600 // seconds in an hour
	}
	return 1
}

// A Tariff is a tariff that can be applied whole. Make one with [Parse].
type Tariff struct {
	CountryCode string             // ISO 3166 alpha-2; "" when the document has none
	PartyID     string             // the CPO's id; "" when the document has none
	ID          string             // 1 to MaxIDLen characters
	Currency    string             // ISO 4217
	From        holdfast.UnixMilli // start_date_time; 0: no beginning
	Until       holdfast.UnixMilli // end_date_time, exclusive; 0: no end
	LastUpdated holdfast.UnixMilli // 0 when the document has none

	components []Component // at most one per dimension, in the order of Dimensions
}

// Components returns the prices, at most one for each dimension.
func (t *Tariff) Components() []Component { return append([]Component(nil), t.components...) }

// ByTime reports whether time costs something.
func (t *Tariff) ByTime() bool {
	for _, c := range t.components {
		if c.Price > 0 && (c.Dimension == Time || c.Dimension == ParkingTime) {
			return true
		}
	}
	return false
}

// ActiveAt reports whether the tariff is within its validity at the given time.
// A session keeps the tariff it began with, so ask for its start.
func (t *Tariff) ActiveAt(at holdfast.UnixMilli) bool {
	return (t.From == 0 || at >= t.From) && (t.Until == 0 || at < t.Until)
}

// Usage is what one session used.
type Usage struct {
	Energy    holdfast.WattHours `json:"energy_wh"`
	ChargingS int64              `json:"charging_s"` // seconds in which energy flowed
	ParkingS  int64              `json:"parking_s"`  // seconds plugged in without energy flowing
}

// Check says, wrapping [ErrUsage], why u cannot be priced; nil when it can.
func (u Usage) Check() error {
	switch {
	case u.Energy < 0 || u.Energy > MaxEnergy:
		return fmt.Errorf("energy of %d Wh, want 0 to %d: %w", u.Energy, MaxEnergy, ErrUsage)
	case u.ChargingS < 0 || u.ChargingS > MaxSeconds:
		return fmt.Errorf("charging for %d s, want 0 to %d: %w", u.ChargingS, MaxSeconds, ErrUsage)
	case u.ParkingS < 0 || u.ParkingS > MaxSeconds:
		return fmt.Errorf("parking for %d s, want 0 to %d: %w", u.ParkingS, MaxSeconds, ErrUsage)
	}
	return nil
}

// A Line is one line of a bill.
type Line struct {
	Kind      string          `json:"kind"`       // a Dimension
	Quantity  int64           `json:"quantity"`   // Wh or s after the step; 1 for FLAT
	UnitPrice holdfast.Micros `json:"unit_price"` // per kWh, per hour, or once; without VAT
	VATppm    int64           `json:"vat_ppm"`
	Net       holdfast.Micros `json:"net"`
	VAT       holdfast.Micros `json:"vat"`
	Gross     holdfast.Micros `json:"gross"` // Net + VAT
}

// A Bill is a priced session. Each total is the sum of its lines.
type Bill struct {
	Currency string          `json:"currency"`
	Lines    []Line          `json:"lines"`
	Net      holdfast.Micros `json:"net"`
	VAT      holdfast.Micros `json:"vat"`
	Gross    holdfast.Micros `json:"gross"`
}

// Price makes the bill for u. A dimension that the session did not use has no
// line; FLAT always has one. It fails, wrapping [ErrUsage], when u is negative
// or beyond a bound: such a session is for a person to look at.
//
// step_size is applied once to the energy and once to the time: when a session
// has both TIME and PARKING_TIME to pay, only the parking is rounded up (OCPI
// 2.2.1, PriceComponent class).
func (t *Tariff) Price(u Usage) (Bill, error) {
	if err := u.Check(); err != nil {
		return Bill{}, fmt.Errorf("price with tariff %q: %w", t.ID, err)
	}
	b := Bill{Currency: t.Currency, Lines: make([]Line, 0, len(t.components))}
	parks := u.ParkingS > 0 && t.has(ParkingTime)
	for _, c := range t.components {
		used, step := u.of(c.Dimension), c.Step
		if c.Dimension == Time && parks {
			step = 1
		}
		if used > 0 {
			b.add(c.line(roundUp(used, step)))
		}
	}
	return b, nil
}

func (t *Tariff) has(d Dimension) bool {
	_, ok := t.component(d)
	return ok
}

func (t *Tariff) component(d Dimension) (Component, bool) {
	for _, c := range t.components {
		if c.Dimension == d {
			return c, true
		}
	}
	return Component{}, false
}

func (u Usage) of(d Dimension) int64 {
	switch d {
	case Energy:
		return int64(u.Energy)
	case Time:
		return u.ChargingS
	case ParkingTime:
		return u.ParkingS
	}
	return 1
}

func (b *Bill) add(l Line) {
	b.Lines = append(b.Lines, l)
	b.Net += l.Net
	b.VAT += l.VAT
	b.Gross += l.Gross
}

func (c Component) line(quantity int64) Line {
	net := mulDiv(int64(c.Price), quantity, c.unit())
	vat := mulDiv(net, c.VATppm, 1_000_000)
	return Line{
		Kind: string(c.Dimension), Quantity: quantity, UnitPrice: c.Price, VATppm: c.VATppm,
		Net: holdfast.Micros(net), VAT: holdfast.Micros(vat), Gross: holdfast.Micros(net + vat),
	}
}

// roundUp returns the least multiple of step that is >= n.
func roundUp(n, step int64) int64 { return (n + step - 1) / step * step }

// mulDiv returns a x b / d rounded half up, for a, b >= 0 and d > 0. The
// product is 128 bits wide; the bounds of this package keep the quotient within
// 63.
func mulDiv(a, b, d int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	lo, carry := bits.Add64(lo, uint64(d)/2, 0)
	q, _ := bits.Div64(hi+carry, lo, uint64(d))
	return int64(q)
}
