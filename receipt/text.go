package receipt

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// String is the receipt as a driver reads it, in plain text of at most 64
// columns. Times are UTC: the receipt does not know the site's zone.
func (r Receipt) String() string {
	var b strings.Builder
	row := func(name, value string) { fmt.Fprintf(&b, "%-11s %s\n", name, value) }
	title := "CHARGING RECEIPT"
	if r.Provisional {
		title += " (provisional)"
	}
	b.WriteString(title + "\n\n")
	row("Site", string(r.Site))
	row("Charger", fmt.Sprintf("%s, EVSE %d", r.Charger, r.EVSE))
	row("Started", r.Started.String())
	row("Stopped", r.Stopped.String())
	if r.Started.At != 0 && r.Stopped.At >= r.Started.At {
		row("Duration", (time.Duration(r.Stopped.At-r.Started.At) * time.Millisecond).Round(time.Second).String())
	}
	if r.StartedClaim != 0 || r.StoppedClaim != 0 {
		row("Its clock", "the charger's was off; it said "+claimed(r.StartedClaim, r.Started)+" and "+claimed(r.StoppedClaim, r.Stopped))
	}
	row("Meter", register(r.Start)+" to "+register(r.Stop))
	row("Energy", r.Energy.String())
	b.WriteString("\n")
	for _, l := range r.Lines {
		fmt.Fprintf(&b, "%-36s %14s\n", l.words(), amount(l.Net))
	}
	r.writeTotals(&b)
	b.WriteString("\n")
	row("Session", r.Session.Short())
	row("Position", fmt.Sprintf("%s/evidence/%s../%d", r.Gateway, r.Epoch.String()[:8], r.Seq))
	row("Issued", r.Issued.String())
	if r.Provisional {
		b.WriteString("\nThe invoice may differ where the evidence says otherwise.\n")
	}
	return b.String()
}

// claimed is what the charger's clock said for a moment.
func claimed(claim holdfast.UnixMilli, m Moment) string {
	if claim == 0 {
		claim = m.At
	}
	return claim.Time().Format("2006-01-02 15:04:05")
}

func (r Receipt) writeTotals(b *strings.Builder) {
	if r.Tariff == nil {
		b.WriteString("No tariff was known on the site: the price follows.\n")
		return
	}
	if r.VAT != 0 {
		fmt.Fprintf(b, "%-36s %14s\n%-36s %14s\n", "Net", amount(r.Net), "VAT", amount(r.VAT))
	}
	fmt.Fprintf(b, "%-36s %14s %s\n", "Total", amount(r.Gross), r.Currency)
	fmt.Fprintf(b, "\n%-11s %s, version %d\n", "Tariff", r.Tariff.ID, r.Tariff.Version)
}

// words says what a line is for: "Energy 12.345 kWh x 0.4500".
func (l Line) words() string {
	unit := fmt.Sprintf("%s x %s", strconv.FormatInt(l.Quantity, 10), price(l.UnitPrice))
	switch l.Kind {
	case "ENERGY":
		return fmt.Sprintf("Energy %s x %s", holdfast.WattHours(l.Quantity), price(l.UnitPrice))
	case "TIME":
		return fmt.Sprintf("Charging time %s x %s/h", span(l.Quantity), price(l.UnitPrice))
	case "PARKING_TIME":
		return fmt.Sprintf("Parking time %s x %s/h", span(l.Quantity), price(l.UnitPrice))
	case "FLAT":
		return "Flat fee"
	}
	return l.Kind + " " + unit
}

func span(seconds int64) string {
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

func register(w *holdfast.WattHours) string {
	if w == nil {
		return "(no reading)"
	}
	return w.String()
}

// String says how far the clock can be trusted when it cannot be entirely.
func (m Moment) String() string {
	if m.At == 0 {
		return "not known"
	}
	s := m.At.Time().Format("2006-01-02 15:04:05 UTC")
	if m.Quality != holdfast.Synchronised {
		s += " (clock not verified)"
	}
	return s
}

// amount is money to the cent, as holdfast.Money prints it.
func amount(m holdfast.Micros) string {
	return strings.TrimSuffix(holdfast.Money{Micros: m}.String(), " ")
}

// price is a unit price to four digits, which tariffs use.
func price(m holdfast.Micros) string {
	return fmt.Sprintf("%d.%04d", m/1_000_000, m%1_000_000/100)
}
