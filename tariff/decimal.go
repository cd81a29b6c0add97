package tariff

import "strings"

// maxDigits bounds a scaled decimal: 18 digits always fit an int64.
const maxDigits = 18

// A decimalFault says why a decimal was refused.
type decimalFault string

const (
	decimalOK        decimalFault = ""
	decimalMalformed decimalFault = "is not a decimal number"
	decimalNegative  decimalFault = "is negative"
	decimalPrecise   decimalFault = "has more decimals than can be kept exactly"
	decimalLarge     decimalFault = "is too large"
)

// scaled reads the JSON number s as an integer of 10^-places. It never goes
// through binary floating point and never rounds: digits that do not fit are a
// fault, trailing zeros are not.
func scaled(s string, places int) (int64, decimalFault) {
	if strings.HasPrefix(s, "-") {
		if n, f := scaled(s[1:], places); f != decimalOK || n != 0 {
			return 0, decimalNegative
		}
		return 0, decimalOK // -0 is 0
	}
	mantissa, exp, ok := cutExponent(s)
	if !ok {
		return 0, decimalMalformed
	}
	whole, frac, dotted := strings.Cut(mantissa, ".")
	if whole == "" || dotted && frac == "" || !allDigits(whole) || !allDigits(frac) {
		return 0, decimalMalformed
	}
	digits := whole + frac
	shift := exp - len(frac) + places // value = digits x 10^(shift-places)
	for shift < 0 && strings.HasSuffix(digits, "0") {
		digits, shift = digits[:len(digits)-1], shift+1
	}
	digits = strings.TrimLeft(digits, "0")
	switch {
	case digits == "":
		return 0, decimalOK
	case shift < 0:
		return 0, decimalPrecise
	case len(digits)+shift > maxDigits:
		return 0, decimalLarge
	}
	var n int64
	for _, c := range digits {
		n = n*10 + int64(c-'0')
	}
	for range shift {
		n *= 10
	}
	return n, decimalOK
}

func cutExponent(s string) (mantissa string, exp int, ok bool) {
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return s, 0, true
	}
	mantissa, e := s[:i], s[i+1:]
	negative := strings.HasPrefix(e, "-")
	if negative || strings.HasPrefix(e, "+") {
		e = e[1:]
	}
	if e == "" || !allDigits(e) {
		return "", 0, false
	}
	for _, c := range e {
		if exp = exp*10 + int(c-'0'); exp > 1000 { // far beyond any bound; keeps int small
			exp = 1000
		}
	}
	if negative {
		exp = -exp
	}
	return mantissa, exp, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
