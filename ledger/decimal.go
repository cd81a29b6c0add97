package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/tariff"
)

// The JSON forms of OCPI's numbers and times. Each is exact both ways: what was
// written reads back as the same integer.

// An Amount is money in micros; in JSON a number with up to six decimals.
type Amount holdfast.Micros

// KWh is energy in Wh; in JSON kWh with up to three decimals.
type KWh holdfast.WattHours

// Hours is a duration in seconds; in JSON hours with up to four decimals, which
// is OCPI's precision and still tells every second apart.
type Hours int64

// A Volume is the volume of a [Dimension]: either Wh or seconds.
type Volume struct {
	Wh      holdfast.WattHours
	Seconds int64
}

// DateTime is milliseconds since 1970; in JSON an OCPI DateTime.
type DateTime holdfast.UnixMilli

// MarshalJSON implements json.Marshaler.
func (a Amount) MarshalJSON() ([]byte, error) { return []byte(decimal(int64(a), 6)), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (a *Amount) UnmarshalJSON(b []byte) error { return readDecimal((*int64)(a), b, 6) }

// MarshalJSON implements json.Marshaler.
func (k KWh) MarshalJSON() ([]byte, error) { return []byte(decimal(int64(k), 3)), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (k *KWh) UnmarshalJSON(b []byte) error { return readDecimal((*int64)(k), b, 3) }

// MarshalJSON implements json.Marshaler.
func (h Hours) MarshalJSON() ([]byte, error) {
	if h < 0 || h > maxHours {
		return nil, fmt.Errorf("duration of %d s, want 0 to %d", int64(h), int64(maxHours))
	}
	return []byte(decimal((int64(h)*50+9)/18, 4)), nil // h/3600 x 10^4, half up
}

// maxHours keeps the arithmetic of Hours within 63 bits; it is above 2 million
// years.
const maxHours Hours = 1 << 46

// UnmarshalJSON implements json.Unmarshaler.
func (h *Hours) UnmarshalJSON(b []byte) error {
	var n int64
	if err := readDecimal(&n, b, 4); err != nil {
		return err
	}
	*h = Hours((n*18 + 25) / 50)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (v Volume) MarshalJSON() ([]byte, error) {
	if v.Wh != 0 {
		return KWh(v.Wh).MarshalJSON()
	}
	return Hours(v.Seconds).MarshalJSON()
}

// UnmarshalJSON implements json.Unmarshaler for a dimension, whose type says
// what the volume counts.
func (d *Dimension) UnmarshalJSON(b []byte) error {
	var raw struct {
		Type   string          `json:"type"`
		Volume json.RawMessage `json:"volume"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*d = Dimension{Type: tariff.Dimension(raw.Type)}
	if d.Type == tariff.Energy {
		return (*KWh)(&d.Volume.Wh).UnmarshalJSON(raw.Volume)
	}
	return (*Hours)(&d.Volume.Seconds).UnmarshalJSON(raw.Volume)
}

// MarshalJSON implements json.Marshaler.
func (t DateTime) MarshalJSON() ([]byte, error) {
	return []byte(`"` + holdfast.UnixMilli(t).Time().Format(dateTime) + `"`), nil
}

const dateTime = "2006-01-02T15:04:05.000Z"

// UnmarshalJSON implements json.Unmarshaler.
func (t *DateTime) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return fmt.Errorf("time %s: %w", b, err)
	}
	at, err := time.Parse(dateTime, s)
	*t = DateTime(at.UnixMilli())
	return err
}

// decimal writes n x 10^-places without trailing zeros.
func decimal(n int64, places int) string {
	sign, u := "", uint64(n)
	if n < 0 {
		sign, u = "-", -u
	}
	s := strconv.FormatUint(u, 10)
	if len(s) <= places {
		s = strings.Repeat("0", places+1-len(s)) + s
	}
	return sign + strings.TrimRight(strings.TrimRight(s[:len(s)-places]+"."+s[len(s)-places:], "0"), ".")
}

var errDecimal = errors.New("not a decimal of this precision")

// readDecimal is the inverse of decimal. It reads what this package wrote, and
// refuses anything that would have to be rounded.
func readDecimal(n *int64, b []byte, places int) error {
	whole, frac, _ := strings.Cut(string(b), ".")
	if len(frac) > places {
		return fmt.Errorf("%q: %w", b, errDecimal)
	}
	v, err := strconv.ParseInt(whole+frac+strings.Repeat("0", places-len(frac)), 10, 64)
	if err != nil {
		return fmt.Errorf("%q: %w", b, errDecimal)
	}
	*n = v
	return nil
}
