package ledger

import (
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"github.com/holdfast-ev/holdfast/tariff"
)

const (
	// FutureSlackMillis is how far a charger's clock may run ahead of a
	// synchronised gateway before somebody should look at it: 10 minutes.
	FutureSlackMillis = 10 * 60 * 1000
)

// An Outcome is what a session's evidence comes to. It has a CDR (with its
// postings) exactly when the session has ended, has not failed, and no
// exception blocks it. The CDR is drawn up as revision 1: [Revise] compares it
// with what was issued before and gives it its number.
type Outcome struct {
	Session    View
	CDR        *CDR
	Postings   []Posting
	Exceptions []Exception
}

// Blocked reports whether a person has to decide before anything is billed.
func (o Outcome) Blocked() bool {
	return slices.ContainsFunc(o.Exceptions, func(e Exception) bool { return e.Blocks })
}

// With adds exceptions from outside, such as those of [Neighbours]; one that
// blocks takes the CDR and its postings away.
func (o Outcome) With(more ...Exception) Outcome {
	o.Exceptions = tidy(append(slices.Clone(o.Exceptions), more...), o.Session.ID)
	if o.Blocked() {
		o.CDR, o.Postings = nil, nil
	}
	return o
}

// Settle works out one session from its evidence. Items may come in any order
// and repeated: the result is the same. They must be covered by a verified
// checkpoint. tariffs finds a tariff by the reference that the opening record
// holds; it must answer the same for ever.
func Settle(items []Item, tariffs func(record.TariffRef) (*tariff.Tariff, bool)) Outcome {
	e := gather(items)
	o := Outcome{Session: View{ID: e.id, Opening: e.opening.Pos, Records: len(e.items)}, Exceptions: e.faults}
	if len(e.items) == 0 {
		return o.With()
	}
	s, err := session.Fold(e.id, e.records())
	if err != nil {
		return o.With(newException(EvidFold, err.Error(), e.corners()...))
	}
	o.Exceptions = append(o.Exceptions, raised(e)...)
	if s.Running() {
		o.Session = view(e, s, s.Begun())
		return o.With()
	}
	b := s.Bill()
	o.Session = view(e, s, b)
	o.Session.Failed = b.Failed
	o.Exceptions = append(o.Exceptions, doubts(e, s, b)...)
	if o.Session.Failed || o.Blocked() {
		return o.With()
	}
	cdr, more := rate(e, s, o.Session, tariffs)
	if cdr != nil {
		o.CDR, o.Postings = cdr, cdr.Postings()
	}
	return o.With(more...)
}

// raised passes on what the gateway itself asked a person to look at.
func raised(e evidence) (out []Exception) {
	for _, it := range e.items {
		r, ok := it.Record.Body.(*record.ExceptionRaised)
		if !ok {
			continue
		}
		at := []holdfast.Pos{it.Pos}
		for _, seq := range r.Evidence {
			p := it.Pos
			p.Seq = seq
			at = append(at, p)
		}
		x := newException(r.Code, r.Detail, at...)
		x.Blocks = false // whether it does is worked out from the evidence, here
		out = append(out, x)
	}
	return out
}

// doubts turns what session and the bounds of the books find into exceptions.
func doubts(e evidence, s *session.Session, b session.Bill) (out []Exception) {
	add := func(code, detail string, blocks bool) {
		x := newException(code, detail, e.corners()...)
		x.Blocks = blocks
		out = append(out, x)
	}
	for _, d := range b.Doubts {
		add(d.Code, d.Detail, d.Blocks)
	}
	if ahead := int64(b.Stopped) - int64(s.EndedAt.Wall); s.EndedAt.Quality == holdfast.Synchronised && ahead > FutureSlackMillis {
		add(FeasFuture, fmt.Sprintf("the charger says it ended %d s after the gateway heard of it", ahead/1000), false)
	}
	if o := s.Opened; o != nil {
		if l := o.Limits; l.Energy > 0 && b.Energy > l.Energy {
			add(AuthCapExceeded, fmt.Sprintf("%s delivered, the limit was %s", b.Energy, l.Energy), false)
		}
		if l := o.Limits; l.Seconds > 0 && b.SpanQuality != holdfast.Unknown && b.Seconds > l.Seconds+session.StopLatencyS {
			add(AuthCapExceeded, fmt.Sprintf("%d s, the limit was %d s", b.Seconds, l.Seconds), false)
		}
	}
	return out
}

// rate prices a session with the tariff that was in force when it began.
func rate(e evidence, s *session.Session, v View, tariffs func(record.TariffRef) (*tariff.Tariff, bool)) (*CDR, []Exception) {
	no := func(code, detail string) (*CDR, []Exception) {
		return nil, []Exception{newException(code, detail, e.corners()...)}
	}
	if v.Tariff == nil {
		return no(RateTariffMissing, "the session began without a tariff")
	}
	ref := *v.Tariff
	t, ok := tariffs(ref)
	if !ok || t == nil {
		return no(RateTariffMissing, fmt.Sprintf("tariff %q version %d (%s) is not known here", ref.ID, ref.Version, ref.Hash))
	}
	if t.Currency != ref.Currency || t.ID != ref.ID {
		return no(RateTariffMismatch, fmt.Sprintf("the session names tariff %q in %s, its hash belongs to %q in %s", ref.ID, ref.Currency, t.ID, t.Currency))
	}
	if t.ByTime() && v.SpanQuality == holdfast.Unknown {
		return no(EvidDuration, fmt.Sprintf("the tariff charges for time, and what is known of the clocks contradicts itself; %d s is one reading of it", v.Seconds))
	}
	bill, err := t.Price(tariff.Usage{Energy: v.Energy, ChargingS: v.Seconds - v.IdleS, ParkingS: v.IdleS})
	if err != nil {
		return no(RateUsage, err.Error())
	}
	var notes []Exception
	note := func(code, detail string) { notes = append(notes, newException(code, detail, e.corners()...)) }
	if !t.ActiveAt(v.Started) {
		note(RateTariffStale, fmt.Sprintf("tariff %q version %d is not valid at %s; it is what the driver was shown, and is billed", ref.ID, ref.Version, v.Started))
	}
	if t.ByTime() && v.SpanQuality == holdfast.Informative {
		note(EvidClock, fmt.Sprintf("time is billed by the charger's clock alone: %d s", v.Seconds))
	}
	if most := s.Opened.Limits.Cost; most > 0 && bill.Gross > most {
		note(AuthCapExceeded, fmt.Sprintf("%s, the limit was %s", holdfast.Money{Currency: bill.Currency, Micros: bill.Gross},
			holdfast.Money{Currency: bill.Currency, Micros: most}))
	}
	c := newCDR(v, ref, t, bill)
	return &c, notes
}
