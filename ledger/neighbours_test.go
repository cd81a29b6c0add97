package ledger_test

import (
	"slices"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ledger"
	"github.com/holdfast-ev/holdfast/session"
)

func viewOf(id byte, started, stopped int64, start, stop holdfast.WattHours) ledger.View {
	return ledger.View{
		ID: holdfast.SessionID{id}, Charger: "CP1", EVSE: 1, Token: holdfast.TokenHash{id},
		Opening: holdfast.Pos{Gateway: "gw-1", Journal: holdfast.Evidence, Seq: holdfast.Seq(id)},
		Started: noon + holdfast.UnixMilli(started*1000), Stopped: noon + holdfast.UnixMilli(stopped*1000),
		Start: &start, Stop: &stop, Spans: make([]session.Span, 1),
	}
}

func TestNeighbours(t *testing.T) {
	first := viewOf(1, 0, 3600, 1000, 9000)
	for _, c := range []struct {
		name   string
		next   ledger.View
		change func(*ledger.View)
		want   []string
		blocks bool
	}{
		{"one after the other", viewOf(2, 3700, 7200, 9000, 12_000), nil, nil, false},
		{"stamped within the same minute", viewOf(2, 3600-60, 7200, 9000, 12_000), nil, nil, false},
		{"overlap in time", viewOf(2, 3600-61, 7200, 9000, 12_000), nil, []string{ledger.FeasOverlap}, false},
		{"the same Wh twice", viewOf(2, 3700, 7200, 8999, 12_000), nil, []string{ledger.FeasRegisterOverlap}, true},
		{"inside the other", viewOf(2, 3700, 7200, 2000, 3000), nil, []string{ledger.FeasRegisterOverlap}, true},
		{"meter replaced", viewOf(2, 3700, 7200, 0, 900), nil, []string{session.DoubtRegression}, false},
		{"a little energy outside", viewOf(2, 3700, 7200, 9010, 12_000), nil, nil, false},
		{"energy outside", viewOf(2, 3700, 7200, 9011, 12_000), nil, []string{ledger.EvidEnergyOutside}, false},
		{"everything at once", viewOf(2, 100, 7200, 8000, 12_000), nil, []string{ledger.FeasOverlap, ledger.FeasRegisterOverlap}, true},
		{"reported twice", viewOf(2, 0, 3600, 1000, 9000), func(v *ledger.View) { v.Token = first.Token }, []string{ledger.PairDuplicate}, true},
		{"another EVSE", viewOf(2, 0, 3600, 1000, 9000), func(v *ledger.View) { v.EVSE = 2 }, nil, false},
		{"another charger", viewOf(2, 0, 3600, 1000, 9000), func(v *ledger.View) { v.Charger = "CP2" }, nil, false},
		{"charger of the same name elsewhere", viewOf(2, 0, 3600, 1000, 9000), func(v *ledger.View) { v.Opening.Gateway = "gw-2" }, nil, false},
		{"itself", first, nil, nil, false},
		{"unknown registers", viewOf(2, 3700, 7200, 0, 0), func(v *ledger.View) { v.Start, v.Stop = nil, nil }, nil, false},
		{"reset inside", viewOf(2, 3700, 7200, 8000, 500), func(v *ledger.View) { v.Spans = make([]session.Span, 2) }, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.change(&c.next)
			}
			var codes []string
			blocks := false
			for _, e := range ledger.Neighbours(first, c.next) {
				codes = append(codes, e.Code)
				blocks = blocks || e.Blocks
				if e.Session != c.next.ID || len(e.Evidence) != 2 {
					t.Errorf("exception %+v, want it on the later session with both openings", e)
				}
			}
			if !slices.Equal(codes, c.want) || blocks != c.blocks {
				t.Errorf("got %v (blocks %v), want %v (%v)", codes, blocks, c.want, c.blocks)
			}
		})
	}
}

// TestTheSameEnergyIsBilledOnce: of two sessions with overlapping registers the
// later one waits for a person.
func TestTheSameEnergyIsBilledOnce(t *testing.T) {
	tariffs := book(parseTariff(t, tariffText))
	a := ledger.Settle(newStory(t).open(1000).wait(3600).end(9000).items, tariffs)
	later := newStory(t)
	later.seq = 90
	b := ledger.Settle(later.wait(4000).open(8000).wait(3600).end(12_000).items, tariffs)
	if a.CDR == nil || b.CDR == nil {
		t.Fatalf("%+v %+v", a, b)
	}
	b = b.With(ledger.Neighbours(a.Session, b.Session)...)
	if b.CDR != nil || len(b.Postings) != 0 || !b.Blocked() {
		t.Errorf("1 kWh is billed twice: %+v", b)
	}
}
