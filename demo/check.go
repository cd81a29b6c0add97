package demo

import (
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/charger"
)

// Books are what the cloud's API says was done and billed. The types hold what
// the check looks at, in the API's own field names.
type Books struct {
	Sessions   []BookSession   `json:"sessions"`
	CDRs       []BookCDR       `json:"cdrs"`
	Entries    []BookEntry     `json:"entries"`
	Exceptions []BookException `json:"exceptions"`
}

// A BookSession is a session in GET /v1/sessions.
type BookSession struct {
	ID      string `json:"id"`
	Site    string `json:"site"`
	Charger string `json:"charger"`
	EVSE    int    `json:"evse"`
	Running bool   `json:"running"`
	Stage   string `json:"stage"`
	Offline bool   `json:"offline"`
	Wh      int64  `json:"wh"`
	Start   *int64 `json:"start"` // first trusted register
	Stop    *int64 `json:"stop"`  // last
}

// A BookCDR is a charge detail record in GET /v1/cdrs. Current is false for
// credits and for what a credit took back.
type BookCDR struct {
	ID       string `json:"id"`
	Session  string `json:"session"`
	Current  bool   `json:"current"`
	Wh       int64  `json:"wh"`
	Currency string `json:"currency"`
	Gross    int64  `json:"gross"` // micros
}

// A BookEntry is one line of the ledger in GET /v1/ledger.
type BookEntry struct {
	Key     string `json:"key"`
	Booking string `json:"booking"`
	Session string `json:"session"`
	Account string `json:"account"`
	Amount  int64  `json:"amount"` // micros; debit positive
}

// A BookException is a case for a person in GET /v1/exceptions.
type BookException struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	State   string `json:"state"` // "open" or "resolved"
	Site    string `json:"site"`
	Session string `json:"session"`
	Detail  string `json:"detail"`
}

// receivable is the ledger's account of what drivers owe.
const receivable = "receivable"

// Findings are what the check found.
type Findings struct {
	Sessions   int   `json:"sessions"`      // that the chargers' meters know
	WhMetered  int64 `json:"wh_metered"`    // by the chargers' meters
	WhBilled   int64 `json:"wh_billed"`     // by current CDRs
	WhHeld     int64 `json:"wh_held"`       // metered, not billed, and an open exception says why
	Amount     int64 `json:"amount_micros"` // gross of current CDRs
	Exceptions int   `json:"exceptions"`    // open
	Duplicates int   `json:"duplicates"`    // bills beyond the first for a metered session, and bills for none
	Lost       int   `json:"lost"`          // metered sessions with neither a bill nor an open exception

	// Problems says in words what does not balance; empty when all does.
	Problems []string `json:"problems"`
}

// Balanced reports whether every metered Wh is accounted for exactly once, at
// the right price.
func (f *Findings) Balanced() bool { return len(f.Problems) == 0 }

func (f *Findings) problem(format string, args ...any) {
	f.Problems = append(f.Problems, fmt.Sprintf(format, args...))
}

// A Price recomputes a bill: exact in integers for the demo's own tariff,
// without package tariff.
type Price struct {
	PerWh, Flat int64 // net micros
	VATPercent  int64
}

// gross of an energy, in micros.
func (p Price) gross(wh int64) int64 { return (p.PerWh*wh + p.Flat) * (100 + p.VATPercent) / 100 }

// Check compares the chargers' meters with the cloud's books.
//
// A session of the books belongs to the metered session of the same charger and
// EVSE whose register span it overlaps: registers only rise, so there is at most
// one, and nothing that the gateway or the cloud made up is trusted to match.
func Check(metered []charger.TruthSession, b Books, price Price) Findings {
	f := Findings{Sessions: len(metered), Problems: []string{}}
	open := map[string][]string{} // session -> codes
	for _, e := range b.Exceptions {
		if e.State == "open" {
			f.Exceptions++
			open[e.Session] = append(open[e.Session], e.Code)
		}
	}
	booked := f.match(metered, b.Sessions)
	bills := f.current(b)
	for i := range metered {
		f.session(&metered[i], booked[i], bills, open, price)
	}
	f.strays(booked, bills)
	f.ledger(b.Entries, bills)
	return f
}

// match gives each metered session the sessions of the books that are it.
func (f *Findings) match(metered []charger.TruthSession, sessions []BookSession) [][]BookSession {
	booked := make([][]BookSession, len(metered))
	for _, s := range sessions {
		i := slices.IndexFunc(metered, func(t charger.TruthSession) bool { return s.is(t) })
		if i < 0 {
			f.problem("session %s at %s/%d is in the books and no meter knows it", short(s.ID), s.Charger, s.EVSE)
			continue
		}
		booked[i] = append(booked[i], s)
	}
	return booked
}

// is reports whether s tells of t: same outlet, overlapping register spans.
func (s *BookSession) is(t charger.TruthSession) bool {
	if s.Charger != t.Charger || s.EVSE != t.EVSE {
		return false
	}
	from, to := s.Start, s.Stop
	if from == nil {
		from = to
	}
	if to == nil {
		to = from
	}
	if from == nil {
		return false // a session without a register matches nothing
	}
	if *from == t.StartWh {
		return true
	}
	return *from < t.StopWh && *to > t.StartWh
}

// current sorts the CDRs that count by session and adds them up.
func (f *Findings) current(b Books) map[string][]BookCDR {
	bills := map[string][]BookCDR{}
	for _, c := range b.CDRs {
		if c.Current {
			bills[c.Session] = append(bills[c.Session], c)
			f.WhBilled += c.Wh
			f.Amount += c.Gross
		}
	}
	return bills
}

// session checks what became of one metered session.
func (f *Findings) session(t *charger.TruthSession, booked []BookSession, bills map[string][]BookCDR, open map[string][]string, price Price) {
	f.WhMetered += t.EnergyWh
	name := fmt.Sprintf("%s session %d (%s)", t.Charger, t.N, holdfast.WattHours(t.EnergyWh))
	if !t.StartAcked || !t.StopAcked || t.Discarded > 0 {
		f.problem("%s: the charger still waits for an answer", name)
	}
	var cdrs []BookCDR
	var codes []string
	for _, s := range booked {
		cdrs = append(cdrs, bills[s.ID]...)
		codes = append(codes, open[s.ID]...)
		if s.Running {
			f.problem("%s: still running in the books", name)
		}
	}
	if n := max(len(cdrs), len(booked)); n > 1 {
		f.Duplicates += n - 1
		f.problem("%s: %d sessions and %d bills in the books for one charge", name, len(booked), len(cdrs))
	}
	switch {
	case len(cdrs) == 0 && len(codes) > 0:
		f.WhHeld += t.EnergyWh
	case len(cdrs) == 0:
		f.Lost++
		f.problem("%s: metered and never billed, and no exception says why", name)
	}
	for _, c := range cdrs {
		if c.Wh != t.EnergyWh {
			f.problem("%s: billed %s", name, holdfast.WattHours(c.Wh))
		}
		if want := price.gross(c.Wh); c.Gross != want {
			f.problem("%s: billed %d micros, the tariff makes it %d", name, c.Gross, want)
		}
	}
}

// strays finds bills that belong to no metered session.
func (f *Findings) strays(booked [][]BookSession, bills map[string][]BookCDR) {
	known := map[string]bool{}
	for _, list := range booked {
		for _, s := range list {
			known[s.ID] = true
		}
	}
	for _, id := range sortedKeys(bills) {
		if !known[id] {
			f.Duplicates += len(bills[id])
			f.problem("session %s: %d bills and no meter knows it", short(id), len(bills[id]))
		}
	}
}

// ledger checks that debits are credits, that no line is posted twice, and that
// what drivers owe is what was billed.
func (f *Findings) ledger(entries []BookEntry, bills map[string][]BookCDR) {
	owed, sum, seen := map[string]int64{}, map[string]int64{}, map[string]bool{}
	for _, e := range entries {
		if seen[e.Key] {
			f.problem("ledger: entry %s is posted twice", e.Key)
		}
		seen[e.Key] = true
		sum[e.Booking] += e.Amount
		if e.Account == receivable {
			owed[e.Session] += e.Amount
		}
	}
	for _, booking := range sortedKeys(sum) {
		if sum[booking] != 0 {
			f.problem("ledger: booking %s does not balance, %d micros over", short(booking), sum[booking])
		}
	}
	for _, id := range sortedKeys(bills) {
		billed := int64(0)
		for _, c := range bills[id] {
			billed += c.Gross
		}
		if owed[id] != billed {
			f.problem("session %s: billed %d micros, the ledger says %d", short(id), billed, owed[id])
		}
		delete(owed, id)
	}
	for _, id := range sortedKeys(owed) {
		if owed[id] != 0 {
			f.problem("session %s: the ledger wants %d micros that no bill asks for", short(id), owed[id])
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// short cuts an id for people.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
