package session_test

import (
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

const (
	day   holdfast.UnixMilli = 1_790_000_000_000
	fifty holdfast.UnixMilli = 50 * 365 * 24 * 3600 * 1000
)

// An hour is a session of 3600 s and 10 kWh whose records say what change wants.
type hour struct {
	opened, ended      holdfast.Instant
	started, stopped   holdfast.UnixMilli
	startTime, endTime *record.ChargerTime
	reason             string
}

func anHour() hour {
	at := holdfast.Instant{Wall: day, Quality: holdfast.Synchronised, Boot: 1, Mono: 10_000}
	over := holdfast.Instant{Wall: day + 3_600_000, Quality: holdfast.Synchronised, Boot: 1, Mono: 3_610_000}
	return hour{opened: at, ended: over, started: day, stopped: day + 3_600_000, reason: "Local"}
}

func (h hour) bill(t *testing.T) session.Bill {
	t.Helper()
	zero, ten := holdfast.WattHours(1000), holdfast.WattHours(11_000)
	seq := holdfast.Seq(3)
	s, err := session.Fold(holdfast.SessionID{1}, []record.Record{
		{Seq: 4, At: h.opened, Charger: "CP1", Body: &record.SessionOpened{Decision: &seq, Token: holdfast.TokenHash{1}, Source: record.StartAuthorized,
			EVSE: 1, StartedAt: h.started, Time: h.startTime, Start: &zero, StartTrust: record.Trusted, PowerBudget: 22_000}},
		{Seq: 5, At: h.ended, Session: holdfast.SessionID{1}, Charger: "CP1", Body: &record.SessionEnded{StoppedAt: h.stopped, Time: h.endTime,
			Stop: &ten, StopTrust: record.Trusted, Reason: h.reason}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Bill()
}

func known(i holdfast.Instant, how record.TimeSource) *record.ChargerTime {
	return &record.ChargerTime{At: i, How: how}
}

// TestWhichClockABillRestsOn_issue3: of two clocks and two claims, what a bill
// takes for the time and the span, and what it says of them.
func TestWhichClockABillRestsOn_issue3(t *testing.T) {
	live := func(h *hour) {
		h.startTime, h.endTime = known(h.opened, record.TimeLive), known(h.ended, record.TimeLive)
	}
	reboot := func(h *hour, q holdfast.Quality) {
		h.opened.Quality, h.ended.Quality = q, q
		h.ended.Boot, h.ended.Mono = 2, 1000
		live(h)
	}
	for _, tt := range []struct {
		name    string
		change  func(*hour)
		started holdfast.UnixMilli
		seconds int64
		quality holdfast.Quality
		span    holdfast.Quality
	}{
		{"all agree", live, day, 3600, "S", "S"},
		{"the charger is half a minute off", func(h *hour) { live(h); h.started, h.stopped = h.started+30_000, h.stopped+30_000 }, day + 30_000, 3600, "S", "S"},
		{"an hour ahead", func(h *hour) { live(h); h.started, h.stopped = h.started+3_600_000, h.stopped+3_600_000 }, day, 3600, "S", "S"},
		{"in 1970", func(h *hour) { live(h); h.started, h.stopped = 60_000, 3_660_000 }, day, 3600, "S", "S"},
		{"set from 1970 in mid-session", func(h *hour) { live(h); h.started = 60_000 }, day, 3600, "S", "S"},
		{"leapt 50 years in mid-session", func(h *hour) { live(h); h.stopped += fifty }, day, 3600, "S", "S"},
		{"fell 50 years in mid-session", func(h *hour) { live(h); h.stopped -= fifty }, day, 3600, "S", "S"},
		{"set back by two hours in mid-session", func(h *hour) { live(h); h.stopped -= 7_200_000 }, day, 3600, "S", "S"},
		{"the gateway's clock leapt", func(h *hour) { h.opened.Quality = "I"; h.ended.Quality = "I"; h.ended.Wall += fifty; live(h) }, day, 3600, "I", "R"},
		{"the gateway's clock fell and the charger's leapt", func(h *hour) {
			h.opened.Quality, h.ended.Quality = "I", "I"
			h.ended.Wall -= fifty
			h.stopped += fifty
			live(h)
		}, day, 3600, "I", "R"},
		{"over a restart, signed", func(h *hour) { reboot(h, "S") }, day, 3600, "S", "S"},
		{"over a restart, signed, charger leapt", func(h *hour) { reboot(h, "S"); h.stopped += fifty }, day, 3600, "S", "S"},
		{"over a restart, unsigned: the charger's span", func(h *hour) { reboot(h, "I") }, day, 3600, "I", "I"},
		{"over a restart, unsigned, no claims", func(h *hour) { reboot(h, "I"); h.started, h.stopped = 0, 0 }, day, 3600, "I", "U"},
		{"over a restart, unsigned, leapt", func(h *hour) { reboot(h, "U"); h.started, h.stopped, h.ended.Wall = 0, 0, h.ended.Wall+fifty }, day, 50*365*24*3600 + 3600, "U", "U"},
		{"wholly late, offset known", func(h *hour) {
			arrived := holdfast.Instant{Wall: day + 9*3_600_000, Quality: "S", Boot: 1, Mono: 9 * 3_600_000}
			h.startTime, h.endTime = known(h.opened, record.TimeOffset), known(h.ended, record.TimeOffset)
			h.opened, h.ended = arrived, arrived
			h.started, h.stopped = h.started-7_200_000, h.stopped-7_200_000
		}, day, 3600, "S", "S"},
		{"wholly late, nothing known of the clock", func(h *hour) {
			arrived := holdfast.Instant{Wall: day + 9*3_600_000, Quality: "I", Boot: 1, Mono: 9 * 3_600_000}
			h.opened, h.ended = arrived, arrived
		}, day, 3600, "I", "I"},
		{"the clock was set while it could not be reached", func(h *hour) { live(h); h.startTime = &record.ChargerTime{How: record.TimeUnknown} }, day, 3600, "U", "U"},
		{"closed by the gateway", func(h *hour) { live(h); h.reason = session.ReasonFreed; h.stopped = h.ended.Wall }, day, 3600, "S", "S"},
		{"closed by the gateway, whose clock leapt", func(h *hour) {
			h.opened.Quality, h.ended.Quality = "I", "I"
			h.ended.Wall += fifty
			h.reason, h.stopped = session.ReasonFreed, h.ended.Wall
		}, day, 3600, "I", "R"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := anHour()
			tt.change(&h)
			b := h.bill(t)
			if b.Started != tt.started || b.Seconds != tt.seconds || b.Quality != tt.quality || b.SpanQuality != tt.span {
				t.Errorf("started %s (%s), %d s (%s); want %s (%s), %d s (%s)", b.Started, b.Quality, b.Seconds, b.SpanQuality, tt.started, tt.quality, tt.seconds, tt.span)
			}
			if b.StartedClaim != h.started || b.StoppedClaim != h.stopped {
				t.Errorf("the claims are lost: %s %s", b.StartedClaim, b.StoppedClaim)
			}
			if b.Energy != 10_000 {
				t.Errorf("energy %s", b.Energy)
			}
		})
	}
}

// TestFillInsLookAtRegistersAlone: the samples that a stop repeats add nothing,
// whatever times they carry; a register that fell is no repetition.
func TestFillInsLookAtRegistersAlone(t *testing.T) {
	list := func(wh ...holdfast.WattHours) (out []holdfast.Reading) {
		for i := range wh {
			out = append(out, holdfast.Reading{Register: &wh[i]})
		}
		return out
	}
	for _, tt := range []struct {
		in   []holdfast.Reading
		last holdfast.WattHours
		want int
	}{
		{list(1000, 2000, 4900, 5100), 4900, 2},
		{list(1000, 2000, 3000), 4900, 0},
		{list(5000, 0, 200, 5100), 4900, 0},
		{list(5000, 5100), 4900, 0},
		{append(list(1000), holdfast.Reading{}), 500, 0},
		{append([]holdfast.Reading{{}}, list(1000, 5000)...), 2000, 2},
		{nil, 1, 0},
	} {
		if n := session.FillIns(tt.in, tt.last); n != tt.want {
			t.Errorf("%v after %d: %d, want %d", tt.in, tt.last, n, tt.want)
		}
	}
}
