package gateway

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// IndexDiff compares the index that Apply keeps with what going through the
// whole state finds, "" when they are the same. It does not use what keeps the
// index.
func (s *State) IndexDiff() string {
	x := s.ix()
	var all, running []*Session
	for _, ses := range s.Sessions {
		all = append(all, ses)
	}
	slices.SortFunc(all, cmpSessions)
	chargers, live, tx, tariffs := map[holdfast.ChargerID]*shelf{}, map[holdfast.TokenHash]int64{}, map[string][]*Session{}, map[holdfast.Hash]int{}
	for _, ses := range all {
		sh := chargers[ses.Charger]
		if sh == nil {
			sh = &shelf{}
			chargers[ses.Charger] = sh
		}
		sh.all = append(sh.all, ses)
		if ses.Ended == nil && ses.Orphan == nil {
			sh.running, running = append(sh.running, ses), append(running, ses)
			live[ses.Token()]++
		}
		if label, ok := ses.Labels[LabelOCPP16]; ok {
			tx[label] = append(tx[label], ses)
		}
		if ses.Opened != nil && ses.Opened.Tariff != nil {
			tariffs[ses.Opened.Tariff.Hash]++
		}
	}
	var pending []*Decision
	for _, d := range s.Pending {
		pending = append(pending, d)
	}
	slices.SortFunc(pending, func(a, b *Decision) int { return int(a.Seq) - int(b.Seq) })
	waiting := map[holdfast.TokenHash]decisions{}
	for _, d := range pending {
		waiting[d.Body.Token] = append(waiting[d.Body.Token], d)
	}
	shelves := func(a, b *shelf) bool { return slices.Equal(a.all, b.all) && slices.Equal(a.running, b.running) }
	switch {
	case !slices.Equal(x.running, running):
		return fmt.Sprintf("running sessions: %d, want %d", len(x.running), len(running))
	case !maps.EqualFunc(x.chargers, chargers, shelves):
		return "sessions by charger"
	case !maps.Equal(x.live, live):
		return fmt.Sprintf("running sessions by token: %v, want %v", x.live, live)
	case !maps.EqualFunc(x.tx, tx, slices.Equal[[]*Session]):
		return fmt.Sprintf("sessions by transaction id: %v, want %v", x.tx, tx)
	case !maps.Equal(x.tariffs, tariffs):
		return fmt.Sprintf("sessions by tariff: %v, want %v", x.tariffs, tariffs)
	case !maps.EqualFunc(x.waiting, waiting, slices.Equal[decisions]):
		return "pending decisions by token"
	}
	return ""
}
