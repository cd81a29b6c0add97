package tariff_test

import (
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/tariff"
)

const tariffsDoc = "../docs/tariffs.md"

func readDoc(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(tariffsDoc)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWorkedExamples prices every row of the table in docs/tariffs.md. Rows with
// round sums are the examples that OCPI 2.2.1 prints with its own results.
func TestWorkedExamples(t *testing.T) {
	rows := 0
	for line := range strings.Lines(readDoc(t)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 7 || !strings.HasPrefix(strings.TrimSpace(cells[0]), "`{") {
			continue
		}
		rows++
		p := mustParse(t, doc(strings.ReplaceAll(strings.TrimSpace(cells[0]), "`", "")))
		b, err := p.Price(tariff.Usage{Energy: holdfast.WattHours(whole(t, cells[1])), ChargingS: whole(t, cells[2]), ParkingS: whole(t, cells[3])})
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range []holdfast.Micros{b.Net, b.VAT, b.Gross} {
			want, ok := new(big.Rat).SetString(strings.TrimSpace(cells[4+i]))
			if !ok || want.Mul(want, big.NewRat(1_000_000, 1)).Cmp(big.NewRat(int64(got), 1)) != 0 {
				t.Errorf("%sgot %d micros in column %d", line, got, 4+i)
			}
		}
	}
	if rows < 10 {
		t.Errorf("found %d worked examples in %s", rows, tariffsDoc)
	}
}

func whole(t *testing.T, cell string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(cell), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDocNamesEveryRefusal: each code has its line, and no line a code that
// does not exist.
func TestDocNamesEveryRefusal(t *testing.T) {
	text := readDoc(t)
	for _, c := range tariff.Codes() {
		if strings.Count(text, "| `"+string(c)+"` |") != 1 {
			t.Errorf("%s lacks a line for %s", tariffsDoc, c)
		}
	}
	if got := strings.Count(text, "| `TARIFF_"); got != len(tariff.Codes()) {
		t.Errorf("%d lines for %d codes", got, len(tariff.Codes()))
	}
}
