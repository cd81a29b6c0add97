package holdfast

import (
	"fmt"
	"strconv"
	"strings"
)

// WattHours is energy, or a meter register's reading, in whole Wh. Finer
// readings are cut down to the Wh where they enter: cutting a register keeps
// differences telescoping, rounding each difference would not.
type WattHours int64

// Joules returns w in joules, the base unit that metrics use.
func (w WattHours) Joules() float64 { return float64(w) * 3600 }

// String prints kWh with the register's own three digits: 12345 Wh is
// "12.345 kWh".
func (w WattHours) String() string { return thousandths(int64(w)) + " kWh" }

// Watts is power in whole W.
type Watts int64

// Micros is money in millionths of a currency unit: 1.20 EUR is 1,200,000.
type Micros int64

// Money is an amount in an ISO 4217 currency.
type Money struct {
	Currency string `json:"currency"`
	Micros   Micros `json:"micros"`
}

// String prints the amount to the cent, rounded half away from zero, with its
// currency: "1.20 EUR".
func (m Money) String() string {
	cents := int64(m.Micros) / 10_000
	if rest := int64(m.Micros) % 10_000; rest >= 5_000 {
		cents++
	} else if rest <= -5_000 {
		cents--
	}
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d %s", sign, cents/100, cents%100, m.Currency)
}

func thousandths(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	if len(s) < 4 {
		s = strings.Repeat("0", 4-len(s)) + s
	}
	return sign + s[:len(s)-3] + "." + s[len(s)-3:]
}
