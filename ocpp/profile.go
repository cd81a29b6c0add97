package ocpp

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-ev/holdfast"
)

// Bounds of commands that both standards leave open, or that are the narrower
// of the two versions' own.
const (
	MaxLevelW      = 100_000_000 // tenths of W of a period: 10 MW
	MaxLevelA      = 100_000     // tenths of A of a period: 10 kA
	MaxListEntries = 1000        // credentials in one SendList
	MaxURL         = 512         // characters of an upload's or image's address
	maxTries       = 100         // retries of an upload or download
)

// Wrong is an error of [Dialect.Command] that wraps [ErrCommand].
func Wrong(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCommand}, args...)...)
}

// Check refuses a profile that no charger could carry out or that two chargers
// would read differently, whatever the version. Its error wraps [ErrCommand].
// evse is the EVSE that it is meant for.
func (p Profile) Check(evse int) error {
	if p.ID < 1 || p.ID > math.MaxInt32 || p.StackLevel < 0 || p.StackLevel > MaxStackLevel {
		return Wrong("profile id %d at stack level %d, want an id above 0 and a level of 0 to %d", p.ID, p.StackLevel, MaxStackLevel)
	}
	if p.Unit != InAmperes && p.Unit != InWatts {
		return Wrong("unit %.8q, want A or W", p.Unit)
	}
	if err := p.checkPlace(evse); err != nil {
		return err
	}
	if p.DurationS < 0 || p.DurationS > math.MaxInt32 || p.From < 0 || p.ValidTo < 0 || p.ValidTo != 0 && p.ValidTo <= p.From {
		return Wrong("a schedule from %s for %d s, valid to %s", p.From, p.DurationS, p.ValidTo)
	}
	return p.checkPeriods()
}

// checkPlace holds a profile to what its purpose allows (1.6 section 5.16;
// 2.0.1 K01.FR.38 and the purposes of part 2).
func (p Profile) checkPlace(evse int) error {
	switch p.Purpose {
	case StationMax:
		if evse != 0 {
			return Wrong("a limit of the whole charger is set on EVSE 0, not %d", evse)
		}
		if p.From == 0 && (len(p.Periods) != 1 || p.DurationS != 0) {
			return Wrong("a limit of the whole charger with several periods or an end needs a start")
		}
	case TxDefault:
		if evse < 0 {
			return Wrong("EVSE %d", evse)
		}
	case TxOnly:
		if evse <= 0 || p.TransactionID == "" {
			return Wrong("a TxProfile needs a transaction and its EVSE")
		}
	default:
		return Wrong("purpose %.40q", p.Purpose)
	}
	if p.Purpose != TxOnly && p.TransactionID != "" {
		return Wrong("a %s names no transaction", p.Purpose)
	}
	return nil
}

func (p Profile) checkPeriods() error {
	if len(p.Periods) < 1 || len(p.Periods) > MaxPeriods || p.Periods[0].StartS != 0 {
		return Wrong("%d periods, want 1 to %d, the first at 0 s", len(p.Periods), MaxPeriods)
	}
	most := int64(MaxLevelW)
	if p.Unit == InAmperes {
		most = MaxLevelA
	}
	for i, d := range p.Periods {
		if d.StartS > math.MaxInt32 || i > 0 && d.StartS <= p.Periods[i-1].StartS {
			return Wrong("period %d starts at %d s, want them in order", i+1, d.StartS)
		}
		if d.Limit < 0 || d.Limit > most || d.Phases < 0 || d.Phases > 3 {
			return Wrong("period %d limits to %d tenths of %s on %d phases, want 0 to %d on at most 3", i+1, d.Limit, p.Unit, d.Phases, most)
		}
	}
	return nil
}

// Kind returns the charging profile's kind in both versions' word, and the start
// of its schedule, "" for none. A limit of the whole charger may not be Relative
// (2.0.1 K01.FR.38); one without a start holds from 1970 on, so that a charger
// without a clock keeps it as well.
func (p Profile) Kind() (kind, start string) {
	switch {
	case p.From != 0:
		return "Absolute", FormatTime(p.From)
	case p.Purpose == StationMax:
		return "Absolute", FormatTime(0)
	}
	return "Relative", ""
}

// A WirePeriod is ChargingSchedulePeriod of both versions.
type WirePeriod struct {
	Start  int         `json:"startPeriod"`
	Limit  json.Number `json:"limit"`
	Phases int         `json:"numberPhases,omitempty"`
}

// WirePeriods are the profile's periods as both versions write them.
func (p Profile) WirePeriods() (out []WirePeriod) {
	for _, d := range p.Periods {
		out = append(out, WirePeriod{d.StartS, Tenths(d.Limit), d.Phases})
	}
	return out
}

// Tenths writes a limit without a float: 165 is 16.5.
func Tenths(n int64) json.Number {
	whole, rest := strconv.FormatInt(n/10, 10), n%10
	if rest == 0 {
		return json.Number(whole)
	}
	return json.Number(whole + "." + strconv.FormatInt(rest, 10))
}

// Check refuses a list that a charger would refuse, and one that says two things
// of one credential (2.0.1 D01; both versions compare without case). Its
// error wraps [ErrCommand] and tells no token.
func (c SendList) Check() error {
	if c.Version < 1 || c.Version > math.MaxInt32 {
		return Wrong("list version %d, want 1 to %d", c.Version, math.MaxInt32)
	}
	if len(c.Entries) > MaxListEntries || !c.Full && len(c.Entries) == 0 {
		return Wrong("%d entries in one message, want at most %d, and some in a partial update", len(c.Entries), MaxListEntries)
	}
	seen := make(map[string]bool, len(c.Entries))
	for i, e := range c.Entries {
		key := strings.ToLower(e.Token.Value) + "\x00" + e.Token.Type
		switch {
		case e.Token.Value == "":
			return Wrong("entry %d has no token", i+1)
		case seen[key]:
			return Wrong("entry %d repeats a token", i+1)
		case e.Remove && c.Full:
			return Wrong("entry %d is removed from a list that is replaced", i+1)
		}
		seen[key] = true
	}
	return nil
}

// Check refuses an upload that no charger could make. Its error wraps
// [ErrCommand].
func (c GetLog) Check() error {
	if c.From < 0 || c.To < 0 || c.To != 0 && c.To < c.From {
		return Wrong("logs from %s to %s", c.From, c.To)
	}
	return checkTransfer(c.URL, c.Request, c.Retries, c.WaitS)
}

// Check refuses an update that no charger could make. Its error wraps
// [ErrCommand].
func (c UpdateFirmware) Check() error {
	if c.RetrieveAt <= 0 || c.InstallAt < 0 || c.InstallAt != 0 && c.InstallAt < c.RetrieveAt {
		return Wrong("firmware to be fetched at %s and installed at %s", c.RetrieveAt, c.InstallAt)
	}
	if c.Signature != "" && c.Certificate == "" || Longer(c.Signature, 800) || Longer(c.Certificate, 5500) {
		return Wrong("a signature of at most 800 characters needs a certificate of at most 5500")
	}
	return checkTransfer(c.URL, c.Request, c.Retries, c.WaitS)
}

func checkTransfer(url string, request, retries, wait int) error {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || scheme == "" || rest == "" || Longer(url, MaxURL) || strings.ContainsAny(url, " \t\r\n") {
		return Wrong("an address of at most %d characters with a scheme wanted", MaxURL)
	}
	if request < 0 || request > math.MaxInt32 || retries < 0 || retries > maxTries || wait < 0 || wait > math.MaxInt32 {
		return Wrong("request %d with %d retries %d s apart, want at most %d retries", request, retries, wait, maxTries)
	}
	return nil
}

// Check refuses a reservation that no charger could make. Its error wraps
// [ErrCommand].
func (c Reserve) Check() error {
	if c.ID < 0 || c.ID > math.MaxInt32 || c.EVSE < 0 || c.Expires <= 0 || c.Token.Value == "" {
		return Wrong("reservation %d of EVSE %d until %s, want a token, an EVSE and an end", c.ID, c.EVSE, c.Expires)
	}
	return nil
}

// Check refuses criteria that match nothing. Its error wraps [ErrCommand].
func (c ClearProfile) Check() error {
	for _, n := range [...]*int{c.ID, c.EVSE, c.StackLevel} {
		if n != nil && (*n < 0 || *n > math.MaxInt32) {
			return Wrong("a criterion of %d", *n)
		}
	}
	switch c.Purpose {
	case "", StationMax, TxDefault, TxOnly:
		return nil
	}
	return Wrong("purpose %.40q", c.Purpose)
}

// Check refuses a schedule that cannot be asked for. Its error wraps
// [ErrCommand].
func (c GetComposite) Check() error {
	if c.EVSE < 0 || c.DurationS <= 0 || c.DurationS > math.MaxInt32 || c.Unit != "" && c.Unit != InAmperes && c.Unit != InWatts {
		return Wrong("the schedule of EVSE %d for %d s in %.8q", c.EVSE, c.DurationS, c.Unit)
	}
	return nil
}

// Check refuses what is not in the table of a version's messages. Its error
// wraps [ErrUnsupported] or [ErrCommand].
func (c Invoke) Check(table []Message) error {
	for _, m := range table {
		if m.Action != c.Action {
			continue
		}
		if !m.FromCSMS {
			return fmt.Errorf("%w: only a charger sends %s", ErrUnsupported, m.Action)
		}
		if _, err := Decode(c.Payload); err != nil {
			return Wrong("the payload of %s: %s", m.Action, err.Description)
		}
		return nil
	}
	return fmt.Errorf("%w: message %.40q", ErrUnsupported, c.Action)
}

// Moment writes an optional time, "" for none.
func Moment(t holdfast.UnixMilli) string {
	if t == 0 {
		return ""
	}
	return FormatTime(t)
}

// Longer reports that s has more than so many characters: both standards count
// characters and not bytes.
func Longer(s string, most int) bool { return utf8.RuneCountInString(s) > most }
