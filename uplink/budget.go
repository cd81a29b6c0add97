package uplink

import (
	"time"

	"github.com/holdfast-ev/holdfast"
)

// A Stage says how much of a link's data budget is spent, and with it what
// yields: telemetry first, then the promptness of evidence, then everything.
type Stage string

// The stages, in the order in which a month goes through them.
const (
	StageOpen        Stage = "OPEN"         // nothing yields
	StageNoTelemetry Stage = "NO_TELEMETRY" // telemetry stays on the gateway
	StageThrift      Stage = "THRIFT"       // evidence goes in large batches, a quiet line is tried less often
	StageReserve     Stage = "RESERVE"      // what is left is for live traffic; evidence goes seldom
	StageSpent       Stage = "SPENT"        // the link is closed until the month is over
)

// Shares of a budget, in percent, at which a stage begins.
const (
	TelemetryStopsPercent = 70
	ThriftPercent         = 85
	ReservePercent        = 95
)

// What a stage demands of evidence and of a quiet line.
const (
	ThriftBatchRecords = 256            // evidence waits in THRIFT until there are so many records
	ThriftHoldMillis   = 3_600_000      // or the oldest has waited for so long
	ReserveHoldMillis  = 6 * 3_600_000  // in RESERVE, whatever their number
	ThriftHelloMillis  = 300_000        // a quiet line is tried this often in THRIFT
	ReserveHelloMillis = 900_000        // and in RESERVE, and on a spent link in an emergency
	ClockHelloMillis   = 3_600_000      // a spent link may ask for the time this often while the clock is not trusted
	MaxHoldMillis      = 24 * 3_600_000 // the longest that evidence may be told to wait for a window
	MaxBudgetBytes     = int64(1) << 50 // of a month
	MaxCostMicros      = 1_000_000_000  // per MiB, in millionths of a currency unit
	OverrideMillis     = 900_000        // a person's `sync now` lifts windows and holds for so long
	RingOverrideMillis = 60_000         // the doorbell lifts the holds on evidence for so long
)

// A Budget bounds what a link may carry in a month. The zero value is none.
type Budget struct {
	Bytes     int64          // both ways; 0: no bound
	ResetDay  int            // day of the month, 1 to 28, on which it begins anew at 00:00; 0: 1
	Zone      *time.Location // of that midnight; nil: UTC
	Emergency bool           // when it is spent and nothing else works, go on as in RESERVE instead of closing
}

// Stage returns the stage of a month in which used bytes went over the link.
func (b Budget) Stage(used int64) Stage {
	share := func(percent int64) int64 { return b.Bytes/100*percent + b.Bytes%100*percent/100 }
	switch {
	case b.Bytes == 0 || used < share(TelemetryStopsPercent):
		return StageOpen
	case used >= b.Bytes:
		return StageSpent
	case used >= share(ReservePercent):
		return StageReserve
	case used >= share(ThriftPercent):
		return StageThrift
	}
	return StageNoTelemetry
}

// Period returns when the month of the budget that at lies in began.
func (b Budget) Period(at holdfast.UnixMilli) holdfast.UnixMilli {
	zone, day := b.Zone, max(1, b.ResetDay)
	if zone == nil {
		zone = time.UTC
	}
	local := at.Time().In(zone)
	begin := time.Date(local.Year(), local.Month(), day, 0, 0, 0, 0, zone)
	if begin.After(local) {
		begin = time.Date(local.Year(), local.Month()-1, day, 0, 0, 0, 0, zone)
	}
	return holdfast.UnixMilli(begin.UnixMilli())
}

// Usage is what went over a link in a month of its budget.
type Usage struct {
	Period   holdfast.UnixMilli `json:"period"` // when it began; 0: no trusted clock has said yet
	Sent     int64              `json:"sent"`   // bytes on the socket, TLS included
	Received int64              `json:"received"`
}

// Total is both ways together.
func (u Usage) Total() int64 { return u.Sent + u.Received }

// roll begins a new month when there is one. Only a trusted clock can tell, and
// months do not go back: a clock that is wrong must not hand out a fresh
// budget. What was counted before any month was known counts in the first.
func (u *Usage) roll(b Budget, now holdfast.Instant) {
	if b.Bytes == 0 || !now.Quality.Trusted() {
		return // without a budget there are no months: it counts since the start
	}
	switch begin := b.Period(now.Wall); {
	case u.Period == 0:
		u.Period = begin
	case begin > u.Period:
		*u = Usage{Period: begin}
	}
}

// CostOf is the price of so many bytes in millionths of the currency unit,
// rounded down.
func CostOf(bytes, microsPerMiB int64) holdfast.Micros {
	const mib = 1 << 20
	return holdfast.Micros(bytes/mib*microsPerMiB + bytes%mib*microsPerMiB/mib)
}
