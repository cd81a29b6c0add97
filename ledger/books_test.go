package ledger_test

import (
	"encoding/json"
	"math/rand"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ledger"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// tell draws a session's story: ordinary, or with the troubles of the field.
func tell(t *rapid.T) *story {
	s := newStory(t)
	register := holdfast.WattHours(rapid.Int64Range(1, 5_000_000).Draw(t, "start"))
	trust := rapid.SampledFrom([]record.RegisterTrust{record.Trusted, record.Trusted, record.Placeholder, record.Absent}).Draw(t, "start trust")
	s.open(register, func(o *record.SessionOpened) {
		o.StartTrust = trust
		if trust == record.Absent {
			o.Start = nil
		}
		o.Source = rapid.SampledFrom([]record.StartSource{record.StartAuthorized, record.StartLocal, record.StartRemote}).Draw(t, "source")
	})
	for range rapid.IntRange(0, 8).Draw(t, "readings") {
		s.wait(rapid.Int64Range(1, 3600).Draw(t, "seconds"))
		if rapid.IntRange(0, 19).Draw(t, "reset") == 0 {
			register = 0
		}
		register += holdfast.WattHours(rapid.Int64Range(0, 3000).Draw(t, "Wh"))
		s.reading(rapid.SampledFrom([]string{session.WhyHourly, session.WhyIdle, session.WhyActive, session.WhyLimit}).Draw(t, "why"), register)
	}
	if rapid.IntRange(0, 9).Draw(t, "running") == 0 {
		return s
	}
	s.wait(rapid.Int64Range(1, 7200).Draw(t, "seconds"))
	if rapid.IntRange(0, 4).Draw(t, "closed by us") == 0 {
		s.write(&record.SessionEnded{StoppedAt: 0, Reason: session.ReasonFreed, StopTrust: record.Absent}).wait(60)
		if rapid.Bool().Draw(t, "stop never comes") {
			return s
		}
	}
	s.end(register + holdfast.WattHours(rapid.Int64Range(0, 3000).Draw(t, "Wh")))
	s.wait(1).write(&record.ReceiptIssued{Bytes: []byte{1}})
	return s
}

func shuffled(t *rapid.T, items []ledger.Item) []ledger.Item {
	items = slices.Clone(items)
	for range rapid.IntRange(0, 3).Draw(t, "repeated") {
		items = append(items, items[rapid.IntRange(0, len(items)-1).Draw(t, "which")])
	}
	rand.New(rand.NewSource(rapid.Int64().Draw(t, "order"))).Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items
}

// TestSettleDependsOnTheSetAlone (I3): any order, any repetition, one result.
func TestSettleDependsOnTheSetAlone(t *testing.T) {
	tariffs := book(parseTariff(t, tariffText))
	rapid.Check(t, func(t *rapid.T) {
		s := tell(t)
		want := ledger.Settle(s.items, tariffs)
		if got := ledger.Settle(shuffled(t, s.items), tariffs); !reflect.DeepEqual(got, want) {
			t.Fatalf("another order, another result:\n%+v\n%+v", got, want)
		}
	})
}

// TestFindingsDependOnTheSetAlone: the same for every doubtful story.
func TestFindingsDependOnTheSetAlone(t *testing.T) {
	tariffs := book(limitedTariff(t))
	for _, f := range findings() {
		if f.code == ledger.EvidOversize {
			continue // the property below would take seconds on 65,536 records
		}
		s := newStory(t)
		f.tell(s)
		want := ledger.Settle(s.items, tariffs)
		for seed := range int64(20) {
			items := append(slices.Clone(s.items), s.items...)
			rand.New(rand.NewSource(seed)).Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
			if got := ledger.Settle(items, tariffs); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: another order, another result:\n%+v\n%+v", f.name, got, want)
			}
		}
	}
}

// TestBooksBalance (I3, I6): debits = credits, total = sum of lines, energy =
// what session says, receivable = the CDR's total.
func TestBooksBalance(t *testing.T) {
	tariffs := book(parseTariff(t, tariffText))
	rapid.Check(t, func(t *rapid.T) {
		s := tell(t)
		o := ledger.Settle(s.items, tariffs)
		if (o.CDR == nil) != (len(o.Postings) == 0) {
			t.Fatal("postings without a CDR, or a CDR without postings")
		}
		if o.CDR == nil {
			if !o.Session.Running && !o.Session.Failed && !o.Blocked() {
				t.Fatal("ended, not failed, not blocked, and no CDR")
			}
			return
		}
		balances(t, o.Postings)
		var net, gross holdfast.Micros
		for _, l := range o.CDR.Holdfast.Lines {
			net, gross = net+l.Net, gross+l.Gross
		}
		if ledger.Amount(net) != o.CDR.TotalCost.ExclVAT || ledger.Amount(gross) != o.CDR.TotalCost.InclVAT {
			t.Fatalf("total %+v, lines say %d and %d", o.CDR.TotalCost, net, gross)
		}
		for _, p := range o.Postings {
			if p.Account == ledger.AccountReceivable && p.Amount != gross {
				t.Fatalf("receivable %d, total %d", p.Amount, gross)
			}
		}
		var records []record.Record
		for _, it := range s.items {
			records = append(records, it.Record)
		}
		folded, err := session.Fold(s.id, records)
		if err != nil {
			t.Fatal(err)
		}
		if b := folded.Bill(); b.Energy != o.CDR.Holdfast.Wh || b.Energy != holdfast.WattHours(o.CDR.TotalEnergy) {
			t.Fatalf("billed %d Wh, the session delivered %d", o.CDR.Holdfast.Wh, b.Energy)
		}
	})
}

// TestLateEvidence (I7, I8, I17 of the books): records arrive in any order and
// the books are kept after each. What counts in the end is what all of them
// say, corrections are credits that name the old, and running again adds
// nothing. Diff, which sees postings alone, agrees at every step.
func TestLateEvidence(t *testing.T) {
	tariffs := book(parseTariff(t, tariffText))
	rapid.Check(t, func(t *rapid.T) {
		s := tell(t)
		var issued []ledger.CDR
		var posted []ledger.Posting
		items := shuffled(t, s.items)
		for n := 1; n <= len(items); n++ {
			o := ledger.Settle(items[:n], tariffs)
			cdrs := ledger.Revise(issued, o.CDR)
			var add []ledger.Posting
			for _, c := range cdrs {
				add = append(add, c.Postings()...)
			}
			if diff := ledger.Diff(posted, o.Postings); !(len(diff) == 0 && len(add) == 0) && !reflect.DeepEqual(diff, add) {
				t.Fatalf("Diff\n%+v\nRevise\n%+v", diff, add)
			}
			issued, posted = append(issued, cdrs...), append(posted, add...)
			if again := ledger.Revise(issued, o.CDR); len(again) != 0 {
				t.Fatalf("running again issues %+v", again)
			}
			if again := ledger.Diff(posted, o.Postings); len(again) != 0 {
				t.Fatalf("running again posts %+v", again)
			}
			balances(t, posted)
			checkChain(t, issued)
			if got, want := net(posted), net(o.Postings); !reflect.DeepEqual(got, want) {
				t.Fatalf("the books say %v, the evidence %v", got, want)
			}
		}
	})
}

// net sums postings by account and leaves out what is zero.
func net(ps []ledger.Posting) map[string]holdfast.Micros {
	sums := map[string]holdfast.Micros{}
	for _, p := range ps {
		sums[p.Account+" "+p.Currency] += p.Amount
	}
	for k, v := range sums {
		if v == 0 {
			delete(sums, k)
		}
	}
	return sums
}

// checkChain checks what OCPI wants of CDRs: ids are unique and fit, a credit
// names a CDR that was issued before and negates its total alone, and at most
// one CDR counts.
func checkChain(t *rapid.T, issued []ledger.CDR) {
	open := map[string]ledger.CDR{}
	ids := map[string]bool{}
	for _, c := range issued {
		if ids[c.ID] || len(c.ID) > 39 || !c.Credit && len(c.ID) > 36 {
			t.Fatalf("id %q", c.ID)
		}
		ids[c.ID] = true
		if !c.Credit {
			open[c.ID] = c
			continue
		}
		old, ok := open[c.CreditReferenceID]
		if !ok {
			t.Fatalf("credit of %q, which does not count", c.CreditReferenceID)
		}
		if c.TotalCost.ExclVAT != -old.TotalCost.ExclVAT || c.TotalCost.InclVAT != -old.TotalCost.InclVAT || c.TotalEnergy != old.TotalEnergy {
			t.Fatalf("credit %+v of %+v", c, old)
		}
		delete(open, c.CreditReferenceID)
	}
	if len(open) > 1 {
		t.Fatalf("%d CDRs count at once", len(open))
	}
}

// TestLateStopCorrectsTheBill is the same as a story: the stop arrives after
// the gateway had closed the session without one.
func TestLateStopCorrectsTheBill(t *testing.T) {
	tariffs := book(parseTariff(t, tariffText))
	s := newStory(t).open(1000).wait(3600).reading(session.WhyHourly, 9000)
	s.wait(60).write(&record.SessionEnded{Reason: session.ReasonFreed, StopTrust: record.Absent})
	first := ledger.Revise(nil, ledger.Settle(s.items, tariffs).CDR)
	s.wait(600).end(9400)
	second := ledger.Revise(first, ledger.Settle(s.items, tariffs).CDR)
	if len(first) != 1 || len(second) != 2 {
		t.Fatalf("issued %d, then %d; want 1, then a credit and a new CDR", len(first), len(second))
	}
	credit, fresh := second[0], second[1]
	if !credit.Credit || credit.CreditReferenceID != first[0].ID || credit.ID != first[0].ID+"-C" || credit.TotalCost.InclVAT != -first[0].TotalCost.InclVAT {
		t.Errorf("credit %+v", credit)
	}
	if fresh.Credit || fresh.CreditReferenceID != "" || fresh.Holdfast.Revision != 2 || fresh.TotalEnergy != 8400 {
		t.Errorf("new CDR %+v", fresh)
	}
	for i, p := range credit.Postings() {
		if was := first[0].Postings()[i]; p.Reverses != was.Key || p.Amount != -was.Amount || p.Account != was.Account {
			t.Errorf("posting %+v does not take back %+v", p, was)
		}
	}
}

// TestSameMoneyOtherTimeIsAnotherBill: a CDR is immutable, so an end that turns
// out to be another one is a correction even where it costs the same.
func TestSameMoneyOtherTimeIsAnotherBill(t *testing.T) {
	tariffs := book(parseTariff(t, `{"id":"day","currency":"EUR","elements":[{"price_components":[{"type":"ENERGY","price":0.49,"step_size":1}]}]}`))
	s := newStory(t).open(1000).wait(3600).reading(session.WhyHourly, 9000)
	s.wait(60).write(&record.SessionEnded{Reason: session.ReasonFreed, StopTrust: record.Absent})
	first := ledger.Settle(s.items, tariffs).CDR
	s.wait(600).end(9000)
	second := ledger.Settle(s.items, tariffs).CDR
	if first.TotalCost != second.TotalCost || first.EndDateTime == second.EndDateTime {
		t.Fatalf("the story is another one: %+v %+v", first, second)
	}
	if more := ledger.Revise([]ledger.CDR{*first}, second); len(more) != 2 {
		t.Errorf("issued %+v, want a credit and a new CDR", more)
	}
	if more := ledger.Revise([]ledger.CDR{*first, *first}, first); len(more) != 0 {
		t.Errorf("a CDR that is listed twice was corrected: %+v", more)
	}
}

// TestDisputedEvidenceTakesTheBillBack: a second record for a known position
// makes the bill doubtful; what was billed is credited, and nothing new counts.
func TestDisputedEvidenceTakesTheBillBack(t *testing.T) {
	tariffs := book(parseTariff(t, tariffText))
	s := newStory(t).open(1000).wait(3600).end(9000)
	issued := ledger.Revise(nil, ledger.Settle(s.items, tariffs).CDR)
	s.seq -= 3
	s.end(3000)
	o := ledger.Settle(s.items, tariffs)
	more := ledger.Revise(issued, o.CDR)
	if o.CDR != nil || len(more) != 1 || !more[0].Credit {
		t.Errorf("%+v, then %+v", o, more)
	}
}

// TestPlantedDoubleBillIsTakenBack: a second booking of the same content, as a
// defect or a forger would make it, does not survive the next run.
func TestPlantedDoubleBillIsTakenBack(t *testing.T) {
	o := ledger.Settle(newStory(t).open(1000).wait(3600).end(9000).items, book(parseTariff(t, tariffText)))
	planted := *o.CDR
	planted.Holdfast.Revision, planted.ID = 2, planted.ID[:len(planted.ID)-1]+"2"
	issued := []ledger.CDR{planted, *o.CDR}
	posted := append(planted.Postings(), o.Postings...)
	more := ledger.Revise(issued, o.CDR)
	if len(more) != 1 || more[0].CreditReferenceID != planted.ID {
		t.Fatalf("issued %+v", more)
	}
	diff := ledger.Diff(posted, o.Postings)
	if !reflect.DeepEqual(diff, more[0].Postings()) {
		t.Errorf("Diff %+v", diff)
	}
	if got, want := net(append(posted, diff...)), net(o.Postings); !reflect.DeepEqual(got, want) {
		t.Errorf("the books say %v, want %v", got, want)
	}
}

func TestCDRReadsBackAsItWasWritten(t *testing.T) {
	tariffs := book(parseTariff(t, tariffText))
	rapid.Check(t, func(t *rapid.T) {
		o := ledger.Settle(tell(t).items, tariffs)
		if o.CDR == nil {
			return
		}
		for _, c := range []ledger.CDR{*o.CDR, ledger.CreditOf(*o.CDR)} {
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			var back ledger.CDR
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, c) {
				t.Fatalf("%+v\n%+v", back, c)
			}
		}
	})
}

func TestDecimalsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type all struct {
			A ledger.Amount
			K ledger.KWh
			H ledger.Hours
			T ledger.DateTime
		}
		want := all{
			ledger.Amount(rapid.Int64().Draw(t, "micros")), ledger.KWh(rapid.Int64().Draw(t, "Wh")),
			ledger.Hours(rapid.Int64Range(0, 1<<46).Draw(t, "s")), ledger.DateTime(rapid.Int64Range(0, int64(holdfast.LatestPlausible)).Draw(t, "ms")),
		}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got all
		if err := json.Unmarshal(b, &got); err != nil || got != want {
			t.Fatalf("%s: %+v, want %+v, %v", b, got, want, err)
		}
	})
	for text, want := range map[string]ledger.Amount{"0": 0, "-0.000001": -1, "4": 4_000_000, "4.5": 4_500_000, "0.1": 100_000} {
		var a ledger.Amount
		b, err := json.Marshal(want)
		if err != nil || string(b) != text || json.Unmarshal([]byte(text), &a) != nil || a != want {
			t.Errorf("%s: wrote %s, read %d", text, b, a)
		}
	}
	for _, bad := range []string{`0.0000001`, `"1"`, `1e3`, `9223372036854.775808`, `null`, `true`} {
		var a ledger.Amount
		if err := a.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("read %s as %d", bad, a)
		}
	}
}
