package main

import (
	"math"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
)

// Amounts in the ledger lose nothing: 0.03 = 0.03 + 0.01 is no balance that a
// person would sign.
func TestExactAmounts(t *testing.T) {
	for m, want := range map[holdfast.Micros]string{
		0: "0.000000 EUR", 1: "0.000001 EUR", 32_130: "0.032130 EUR", 12_500_000: "12.500000 EUR", -12_345_600: "-12.345600 EUR",
		math.MinInt64: "-9223372036854.775808 EUR",
	} {
		if got := exact(m, "EUR"); got != want {
			t.Errorf("%d: %s, want %s", int64(m), got, want)
		}
	}
}

// What a charger answered is a table of its values, or the JSON that it sent.
func TestResults(t *testing.T) {
	for raw, want := range map[string]string{
		"":                       "",
		`{"B":"2","A":"1"}`:      "KEY  VALUE\nA    1\nB    2\n",
		`{"status":"x","n":[1]}`: "{\n  \"status\": \"x\",\n  \"n\": [\n    1\n  ]\n}\n",
	} {
		var b strings.Builder
		if err := printResult(&b, []byte(raw)); err != nil || b.String() != want {
			t.Errorf("%s is printed as %q, %v", raw, b.String(), err)
		}
	}
}
