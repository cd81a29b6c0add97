package power

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// A Unit is what a site counts in.
type Unit string

// The units.
const (
	Watts   Unit = "W"
	Amperes Unit = "A" // a [Level] is tenths of an ampere, on each phase
)

// A Level is power or current in its site's unit: W, or tenths of A per phase.
type Level int64

// Bounds of a site.
const (
	MaxWatts   holdfast.Watts = 100_000_000 // of a site: beyond it a number is a mistake
	MaxTenths  Level          = 1_000_000   // 100 kA per phase
	MinVoltage                = 100         // V, phase to neutral
	MaxVoltage                = 500
)

// PilotTenths is the least current that a control pilot can offer, in tenths of
// A (IEC 61851-1): below 6 A an AC session is paused.
const PilotTenths Level = 60

// A Site is what an installation was commissioned for.
type Site struct {
	Unit     Unit
	Max      Level // the commissioned maximum: the fuse, or what the grid connection permits
	Static   Level // a lower limit that always holds; 0: Max
	FailSafe Level // holds when a schedule is over, not begun or undatable; 0: Static
	Phases   int   // 1 or 3
	Voltage  int   // V, phase to neutral
}

// IsZero reports whether no site was commissioned: then nothing is shared, and
// a session has its own limit only.
func (s Site) IsZero() bool { return s.Unit == "" }

// Validate refuses a site that cannot be. floors is the sum of what its outlets
// may draw with no order in force; every limit must cover it, because no order
// could bring the site below it once the gateway is gone.
func (s Site) Validate(floors Level) error {
	most := MaxTenths
	if s.Unit == Watts {
		most = Level(MaxWatts)
	}
	switch {
	case s.Unit != Watts && s.Unit != Amperes:
		return fmt.Errorf("power unit %q, want W or A", s.Unit)
	case s.Phases != 1 && s.Phases != 3:
		return fmt.Errorf("%d phases, want 1 or 3", s.Phases)
	case s.Voltage < MinVoltage || s.Voltage > MaxVoltage:
		return fmt.Errorf("%d V between phase and neutral, want %d to %d", s.Voltage, MinVoltage, MaxVoltage)
	case s.Max <= 0 || s.Max > most:
		return fmt.Errorf("commissioned maximum %s, want more than 0 and at most %s", s.Text(s.Max), s.Text(most))
	}
	for _, l := range []struct {
		name  string
		level Level
	}{{"limit", s.static()}, {"fail-safe limit", s.failSafe()}} {
		if err := s.check(l.name, l.level, floors); err != nil {
			return err
		}
	}
	return nil
}

// check refuses a limit that the site cannot have.
func (s Site) check(name string, l, floors Level) error {
	switch {
	case l <= 0:
		return fmt.Errorf("%s of %s: want more than 0; to stop a site, use its cut-out", name, s.Text(l))
	case l > s.Max:
		return fmt.Errorf("%s of %s is above the commissioned maximum of %s", name, s.Text(l), s.Text(s.Max))
	case l < floors:
		return fmt.Errorf("%s of %s is below %s, which the chargers may draw by their fail-safe profiles alone", name, s.Text(l), s.Text(floors))
	}
	return nil
}

func (s Site) static() Level {
	if s.Static == 0 {
		return s.Max
	}
	return s.Static
}

func (s Site) failSafe() Level {
	if s.FailSafe == 0 {
		return s.static()
	}
	return min(s.FailSafe, s.static())
}

// Text prints a level with its unit: "22000 W", "16.5 A".
func (s Site) Text(l Level) string {
	if s.Unit != Amperes {
		return fmt.Sprintf("%d W", l)
	}
	sign := ""
	if l < 0 {
		sign, l = "-", -l
	}
	return fmt.Sprintf("%s%d.%d A", sign, l/10, l%10)
}

// FromWatts returns the level that w is on the whole site, cut down.
func (s Site) FromWatts(w holdfast.Watts) Level {
	w = min(max(w, -MaxWatts), MaxWatts)
	if s.Unit != Amperes {
		return Level(w)
	}
	return Level(int64(w) * 10 / int64(s.Voltage*s.Phases))
}

// ToWatts returns the power that l is when every phase carries it.
func (s Site) ToWatts(l Level) holdfast.Watts {
	if s.Unit != Amperes {
		return holdfast.Watts(l)
	}
	return holdfast.Watts(int64(l) * int64(s.Voltage*s.Phases) / 10)
}

// A Wiring is how an outlet hangs on its site.
type Wiring struct {
	DC     bool
	Phases int  // of an AC outlet, 1 to 3
	Unit   Unit // of its charging profiles
}

// Tenths returns l as the limit of a charging profile in tenths of the wiring's
// unit, cut down so that obeying it stays within l. It is at most what fits an
// int32 and 24 periods of it.
func (s Site) Tenths(w Wiring, l Level) int64 {
	n, volts := int64(max(l, 0)), int64(s.Voltage)
	switch {
	case s.Unit == Watts && w.Unit == Watts:
		return n * 10
	case s.Unit == Watts: // A per phase, all of them loaded
		return n * 10 / (volts * int64(s.phasesOf(w)))
	case w.Unit == Amperes:
		return n
	case w.DC: // a rectifier loads the phases alike
		return n * volts * int64(s.Phases)
	default: // in W, and a car may take all of it from one phase
		return n * volts
	}
}

// LevelOf returns the level at which an outlet draws at most watts: the inverse
// of [Site.Tenths], cut down.
func (s Site) LevelOf(w Wiring, watts holdfast.Watts) Level {
	n, volts := int64(watts), int64(s.Voltage)
	switch {
	case s.Unit == Watts:
		return Level(n)
	case w.Unit == Amperes:
		return Level(n * 10 / (volts * int64(s.phasesOf(w))))
	case w.DC:
		return Level(n * 10 / (volts * int64(s.Phases)))
	default:
		return Level(n * 10 / volts)
	}
}

// Drawn returns the most power that an outlet obeying l can show on its meter, W.
func (s Site) Drawn(w Wiring, l Level) holdfast.Watts {
	t := s.Tenths(w, l)
	if w.Unit == Amperes {
		return holdfast.Watts(t * int64(s.Voltage) * int64(s.phasesOf(w)) / 10)
	}
	return holdfast.Watts(t / 10)
}

// Rated returns the level of an outlet that delivers watts at the most, rounded
// up. In amperes an AC outlet is counted as if one phase of it carried its share.
func (s Site) Rated(w Wiring, watts holdfast.Watts) Level {
	if s.Unit == Watts {
		return Level(watts)
	}
	per := int64(s.Voltage * s.phasesOf(w))
	return Level((int64(watts)*10 + per - 1) / per)
}

// Minimum is the least level at which an outlet charges; below it a session is
// paused.
func (s Site) Minimum(w Wiring) Level {
	switch {
	case w.DC:
		return 1
	case s.Unit == Amperes && w.Unit == Watts:
		return PilotTenths * Level(s.phasesOf(w)) // a profile in W that leaves each phase 6 A
	case s.Unit == Amperes:
		return PilotTenths
	default:
		return PilotTenths * Level(s.Voltage*s.phasesOf(w)) / 10
	}
}

// phasesOf is how many phases of the site an outlet loads.
func (s Site) phasesOf(w Wiring) int {
	if w.DC || w.Phases > s.Phases {
		return s.Phases
	}
	return max(w.Phases, 1)
}
