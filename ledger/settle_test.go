package ledger_test

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ledger"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"github.com/holdfast-ev/holdfast/tariff"
)

func TestAnOrdinarySessionIsBilled(t *testing.T) {
	s := newStory(t).open(1_000_000)
	s.wait(1800).reading(session.WhyIdle, 1_008_000)
	s.wait(600).end(1_008_000)
	o := ledger.Settle(s.items, book(parseTariff(t, tariffText)))
	if o.CDR == nil || len(o.Exceptions) != 0 {
		t.Fatalf("no CDR, or exceptions: %+v", o)
	}
	// 0.50 + 8 kWh x 0.49 + 1800 s x 0.60/h + 600 s x 3.00/h, 19 % VAT each.
	want := []tariff.Line{
		{Kind: "FLAT", Quantity: 1, UnitPrice: 500_000, VATppm: 190_000, Net: 500_000, VAT: 95_000, Gross: 595_000},
		{Kind: "ENERGY", Quantity: 8000, UnitPrice: 490_000, VATppm: 190_000, Net: 3_920_000, VAT: 744_800, Gross: 4_664_800},
		{Kind: "TIME", Quantity: 1800, UnitPrice: 600_000, VATppm: 190_000, Net: 300_000, VAT: 57_000, Gross: 357_000},
		{Kind: "PARKING_TIME", Quantity: 600, UnitPrice: 3_000_000, VATppm: 190_000, Net: 500_000, VAT: 95_000, Gross: 595_000},
	}
	if !slices.Equal(o.CDR.Holdfast.Lines, want) {
		t.Errorf("lines %+v", o.CDR.Holdfast.Lines)
	}
	got, err := json.MarshalIndent(o.CDR, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{
		`"id": "` + s.id.String()[:28] + `-1"`, `"session_id": "` + s.id.String()[:36] + `"`,
		`"start_date_time": "2026-09-21T14:13:20.000Z"`, `"end_date_time": "2026-09-21T14:53:20.000Z"`,
		`"evse_uid": "CP1*1"`, `"currency": "EUR"`, `"total_energy": 8`, `"total_time": 0.6667`, `"total_parking_time": 0.1667`,
		`"total_cost": {
  "excl_vat": 5.22,
  "incl_vat": 6.2118
 }`, `"opening": "gw-1/evidence/07000000000000000000000000000000/40"`,
	} {
		if !strings.Contains(string(got), field) {
			t.Errorf("the CDR lacks %s:\n%s", field, got)
		}
	}
	if strings.Contains(string(got), "credit") {
		t.Errorf("an ordinary CDR speaks of credit:\n%s", got)
	}
	balances(t, o.Postings)
	accounts := map[string]holdfast.Micros{}
	for _, p := range o.Postings {
		accounts[p.Account] = p.Amount
	}
	wantAccounts := map[string]holdfast.Micros{"receivable": 6_211_800, "vat": -991_800, "revenue.flat": -500_000,
		"revenue.energy": -3_920_000, "revenue.time": -300_000, "revenue.parking_time": -500_000}
	if !reflect.DeepEqual(accounts, wantAccounts) {
		t.Errorf("accounts %v, want %v", accounts, wantAccounts)
	}
}

// balances checks a set of postings: every booking sums to zero, every key is
// there once.
func balances(t interface {
	Helper()
	Errorf(string, ...any)
}, ps []ledger.Posting) {
	t.Helper()
	sums := map[string]holdfast.Micros{}
	keys := map[string]bool{}
	for _, p := range ps {
		sums[p.Booking] += p.Amount
		if keys[p.Key] {
			t.Errorf("key %s is there twice", p.Key)
		}
		keys[p.Key] = true
	}
	for b, sum := range sums {
		if sum != 0 {
			t.Errorf("booking %s is off by %d", b, sum)
		}
	}
}

// A finding is a story, the code it must end in, and whether a bill comes of it.
type finding struct {
	name   string
	tell   func(s *story)
	code   string
	billed bool
}

func findings() []finding {
	return []finding{
		{"power above the connector", func(s *story) { s.open(1000).wait(600).end(911_031) }, session.DoubtEnergy, false},
		{"two weeks and a second", func(s *story) { s.open(5).wait(14*24*3600 + 1).end(6) }, session.DoubtDuration, false},
		{"charger clock ahead", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.StartedAt += 7200_000 }).wait(3600).
				end(900, func(e *record.SessionEnded) { e.StoppedAt += 7200_000 })
		}, ledger.FeasFuture, true},
		{"meter reset", func(s *story) {
			s.open(5000).wait(1800).reading(session.WhyReset, 6000).wait(1).reading(session.WhyReset, 0).wait(1800).end(700)
		}, session.DoubtRegression, true},
		{"negative register", func(s *story) { s.open(-500).wait(3600).end(900) }, ledger.FeasRegister, false},
		{"huge register", func(s *story) { s.open(math.MaxInt64 - 5).wait(3600).end(math.MaxInt64) }, ledger.FeasRegister, false},
		{"registers whose difference overflows", func(s *story) { s.open(math.MinInt64).wait(3600).end(math.MaxInt64) }, ledger.FeasRegister, false},
		{"own start", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.Decision, o.Source = nil, record.StartLocal }).wait(3600).end(900)
		}, session.DoubtNoDecision, true},
		{"refused start", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.Source = record.StartRefused }).wait(300).end(900)
		}, session.DoubtRefused, false},
		{"nobody", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.Decision, o.Token = nil, holdfast.TokenHash{} }).wait(300).end(900)
		}, ledger.AuthNoToken, false},
		{"energy cap", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.Limits.Energy = 800 }).wait(300).end(900)
		}, ledger.AuthCapExceeded, true},
		{"cost cap", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.Limits.Cost = 1 }).wait(300).end(900)
		}, ledger.AuthCapExceeded, true},
		{"two records, one position", func(s *story) {
			s.open(5).wait(300).reading(session.WhyHourly, 400)
			s.seq -= 3
			s.reading(session.WhyHourly, 500).wait(300).end(900)
		}, ledger.EvidFork, false},
		{"two openings, one position", func(s *story) {
			s.open(5)
			s.seq, s.id = s.seq-3, holdfast.SessionID{}
			s.open(6)
		}, ledger.EvidFork, false},
		{"old record in a new epoch", func(s *story) {
			s.open(5).wait(300).end(900)
			again := *s.last()
			again.Pos.Epoch = holdfast.Epoch{9}
			s.items = append(s.items, again)
		}, ledger.EvidReplayed, true},
		{"record moved", func(s *story) {
			s.open(5).wait(300).reading(session.WhyHourly, 400)
			s.last().Pos.Seq++
			s.wait(300).end(900)
		}, ledger.EvidMisplaced, false},
		{"another gateway ends it", func(s *story) {
			s.open(5).wait(600).end(900)
			s.gateway, s.seq = "gw-2", 10
			s.end(900_000)
		}, ledger.EvidForeign, true},
		{"another charger stops it_SteVeCVE202628230", func(s *story) {
			s.open(5).wait(300)
			s.charger = "CP2"
			s.end(6)
			s.charger = "CP1"
			s.wait(300).end(900)
		}, ledger.EvidForeign, true},
		{"another session's record", func(s *story) {
			s.open(5).wait(300)
			mine := s.id
			s.id = holdfast.SessionID{5}
			s.end(6)
			s.id = mine
			s.wait(300).end(900)
		}, ledger.EvidForeign, true},
		{"two sessions", func(s *story) {
			s.open(5).wait(300).end(900)
			s.id = holdfast.SessionID{}
			s.open(900).wait(300).end(1000)
		}, ledger.EvidMixed, false},
		{"an opening inside a session", func(s *story) { s.open(5).wait(300).open(6).wait(300).end(900) }, ledger.EvidFold, false},
		{"an opening inside a session, from another gateway", func(s *story) {
			s.open(5).wait(600).end(900)
			s.gateway = "gw-2"
			s.open(6)
		}, ledger.EvidForeign, true},
		{"opening not there", func(s *story) {
			s.open(5).wait(300).end(900)
			s.items = s.items[1:]
		}, ledger.EvidNoOpening, false},
		{"an orphan that ends", func(s *story) {
			s.write(&record.StopOrphaned{EVSE: 1, StoppedAt: s.at.Wall, Stop: wh(900), Token: holdfast.TokenHash{1}}).end(900)
		}, ledger.EvidFold, false},
		{"a record without a body", func(s *story) {
			s.open(5).wait(300).end(900)
			s.last().Record.Body = nil
		}, ledger.EvidFold, false},
		{"placeholder baseline_evcc15874", func(s *story) {
			s.open(0, func(o *record.SessionOpened) { o.StartTrust = record.Placeholder }).wait(5).
				reading(session.WhyFirst, 909_948).wait(600).end(910_031)
		}, session.DoubtBaseline, true},
		{"a meter in pieces", func(s *story) {
			s.open(5000)
			for i := range 20 {
				s.wait(60).reading(session.WhyReset, holdfast.WattHours(4000-100*i))
			}
			s.end(1)
		}, session.DoubtMeterBroken, false},
		{"no register", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.Start, o.StartTrust = nil, record.Absent }).wait(3600).
				end(0, func(e *record.SessionEnded) { e.Stop, e.StopTrust = nil, record.Absent })
		}, session.DoubtNoRegister, false},
		{"no clock anywhere", func(s *story) {
			s.at.Quality = holdfast.Unknown
			s.open(5).wait(3600).end(900)
		}, ledger.EvidClock, true},
		{"the power was away between two unproven clocks", func(s *story) {
			s.at.Quality = holdfast.Informative
			s.open(5, func(o *record.SessionOpened) { o.StartedAt = 0 }).wait(3600)
			s.at.Boot, s.at.Mono = 3, 1000
			s.end(900, func(e *record.SessionEnded) { e.StoppedAt = 0 })
		}, ledger.EvidDuration, false},
		{"the charger's clock was set while it could not be reached", func(s *story) {
			s.open(5).wait(3600).end(900, func(e *record.SessionEnded) { e.Time = &record.ChargerTime{How: record.TimeUnknown} })
		}, ledger.EvidDuration, false},
		{"1970 everywhere", func(s *story) {
			s.at.Wall, s.at.Quality = 60_000, holdfast.Unknown
			s.open(5).wait(3600).end(900)
		}, ledger.EvidNoDate, false},
		{"only the stop_MicroOcpp454", func(s *story) {
			s.write(&record.StopOrphaned{EVSE: 1, StoppedAt: s.at.Wall, Stop: wh(900), Token: holdfast.TokenHash{1}})
		}, session.DoubtMissingStart, false},
		{"no stop", func(s *story) {
			s.open(5).wait(3600).reading(session.WhyHourly, 800).wait(60).write(&record.SessionEnded{Reason: session.ReasonFreed, StopTrust: record.Absent})
		}, session.DoubtMissingStop, true},
		{"the gateway raised it", func(s *story) {
			s.open(5).wait(3600).write(&record.ExceptionRaised{Code: "PAIR_GUESSED", Detail: "by register", Evidence: []holdfast.Seq{41}}).end(900)
		}, "PAIR_GUESSED", true},
		{"the gateway raised what blocks when the ledger finds it", func(s *story) {
			s.open(5).wait(3600).write(&record.ExceptionRaised{Code: ledger.PairDuplicate, Detail: "a second stop"}).end(900)
		}, ledger.PairDuplicate, true},
		{"the gateway raised what the ledger finds too", func(s *story) {
			s.open(5).wait(60).write(&record.ExceptionRaised{Code: session.DoubtEnergy, Detail: "high"}).end(900_000)
		}, session.DoubtEnergy, false},
		{"a code of tomorrow", func(s *story) {
			s.open(5).wait(3600).write(&record.ExceptionRaised{Code: "EVID_TOMORROW", Detail: "new"}).end(900)
		}, "EVID_TOMORROW", true},
		{"no tariff", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.Tariff = nil }).wait(3600).end(900)
		}, ledger.RateTariffMissing, false},
		{"unknown tariff", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.Tariff = &record.TariffRef{ID: "day", Currency: "EUR"} }).wait(3600).end(900)
		}, ledger.RateTariffMissing, false},
		{"another currency", func(s *story) {
			s.open(5, func(o *record.SessionOpened) {
				r := dayRef
				r.Currency = "CHF"
				o.Tariff = &r
			}).wait(3600).end(900)
		}, ledger.RateTariffMismatch, false},
		{"tariff that ended", func(s *story) {
			s.at.Wall += 3 * 365 * 24 * 3600_000
			s.open(5).wait(3600).end(900)
		}, ledger.RateTariffStale, true},
		{"more energy than any bill can hold", func(s *story) {
			s.open(5, func(o *record.SessionOpened) { o.PowerBudget = 10_000_000 }).wait(14 * 24 * 3600).end(2_000_000_000)
		}, ledger.RateUsage, false},
		{"too many records", func(s *story) {
			s.open(5).wait(300)
			for len(s.items) <= ledger.MaxItems {
				it := *s.last()
				it.Pos.Seq, it.Record.Seq, it.Record.Session = it.Pos.Seq+1, it.Record.Seq+1, s.id
				it.Leaf[0], it.Leaf[1], it.Leaf[2] = byte(len(s.items)), byte(len(s.items)>>8), byte(len(s.items)>>16)
				it.Record.Body = &record.SessionLabelled{}
				s.items = append(s.items, it)
			}
		}, ledger.EvidOversize, false},
	}
}

func limitedTariff(t testing.TB) *tariff.Tariff {
	return parseTariff(t, strings.Replace(tariffText, `"elements"`, `"end_date_time":"2029-01-01T00:00:00Z","elements"`, 1))
}

func TestFindings(t *testing.T) {
	tariffs := book(limitedTariff(t))
	for _, f := range findings() {
		t.Run(f.name, func(t *testing.T) {
			s := newStory(t)
			f.tell(s)
			o := ledger.Settle(s.items, tariffs)
			i := slices.IndexFunc(o.Exceptions, func(e ledger.Exception) bool { return e.Code == f.code })
			if i < 0 {
				t.Fatalf("no %s in %+v", f.code, o.Exceptions)
			}
			e := o.Exceptions[i]
			if e.Sentence == "" || e.Detail() == "" || e.Owner == "" || e.DueS <= 0 || len(e.Evidence) == 0 || e.Count == 0 {
				t.Errorf("an exception that nobody can work with: %+v", e)
			}
			if e.Session != o.Session.ID || e.Key() != o.Session.ID.String()+"/"+f.code {
				t.Errorf("exception %s of session %s, outcome of %s", e.Key(), e.Session, o.Session.ID)
			}
			if (o.CDR != nil) != f.billed || (len(o.Postings) > 0) != f.billed || o.Blocked() == f.billed {
				t.Errorf("billed: %v, want %v; %+v", o.CDR != nil, f.billed, o.Exceptions)
			}
			balances(t, o.Postings)
		})
	}
}

// TestForeignRecordsChangeNoBill: the bill is the one without them.
func TestForeignRecordsChangeNoBill(t *testing.T) {
	tariffs := book(limitedTariff(t))
	want := newStory(t).open(5).wait(600).end(900)
	got := newStory(t).open(5).wait(600).end(900)
	got.gateway, got.seq = "gw-2", 10
	got.end(900_000)
	a, b := ledger.Settle(want.items, tariffs), ledger.Settle(got.items, tariffs)
	if a.CDR == nil || b.CDR == nil || a.CDR.Content() != b.CDR.Content() {
		t.Errorf("a foreign record changed the bill: %+v", b)
	}
}

func TestPlaceholderBaselineBillsTheRealEnergy_evcc15874(t *testing.T) {
	s := newStory(t).open(0, func(o *record.SessionOpened) { o.StartTrust = record.Placeholder })
	s.wait(5).reading(session.WhyFirst, 909_948).wait(600).end(910_031)
	o := ledger.Settle(s.items, book(parseTariff(t, tariffText)))
	if o.CDR == nil || o.CDR.TotalEnergy != 83 {
		t.Errorf("billed %+v, want 0.083 kWh", o.CDR)
	}
}

func TestFailedSessions(t *testing.T) {
	tariffs := book(parseTariff(t, tariffText))
	noToken := func(o *record.SessionOpened) { o.Token, o.Decision, o.Tariff = holdfast.TokenHash{}, nil, nil }
	noStart := func(o *record.SessionOpened) { o.Start, o.StartTrust = nil, record.Absent }
	noStop := func(e *record.SessionEnded) { e.Stop, e.StopTrust = nil, record.Absent }
	for _, c := range []struct {
		name   string
		s      *story
		failed bool
		billed bool
	}{
		{"nothing flowed, one second short", newStory(t).open(70).wait(session.FailedSeconds - 1).end(70), true, false},
		{"nothing flowed, long enough to be a parking", newStory(t).open(70).wait(session.FailedSeconds).end(70), false, true},
		{"one Wh in a second", newStory(t).open(70).wait(1).end(71), false, true},
		{"no register, short", newStory(t).open(0, noStart).wait(60).end(0, noStop), true, false},
		{"refused and nothing flowed", newStory(t).open(70, func(o *record.SessionOpened) { o.Source = record.StartRefused }).wait(3600).end(70), true, false},
		{"plugged in, never identified", newStory(t).open(70, noToken).wait(36_000).end(70), true, false},
	} {
		o := ledger.Settle(c.s.items, tariffs)
		if o.Session.Failed != c.failed || (o.CDR != nil) != c.billed || o.Blocked() {
			t.Errorf("%s: failed %v, billed %v, blocked %v: %+v", c.name, o.Session.Failed, o.CDR != nil, o.Blocked(), o.Exceptions)
		}
	}
	parked := ledger.Settle(newStory(t).open(70).wait(3600).reading(session.WhyIdle, 70).wait(3600).end(70).items, tariffs)
	if parked.CDR == nil || parked.CDR.TotalFixedCost == nil || parked.CDR.TotalParkingCost == nil || parked.CDR.TotalEnergyCost != nil {
		t.Errorf("a session that only occupied the EVSE: %+v", parked.CDR)
	}
}

func TestARunningSessionPostsNothing(t *testing.T) {
	s := newStory(t).open(70).wait(3600).reading(session.WhyHourly, 5000)
	o := ledger.Settle(s.items, book(parseTariff(t, tariffText)))
	if o.CDR != nil || len(o.Postings) != 0 || len(o.Exceptions) != 0 {
		t.Errorf("a running session was settled: %+v", o)
	}
	if v := o.Session; !v.Running || v.Energy != 4930 || v.Started != noon || v.Stopped != 0 || *v.Stop != 5000 || v.Records != 2 {
		t.Errorf("view %+v", v)
	}
}

func TestNoItems(t *testing.T) {
	o := ledger.Settle(nil, book(nil))
	if o.CDR != nil || len(o.Postings) != 0 || len(o.Exceptions) != 0 || !o.Session.ID.IsZero() {
		t.Errorf("%+v", o)
	}
}

// TestEpochChangeInsideASession: the gateway was restored, and the end lies in
// a new epoch whose random id sorts before the old one.
func TestEpochChangeInsideASession(t *testing.T) {
	s := newStory(t).open(70).wait(1800).reading(session.WhyIdle, 5000)
	s.epoch, s.seq = holdfast.Epoch{1}, 2
	s.wait(1800)
	s.at.Boot, s.at.Mono = 3, 100
	s.end(9000)
	o := ledger.Settle(s.items, book(parseTariff(t, tariffText)))
	if o.CDR == nil || o.CDR.TotalEnergy != 8930 || o.CDR.TotalParkingTime != 1800 || len(o.Exceptions) != 0 {
		t.Errorf("the records were folded in another order than they were written: %+v", o)
	}
}

// TestTariffInForceAtTheStart: what is put in force later changes nothing (I6).
func TestTariffInForceAtTheStart(t *testing.T) {
	var asked []record.TariffRef
	p := parseTariff(t, tariffText)
	ledger.Settle(newStory(t).open(5).wait(600).end(900).items, func(r record.TariffRef) (*tariff.Tariff, bool) {
		asked = append(asked, r)
		return p, true
	})
	if len(asked) != 1 || asked[0] != dayRef {
		t.Errorf("asked for %v, want %v alone", asked, dayRef)
	}
}

// TestAFloodOfFindingsStaysOneException: details and positions are bounded, the
// count is not.
func TestAFloodOfFindingsStaysOneException(t *testing.T) {
	s := newStory(t).open(5)
	for range 100 {
		s.wait(60).reading(session.WhyHourly, 400)
		s.last().Record.Seq++
	}
	s.end(900)
	o := ledger.Settle(s.items, book(parseTariff(t, tariffText)))
	if len(o.Exceptions) != 1 {
		t.Fatalf("%d exceptions", len(o.Exceptions))
	}
	e := o.Exceptions[0]
	if e.Count != 100 || len(e.Details) != ledger.MaxDetails || len(e.Evidence) != ledger.MaxEvidence {
		t.Errorf("count %d, %d details, %d positions", e.Count, len(e.Details), len(e.Evidence))
	}
}
