package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// A Report is what a run comes to. Its JSON form is what --json prints; the
// names are frozen (docs/demo.md).
type Report struct {
	Seed            uint64  `json:"seed"`
	Balanced        bool    `json:"balanced"`
	Currency        string  `json:"currency"`
	OfflineSessions int     `json:"offline_sessions"` // that began while the cable was out
	Refused         int     `json:"refused"`          // drivers, by the chargers' own logs
	Kills           int     `json:"kills"`            // SIGKILLs of gateways
	LinkCuts        int     `json:"link_cuts"`
	Seconds         float64 `json:"seconds"`
	Findings
}

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	row := func(what string, value any, note string) { fmt.Fprintf(t, "%s\t%v\t\t%s\n", what, value, note) }
	fmt.Fprintf(w, "\nThe books, checked against the chargers' own meters\n%s\n", strings.Repeat("-", 51))
	row("sessions", r.Sessions, fmt.Sprintf("of which %d began without a link", r.OfflineSessions))
	row("refused drivers", r.Refused, "")
	row("link cuts", r.LinkCuts, fmt.Sprintf("and %d gateway processes killed", r.Kills))
	row("metered", holdfast.WattHours(r.WhMetered), "by the chargers' meters")
	row("billed", holdfast.WattHours(r.WhBilled), "by the cloud")
	if r.WhHeld > 0 {
		row("held", holdfast.WattHours(r.WhHeld), "not billed until a person decides")
	}
	row("money", holdfast.Money{Currency: r.Currency, Micros: holdfast.Micros(r.Amount)}, "including VAT")
	row("exceptions", r.Exceptions, "cases for a person")
	row("duplicates", r.Duplicates, "bills beyond one for each session")
	row("lost", r.Lost, "sessions metered and never billed")
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range r.Problems {
		if _, err := fmt.Fprintf(w, "  ! %s\n", p); err != nil {
			return err
		}
	}
	verdict := "THE BOOKS BALANCE: every Wh is billed exactly once."
	if r.WhHeld > 0 {
		verdict = "THE BOOKS BALANCE: every Wh is billed exactly once or held for a person."
	}
	if !r.Balanced {
		verdict = "THE BOOKS DO NOT BALANCE."
	}
	_, err := fmt.Fprintf(w, "\n%s  (seed %d, %.0f s)\n", verdict, r.Seed, r.Seconds)
	return err
}

// report checks the books and adds what the stage knows.
func (w *world) report(p *Plan, b Books, began time.Time) *Report {
	r := &Report{Seed: p.Seed, Currency: "EUR", Seconds: float64(time.Since(began).Milliseconds()) / 1000}
	for i, s := range w.sites {
		r.Kills += len(p.Sites[i].Kills)
		r.LinkCuts += len(p.Sites[i].Cuts)
		for _, c := range s.chargers {
			r.Refused += len(c.Refusals())
		}
	}
	r.Findings = Check(w.metered(), b, demoPrice)
	r.OfflineSessions = w.offline()
	w.mu.Lock()
	r.Problems = append(r.Problems, w.problems...)
	w.mu.Unlock()
	r.Balanced = len(r.Problems) == 0
	return r
}

// save keeps what was compared beside the data, when the data is kept.
func (w *world) save(b Books, r *Report) error {
	if w.o.Keep == "" {
		return nil
	}
	for name, v := range map[string]any{"books.json": b, "report.json": r} {
		text, err := json.MarshalIndent(v, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(w.dir, name), append(text, '\n'), 0o600)
		}
		if err != nil {
			return fmt.Errorf("keep %s: %w", name, err)
		}
	}
	return nil
}
