package ocpp_test

import (
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
)

var unicodeAll = unicode.RangeTable{R32: []unicode.Range32{{Lo: 0, Hi: 0xd7ff, Stride: 1}, {Lo: 0xe000, Hi: 0x10ffff, Stride: 1}}}

func TestParseDecimal(t *testing.T) {
	for _, c := range []struct {
		s     string
		shift int
		want  int64
		ok    bool
	}{
		{"0", 0, 0, true}, {"12345", 0, 12345, true}, {"12.345", 3, 12345, true}, {"12.3459", 3, 12345, true},
		{"0.9999", 0, 0, true}, {"-0.0001", 0, -1, true}, {"-2", 0, -2, true}, {"-0", 0, 0, true},
		{"1e3", 0, 1000, true}, {"1.5E+3", 0, 1500, true}, {"1500e-3", 3, 1500, true}, {"1e-400", 0, 0, true}, {"-1e-400", 0, -1, true},
		{" 7 ", 0, 7, true}, {"+7", 0, 7, true}, {".5", 1, 5, true}, {"5.", 0, 5, true}, {"007", 0, 7, true},
		{"9223372036854775807", 0, 9223372036854775807, true}, {"9223372036854775808", 0, 0, false},
		{"-9223372036854775807", 0, -9223372036854775807, true}, {"9223372036854775.807", 3, 9223372036854775807, true},
		{"0e99999999999999999999", 3, 0, true}, {"1e99999999999999999999", 0, 0, false}, {"1e19", 0, 0, false},
		{"1" + strings.Repeat("0", 100) + "e-100", 0, 1, true},
		{"0." + strings.Repeat("0", 100) + "1e101", 0, 1, true},
		{"", 0, 0, false}, {" ", 0, 0, false}, {"-", 0, 0, false}, {".", 0, 0, false}, {"e5", 0, 0, false}, {"1e", 0, 0, false},
		{"NaN", 0, 0, false}, {"Infinity", 0, 0, false}, {"-inf", 0, 0, false}, {"0x1f", 0, 0, false}, {"1,5", 0, 0, false},
		{"1.2.3", 0, 0, false}, {"12 kWh", 0, 0, false}, {"1 2", 0, 0, false}, {"--1", 0, 0, false}, {"1e5.5", 0, 0, false},
	} {
		if got, ok := ocpp.ParseDecimal(c.s, c.shift); got != c.want || ok != c.ok {
			t.Errorf("%.40q * 10^%d = %d, %v; want %d, %v", c.s, c.shift, got, ok, c.want, c.ok)
		}
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"12.345", "-1e-3", "9223372036854775807", "+.5e+2", "0e99999", "1e19", "1_0", "0x1p-2", "00.10"} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, s string, shift int) {
		shift %= 40
		got, ok := ocpp.ParseDecimal(s, shift)
		trimmed := strings.Trim(s, " \t\r\n")
		if strings.ContainsAny(trimmed, "_xXpPoObB/") {
			if ok {
				t.Fatalf("%q is read as %d", s, got)
			}
			return
		}
		if i := strings.IndexAny(trimmed, "eE"); i >= 0 && len(trimmed)-i > 5 {
			return // too large for the reference
		}
		r, isNumber := new(big.Rat).SetString(trimmed)
		if !isNumber {
			if ok {
				t.Fatalf("%q is read as %d", s, got)
			}
			return
		}
		scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(shift, -shift))), nil))
		if shift < 0 {
			scale.Inv(scale)
		}
		r.Mul(r, scale)
		floor := new(big.Int).Div(r.Num(), r.Denom())
		if want := floor.IsInt64() && floor.Cmp(big.NewInt(-1<<63)) != 0; ok != want || ok && floor.Int64() != got {
			t.Fatalf("%q * 10^%d = %d, %v; want %v", s, shift, got, ok, floor)
		}
	})
}

func TestParseTime(t *testing.T) {
	const base = holdfast.UnixMilli(1616569600000) // 2021-03-24T07:06:40Z
	for s, want := range map[string]holdfast.UnixMilli{
		"2021-03-24T07:06:40Z":              base,
		"2021-03-24T07:06:40.000Z":          base,
		"2021-03-24T07:06:40.5Z":            base + 500,
		"2021-03-24T07:06:40.123987654321Z": base + 123,
		"2021-03-24T07:06:40,123Z":          base + 123,
		"2021-03-24t07:06:40z":              base,
		"2021-03-24 07:06:40Z":              base,
		"2021-03-24T07:06:40":               base, // no zone: UTC
		"2021-03-24T07:06:40.25":            base + 250,
		"2021-03-24T09:06:40+02:00":         base,
		"2021-03-24T09:06:40+0200":          base,
		"2021-03-24T09:06:40+02":            base,
		"2021-03-24T01:36:40.001-05:30":     base + 1,
		"2021-03-23T24:00:00Z":              1616544000000,
		"2016-12-31T23:59:60Z":              1483228800000, // leap second
		"2024-02-29T00:00:00Z":              1709164800000,
		"1970-01-01T00:00:00Z":              0,
		"1970-01-01T00:00:07Z":              7000,
		"2038-01-19T03:14:08Z":              1 << 31 * 1000,
		"2106-02-07T06:28:16Z":              1 << 32 * 1000,
		"9999-12-31T23:59:59.999Z":          253402300799999,
	} {
		if got, ok := ocpp.ParseTime(s); !ok || got != want {
			t.Errorf("%q = %d, %v; want %d", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"", "now", "2021-03-24", "2021-03-24T", "2021-03-24T07:06", "2021-03-24T07:06:40.", "2021-03-24T07:06:40.Z",
		"2021-13-24T07:06:40Z", "2021-00-24T07:06:40Z", "2021-02-29T07:06:40Z", "2021-03-24T25:06:40Z", "2021-03-24T24:00:01Z",
		"2021-03-24T07:60:40Z", "2021-03-24T07:06:61Z", "2021-03-24T07:06:40+25:00", "2021-03-24T07:06:40+2:00",
		"2021-03-24T07:06:40ZZ", "2021-03-24T07:06:40 Z", "21-03-24T07:06:40Z", "2021-3-24T07:06:40Z", "1616569600", "２021-03-24T07:06:40Z",
		"2021-03-24T07:06:40+02:", "-021-03-24T07:06:40Z", "2021/03/24T07:06:40Z", "2021-03-24T0 :06:40Z",
	} {
		if got, ok := ocpp.ParseTime(s); ok {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

// rfc3339 is stricter than time.Parse, which reads an hour of one digit.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func FuzzParseTime(f *testing.F) {
	f.Add("2021-03-24T07:06:40.123Z")
	f.Add("1970-01-01T00:00:00+01:00")
	f.Add("2021-03-24T24:00:00")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ocpp.ParseTime(s)
		if ref, err := time.Parse(time.RFC3339Nano, s); err == nil && rfc3339.MatchString(s) && (!ok || got != holdfast.UnixMilli(ref.Add(-time.Duration(ref.Nanosecond())%time.Millisecond).UnixMilli())) {
			t.Fatalf("%q = %d, %v; want %d", s, got, ok, ref.UnixMilli())
		}
		if !ok {
			return
		}
		if again, ok := ocpp.ParseTime(ocpp.FormatTime(got)); got > 0 && got < 253402300800000 && (!ok || again != got) {
			t.Fatalf("%q = %d, written and read again %d, %v", s, got, again, ok)
		}
	})
}

// reading is a shorthand for what a fold yields; -1 is absent.
func reading(c holdfast.ReadingContext, wh, w, soc int64, signed string) holdfast.Reading {
	r := holdfast.Reading{At: 5, Context: c, Signed: signed}
	if wh >= 0 {
		n := holdfast.WattHours(wh)
		r.Register = &n
	}
	if w >= 0 {
		n := holdfast.Watts(w)
		r.Power = &n
	}
	if soc >= 0 {
		n := int(soc)
		r.SoC = &n
	}
	return r
}

func TestFold(t *testing.T) {
	const per, begin, end = holdfast.ContextPeriodic, holdfast.ContextBegin, holdfast.ContextEnd
	energy, power := "Energy.Active.Import.Register", "Power.Active.Import"
	type S = ocpp.Sample
	one := func(c holdfast.ReadingContext, wh, w, soc int64) []holdfast.Reading {
		return []holdfast.Reading{reading(c, wh, w, soc, "")}
	}
	for _, c := range []struct {
		name    string
		samples []S
		want    []holdfast.Reading
	}{
		{"defaults", []S{{Value: "12345"}}, one(per, 12345, -1, -1)},
		{"kWh", []S{{Value: "733.255884", Measurand: energy, Unit: "kWh"}}, one(per, 733255, -1, -1)},
		{"unit in another case", []S{{Value: "1.5", Unit: "KWH"}}, one(per, 1500, -1, -1)},
		{"2.0.1 multiplier", []S{{Value: "1.5", Unit: "Wh", Multiplier: 3}}, one(per, 1500, -1, -1)},
		{"2.0.1 multiplier with kWh", []S{{Value: "15", Unit: "kWh", Multiplier: -1}}, one(per, 1500, -1, -1)},
		{"cut, not rounded", []S{{Value: "1.9999", Unit: "kWh"}}, one(per, 1999, -1, -1)},
		{"total beats phases", []S{{Value: "1", Phase: "L1"}, {Value: "10"}, {Value: "2", Phase: "L2"}}, one(per, 10, -1, -1)},
		{"three phases", []S{{Value: "1.4", Phase: "L1"}, {Value: "2.4", Phase: "L2"}, {Value: "3.4", Phase: "L3"}}, one(per, 7, -1, -1)},
		{"three phases to N", []S{{Value: "1", Phase: "L1-N"}, {Value: "2", Phase: "L2-N"}, {Value: "3", Phase: "L3-N"}}, one(per, 6, -1, -1)},
		{"both families count once", []S{{Value: "1", Phase: "L1-N"}, {Value: "1", Phase: "L1"}}, one(per, 1, -1, -1)},
		{"one phase, evcc 19351", []S{{Value: "7", Phase: "L1"}}, one(per, 7, -1, -1)},
		{"a single L2", []S{{Value: "7", Phase: "L2"}}, one(per, 7, -1, -1)},
		{"split phase", []S{{Value: "1", Phase: "L1"}, {Value: "2", Phase: "L2"}}, one(per, 3, -1, -1)},
		{"gap among phases", []S{{Value: "1", Phase: "L1"}, {Value: "2", Phase: "L3"}}, one(per, -1, -1, -1)},
		{"a phase that is no number", []S{{Value: "1", Phase: "L1"}, {Value: "NaN", Phase: "L2"}, {Value: "2", Phase: "L3"}}, one(per, -1, -1, -1)},
		{"between phases and N", []S{{Value: "1", Phase: "L1-L2"}, {Value: "2", Phase: "N"}}, one(per, -1, -1, -1)},
		{"phases overflow", []S{{Value: "9e18", Phase: "L1"}, {Value: "9e18", Phase: "L2"}}, one(per, -1, -1, -1)},
		{"sum of phases overflows", []S{{Value: "4e12", Phase: "L1"}, {Value: "4e12", Phase: "L2"}, {Value: "4e12", Phase: "L3"}}, one(per, -1, -1, -1)},
		{"same value twice", []S{{Value: "12345"}, {Value: "12.345", Unit: "kWh"}}, one(per, 12345, -1, -1)},
		{"two values for one place", []S{{Value: "12345"}, {Value: "12346"}}, one(per, -1, -1, -1)},
		{"a third value does not heal it", []S{{Value: "1"}, {Value: "2"}, {Value: "1"}}, one(per, -1, -1, -1)},
		{"garbage", []S{{Value: "n/a"}}, one(per, -1, -1, -1)},
		{"NaN", []S{{Value: "NaN"}}, one(per, -1, -1, -1)},
		{"empty", []S{{}}, one(per, -1, -1, -1)},
		{"overflow", []S{{Value: "9223372036854775808"}}, one(per, -1, -1, -1)},
		{"overflow by unit", []S{{Value: "9223372036854775807", Unit: "kWh"}}, one(per, -1, -1, -1)},
		{"overflow by multiplier", []S{{Value: "1", Multiplier: 2147483647}}, one(per, -1, -1, -1)},
		{"underflow by multiplier", []S{{Value: "1", Multiplier: -40}}, one(per, 0, -1, -1)},
		{"negative register", []S{{Value: "-1"}}, one(per, -1, -1, -1)},
		{"unfitting unit, MicroOcpp 318", []S{{Value: "1", Measurand: energy, Unit: "kW"}}, one(per, -1, -1, -1)},
		{"reactive unit", []S{{Value: "1", Measurand: energy, Unit: "kvarh"}}, one(per, -1, -1, -1)},
		{"ambiguous unit", []S{{Value: "1", Unit: "MWh"}}, one(per, -1, -1, -1)},
		{"inlet", []S{{Value: "1", Location: "Inlet"}}, nil},
		{"cable and EV", []S{{Value: "1", Location: "Cable"}, {Value: "1", Location: "EV"}}, nil},
		{"body, evcc 16966", []S{{Value: "2331810", Measurand: energy, Location: "Body", Unit: "Wh"}}, nil},
		{"outlet beside inlet", []S{{Value: "9", Location: "Inlet"}, {Value: "1", Location: "Outlet"}}, one(per, 1, -1, -1)},
		{"export", []S{{Value: "1", Measurand: "Energy.Active.Export.Register"}}, nil},
		{"interval", []S{{Value: "1", Measurand: "Energy.Active.Import.Interval"}}, nil},
		{"reactive", []S{{Value: "1", Measurand: "Energy.Reactive.Import.Register", Unit: "varh"}}, nil},
		{"voltage only", []S{{Value: "230", Measurand: "Voltage", Unit: "V"}}, nil},
		{"power", []S{{Value: "3.5", Measurand: power, Unit: "kW"}}, one(per, -1, 3500, -1)},
		{"power without unit", []S{{Value: "3500", Measurand: power}}, one(per, -1, 3500, -1)},
		{"power by phases", []S{{Value: "1.2", Measurand: power, Unit: "kW", Phase: "L1"}, {Value: "1.2", Measurand: power, Unit: "kW", Phase: "L2"},
			{Value: "1.2", Measurand: power, Unit: "kW", Phase: "L3"}}, one(per, -1, 3600, -1)},
		{"state of charge", []S{{Value: "81.7", Measurand: "SoC", Unit: "Percent", Location: "EV"}}, one(per, -1, -1, 81)},
		{"state of charge out of range", []S{{Value: "101", Measurand: "SoC"}}, one(per, -1, -1, -1)},
		{"all at once", []S{{Value: "10"}, {Value: "11", Measurand: power}, {Value: "12", Measurand: "SoC"}}, one(per, 10, 11, 12)},
		{"contexts apart", []S{{Value: "1", Context: "Transaction.Begin"}, {Value: "2", Context: "Transaction.End"}, {Value: "3", Measurand: power, Context: "Transaction.Begin"}},
			[]holdfast.Reading{reading(begin, 1, 3, -1, ""), reading(end, 2, -1, -1, "")}},
		{"absent context is periodic", []S{{Value: "1"}, {Value: "2", Measurand: power, Context: "Sample.Periodic"}}, one(per, 1, 2, -1)},
		{"unknown context", []S{{Value: "1", Context: "Sample.Weekly"}}, one(holdfast.ContextOther, 1, -1, -1)},
		{"signed, 1.6", []S{{Value: "OCMF|{}|{}", Signed: "OCMF|{}|{}", Opaque: true, Context: "Transaction.End"}, {Value: "7", Context: "Transaction.End"}},
			[]holdfast.Reading{reading(end, 7, -1, -1, "OCMF|{}|{}")}},
		{"signed digits are no register", []S{{Value: "123", Signed: "123", Opaque: true}}, []holdfast.Reading{reading(per, -1, -1, -1, "123")}},
		{"two signed values", []S{{Value: "7", Signed: "a"}, {Value: "8", Measurand: power, Signed: "b"}, {Value: "7", Signed: "a"}},
			[]holdfast.Reading{reading(per, 7, 8, -1, "a"), reading(per, -1, -1, -1, "b")}},
	} {
		if got := ocpp.Fold(5, c.samples); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, show(got), show(c.want))
		}
	}
	for _, samples := range [][]S{
		{{Value: "-1.5", Measurand: power}},
		{{Value: "-1", Measurand: power, Phase: "L1"}, {Value: "-0.5", Measurand: power, Phase: "L2"}, {Value: "0", Measurand: power, Phase: "L3"}},
	} {
		if r := ocpp.Fold(5, samples); len(r) != 1 || *r[0].Power != -2 {
			t.Errorf("negative power %+v: %s", samples, show(r))
		}
	}
}

func show(list []holdfast.Reading) string {
	var b strings.Builder
	for _, r := range list {
		fmt.Fprintf(&b, "{%d %s", r.At, r.Context)
		if r.Register != nil {
			fmt.Fprintf(&b, " %d Wh", *r.Register)
		}
		if r.Power != nil {
			fmt.Fprintf(&b, " %d W", *r.Power)
		}
		if r.SoC != nil {
			fmt.Fprintf(&b, " %d %%", *r.SoC)
		}
		fmt.Fprintf(&b, " %q}", r.Signed)
	}
	return b.String()
}

// However a register is written (unit, multiplier, exponent, decimals, split
// over phases, in whatever order, among other samples), the same Wh come out.
func TestFoldIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		milli := rapid.Int64Range(0, 9e12).Draw(t, "mWh")
		want := holdfast.WattHours(milli / 1000)
		var samples []ocpp.Sample
		if rapid.Bool().Draw(t, "total") {
			samples = append(samples, write(t, milli, ""))
		} else {
			suffix := rapid.SampledFrom([]string{"", "-N"}).Draw(t, "suffix")
			a := rapid.Int64Range(0, milli).Draw(t, "L1")
			b := rapid.Int64Range(0, milli-a).Draw(t, "L2")
			samples = append(samples, write(t, a, "L1"+suffix), write(t, b, "L2"+suffix), write(t, milli-a-b, "L3"+suffix))
		}
		samples = append(samples,
			ocpp.Sample{Value: "1", Location: "Inlet"},
			ocpp.Sample{Value: "2", Measurand: "Energy.Active.Export.Register"},
			ocpp.Sample{Value: "3", Context: "Transaction.Begin"},
			ocpp.Sample{Value: "4", Phase: "L1-L2"})
		samples = rapid.Permutation(samples).Draw(t, "order")
		for _, r := range ocpp.Fold(1, samples) {
			if r.Context == holdfast.ContextBegin {
				continue
			}
			if r.Register == nil || *r.Register != want {
				t.Fatalf("%+v: %s, want %d", samples, show([]holdfast.Reading{r}), want)
			}
			return
		}
		t.Fatal("no reading")
	})
}

// write writes mWh in one of the ways that a charger might.
func write(t *rapid.T, milli int64, phase string) ocpp.Sample {
	s := ocpp.Sample{Phase: phase}
	shift := -3 // decimal point against mWh
	if rapid.Bool().Draw(t, "kWh") {
		s.Unit, shift = "kWh", -6
	} else if rapid.Bool().Draw(t, "Wh") {
		s.Unit = "Wh"
	}
	s.Multiplier = rapid.IntRange(-9, 9).Draw(t, "multiplier")
	shift -= s.Multiplier
	exponent := rapid.IntRange(-9, 9).Draw(t, "exponent")
	shift -= exponent
	digits := fmt.Sprint(milli)
	if shift >= 0 {
		digits += strings.Repeat("0", shift)
	} else {
		if len(digits) <= -shift {
			digits = strings.Repeat("0", -shift-len(digits)+1) + digits
		}
		digits = digits[:len(digits)+shift] + "." + digits[len(digits)+shift:]
	}
	s.Value = digits
	if exponent != 0 {
		s.Value += fmt.Sprintf("e%d", exponent)
	}
	return s
}

// A register that grows is never folded into one that falls: cutting is
// monotone, so billed differences telescope.
func TestFoldIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Int64Range(0, 1e12).Draw(t, "low")
		high := low + rapid.Int64Range(0, 1e6).Draw(t, "growth")
		a, b := ocpp.Fold(0, []ocpp.Sample{write(t, low, "")}), ocpp.Fold(0, []ocpp.Sample{write(t, high, "")})
		if *a[0].Register > *b[0].Register {
			t.Fatalf("%d mWh is %d Wh, %d mWh is %d Wh", low, *a[0].Register, high, *b[0].Register)
		}
	})
}

func FuzzFold(f *testing.F) {
	f.Add("12.5", "kWh", "L1", "Transaction.Begin", "", 0, "1", "Wh", "L2")
	f.Add("9e18", "", "", "", "SoC", 2147483647, "NaN", "W", "L3-N")
	f.Fuzz(func(t *testing.T, value, unit, phase, context, measurand string, multiplier int, value2, unit2, phase2 string) {
		got := ocpp.Fold(1, []ocpp.Sample{
			{Value: value, Unit: unit, Phase: phase, Context: context, Measurand: measurand, Multiplier: multiplier},
			{Value: value2, Unit: unit2, Phase: phase2, Context: context},
		})
		for _, r := range got {
			if r.Register != nil && *r.Register < 0 || r.SoC != nil && (*r.SoC < 0 || *r.SoC > 100) || r.Context == "" {
				t.Fatalf("impossible reading %s", show(got))
			}
		}
	})
}
