package session_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"pgregory.net/rapid"
)

const start holdfast.UnixMilli = 1_790_000_000_000

func at(s int64) holdfast.Instant {
	return holdfast.Instant{Wall: start + holdfast.UnixMilli(s*1000), Quality: holdfast.Synchronised, Boot: 1, Mono: s * 1000}
}

func wh(n holdfast.WattHours) *holdfast.WattHours { return &n }

func opened(reg *holdfast.WattHours) record.Record {
	seq := holdfast.Seq(1)
	trust := record.Trusted
	if reg == nil {
		trust = record.Absent
	}
	return record.Record{Seq: 2, At: at(0), Charger: "CP1", Body: &record.SessionOpened{
		Decision: &seq, Source: record.StartAuthorized, Token: holdfast.TokenHash{1}, EVSE: 1, StartedAt: start,
		Start: reg, StartTrust: trust, PowerBudget: 22_000, Labels: map[string]string{"a": "b"},
	}}
}

func reading(s int64, n holdfast.WattHours, why string) record.Record {
	return record.Record{At: at(s), Body: &record.SessionReading{Why: why, Reading: holdfast.Reading{At: at(s).Wall, Register: wh(n)}}}
}

func ended(s int64, n *holdfast.WattHours) record.Record {
	trust := record.Trusted
	if n == nil {
		trust = record.Absent
	}
	return record.Record{At: at(s), Body: &record.SessionEnded{StoppedAt: at(s).Wall, Stop: n, StopTrust: trust, Reason: "Local"}}
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func fold(t fataler, rs ...record.Record) *session.Session {
	t.Helper()
	s, err := session.Fold(holdfast.SessionID{7}, rs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func codes(s *session.Session) (out []string) {
	for _, d := range s.Bill().Doubts {
		out = append(out, d.Code)
	}
	return out
}

func TestBill(t *testing.T) {
	refused := func(reg *holdfast.WattHours) record.Record {
		r := opened(reg)
		r.Body.(*record.SessionOpened).Source, r.Body.(*record.SessionOpened).Decision = record.StartRefused, nil
		return r
	}
	tests := []struct {
		name    string
		records []record.Record
		energy  holdfast.WattHours
		doubts  []string
		blocked bool
		failed  bool
	}{
		{"plain", []record.Record{opened(wh(1000)), ended(3600, wh(8000))}, 7000, nil, false, false},
		{"no start register", []record.Record{opened(nil), reading(10, 1000, session.WhyFirst), ended(3600, wh(8000))}, 7000, []string{session.DoubtBaseline}, false, false},
		{"placeholder", []record.Record{opened(wh(0)), reading(60, 909_948, session.WhyBegin), ended(120, wh(910_031))}, 83, []string{session.DoubtBaseline}, false, false},
		{"reset", []record.Record{opened(wh(1000)), reading(60, 1100, session.WhyReset), reading(70, 5, session.WhyReset), ended(200, wh(105))}, 200, []string{session.DoubtRegression}, false, false},
		{"impossible", []record.Record{opened(wh(1000)), ended(3600, wh(900_000))}, 899_000, []string{session.DoubtEnergy}, true, false},
		{"no register at all", []record.Record{opened(nil), ended(3600, nil)}, 0, []string{session.DoubtNoRegister}, true, false},
		{"nothing happened", []record.Record{opened(wh(1000)), ended(100, wh(1000))}, 0, nil, false, true},
		{"parked", []record.Record{opened(wh(1000)), ended(7200, wh(1000))}, 0, nil, false, false},
		{"refused and obeyed", []record.Record{refused(wh(1000)), ended(10, wh(1000))}, 0, nil, false, true},
		{"refused and not obeyed", []record.Record{refused(wh(1000)), ended(600, wh(2000))}, 1000, []string{session.DoubtRefused}, true, false},
		{"refused and no register", []record.Record{refused(nil), ended(600, nil)}, 0, []string{session.DoubtRefused}, false, true},
		{"absurd register", []record.Record{opened(wh(1000)), reading(60, 1<<62, session.WhyHourly), ended(3600, wh(8000))}, 7000, []string{session.DoubtRegister}, true, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := fold(t, tc.records...)
			b := s.Bill()
			if b.Energy != tc.energy || b.Blocked() != tc.blocked || b.Failed != tc.failed {
				t.Errorf("energy %v, blocked %v, failed %v; want %v, %v, %v", b.Energy, b.Blocked(), b.Failed, tc.energy, tc.blocked, tc.failed)
			}
			got := codes(s)
			if len(got) != len(tc.doubts) || len(got) > 0 && got[0] != tc.doubts[0] {
				t.Errorf("doubts %v, want %v", got, tc.doubts)
			}
		})
	}
}

// A late stop takes the place of an end that we made; a repeated stop and a
// late reading change nothing.
func TestEnds(t *testing.T) {
	ours := record.Record{At: at(900), Body: &record.SessionEnded{StoppedAt: at(900).Wall, StopTrust: record.Absent, Reason: session.ReasonFreed}}
	s := fold(t, opened(wh(1000)), reading(60, 1100, session.WhyHourly), ours)
	if b := s.Bill(); b.Energy != 100 || codes(s)[0] != session.DoubtMissingStop {
		t.Fatalf("billed %v, doubts %v", b.Energy, codes(s))
	}
	if err := s.Apply(ended(600, wh(2000))); err != nil {
		t.Fatal(err)
	}
	if b := s.Bill(); b.Energy != 1000 || b.Seconds != 600 || len(b.Doubts) != 0 {
		t.Fatalf("after the stop: billed %v over %d s, doubts %v", b.Energy, b.Seconds, codes(s))
	}
	if err := s.Apply(ended(700, wh(9999))); err != nil || s.Bill().Energy != 1000 {
		t.Errorf("a second stop changed the bill to %v (%v)", s.Bill().Energy, err)
	}
}

func TestRecordsOfTwoSessionsDoNotFold(t *testing.T) {
	for _, rs := range [][]record.Record{{}, {ended(1, nil)}, {opened(nil), opened(nil)}} {
		if _, err := session.Fold(holdfast.SessionID{}, rs); !errors.Is(err, session.ErrFold) {
			t.Errorf("%d records folded: %v", len(rs), err)
		}
	}
}

// The duration is counted by the clock that saw both ends.
func TestDurations(t *testing.T) {
	open := opened(wh(1000))
	open.Body.(*record.SessionOpened).StartedAt = 60_000 // 1970-01-01T00:01:00Z
	end := ended(100, wh(1100))
	end.Body.(*record.SessionEnded).StoppedAt = 660_000
	if b := fold(t, open, end).Bill(); b.Seconds != 600 || b.Started != start || b.Quality != holdfast.Relative {
		t.Errorf("1970 at both ends: %+v", b)
	}
	end = ended(300, wh(1100)) // the clock was set in between
	if b := fold(t, open, end).Bill(); b.Seconds != 300 || b.Started != start {
		t.Errorf("1970, then set: %+v", b)
	}
	end = ended(300, wh(1100))
	end.Body.(*record.SessionEnded).StoppedAt = start - 1000
	if b := fold(t, opened(wh(1000)), end).Bill(); b.Seconds != 300 {
		t.Errorf("stop before start: %+v", b)
	}
}

// Against a model: a meter that only rises bills last minus first, however many
// samples of it are evidence, and in whatever order late ones come.
func TestEnergyIsLastMinusFirst(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		reg := holdfast.WattHours(rapid.Int64Range(1, 1<<40).Draw(rt, "start"))
		first := reg
		rs := []record.Record{opened(wh(reg))}
		var late []record.Record
		s := int64(0)
		for range rapid.IntRange(0, 20).Draw(rt, "samples") {
			s += rapid.Int64Range(1, 1000).Draw(rt, "s")
			reg += holdfast.WattHours(rapid.Int64Range(0, 5000).Draw(rt, "wh"))
			r := reading(s, reg, session.WhyHourly)
			if rapid.Bool().Draw(rt, "late") {
				late = append(late, r)
				continue
			}
			rs = append(rs, r)
		}
		rs = append(rs, reading(s+1, reg, session.WhyHourly))
		rs = append(rs, late...)
		rs = append(rs, ended(s+2, wh(reg)))
		if got := fold(rt, rs...).Meter.Energy(); got != reg-first {
			rt.Fatalf("billed %v, the meter counted %v", got, reg-first)
		}
	})
}

// A session in a snapshot is the session.
func TestJSONRoundTrip(t *testing.T) {
	s := fold(t, opened(wh(1000)), reading(60, 1100, session.WhyIdle), ended(900, wh(2000)))
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back session.Session
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(&back)
	if string(again) != string(b) || back.Bill().Energy != s.Bill().Energy {
		t.Errorf("before %s\nafter  %s", b, again)
	}
}

// Worst counts what may flow unseen.
func TestWorstEnergy(t *testing.T) {
	s := fold(t, opened(wh(1000)))
	if got := s.WorstEnergy(session.Live{AgeS: 350, Cap: 10_000}); got != 1000 {
		t.Errorf("10 kW for 350 s and a stop of 10 s: %v, want 1.000 kWh", got)
	}
	if got := s.WorstEnergy(session.Live{Register: wh(1500), AgeS: 26, Cap: 10_000}); got != 600 {
		t.Errorf("500 Wh seen, 100 Wh unseen: %v, want 0.600 kWh", got)
	}
	if got := s.WorstEnergy(session.Live{AgeS: 1 << 60}); got <= 0 {
		t.Errorf("an endless gap is worth %v", got)
	}
}
