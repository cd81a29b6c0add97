package ocpp

import (
	"time"

	"github.com/holdfast-ev/holdfast"
)

// ParseTime reads a charger's timestamp: ISO 8601 date and time, with any
// number of fraction digits (cut to the millisecond) and the zone as Z, +hh:mm,
// +hhmm, +hh, or left out, which reads as UTC (1.6 section 3.15 and 2.0.1 part
// 2 recommend UTC; real chargers leave the zone out). 24:00:00 and a leap
// second are accepted as the moment they name. A wrong year is reported as it
// is: 1970 is what a charger without a clock says, and it is for the rules to
// see. Exactly 1970-01-01T00:00:00Z is 0, which the vocabulary reads as "not
// given".
func ParseTime(s string) (holdfast.UnixMilli, bool) {
	t := timeText{s: s, ok: true}
	year, month, day := t.digits(4), t.after('-', 2), t.after('-', 2)
	if sep := t.next(); sep != 'T' && sep != 't' && sep != ' ' {
		return 0, false
	}
	hour, minute, second := t.digits(2), t.after(':', 2), t.after(':', 2)
	milli := t.fraction()
	offset := t.zone()
	if !t.ok || t.s != "" || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	if minute > 59 || second > 60 || hour > 24 || hour == 24 && (minute != 0 || second != 0 || milli != 0) {
		return 0, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return holdfast.UnixMilli((at.Unix()-int64(offset)*60)*1000 + int64(milli)), true
}

// FormatTime writes a time of ours as both versions and OCPI do: RFC 3339 in
// UTC with milliseconds.
func FormatTime(t holdfast.UnixMilli) string {
	return t.Time().Format("2006-01-02T15:04:05.000Z")
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// timeText is what is left of a timestamp, and whether it was right so far.
type timeText struct {
	s  string
	ok bool
}

func (t *timeText) next() byte {
	if t.s == "" {
		t.ok = false
		return 0
	}
	c := t.s[0]
	t.s = t.s[1:]
	return c
}

func (t *timeText) digits(n int) (v int) {
	for range n {
		c := t.next()
		if c < '0' || c > '9' {
			t.ok = false
		}
		v = v*10 + int(c) - '0'
	}
	return v
}

func (t *timeText) after(sep byte, n int) int {
	if t.next() != sep {
		t.ok = false
	}
	return t.digits(n)
}

// fraction reads ".123456" or ",123456" and returns whole milliseconds.
func (t *timeText) fraction() (milli int) {
	if t.s == "" || t.s[0] != '.' && t.s[0] != ',' {
		return 0
	}
	t.s = t.s[1:]
	n := 0
	for t.s != "" && t.s[0] >= '0' && t.s[0] <= '9' {
		if n < 3 {
			milli = milli*10 + int(t.s[0]-'0')
		}
		n++
		t.s = t.s[1:]
	}
	if n == 0 {
		t.ok = false
	}
	for ; n < 3; n++ {
		milli *= 10
	}
	return milli
}

// zone returns the offset from UTC in minutes.
func (t *timeText) zone() int {
	if t.s == "" {
		return 0
	}
	sign := 1
	switch t.next() {
	case 'Z', 'z':
		return 0
	case '-':
		sign = -1
	case '+':
	default:
		t.ok = false
		return 0
	}
	hours, minutes := t.digits(2), 0
	if t.s != "" {
		if t.s[0] == ':' {
			t.s = t.s[1:]
		}
		minutes = t.digits(2)
	}
	if hours > 23 || minutes > 59 {
		t.ok = false
	}
	return sign * (hours*60 + minutes)
}
