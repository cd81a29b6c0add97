package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/gateway/agent"
)

// clockLine says what time it is here, how far that can be trusted, and what
// else says so.
func clockLine(r *agent.Report) string {
	c := r.Clock
	s := fmt.Sprintf("%s, %s, for %s", r.Now.Wall, sourceWords(c), span(c.ForS))
	if n := c.NTP; n != nil {
		s += fmt.Sprintf("; NTP is %s and %s (%s ago)", offsetWords(n.OffsetMs), n.Verdict, span(n.AgeS))
	}
	if far := farClocks(r.Chargers); far != "" {
		s += "; off by more than 5 minutes: " + far
	}
	return s
}

// maxFarNamed bounds the chargers that are named in one line.
const maxFarNamed = 5

// farClocks names chargers whose clocks are far off.
func farClocks(chargers []gateway.ChargerStatus) string {
	var far []string
	for _, ch := range chargers {
		if ch.Clock != nil && ch.Clock.Far {
			far = append(far, fmt.Sprintf("%s (%s)", ch.ID, offsetWords(ch.Clock.OffsetMs)))
		}
	}
	if n := len(far) - maxFarNamed; n > 0 {
		far = append(far[:maxFarNamed], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(far, ", ")
}

func sourceWords(c agent.ClockStatus) string {
	switch {
	case c.Quality == holdfast.Synchronised:
		return "synchronised with the cloud (S)"
	case c.Quality == holdfast.Relative:
		return "the cloud's, carried on for more than a day (R)"
	case c.Source == agent.SourceNTP:
		return "from NTP, not confirmed by the cloud (I)"
	case c.Source == agent.SourceFloor:
		return "not set: this machine's clock lost its time, counting on from the last proven one (U)"
	case c.Quality == holdfast.Informative:
		return "of this machine, not confirmed by the cloud (I)"
	}
	return "not set: this machine's clock reads before the journal's last record (U)"
}

func offsetWords(ms int64) string {
	d := (time.Duration(ms) * time.Millisecond).Abs()
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms off", ms)
	case ms < 0:
		return span(int64(d/time.Second)) + " behind"
	}
	return span(int64(d/time.Second)) + " ahead"
}
