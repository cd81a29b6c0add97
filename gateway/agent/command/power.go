package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/power"
)

// printPower shows the site's limit and the cut-out, where there are any.
func printPower(w io.Writer, r *agent.Report) {
	if p := r.Power; p != nil {
		fmt.Fprintf(w, "power\t%s\n", powerLine(p))
		if len(p.Missing) > 0 {
			fmt.Fprintf(w, "\tno fail-safe profile on %s: counted with full power\n", strings.Join(p.Missing, ", "))
		}
	}
	if c := r.CutOut; c.Fitted || c.Latched {
		fmt.Fprintf(w, "cut-out\t%s\n", cutOutLine(c))
	}
}

func powerLine(p *gateway.PowerStatus) string {
	site := power.Site{Unit: p.Unit}
	s := fmt.Sprintf("limit %s", site.Text(p.Limit))
	switch power.Source(p.Source) {
	case power.FromSchedule:
		s += fmt.Sprintf(" by schedule version %d", p.Schedule)
	case power.FromFailSafe:
		s += fmt.Sprintf(", the fail-safe: schedule version %d says nothing about now", p.Schedule)
	case power.FromClock:
		s += ", the lowest that may be in force: the clock is not trusted"
	}
	return s + fmt.Sprintf("; chargers may draw %s; commissioned for %s", site.Text(p.Bound), site.Text(p.Max))
}

func cutOutLine(c gateway.CutOutStatus) string {
	switch {
	case c.Latched && c.Active:
		return fmt.Sprintf("TRIPPED for %s by %s, which still says stop", span(c.ForS), c.Line)
	case c.Latched:
		return fmt.Sprintf("TRIPPED for %s by %s; release it with: holdfast-gateway cutout release", span(c.ForS), c.Line)
	case c.Active:
		return "its input has not been read yet: nothing may start"
	}
	return "ready"
}

func setPoint(w *holdfast.Watts) string {
	if w == nil {
		return "-"
	}
	return fmt.Sprintf("%d W", *w)
}
