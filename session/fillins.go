package session

import "github.com/holdfast-ev/holdfast"

// FillIns counts the leading readings of one message that lie before a register
// which is known already: a stop repeats the session's samples from its begin
// on. It looks at registers alone, because the clock may have been set between
// two samples. Readings that do not rise are no such list.
func FillIns(in []holdfast.Reading, last holdfast.WattHours) (n int) {
	high := holdfast.WattHours(-1)
	for i, r := range in {
		if r.Register == nil {
			continue
		}
		if *r.Register < high {
			return 0
		}
		if high = *r.Register; high < last {
			n = i + 1
		}
	}
	if high < last {
		return 0 // the register fell
	}
	return n
}
