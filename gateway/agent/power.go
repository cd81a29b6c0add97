package agent

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/power"
)

// checkPower checks what the site is configured for. What depends on several
// values is checked as the core checks it.
func (c *Config) checkPower(k *checker) {
	p := &c.Power
	k.span("power.max_w", p.MaxW, 1, int64(power.MaxWatts), "W")
	k.span("power.fuse_a", p.FuseA, 1, int64(power.MaxTenths)/10, "A")
	k.span("power.voltage_v", p.VoltageV, power.MinVoltage, power.MaxVoltage, "V")
	k.span("power.evse_failsafe_w", p.EVSEFailSafeW, 0, MaxPowerW, "W")
	k.span("power.cutout.deadline_ms", p.CutOut.DeadlineMs, 500, 600_000, "ms")
	k.span("power.cutout.floor_w", p.CutOut.FloorW, 0, 10_000, "W")
	k.oneOf("power.cutout.active", p.CutOut.Active, "0", "1")
	if p.CutOut.File == "" && p.CutOut != (CutOutConfig{}) {
		k.wrong("power.cutout.file", "missing; name the input, for example /sys/class/gpio/gpio17/value")
	}
	if p.Phases != 0 && p.Phases != 1 && p.Phases != 3 {
		k.wrong("power.phases", "%d, want 1 or 3", p.Phases)
	}
	if p.MaxW != 0 && p.FuseA != 0 {
		k.wrong("power.fuse_a", "set together with power.max_w; use one")
	}
	for i, ch := range c.Chargers {
		path := fmt.Sprintf("chargers[%d]", i)
		k.span(path+".evses", ch.EVSEs, 1, gateway.MaxEVSEs, "EVSEs")
		k.span(path+".failsafe_w", ch.FailSafeW, 1, MaxPowerW, "W")
		k.oneOf(path+".current", ch.Current, "ac", "dc")
		k.oneOf(path+".profile_unit", ch.ProfileUnit, "A", "W")
		if ch.Phases != 0 && ch.Phases != 1 && ch.Phases != 3 {
			k.wrong(path+".phases", "%d, want 1 or 3", ch.Phases)
		}
	}
	if p.MaxW == 0 && p.FuseA == 0 && (p.LimitW != 0 || p.FallbackW != 0) {
		k.wrong("power.limit_w", "a limit without a commissioned maximum; set power.max_w or power.fuse_a")
	}
	if len(k.problems) == 0 && (p.MaxW != 0 || p.FuseA != 0) {
		if err := p.site().Validate(c.floors()); err != nil {
			k.wrong("power", "%v", err)
		}
	}
}

// site is the commissioned site as the core has it.
func (p *PowerConfig) site() power.Site {
	s := power.Site{Phases: 3, Voltage: 230}
	if p.Phases != 0 {
		s.Phases = int(p.Phases)
	}
	if p.VoltageV != 0 {
		s.Voltage = int(p.VoltageV)
	}
	switch {
	case p.MaxW != 0:
		s.Unit, s.Max = power.Watts, power.Level(p.MaxW)
	case p.FuseA != 0:
		s.Unit, s.Max = power.Amperes, power.Level(p.FuseA*10)
	default:
		return power.Site{}
	}
	s.Static, s.FailSafe = s.FromWatts(holdfast.Watts(p.LimitW)), s.FromWatts(holdfast.Watts(p.FallbackW))
	return s
}

// floors is what the chargers may draw with the gateway gone.
func (c *Config) floors() (sum power.Level) {
	core := gateway.Config{Power: c.Power.site(), Chargers: map[holdfast.ChargerID]gateway.ChargerConfig{}}
	for _, ch := range c.Chargers {
		core.Chargers[holdfast.ChargerID(ch.ID)] = gateway.ChargerConfig{Feed: c.feedOf(ch)}
	}
	return core.Floors()
}

// feedOf is how a charger hangs on the site's supply, as the core has it.
func (c *Config) feedOf(ch ChargerConfig) gateway.ChargerFeed {
	f := gateway.ChargerFeed{
		EVSEs: int(ch.EVSEs), DC: ch.Current == "dc", Phases: int(ch.Phases), Unit: power.Unit(ch.ProfileUnit), FailSafe: holdfast.Watts(ch.FailSafeW),
	}
	if f.FailSafe == 0 {
		f.FailSafe = holdfast.Watts(c.Power.EVSEFailSafeW)
	}
	return f
}

// core is the cut-out as the core has it.
func (c CutOutConfig) core() gateway.CutOutConfig {
	return gateway.CutOutConfig{Fitted: c.File != "", DeadlineMs: c.DeadlineMs, Floor: holdfast.Watts(c.FloorW)}
}

func (c CutOutConfig) active() string {
	if c.Active == "" {
		return "1"
	}
	return c.Active
}

// powerMetrics are of the site's limit, where one is shared, and of the cut-out.
func powerMetrics(r *Report, gauge metric) {
	gauge("holdfast_cutout_latched", "1 while the safety cut-out has tripped and was not released.", truth(r.CutOut.Latched))()
	if p := r.Power; p != nil {
		gauge("holdfast_power_limit_watts", "The site's power limit in force.", float64(p.Watts))()
		gauge("holdfast_power_may_draw_watts", "The most that the chargers may draw together by what they have acknowledged.", float64(p.BoundW))()
		gauge("holdfast_power_without_failsafe", "Chargers without an acknowledged fail-safe profile.", float64(len(p.Missing)))()
	}
	sum := 0.0
	for _, s := range r.Sessions {
		sum += float64(s.Power)
	}
	gauge("holdfast_power_metered_watts", "Power of the running sessions as last metered.", sum)()
}
