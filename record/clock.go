package record

// ClockDoubted notes a source of time that was not heeded: a hint that
// contradicts a signed time, a signed time before an earlier one. Coalesced like
// [ChargerLink].
type ClockDoubted struct {
	Source   string `json:"source"`    // "ntp" or "cloud"
	OffsetMs int64  `json:"offset_ms"` // the source minus the gateway's clock
	Detail   string `json:"detail,omitempty"`
	Count    int    `json:"count"`
}

// Type implements [Body].
func (*ClockDoubted) Type() Type { return "clock.doubted" }
