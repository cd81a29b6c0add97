package gateway

import (
	"fmt"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/power"
)

// A ChargerFeed is how a charger hangs on the site's supply. Its zero value is a
// three-phase AC charger with one EVSE and a fail-safe of 0 W.
type ChargerFeed struct {
	EVSEs    int            // 0: 1
	DC       bool           //
	Phases   int            // of an AC charger, 1 or 3; 0: 3
	Unit     power.Unit     // of its charging profiles; "": A at a site with a limit and AC, else W
	FailSafe holdfast.Watts // of each EVSE: what it may draw with no gateway to order anything
}

// A CutOutConfig describes the safety cut-out of a site.
type CutOutConfig struct {
	Fitted     bool           // without one a tripped state can still be latched, and released
	DeadlineMs int64          // until no session runs any more; 0: [DefaultCutOutDeadlineMs]
	Floor      holdfast.Watts // a session that meters no more than this at the deadline counts as stopped
}

// DefaultCutOutDeadlineMs is how long energy may still flow after the cut-out
// has tripped, unless the site says otherwise.
const DefaultCutOutDeadlineMs = 5_000

// checkPower refuses what the site's limit could not be kept with.
func (c *Config) checkPower() error {
	for id, ch := range c.Chargers {
		f := ch.Feed
		if f.EVSEs < 0 || f.EVSEs > MaxEVSEs || f.Phases != 0 && f.Phases != 1 && f.Phases != 3 || f.FailSafe < 0 || f.FailSafe > 10_000_000 {
			return fmt.Errorf("charger %s: %d EVSEs on %d phases with a fail-safe of %d W, want at most %d on 1 or 3 with 0 to 10000000 W", id, f.EVSEs, f.Phases, f.FailSafe, MaxEVSEs)
		}
	}
	if c.CutOut.DeadlineMs < 0 || c.CutOut.Floor < 0 {
		return fmt.Errorf("cut-out with a deadline of %d ms and a floor of %d W, want neither below 0", c.CutOut.DeadlineMs, c.CutOut.Floor)
	}
	if c.Power.IsZero() {
		return nil
	}
	return c.Power.Validate(c.Floors())
}

// Floors is what the chargers may draw by their fail-safe profiles alone.
func (c *Config) Floors() (sum power.Level) {
	for id := range c.Chargers {
		sum += c.failSafe(id) * power.Level(c.evses(id))
	}
	return sum
}

func (c *Config) evses(id holdfast.ChargerID) int { return max(c.Chargers[id].Feed.EVSEs, 1) }

// failSafe is the level of a charger's fail-safe profile, of each EVSE.
func (c *Config) failSafe(id holdfast.ChargerID) power.Level {
	return c.site().LevelOf(c.wiring(id), c.Chargers[id].Feed.FailSafe)
}

// unlimited stands for the limit of a site that has none: a session's own cap
// is all that counts.
const unlimited power.Level = 1 << 50

// site is the commissioned site. Where there is none levels are in W.
func (c *Config) site() power.Site {
	if c.Power.IsZero() {
		return power.Site{Unit: power.Watts, Max: unlimited, Phases: 3, Voltage: 230}
	}
	return c.Power
}

func (c *Config) wiring(id holdfast.ChargerID) power.Wiring {
	f := c.Chargers[id].Feed
	w := power.Wiring{DC: f.DC, Phases: f.Phases, Unit: f.Unit}
	if w.Phases == 0 {
		w.Phases = 3
	}
	if w.Unit == "" {
		w.Unit = power.Amperes
		if w.DC || c.Power.IsZero() {
			w.Unit = power.Watts
		}
	}
	return w
}

// chargerIDs lists the configured chargers in a fixed order.
func (c *Config) chargerIDs() (out []holdfast.ChargerID) {
	for id := range c.Chargers {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
