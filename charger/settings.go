package charger

import (
	"strconv"
	"time"
)

// A setting is something that the other side may read and write; each version
// of OCPP has a name of its own for it.
type setting int

const (
	heartbeatInterval setting = iota // s
	sampleInterval                   // s
	attempts
	retryInterval // s
	stopOnInvalid // bool
	offlineKnown  // bool
	offlineUnknown
	evseCount // read only
	cacheOn   // bool
	preAuth   // bool
	listOn    // bool; this and what follows only with a local list
	listMax   // read only
	listChunk // read only
	listThere // bool, read only
	listCount // read only
	settingCount
)

// settings holds a charger's configuration. Intervals are kept as durations,
// because tests want them shorter than a second.
type settings struct {
	value [settingCount]int64 // ns for intervals, else a number; 0 and 1 for bools
}

func newSettings(o *Options) settings {
	var s settings
	s.value[heartbeatInterval] = int64(5 * time.Minute)
	s.value[sampleInterval] = int64(o.SampleInterval)
	s.value[attempts] = int64(o.Attempts)
	s.value[retryInterval] = int64(o.RetryInterval)
	s.value[stopOnInvalid] = 1
	s.value[offlineKnown] = truth(o.OfflineKnown)
	s.value[offlineUnknown] = truth(o.OfflineUnknown)
	s.value[evseCount] = int64(o.EVSEs)
	s.value[cacheOn] = 1
	s.value[listMax], s.value[listChunk], s.value[listThere] = int64(o.LocalList), int64(o.ListChunk), 1
	return s
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (k setting) interval() bool {
	return k == heartbeatInterval || k == sampleInterval || k == retryInterval
}

func (k setting) boolean() bool {
	switch k {
	case stopOnInvalid, offlineKnown, offlineUnknown, cacheOn, preAuth, listOn, listThere:
		return true
	}
	return false
}

func (k setting) readOnly() bool {
	return k == evseCount || k >= listMax
}

// has reports whether the charger has a setting at all.
func (c *Charger) has(k setting) bool { return k < listOn || c.o.LocalList > 0 }

func (s *settings) seconds(k setting) time.Duration { return time.Duration(s.value[k]) }
func (s *settings) number(k setting) int            { return int(s.value[k]) }
func (s *settings) on(k setting) bool               { return s.value[k] != 0 }

// put sets an interval in whole seconds, or a number.
func (s *settings) put(k setting, n int) {
	s.value[k] = int64(n)
	if k.interval() {
		s.value[k] = int64(n) * int64(time.Second)
	}
}

// text returns the value as OCPP writes it.
func (s *settings) text(k setting) string {
	switch {
	case k.boolean():
		return strconv.FormatBool(s.on(k))
	case k.interval():
		return strconv.FormatInt(s.value[k]/int64(time.Second), 10)
	}
	return strconv.FormatInt(s.value[k], 10)
}

// write sets the value from OCPP's text and returns the standard's status:
// "Accepted" or "Rejected".
func (s *settings) write(k setting, text string) string {
	if k.readOnly() {
		return "Rejected"
	}
	if k.boolean() {
		b, err := strconv.ParseBool(text)
		if err != nil {
			return "Rejected"
		}
		s.value[k] = truth(b)
		return "Accepted"
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 || k == attempts && n == 0 {
		return "Rejected"
	}
	s.put(k, int(n))
	return "Accepted"
}
