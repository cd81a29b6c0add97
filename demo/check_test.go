package demo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/charger"
)

var testPrice = Price{PerWh: 600, Flat: 500_000, VATPercent: 20}

// balanced makes n metered sessions at two chargers and the books that fit.
func balanced(n int) ([]charger.TruthSession, Books) {
	var metered []charger.TruthSession
	var b Books
	register := map[string]int64{"CP1": 1000, "CP2": 910_031}
	for i := range n {
		id, wh := []string{"CP1", "CP2"}[i%2], int64(100+37*i)
		start, stop := register[id], register[id]+wh
		register[id] = stop
		metered = append(metered, charger.TruthSession{
			Charger: id, N: i/2 + 1, EVSE: 1, StartWh: start, StopWh: stop, EnergyWh: wh, StartAcked: true, StopAcked: true,
		})
		s, gross := fmt.Sprintf("session-%02d", i), testPrice.gross(wh)
		b.Sessions = append(b.Sessions, BookSession{ID: s, Charger: id, EVSE: 1, Wh: wh, Start: &start, Stop: &stop, Stage: "rated"})
		b.CDRs = append(b.CDRs, BookCDR{ID: "cdr-" + s, Session: s, Current: true, Wh: wh, Currency: "EUR", Gross: gross})
		b.Entries = append(b.Entries,
			BookEntry{Key: s + "/r", Booking: "cdr-" + s, Session: s, Account: receivable, Amount: gross},
			BookEntry{Key: s + "/e", Booking: "cdr-" + s, Session: s, Account: "revenue.energy", Amount: -gross})
	}
	return metered, b
}

func TestBalancedBooks(t *testing.T) {
	metered, b := balanced(7)
	// A credited bill counts no more.
	b.CDRs = append(b.CDRs, BookCDR{ID: "old", Session: "session-00", Wh: 9}, BookCDR{ID: "old-credit", Session: "session-00", Wh: 9})
	f := Check(metered, b, testPrice)
	if !f.Balanced() || f.Lost+f.Duplicates+f.Exceptions != 0 || f.Sessions != 7 {
		t.Errorf("%+v", f)
	}
	if f.WhMetered != f.WhBilled || f.WhMetered != 7*100+37*21 {
		t.Errorf("metered %d, billed %d", f.WhMetered, f.WhBilled)
	}
	if want := 720*f.WhBilled + 7*600_000; f.Amount != want {
		t.Errorf("amount %d, want %d", f.Amount, want)
	}
}

// The mistakes that the books must never hold, each planted and found.
func TestPlantedMistakesAreFound(t *testing.T) {
	for _, tc := range []struct {
		name             string
		spoil            func(m []charger.TruthSession, b *Books)
		duplicates, lost int
		says             string
	}{
		{"double bill", func(_ []charger.TruthSession, b *Books) { plant(t, b, PlantDouble) }, 1, 0, "2 sessions and 2 bills"},
		{"dropped record", func(_ []charger.TruthSession, b *Books) { plant(t, b, PlantDrop) }, 0, 1, "never billed"},
		{"second bill for one session", func(_ []charger.TruthSession, b *Books) {
			c := b.CDRs[2]
			c.ID = "other"
			b.CDRs = append(b.CDRs, c)
		}, 1, 0, "1 sessions and 2 bills"},
		{"bill for nothing", func(_ []charger.TruthSession, b *Books) {
			b.CDRs = append(b.CDRs, BookCDR{ID: "x", Session: "phantom", Current: true, Wh: 5, Gross: testPrice.gross(5)})
		}, 1, 0, "no meter knows it"},
		{"phantom session without a bill", func(_ []charger.TruthSession, b *Books) {
			start, stop := int64(5_000_000), int64(5_000_010)
			b.Sessions = append(b.Sessions, BookSession{ID: "phantom", Charger: "CP1", EVSE: 1, Start: &start, Stop: &stop})
		}, 0, 0, "in the books and no meter knows it"},
		{"session of another charger", func(_ []charger.TruthSession, b *Books) { b.Sessions[0].Charger = "CP2" }, 1, 1, "no meter knows it"},
		{"one Wh too many", func(_ []charger.TruthSession, b *Books) { b.CDRs[3].Wh++ }, 0, 0, "billed 0.212 kWh"},
		{"wrong price", func(_ []charger.TruthSession, b *Books) { b.CDRs[3].Gross++ }, 0, 0, "the tariff makes it"},
		{"bill without a posting", func(_ []charger.TruthSession, b *Books) { b.Entries = b.Entries[2:] }, 0, 0, "the ledger says 0"},
		{"one-sided posting", func(_ []charger.TruthSession, b *Books) { b.Entries = slices.Delete(b.Entries, 1, 2) }, 0, 0, "does not balance"},
		{"posting twice", func(_ []charger.TruthSession, b *Books) { b.Entries = append(b.Entries, b.Entries[0], b.Entries[1]) }, 0, 0, "posted twice"},
		{"posting without a bill", func(_ []charger.TruthSession, b *Books) {
			b.Entries = append(b.Entries, BookEntry{"k1", "bk", "s", receivable, 7}, BookEntry{"k2", "bk", "s", "vat", -7})
		}, 0, 0, "no bill asks for"},
		{"still running", func(_ []charger.TruthSession, b *Books) { b.Sessions[1].Running = true }, 0, 0, "still running"},
		{"unanswered stop", func(m []charger.TruthSession, _ *Books) { m[1].StopAcked = false }, 0, 0, "waits for an answer"},
		{"no session at all", func(_ []charger.TruthSession, b *Books) { *b = Books{} }, 0, 7, "never billed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			metered, b := balanced(7)
			tc.spoil(metered, &b)
			f := Check(metered, b, testPrice)
			if f.Balanced() || f.Duplicates != tc.duplicates || f.Lost != tc.lost {
				t.Errorf("balanced %v, %d duplicates, %d lost, want %d and %d: %v", f.Balanced(), f.Duplicates, f.Lost, tc.duplicates, tc.lost, f.Problems)
			}
			if !strings.Contains(strings.Join(f.Problems, "\n"), tc.says) {
				t.Errorf("problems %q do not say %q", f.Problems, tc.says)
			}
		})
	}
}

func plant(t *testing.T, b *Books, mistake string) {
	t.Helper()
	if err := b.Plant(mistake); err != nil {
		t.Fatal(err)
	}
}

// A session that waits for a person is not billed and not lost; the books
// balance, and the energy is shown as held.
func TestExceptionHoldsASession(t *testing.T) {
	metered, b := balanced(4)
	id := b.Sessions[2].ID
	b.CDRs = without(b.CDRs, func(c BookCDR) bool { return c.Session == id })
	b.Entries = without(b.Entries, func(e BookEntry) bool { return e.Session == id })
	b.Exceptions = []BookException{
		{ID: "1", Code: "FEAS_POWER", State: "open", Session: id}, {ID: "2", Code: "PAIR_MISSING_STOP", State: "resolved", Session: id},
	}
	f := Check(metered, b, testPrice)
	if !f.Balanced() || f.Lost != 0 || f.Exceptions != 1 || f.WhHeld != metered[2].EnergyWh || f.WhBilled+f.WhHeld != f.WhMetered {
		t.Errorf("%+v", f)
	}
	b.Exceptions[0].State = "resolved"
	if f := Check(metered, b, testPrice); f.Lost != 1 {
		t.Errorf("a resolved exception explains nothing: %+v", f)
	}
}

func TestPlantNeedsBooks(t *testing.T) {
	if err := (&Books{}).Plant(PlantDouble); err == nil {
		t.Error("planted into empty books")
	}
	_, b := balanced(1)
	if err := b.Plant("typo"); err == nil || !strings.Contains(err.Error(), PlantDrop) {
		t.Errorf("unknown mistake: %v", err)
	}
}
