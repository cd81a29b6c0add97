package power_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/vector"
	"github.com/holdfast-ev/holdfast/power"
	"github.com/holdfast-ev/holdfast/statement"
	"pgregory.net/rapid"
)

const noon holdfast.UnixMilli = 1_790_000_000_000

const hour = holdfast.UnixMilli(3_600_000)

// site is 3 x 63 A at 230 V: 43.47 kW.
func site() power.Site {
	return power.Site{Unit: power.Amperes, Max: 630, FailSafe: 160, Phases: 3, Voltage: 230}
}

func schedule(ps ...power.Period) power.Schedule {
	return power.Schedule{Site: "site-1", Version: 3, Issued: noon - hour, After: 11_040, Periods: ps}
}

func period(from, to int, w holdfast.Watts) power.Period {
	return power.Period{From: noon + hour*holdfast.UnixMilli(from), To: noon + hour*holdfast.UnixMilli(to), Limit: w}
}

// Every way in which a limit can be missing, late or undatable ends at less
// power, never at more.
func TestWhichLimitHolds(t *testing.T) {
	s := schedule(period(0, 2, 34_500), period(3, 4, 20_700))
	sync := func(h float64) power.Clock {
		return power.Clock{Now: noon + holdfast.UnixMilli(h*float64(hour)), Quality: holdfast.Synchronised, Floor: noon - 3*hour}
	}
	quality := func(c power.Clock, q holdfast.Quality) power.Clock { c.Quality = q; return c }
	tests := []struct {
		name  string
		sched *power.Schedule
		clock power.Clock
		want  power.Limit
	}{
		{"no schedule was ever installed", nil, sync(0), power.Limit{Level: 630, Source: power.FromSite}},
		{"in a period", &s, sync(1), power.Limit{Level: 500, Source: power.FromSchedule}},
		{"a minute before a fall it has fallen", &s, sync(1.99), power.Limit{Level: 160, Source: power.FromFailSafe}},
		{"between two periods", &s, sync(2.5), power.Limit{Level: 160, Source: power.FromFailSafe}},
		{"not begun", &s, sync(-2), power.Limit{Level: 160, Source: power.FromFailSafe}},
		{"over", &s, sync(9), power.Limit{Level: 160, Source: power.FromFailSafe}},
		{"a clock that has run on alone near a border", &s, quality(sync(1.8), holdfast.Relative), power.Limit{Level: 160, Source: power.FromFailSafe}},
		{"a clock that has run on alone inside a period", &s, quality(sync(1), holdfast.Relative), power.Limit{Level: 500, Source: power.FromSchedule}},
		{"an unset clock", &s, power.Clock{Floor: noon}, power.Limit{Level: 160, Source: power.FromClock}},
		{"a clock below the signed time", &s, power.Clock{Now: noon - 9*hour, Quality: holdfast.Synchronised, Floor: noon}, power.Limit{Level: 160, Source: power.FromClock}},
		{"a clock in 2106 and beyond", &s, power.Clock{Now: holdfast.LatestPlausible + 1, Quality: holdfast.Synchronised, Floor: noon}, power.Limit{Level: 160, Source: power.FromClock}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := site().Limit(tc.sched, tc.clock); got != tc.want {
				t.Errorf("limit %+v, want %+v", got, tc.want)
			}
		})
	}
}

// A clock step of any size never yields more than the configured limit, and an
// untrusted one never more than the lowest that could be in force.
func TestNoClockRaisesTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := schedule()
		at := noon
		for range rapid.IntRange(0, 6).Draw(t, "periods") {
			at += holdfast.UnixMilli(rapid.Int64Range(0, int64(3*hour)).Draw(t, "gap"))
			p := power.Period{From: at, Limit: holdfast.Watts(rapid.IntRange(1, 60_000).Draw(t, "w"))}
			at += holdfast.UnixMilli(rapid.Int64Range(1, int64(3*hour)).Draw(t, "long"))
			p.To = at
			s.Periods = append(s.Periods, p)
		}
		floor := noon + holdfast.UnixMilli(rapid.Int64Range(-int64(hour), int64(20*hour)).Draw(t, "floor"))
		now := noon + holdfast.UnixMilli(rapid.Int64Range(-50*365*24*int64(hour), 50*365*24*int64(hour)).Draw(t, "now"))
		got := site().Limit(&s, power.Clock{Now: now, Quality: rapid.SampledFrom([]holdfast.Quality{"U", "I", "R", "S", ""}).Draw(t, "q"), Floor: floor})
		if got.Level > 630 || got.Level < 0 {
			t.Fatalf("%+v", got)
		}
		if got.Source != power.FromClock {
			return
		}
		for _, p := range s.Periods {
			if p.To > floor && got.Level > site().FromWatts(p.Limit) {
				t.Fatalf("%+v, though %+v may be in force", got, p)
			}
		}
	})
}

func TestImpossibleLimitsAreRefused(t *testing.T) {
	bad := map[string]power.Schedule{
		"0 W":  schedule(period(0, 1, 0)),
		"-1 W": schedule(period(0, 1, -1)),
		"above the commissioned maximum of 63.0 A": schedule(period(0, 1, 434_700)), // ten times the fuse
		"9223372036854775807":                      schedule(period(0, 1, 1<<63-1)),
		"above":                                    schedule(period(0, 1, 43_471+69)),
		"fail-safe profiles":                       schedule(period(0, 1, 2000)),
		"before period 1":                          schedule(period(1, 3, 20_000), period(2, 4, 20_000)),
		"in order":                                 schedule(period(2, 1, 20_000)),
		"at most 3000":                             schedule(slices.Repeat([]power.Period{period(0, 1, 20_000)}, 3001)...),
		"outside the periods":                      {Site: "site-1", Version: 1, Issued: noon},
	}
	for want, s := range bad {
		err := s.Validate()
		if err == nil {
			err = site().Accept(s, 120)
		} else if !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("%s: %v is not ErrMalformed", want, err)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("refused with %v, want it to say %q", err, want)
		}
	}
	if err := site().Accept(schedule(period(0, 1, 43_470)), 120); err != nil {
		t.Errorf("the commissioned maximum itself: %v", err)
	}
	if err := (power.Site{}).Accept(schedule(), 0); err == nil {
		t.Error("a site without a commissioned maximum accepted a schedule")
	}
}

func TestSiteValidate(t *testing.T) {
	bad := map[string]func(*power.Site){
		"power unit":                   func(s *power.Site) { s.Unit = "VA" },
		"2 phases":                     func(s *power.Site) { s.Phases = 2 },
		"12 V":                         func(s *power.Site) { s.Voltage = 12 },
		"0.0 A, want":                  func(s *power.Site) { s.Max = 0 },
		"-1.0 A, want":                 func(s *power.Site) { s.Max = -10 },
		"above the commissioned":       func(s *power.Site) { s.Static = 631 },
		"want more than 0; to stop":    func(s *power.Site) { s.Static = -1 },
		"fail-safe limit of 5.0 A is":  func(s *power.Site) { s.FailSafe = 50 },
		"9223372036854775.8 A, want m": func(s *power.Site) { s.Max = 92233720368547758 },
	}
	for want, spoil := range bad {
		s := site()
		spoil(&s)
		if err := s.Validate(60); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(want, "9223372036854775.8 A, ")) {
			t.Errorf("%+v: %v, want it to say %q", s, err, want)
		}
	}
	s := site()
	if err := s.Validate(160); err != nil {
		t.Error(err)
	}
}

// The vector is what another implementation checks itself against.
func TestScheduleVector(t *testing.T) {
	key := vector.Key(t)
	s := schedule(period(0, 2, 34_500), period(3, 4, 20_700))
	payload, err := power.EncodeSchedule(s)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := statement.Sign(key, nil, statement.TypLimits, payload)
	if err != nil {
		t.Fatal(err)
	}
	vector.Check(t, "limits.json", struct {
		About     string         `json:"about"`
		KeyID     string         `json:"key_id"`
		Typ       string         `json:"typ"`
		Value     power.Schedule `json:"value"`
		Payload   vector.Hex     `json:"payload"`
		Statement vector.Hex     `json:"statement"`
	}{"a limit schedule of two periods", statement.KeyID(&key.PublicKey), statement.TypLimits, s, payload, signed})
	back, err := power.DecodeSchedule(payload)
	if err != nil || fmt.Sprint(back) != fmt.Sprint(s) {
		t.Errorf("decoded %+v, %v", back, err)
	}
}

// FuzzDecodeSchedule: whatever decodes can be obeyed, and is encoded as it was.
func FuzzDecodeSchedule(f *testing.F) {
	seed, err := power.EncodeSchedule(schedule(period(0, 2, 34_500)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := power.DecodeSchedule(b)
		if err != nil {
			return
		}
		again, err := power.EncodeSchedule(s)
		if err != nil || string(again) != string(b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
		if w, _ := s.Between(noon, noon+1); w <= 0 || w > power.MaxWatts {
			t.Fatalf("a limit of %d W", w)
		}
	})
}
