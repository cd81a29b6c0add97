package ocpp

import (
	"math"
	"strings"

	"github.com/holdfast-ev/holdfast"
)

// A Sample is one sampled value, in the words that 1.6 and 2.0.1 share.
// Absent words are "" and read as the standards' defaults: measurand
// Energy.Active.Import.Register, context Sample.Periodic, location Outlet, unit
// Wh for energy.
type Sample struct {
	Value      string // decimal digits; ignored when Opaque
	Context    string
	Measurand  string
	Phase      string
	Location   string
	Unit       string
	Multiplier int    // power of ten, 2.0.1 unitOfMeasure.multiplier
	Signed     string // signed meter value, verbatim; "" none
	Opaque     bool   // the value is the signed data, not a number (1.6 format SignedData)
}

// The measurands that are folded. All others are left to the raw frame.
const (
	energyRegister = "Energy.Active.Import.Register"
	powerImport    = "Power.Active.Import"
	stateOfCharge  = "SoC"
)

// Fold turns the sampled values of one moment into readings: one per context,
// in the order of appearance.
//
// The register is Energy.Active.Import.Register at the Outlet, where what a
// driver is billed for flows (Inlet, Cable, EV and Body are other meters). A
// value without a phase is the total. Without a total the phases are added, L1
// L2 L3 or L1-N L2-N L3-N: all three, or L1 and L2, or a single one; L1-L2 and
// N are no part of a sum. Fractions are cut to the Wh at the end, so that
// differences telescope.
//
// A register stays absent when it cannot be told: no digits, an unknown or
// unfitting unit, negative, more than 64 bits, a gap among the phases, two
// different values for one place. Power follows the same rules in W, and may be
// negative. SoC is whole percent, 0 to 100. A context with none of these
// measurands yields no reading.
func Fold(at holdfast.UnixMilli, samples []Sample) []holdfast.Reading {
	var moments []moment
	for _, s := range samples {
		m := momentOf(&moments, contextOf(s.Context))
		m.add(s)
	}
	var out []holdfast.Reading
	for i := range moments {
		out = moments[i].readings(at, out)
	}
	return out
}

// contextOf returns s as one of the known contexts.
func contextOf(s string) holdfast.ReadingContext {
	switch c := holdfast.ReadingContext(s); c {
	case "":
		return holdfast.ContextPeriodic
	case holdfast.ContextPeriodic, holdfast.ContextClock, holdfast.ContextBegin, holdfast.ContextEnd,
		holdfast.ContextInterruptionBegin, holdfast.ContextInterruptionEnd, holdfast.ContextTrigger:
		return c
	}
	return holdfast.ContextOther
}

// A moment gathers the samples of one context. There are at most 8.
type moment struct {
	context holdfast.ReadingContext
	seen    bool // something that is folded, readable or not
	energy  tally
	power   tally
	soc     tally
	signed  []string
}

func momentOf(list *[]moment, c holdfast.ReadingContext) *moment {
	for i := range *list {
		if (*list)[i].context == c {
			return &(*list)[i]
		}
	}
	*list = append(*list, moment{context: c})
	return &(*list)[len(*list)-1]
}

func (m *moment) add(s Sample) {
	if s.Signed != "" && !contains(m.signed, s.Signed) {
		m.signed, m.seen = append(m.signed, s.Signed), true
	}
	if s.Opaque {
		return
	}
	atOutlet := s.Location == "" || s.Location == "Outlet"
	switch measurand := s.Measurand; {
	case (measurand == "" || measurand == energyRegister) && atOutlet:
		m.seen = true
		exp, ok := unit(s.Unit, "Wh", "kWh")
		m.energy.add(s, exp, ok, false)
	case measurand == powerImport && atOutlet:
		m.seen = true
		exp, ok := unit(s.Unit, "W", "kW")
		m.power.add(s, exp, ok, true)
	case measurand == stateOfCharge:
		m.seen = true
		ok := s.Unit == "" || strings.EqualFold(s.Unit, "Percent")
		m.soc.add(s, 0, ok, false)
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// unit returns the power of ten that brings a value to the base unit. No unit
// is the base unit: the standards' default for energy, and for power the only
// unit without a prefix.
func unit(u, base, kilo string) (exp int, ok bool) {
	switch {
	case u == "", strings.EqualFold(u, base):
		return 0, true
	case strings.EqualFold(u, kilo):
		return 3, true
	}
	return 0, false
}

// readings appends what the moment amounts to. A second signed value gets a
// reading of its own, so that none is lost.
func (m *moment) readings(at holdfast.UnixMilli, out []holdfast.Reading) []holdfast.Reading {
	if !m.seen {
		return out
	}
	r := holdfast.Reading{At: at, Context: m.context}
	if n, ok := m.energy.total(); ok {
		wh := holdfast.WattHours(n)
		r.Register = &wh
	}
	if n, ok := m.power.total(); ok {
		w := holdfast.Watts(n)
		r.Power = &w
	}
	if n, ok := m.soc.total(); ok && n <= 100 {
		percent := int(n)
		r.SoC = &percent
	}
	if len(m.signed) == 0 {
		return append(out, r)
	}
	for _, s := range m.signed {
		r.Signed = s
		out = append(out, r)
		r = holdfast.Reading{At: at, Context: m.context}
	}
	return out
}

// A tally holds the values of one measurand by place: 0 the total, 1 to 3 the
// phases L1 to L3, 4 to 6 the phases L1-N to L3-N.
type tally struct {
	value [7]amount
	have  [7]bool
	bad   [7]bool // unreadable, or two different values
}

// An amount is a value cut to the base unit and, for adding phases, to the
// millionth of it.
type amount struct {
	whole  int64
	micro  int64
	addend bool // micro is valid: it did not overflow
}

func slot(phase string) int {
	switch phase {
	case "":
		return 0
	case "L1", "L2", "L3":
		return int(phase[1] - '0')
	case "L1-N", "L2-N", "L3-N":
		return int(phase[1]-'0') + 3
	}
	return -1
}

func (t *tally) add(s Sample, exp int, ok, negative bool) {
	i := slot(s.Phase)
	if i < 0 {
		return
	}
	var a amount
	if s.Multiplier > maxExponent || s.Multiplier < -maxExponent {
		ok = false
	}
	if ok {
		exp += s.Multiplier
		a.whole, ok = ParseDecimal(s.Value, exp)
		a.micro, a.addend = ParseDecimal(s.Value, exp+6)
	}
	if !ok || a.whole < 0 && !negative || t.have[i] && t.value[i].whole != a.whole {
		t.bad[i] = true
	}
	if !t.have[i] {
		t.value[i], t.have[i] = a, true
	}
}

// total returns the value that stands for all phases.
func (t *tally) total() (int64, bool) {
	if t.have[0] {
		return t.value[0].whole, !t.bad[0]
	}
	for first := 1; first <= 4; first += 3 {
		if t.have[first] || t.have[first+1] || t.have[first+2] {
			return t.sum(first)
		}
	}
	return 0, false
}

func (t *tally) sum(first int) (total int64, ok bool) {
	phases := 0
	for i := range 3 {
		if !t.have[first+i] {
			continue
		}
		a := t.value[first+i]
		if t.bad[first+i] || !a.addend || addOverflows(total, a.micro) {
			return 0, false
		}
		total += a.micro
		phases++
	}
	if phases == 2 && t.have[first+2] {
		return 0, false // a gap: L3 without L1 or without L2
	}
	whole := total / 1_000_000
	if total%1_000_000 < 0 {
		whole--
	}
	return whole, true
}

func addOverflows(a, b int64) bool {
	return b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b
}
