package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// Bounds of what is done about chargers' own settings and lists.
const (
	NativeSettleMillis   = 5_000          // after a connection or a boot, before the first question
	NativeEveryMillis    = 24 * 3_600_000 // a charger that rests is asked again so often
	NativeRecheckMillis  = 3_600_000      // a charger that reconnects without a boot is not asked again sooner
	NativeListMillis     = 20_000         // between two updates of one charger's list; changes in between go together
	NativeRetryMillis    = 60_000         // after a failed update; doubles
	NativeRetryMaxMillis = 6 * 3_600_000  // and grows no further
	NativeStepsPerTick   = 8              // messages to all chargers of a site in one tick
	NativeKeysPerCall    = 10             // settings asked for in one message
	NativeChunkMax       = 100            // entries in one message, however many the charger would take
	NativeChunkUnknown   = 25             // entries in one message to a charger that does not say how many it takes
	NativeListUnknown    = 1_000          // entries for a charger that does not say how many its list holds
	NativeMismatchMax    = 3              // versions that a charger may refuse in a row before the update has failed
	NativeEntryBytes     = 300            // of one entry in a message, at the most that is usual
	BookRetryMillis      = 30_000         // after a failed fetch of the tokens; doubles
	BookRetryMaxMillis   = 3_600_000
	BookWaitMillis       = 10_000 // a new list waits so long for its tokens
)

// A NativeMode says how far a charger's own settings are the gateway's business.
type NativeMode string

// The modes.
const (
	NativeKeep  NativeMode = "keep"  // read, set, and the local list kept in step. The zero value
	NativeWatch NativeMode = "watch" // read and shown; nothing is changed
	NativeOff   NativeMode = "off"   // left alone
)

// NativeConfig says how a charger shall be prepared for a time without the
// gateway. docs/native.md has the settings by their names in OCPP.
type NativeConfig struct {
	Mode           NativeMode // "": NativeKeep
	UnknownOffline bool       // alone, the charger accepts drivers that it does not know
	Cache          bool       // the charger remembers verdicts in its authorisation cache
	Attempts       int        // tries before a charger throws a transaction message away, 1 to 1000; 0: 30
	RetryS         int        // s between them, 1 to 3600; 0: 60
	ListMax        int        // entries of a charger's list, at most; 0: what the charger says, else NativeListUnknown
}

func (n NativeConfig) withDefaults() NativeConfig {
	if n.Mode == "" {
		n.Mode = NativeKeep
	}
	if n.Attempts == 0 {
		n.Attempts = 30
	}
	if n.RetryS == 0 {
		n.RetryS = 60
	}
	return n
}

// Validate refuses values outside their ranges.
func (n NativeConfig) Validate() error {
	switch n.Mode {
	case "", NativeKeep, NativeWatch, NativeOff:
	default:
		return fmt.Errorf("native mode %q, want keep, watch or off", n.Mode)
	}
	for _, v := range []struct {
		name        string
		value, most int
	}{{"attempts", n.Attempts, 1000}, {"retry", n.RetryS, 3600}, {"list max", n.ListMax, 10_000}} {
		if v.value < 0 || v.value > v.most {
			return fmt.Errorf("native %s %d, want 0 to %d", v.name, v.value, v.most)
		}
	}
	return nil
}

// native returns what is wanted of a charger. Without any wish all are left
// alone.
func (c *Config) native(id holdfast.ChargerID) NativeConfig {
	switch own := c.Chargers[id].Native; {
	case own != nil:
		return own.withDefaults()
	case c.Native != nil:
		return c.Native.withDefaults()
	}
	return NativeConfig{Mode: NativeOff}
}

// nativeWanted reports whether anything is to be done for any charger.
func (c *Config) nativeWanted() bool {
	for id := range c.Chargers {
		if c.native(id).Mode == NativeKeep {
			return true
		}
	}
	return false
}
