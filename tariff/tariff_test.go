package tariff_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/tariff"
)

// doc wraps price components (JSON objects) into a tariff.
func doc(components ...string) string {
	return `{"country_code":"DE","party_id":"HFT","id":"t1","currency":"EUR","elements":[{"price_components":[` +
		strings.Join(components, ",") + `]}],"last_updated":"2026-01-01T00:00:00Z"}`
}

func mustParse(t testing.TB, s string) *tariff.Tariff {
	t.Helper()
	p, err := tariff.Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Component texts that the tables below combine.
const (
	flat50    = `{"type":"FLAT","price":0.50,"vat":20.0,"step_size":1}`
	energy25  = `{"type":"ENERGY","price":0.25,"vat":10.0,"step_size":1}`
	park2     = `{"type":"PARKING_TIME","price":2.00,"vat":20.0,"step_size":900}`
	time3     = `{"type":"TIME","price":3.00,"vat":10.0,"step_size":60}`
	park5     = `{"type":"PARKING_TIME","price":5.00,"vat":20.0,"step_size":300}`
	freeOfFee = `{"type":"FLAT","price":0.00,"step_size":0}`
)

// TestSmallPrint holds what the worked examples of docs/tariffs.md leave out.
func TestSmallPrint(t *testing.T) {
	for _, c := range []struct {
		name       string
		components []string
		usage      tariff.Usage
		net, gross holdfast.Micros
	}{
		{"OCPI: 115.2 Wh is billed as 116 Wh", []string{`{"type":"ENERGY","price":0.25,"step_size":1}`}, tariff.Usage{Energy: 116}, 29_000, 29_000},
		{"OCPI: step 25", []string{`{"type":"ENERGY","price":0.25,"step_size":25}`}, tariff.Usage{Energy: 101}, 31_250, 31_250},
		{"step 25, at the step", []string{`{"type":"ENERGY","price":0.25,"step_size":25}`}, tariff.Usage{Energy: 125}, 31_250, 31_250},
		{"OCPI: 8 minutes parked, 5 minute steps", []string{`{"type":"PARKING_TIME","price":6,"step_size":300}`},
			tariff.Usage{ParkingS: 480}, 1_000_000, 1_000_000},
		{"just below half a micro rounds down", []string{`{"type":"ENERGY","price":0.000499,"step_size":1}`}, tariff.Usage{Energy: 1}, 0, 0},
		{"VAT rounds per line", []string{`{"type":"ENERGY","price":0.001,"vat":50,"step_size":1}`}, tariff.Usage{Energy: 1}, 1, 2},
		{"nothing used", []string{energy25, time3, park5}, tariff.Usage{}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := mustParse(t, doc(c.components...)).Price(c.usage)
			if err != nil {
				t.Fatal(err)
			}
			if b.Net != c.net || b.Gross != c.gross || b.Currency != "EUR" {
				t.Errorf("got %+v, want net %d gross %d", b, c.net, c.gross)
			}
		})
	}
}

func TestLineNamesWhatItBills(t *testing.T) {
	b, err := mustParse(t, doc(park2, energy25, flat50)).Price(tariff.Usage{Energy: 20_000, ChargingS: 60, ParkingS: 2400})
	if err != nil {
		t.Fatal(err)
	}
	want := []tariff.Line{
		{Kind: "FLAT", Quantity: 1, UnitPrice: 500_000, VATppm: 200_000, Net: 500_000, VAT: 100_000, Gross: 600_000},
		{Kind: "ENERGY", Quantity: 20_000, UnitPrice: 250_000, VATppm: 100_000, Net: 5_000_000, VAT: 500_000, Gross: 5_500_000},
		{Kind: "PARKING_TIME", Quantity: 2700, UnitPrice: 2_000_000, VATppm: 200_000, Net: 1_500_000, VAT: 300_000, Gross: 1_800_000},
	}
	if fmt.Sprint(b.Lines) != fmt.Sprint(want) {
		t.Errorf("lines\n%+v\nwant\n%+v", b.Lines, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		code      tariff.Code
		path      string
	}{
		{"nothing", ``, tariff.CodeJSON, "$"},
		{"not an object", `[]`, tariff.CodeType, "$"},
		{"cut short", `{"id":"a"`, tariff.CodeJSON, "$"},
		{"trailing", doc(energy25) + ` {}`, tariff.CodeJSON, "$"},
		{"too large", strings.Repeat(" ", tariff.MaxBytes+1), tariff.CodeJSON, "$"},
		{"too deep", strings.Repeat("[", 100), tariff.CodeJSON, "$" + strings.Repeat("[0]", 17)},
		{"price twice", doc(`{"type":"ENERGY","price":0.25,"price":0.50,"step_size":1}`), tariff.CodeJSON, "$.elements[0].price_components[0].price"},
		{"price in capitals", doc(`{"type":"ENERGY","Price":0.25,"step_size":1}`), tariff.CodeUnknown, "$.elements[0].price_components[0].Price"},
		{"unknown field", `{"id":"a","currency":"EUR","surcharge":1,"elements":[]}`, tariff.CodeUnknown, "$.surcharge"},
		{"no id", `{"currency":"EUR","elements":[]}`, tariff.CodeMissing, "$.id"},
		{"long id", `{"id":"` + strings.Repeat("a", 37) + `","currency":"EUR"}`, tariff.CodeValue, "$.id"},
		{"no elements", `{"id":"a","currency":"EUR"}`, tariff.CodeMissing, "$.elements"},
		{"empty elements", `{"id":"a","currency":"EUR","elements":[]}`, tariff.CodeValue, "$.elements"},
		{"small currency", `{"id":"a","currency":"eur","elements":[]}`, tariff.CodeValue, "$.currency"},
		{"no step", doc(`{"type":"ENERGY","price":0.25}`), tariff.CodeMissing, "$.elements[0].price_components[0].step_size"},
		{"step 0", doc(`{"type":"ENERGY","price":0.25,"step_size":0}`), tariff.CodeValue, "$.elements[0].price_components[0].step_size"},
		{"step 1.5", doc(`{"type":"ENERGY","price":0.25,"step_size":1.5}`), tariff.CodeValue, "$.elements[0].price_components[0].step_size"},
		{"step huge", doc(`{"type":"ENERGY","price":0.25,"step_size":1000001}`), tariff.CodeValue, "$.elements[0].price_components[0].step_size"},
		{"price in a string", doc(`{"type":"ENERGY","price":"0.25","step_size":1}`), tariff.CodeType, "$.elements[0].price_components[0].price"},
		{"price negative", doc(`{"type":"ENERGY","price":-0.25,"step_size":1}`), tariff.CodeValue, "$.elements[0].price_components[0].price"},
		{"price too fine", doc(`{"type":"ENERGY","price":0.2500001,"step_size":1}`), tariff.CodeValue, "$.elements[0].price_components[0].price"},
		{"price huge", doc(`{"type":"ENERGY","price":1000000.000001,"step_size":1}`), tariff.CodeValue, "$.elements[0].price_components[0].price"},
		{"price 1e400", doc(`{"type":"ENERGY","price":1e400,"step_size":1}`), tariff.CodeValue, "$.elements[0].price_components[0].price"},
		{"vat above 100", doc(`{"type":"ENERGY","price":1,"vat":100.1,"step_size":1}`), tariff.CodeValue, "$.elements[0].price_components[0].vat"},
		{"price of words", doc(`{"type":"ENERGY","price":1e,"step_size":1}`), tariff.CodeJSON, "$.elements[0].price_components[0].price"},
		{"components that are no list", `{"id":"a","currency":"EUR","elements":[{"price_components":{}}]}`, tariff.CodeType, "$.elements[0].price_components"},
		{"no components", `{"id":"a","currency":"EUR","elements":[{"price_components":[]}]}`, tariff.CodeValue, "$.elements[0].price_components"},
		{"unknown field of an element", `{"id":"a","currency":"EUR","elements":[{"discount":1}]}`, tariff.CodeUnknown, "$.elements[0].discount"},
		{"country of three letters", `{"id":"a","currency":"EUR","country_code":"DEU"}`, tariff.CodeValue, "$.country_code"},
		{"id with a space", `{"id":"a b","currency":"EUR"}`, tariff.CodeValue, "$.id"},
		{"unknown dimension", doc(`{"type":"SESSION_TIME","price":1,"step_size":1}`), tariff.CodeValue, "$.elements[0].price_components[0].type"},
		{"two prices in one element", doc(energy25, energy25), tariff.CodeAmbiguous, "$.elements[0].price_components[1]"},
		{"two prices in two elements", `{"id":"a","currency":"EUR","elements":[{"price_components":[` + energy25 + `]},{"price_components":[` + energy25 + `]}]}`,
			tariff.CodeAmbiguous, "$.elements[1].price_components[0]"},
		{"restriction", `{"id":"a","currency":"EUR","elements":[{"price_components":[` + energy25 + `],"restrictions":{"max_kwh":20}}]}`,
			tariff.CodeUnsupported, "$.elements[0].restrictions.max_kwh"},
		{"weekdays", `{"id":"a","currency":"EUR","elements":[{"price_components":[` + energy25 + `],"restrictions":{"day_of_week":["MONDAY"]}}]}`,
			tariff.CodeUnsupported, "$.elements[0].restrictions.day_of_week"},
		{"min price", `{"id":"a","currency":"EUR","min_price":{"excl_vat":1},"elements":[]}`, tariff.CodeUnsupported, "$.min_price"},
		{"max price", `{"id":"a","currency":"EUR","max_price":{"excl_vat":1},"elements":[]}`, tariff.CodeUnsupported, "$.max_price"},
		{"tax inside", `{"id":"a","currency":"EUR","tax_included":"YES","elements":[]}`, tariff.CodeUnsupported, "$.tax_included"},
		{"profile", `{"id":"a","currency":"EUR","type":"PROFILE_CHEAP","elements":[]}`, tariff.CodeUnsupported, "$.type"},
		{"bad time", `{"id":"a","currency":"EUR","start_date_time":"2026-02-30T00:00:00Z","elements":[]}`, tariff.CodeValue, "$.start_date_time"},
		{"other zone", `{"id":"a","currency":"EUR","start_date_time":"2026-02-20T00:00:00+01:00","elements":[]}`, tariff.CodeValue, "$.start_date_time"},
		{"ends before it starts", `{"id":"a","currency":"EUR","start_date_time":"2026-02-20T00:00:00Z","end_date_time":"2026-02-19T00:00:00Z","elements":[]}`,
			tariff.CodeValue, "$.end_date_time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := tariff.Parse([]byte(c.doc))
			var e *tariff.Error
			if p != nil || !errors.As(err, &e) {
				t.Fatalf("accepted, or an uncoded error: %v", err)
			}
			if e.Code != c.code || e.Path != c.path || !strings.HasPrefix(err.Error(), string(c.code)+": tariff: "+c.path+" ") {
				t.Errorf("got %v, want %s at %s", err, c.code, c.path)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	p := mustParse(t, `{"id":"day","currency":"CHF","type":"REGULAR","tax_included":"NO","tariff_alt_url":"https://example.net/t",
		"tariff_alt_text":[{"language":"en","text":"hi"}],"min_price":null,"start_date_time":"2026-01-01T00:00:00Z",
		"end_date_time":"2027-01-01T00:00:00","elements":[{"restrictions":{"day_of_week":[],"max_kwh":null},
		"price_components":[{"type":"ENERGY","price":45e-2,"vat":8.1,"step_size":1.0}]}]}`)
	want := tariff.Component{Dimension: tariff.Energy, Price: 450_000, VATppm: 81_000, Taxed: true, Step: 1}
	if got := p.Components(); len(got) != 1 || got[0] != want {
		t.Errorf("components %+v, want %+v", got, want)
	}
	for at, want := range map[holdfast.UnixMilli]bool{p.From - 1: false, p.From: true, p.Until - 1: true, p.Until: false} {
		if p.ActiveAt(at) != want {
			t.Errorf("active at %v: %v, want %v", at, !want, want)
		}
	}
}

func TestPriceRefusesWhatCannotBe(t *testing.T) {
	p := mustParse(t, doc(energy25, time3, park5))
	for _, u := range []tariff.Usage{
		{Energy: -1}, {Energy: tariff.MaxEnergy + 1}, {Energy: math.MaxInt64}, {Energy: math.MinInt64},
		{ChargingS: -1}, {ChargingS: tariff.MaxSeconds + 1}, {ParkingS: -1}, {ParkingS: math.MaxInt64},
	} {
		if b, err := p.Price(u); !errors.Is(err, tariff.ErrUsage) || len(b.Lines) != 0 {
			t.Errorf("%+v: got %+v, %v, want ErrUsage", u, b, err)
		}
	}
}

// TestDearestBillDoesNotOverflow prices the dearest tariff at the largest usage
// and compares with arithmetic of unlimited width.
func TestDearestBillDoesNotOverflow(t *testing.T) {
	part := `{"type":%q,"price":1000000,"vat":100,"step_size":1000000}`
	p := mustParse(t, doc(fmt.Sprintf(part, "FLAT"), fmt.Sprintf(part, "ENERGY"), fmt.Sprintf(part, "TIME"), fmt.Sprintf(part, "PARKING_TIME")))
	b, err := p.Price(tariff.Usage{Energy: tariff.MaxEnergy, ChargingS: tariff.MaxSeconds, ParkingS: tariff.MaxSeconds})
	if err != nil {
		t.Fatal(err)
	}
	checkBill(t, b)
	if b.Gross < 0 || b.Gross < b.Net {
		t.Errorf("gross %d, net %d", b.Gross, b.Net)
	}
	if w := p.Worst(tariff.MaxSeconds, tariff.MaxEnergy, 0); w < b.Lines[0].Gross+b.Lines[1].Gross {
		t.Errorf("worst case %d is below the bill", w)
	}
}

// checkBill checks every line against big integers, and the totals.
func checkBill(t interface {
	Helper()
	Errorf(string, ...any)
}, b tariff.Bill) {
	t.Helper()
	var net, vat, gross holdfast.Micros
	for _, l := range b.Lines {
		unit := map[string]int64{"ENERGY": 1000, "TIME": 3600, "PARKING_TIME": 3600, "FLAT": 1}[l.Kind]
		if want := halfUp(int64(l.UnitPrice), l.Quantity, unit); int64(l.Net) != want {
			t.Errorf("%s: net %d, want %d", l.Kind, l.Net, want)
		}
		if want := halfUp(int64(l.Net), l.VATppm, 1_000_000); int64(l.VAT) != want {
			t.Errorf("%s: VAT %d, want %d", l.Kind, l.VAT, want)
		}
		if l.Gross != l.Net+l.VAT {
			t.Errorf("%s: gross %d is not %d + %d", l.Kind, l.Gross, l.Net, l.VAT)
		}
		net, vat, gross = net+l.Net, vat+l.VAT, gross+l.Gross
	}
	if b.Net != net || b.VAT != vat || b.Gross != gross || b.Gross != b.Net+b.VAT {
		t.Errorf("totals %d %d %d, lines say %d %d %d", b.Net, b.VAT, b.Gross, net, vat, gross)
	}
}

func halfUp(a, b, d int64) int64 {
	n := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
	n.Add(n.Lsh(n, 1), big.NewInt(d))
	return n.Div(n, big.NewInt(2*d)).Int64()
}

// genTariff draws a tariff document with any subset of the dimensions.
func genTariff() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var parts []string
		for _, d := range tariff.Dimensions() {
			if rapid.Bool().Draw(t, "has "+string(d)) {
				parts = append(parts, fmt.Sprintf(`{"type":%q,"price":%d.%06d,"vat":%d.%04d,"step_size":%d}`, d,
					rapid.Int64Range(0, 999_999).Draw(t, "price"), rapid.IntRange(0, 999_999).Draw(t, "decimals"),
					rapid.IntRange(0, 99).Draw(t, "vat"), rapid.IntRange(0, 9999).Draw(t, "decimals"),
					rapid.Int64Range(1, tariff.MaxStep).Draw(t, "step")))
			}
		}
		if len(parts) == 0 {
			parts = []string{freeOfFee}
		}
		return doc(parts...)
	})
}

func TestBillProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := tariff.Parse([]byte(genTariff().Draw(t, "tariff")))
		if err != nil {
			t.Fatal(err)
		}
		u := tariff.Usage{
			Energy:    holdfast.WattHours(rapid.Int64Range(0, int64(tariff.MaxEnergy)).Draw(t, "Wh")),
			ChargingS: rapid.Int64Range(0, tariff.MaxSeconds/2).Draw(t, "charging"),
			ParkingS:  rapid.Int64Range(0, tariff.MaxSeconds/2).Draw(t, "parking"),
		}
		b, err := p.Price(u)
		if err != nil {
			t.Fatal(err)
		}
		checkBill(t, b)
		for _, l := range b.Lines {
			used := map[string]int64{"ENERGY": int64(u.Energy), "TIME": u.ChargingS, "PARKING_TIME": u.ParkingS, "FLAT": 1}[l.Kind]
			if l.Quantity < used || l.Quantity-used >= tariff.MaxStep {
				t.Fatalf("%s: %d billed for %d used", l.Kind, l.Quantity, used)
			}
		}
		// What bounds a session bounds its bill.
		seconds := u.ChargingS + u.ParkingS
		if seconds > 0 && u.Energy > 0 {
			if w := p.Worst(seconds, u.Energy, 0); b.Gross > w {
				t.Fatalf("%+v costs %d, the worst case said %d", u, b.Gross, w)
			}
			more := u
			more.Energy = min(more.Energy+1, tariff.MaxEnergy)
			if dearer, _ := p.Price(more); dearer.Gross < b.Gross {
				t.Fatalf("one Wh more made it cheaper: %d to %d", b.Gross, dearer.Gross)
			}
		}
	})
}

func TestWorstIsTightWhereItMatters(t *testing.T) {
	p := mustParse(t, doc(flat50, energy25))
	for _, c := range []struct {
		name    string
		seconds int64
		energy  holdfast.WattHours
		power   holdfast.Watts
		want    holdfast.Micros
	}{
		{"by energy", 0, 20_000, 0, 6_100_000},
		{"by power and time", 3600, 0, 11_000, 600_000 + 3_025_000},
		{"the stricter", 3600, 20_000, 11_000, 600_000 + 3_025_000},
		{"nothing bounds it", 0, 0, 11_000, math.MaxInt64},
		{"a negative limit is none", -1, -1, 11_000, math.MaxInt64},
		{"an absurd limit is none", 3600, tariff.MaxEnergy + 1, math.MaxInt64, math.MaxInt64},
	} {
		if got := p.Worst(c.seconds, c.energy, c.power); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := mustParse(t, doc(time3)).Worst(0, 20_000, 11_000); got != math.MaxInt64 {
		t.Errorf("a price by time without a time limit: %d, want unbounded", got)
	}
	if got := mustParse(t, doc(freeOfFee)).Worst(0, 0, 0); got != 0 {
		t.Errorf("a free tariff can cost %d", got)
	}
}

// FuzzParse: whatever the bytes, Parse returns a coded error or a tariff that
// prices without a panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(doc(flat50, energy25, time3, park5)))
	f.Add([]byte(`{"id":"a","currency":"EUR","elements":[{"price_components":[{"type":"ENERGY","price":1e-6,"vat":-0,"step_size":1e2}]}]}`))
	f.Add([]byte(`{"elements":[[[[[{}]]]]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tariff.Parse(b)
		if err != nil {
			var e *tariff.Error
			if !errors.As(err, &e) || e.Path == "" {
				t.Fatalf("uncoded error %v", err)
			}
			return
		}
		bill, err := p.Price(tariff.Usage{Energy: 12_345, ChargingS: 678, ParkingS: 90})
		if err != nil {
			t.Fatal(err)
		}
		checkBill(t, bill)
	})
}

func TestBillJSON(t *testing.T) {
	b, _ := mustParse(t, doc(energy25)).Price(tariff.Usage{Energy: 1000})
	got, err := json.Marshal(b)
	want := `{"currency":"EUR","lines":[{"kind":"ENERGY","quantity":1000,"unit_price":250000,"vat_ppm":100000,"net":250000,"vat":25000,"gross":275000}],"net":250000,"vat":25000,"gross":275000}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}
