package holdfast

import "time"

// UnixMilli is a wall-clock time in milliseconds since 1970-01-01 UTC. Zero
// means "not given".
type UnixMilli int64

// Time returns u as a UTC time.
func (u UnixMilli) Time() time.Time { return time.UnixMilli(int64(u)).UTC() }

// String formats u as RFC 3339 in UTC with milliseconds, the form OCPP and OCPI
// use; zero is "-".
func (u UnixMilli) String() string {
	if u == 0 {
		return "-"
	}
	return u.Time().Format("2006-01-02T15:04:05.000Z")
}

// Add returns u moved by d, cut to the millisecond.
func (u UnixMilli) Add(d time.Duration) UnixMilli { return u + UnixMilli(d.Milliseconds()) }

// Quality says how far a wall-clock time can be trusted, in OCMF's letters
// (OCMF 1.4, table "time status").
type Quality string

// The clock qualities, worst first.
const (
	Unknown      Quality = "U" // never set since power-up
	Informative  Quality = "I" // set by somebody, not to be relied on
	Relative     Quality = "R" // a trustworthy span from a doubtful start
	Synchronised Quality = "S" // set from a signed cloud time, within tolerance
)

// Trusted reports whether a time of this quality comes from the cloud's signed
// time, read now or run on from it: not anybody can have set it.
func (q Quality) Trusted() bool { return q == Synchronised || q == Relative }

// An Instant is the time as a gateway knows it when an input arrives. The core
// never reads a clock: every instant is an input.
type Instant struct {
	Wall    UnixMilli `json:"wall"` // wall clock; data, never order
	Quality Quality   `json:"q"`    // of Wall
	Boot    uint32    `json:"boot"` // boot number, rising by one at each start
	Mono    int64     `json:"mono"` // milliseconds since this boot; cannot be set
}

// Earliest plausible wall clock: anything before this is an unset clock (1970,
// or a firmware's build epoch), never a real event.
const EarliestPlausible UnixMilli = 1_577_836_800_000 // 2020-01-01T00:00:00Z

// LatestPlausible bounds wall clocks from above (2106-02-07, the end of
// unsigned 32-bit seconds).
const LatestPlausible UnixMilli = 4_294_967_295_000

// Plausible reports whether u can be the time of a real event.
func (u UnixMilli) Plausible() bool { return u >= EarliestPlausible && u <= LatestPlausible }
