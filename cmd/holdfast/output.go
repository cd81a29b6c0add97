package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-ev/holdfast"
)

// A table is text for people: columns aligned by what is in them, numbers to
// the right. A heading that begins with ">" is a right-aligned column.
type table struct {
	heads []string
	rows  [][]string
}

func newTable(heads ...string) *table { return &table{heads: heads} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes the table without a space at the end of any line.
func (t *table) print(w io.Writer) {
	width := make([]int, len(t.heads))
	heads := make([]string, len(t.heads))
	for i, h := range t.heads {
		heads[i] = strings.TrimPrefix(h, ">")
	}
	for _, row := range append([][]string{heads}, t.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range append([][]string{heads}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if strings.HasPrefix(t.heads[i], ">") {
				line.WriteString(pad + cell + "  ")
			} else {
				line.WriteString(cell + pad + "  ")
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// facts prints name and value pairs below each other; pairs without a value
// are left out.
func facts(w io.Writer, pairs ...string) {
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			width = max(width, utf8.RuneCountInString(pairs[i]))
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "  %-*s  %s\n", width, pairs[i], pairs[i+1])
		}
	}
}

// printJSON writes an answer of the API as it came, indented.
func printJSON(w io.Writer, raw []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// when prints a time in the reader's zone, and says which that is.
func when(u holdfast.UnixMilli) string {
	if u == 0 {
		return "-"
	}
	return time.UnixMilli(int64(u)).Local().Format("2006-01-02 15:04:05 MST")
}

// ago prints how long before now u was, in two units.
func ago(now time.Time, u holdfast.UnixMilli) string {
	return lasted(now.Sub(time.UnixMilli(int64(u))))
}

// lasted prints a span in two units: "3 h 12 m".
func lasted(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	day := 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d m", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d m %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// kwh prints energy to the Wh, without the unit: it stands in the heading.
func kwh(w holdfast.WattHours) string { return strings.TrimSuffix(w.String(), " kWh") }

// money prints an amount to the cent with its currency.
func money(m holdfast.Micros, currency string) string {
	return holdfast.Money{Currency: currency, Micros: m}.String()
}

// exact prints an amount with every digit that it has: in a ledger, columns must
// add up for whoever adds them up.
func exact(m holdfast.Micros, currency string) string {
	sign, n := "", uint64(m)
	if m < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%06d %s", sign, n/1_000_000, n%1_000_000, currency)
}

// limitsText says in words what l allows; "" when it limits nothing.
func limitsText(l holdfast.Limits) string {
	var s []string
	if l.Seconds > 0 {
		s = append(s, lasted(time.Duration(l.Seconds)*time.Second))
	}
	if l.Energy > 0 {
		s = append(s, l.Energy.String())
	}
	if l.Power > 0 {
		s = append(s, fmt.Sprintf("%s kW", strings.TrimSuffix(holdfast.WattHours(l.Power).String(), " kWh")))
	}
	if l.Cost > 0 {
		s = append(s, strings.TrimSpace(money(l.Cost, "")))
	}
	return strings.Join(s, ", ")
}

// count prints a number with its noun: "1 site", "2 sites".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func joinIDs[S ~string](ids []S, whenEmpty string) string {
	if len(ids) == 0 {
		return whenEmpty
	}
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = string(id)
	}
	return strings.Join(s, ", ")
}
