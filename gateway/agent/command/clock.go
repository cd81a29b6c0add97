package command

import (
	"fmt"
	"time"

	"github.com/holdfast-ev/holdfast"
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
	return s
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
