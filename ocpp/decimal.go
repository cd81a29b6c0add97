package ocpp

import "math"

// Decimals are read by hand: a float would lose a Wh in a register of 2^53 mWh,
// and differs between processors.

// maxExponent bounds the power of ten that a decimal is scaled by. Beyond it a
// value is zero or overflows whatever its digits are, since no frame holds more
// than 2^20 of them.
const maxExponent = 1 << 21

// ParseDecimal returns floor(s * 10^shift). It reads an optional sign, digits
// with an optional point, an optional exponent, and white space around them;
// everything else (NaN, Infinity, hex, a comma, nothing) and what does not fit
// 64 bits is not ok.
func ParseDecimal(s string, shift int) (n int64, ok bool) {
	d, ok := splitDecimal(s)
	if !ok || shift > maxExponent || shift < -maxExponent {
		return 0, false
	}
	return d.floor(shift)
}

// wholeNumber is ParseDecimal for what has no fraction.
func wholeNumber(s string) (int64, bool) {
	d, ok := splitDecimal(s)
	if !ok {
		return 0, false
	}
	low, ok := d.floor(0)
	if !ok {
		return 0, false
	}
	d.negative = !d.negative
	high, ok := d.floor(0)
	return low, ok && high == -low
}

// A decimal is a number in its own digits: negative, digits with the point
// still among them, and the place of the point counted in digits from the left.
type decimal struct {
	negative bool
	digits   string // 0-9 and at most one '.'
	point    int    // digits before the point, exponent included
}

func splitDecimal(s string) (d decimal, ok bool) {
	for len(s) > 0 && isSpace(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	i, count, seenPoint := 0, 0, false
	for ; i < len(s); i++ {
		if s[i] == '.' && !seenPoint {
			seenPoint, d.point = true, count
			continue
		}
		if s[i] < '0' || s[i] > '9' {
			break
		}
		count++
	}
	if count == 0 {
		return d, false
	}
	if !seenPoint {
		d.point = count
	}
	d.digits = s[:i]
	e, ok := exponent(s[i:])
	d.point += e
	return d, ok
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// exponent reads "", "e5", "E-5", "e+5", cut to maxExponent.
func exponent(s string) (e int, ok bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	negative := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		e = min(e*10+int(s[i]-'0'), maxExponent)
	}
	if negative {
		e = -e
	}
	return e, true
}

// floor returns floor(d * 10^shift).
func (d decimal) floor(shift int) (int64, bool) {
	point := d.point + shift
	var n uint64
	place, rest := 0, false
	for i := range len(d.digits) {
		c := d.digits[i]
		if c == '.' {
			continue
		}
		if place >= point {
			rest = rest || c != '0'
		} else if n > (math.MaxInt64-9)/10 && !lastDigit(n, c) {
			return 0, false
		} else {
			n = n*10 + uint64(c-'0')
		}
		place++
	}
	for ; place < point && n > 0; place++ {
		if n > math.MaxInt64/10 {
			return 0, false
		}
		n *= 10
	}
	if d.negative && rest {
		n++
	}
	if n > math.MaxInt64 {
		return 0, false
	}
	if d.negative {
		return -int64(n), true
	}
	return int64(n), true
}

// lastDigit reports whether n*10 + c still fits 63 bits.
func lastDigit(n uint64, c byte) bool {
	return n <= math.MaxInt64/10 && n*10 <= math.MaxInt64-uint64(c-'0')
}
