package agent

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // a small image may have no zone files

	"github.com/holdfast-ev/holdfast/uplink"
)

// maxIfaceLen is what the kernel allows: IFNAMSIZ less the zero byte.
const maxIfaceLen = 15

func (c *Config) checkLinks(k *checker) {
	if len(c.Links) > uplink.MaxLinks {
		k.wrong("links", "%d links, at most %d", len(c.Links), uplink.MaxLinks)
		return
	}
	named := regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)
	first := make(map[string]int, len(c.Links))
	for i := range c.Links {
		l, path := &c.Links[i], fmt.Sprintf("links[%d]", i)
		if !named.MatchString(l.Name) {
			k.wrong(path+".name", "%q, want 1 to 32 letters, digits, dots, dashes or underscores, for example lte", clipText(l.Name))
		} else if j, twice := first[l.Name]; twice {
			k.wrong(path+".name", "%q is links[%d] already", l.Name, j)
		} else {
			first[l.Name] = i
		}
		l.check(k, path)
	}
}

func (l *LinkConfig) check(k *checker, path string) {
	if len(l.Interface) > maxIfaceLen || strings.ContainsAny(l.Interface, "/ \t") {
		k.wrong(path+".interface", "%q is not the name of a network interface; see: ip link", clipText(l.Interface))
	}
	if ip, err := netip.ParseAddr(l.Source); l.Source != "" && (err != nil || ip.IsUnspecified() || ip.IsMulticast()) {
		k.wrong(path+".source", "%q, want an IP address of this machine; see: ip addr", clipText(l.Source))
	}
	k.span(path+".preference", l.Preference, 1, MaxPreference, "(lower is better)")
	k.span(path+".cost_micros_per_mib", l.CostMicrosPerMiB, 0, uplink.MaxCostMicros, "millionths per MiB")
	k.oneOf(path+".carry", l.Carry, string(uplink.CarryAll), string(uplink.CarryEvidence), string(uplink.CarryLive))
	k.span(path+".budget_mib", l.BudgetMiB, 1, MaxBudgetMiB, "MiB")
	k.span(path+".budget_day", l.BudgetDay, 1, 28, "(day of the month)")
	k.oneOf(path+".when_spent", l.WhenSpent, "close", "emergency")
	k.span(path+".hold_evidence_minutes", l.HoldEvidenceMinutes, 1, uplink.MaxHoldMillis/60_000, "min")
	if l.BudgetMiB == 0 && (l.BudgetDay != 0 || l.WhenSpent != "") {
		k.wrong(path+".budget_mib", "missing; budget_day and when_spent say nothing without a budget")
	}
	if len(l.Windows) == 0 && l.HoldEvidenceMinutes != 0 {
		k.wrong(path+".windows", "missing; hold_evidence_minutes says nothing without windows")
	}
	if len(l.Windows) > uplink.MaxWindows {
		k.wrong(path+".windows", "%d windows, at most %d", len(l.Windows), uplink.MaxWindows)
	}
	for i, w := range l.Windows {
		if _, err := uplink.ParseWindow(w); err != nil {
			k.wrong(fmt.Sprintf("%s.windows[%d]", path, i), "%v", err)
		}
	}
	if _, err := parseZone(l.Zone); err != nil {
		k.wrong(path+".zone", "%v", err)
	}
}

// parseZone reads a zone's name or a fixed offset from UTC.
func parseZone(s string) (*time.Location, error) {
	if at, err := time.Parse("-07:00", s); err == nil {
		_, offset := at.Zone()
		return time.FixedZone(s, offset), nil
	}
	z, err := time.LoadLocation(s)
	if err != nil || s == "Local" {
		return nil, fmt.Errorf("%q is not a time zone; want a name like Europe/Berlin or an offset like +01:00", clipText(s))
	}
	return z, nil
}

// link returns the configuration of a link; nil of the default one.
func (c *Config) link(name string) *LinkConfig {
	for i := range c.Links {
		if c.Links[i].Name == name {
			return &c.Links[i]
		}
	}
	return nil
}

// routes is what the core chooses from. The configuration has been checked.
func (c *Config) routes(keys *Identity) (r uplink.Routes) {
	if c.Cloud.Endpoint != "" {
		r.Endpoints = append(r.Endpoints, uplink.EndpointConfig{URL: c.Cloud.Endpoint, Preference: 1})
	}
	for _, e := range c.Cloud.Endpoints {
		r.Endpoints = append(r.Endpoints, uplink.EndpointConfig{URL: e.URL, Preference: e.Preference})
	}
	if len(r.Endpoints) == 0 {
		for i, url := range append([]string{keys.Endpoint}, keys.Further...) {
			r.Endpoints = append(r.Endpoints, uplink.EndpointConfig{URL: url, Preference: int64(i) + 1})
		}
	}
	for i := range c.Links {
		r.Links = append(r.Links, c.Links[i].link())
	}
	if len(r.Links) == 0 {
		r.Links = []uplink.LinkConfig{{Name: uplink.DefaultLink}}
	}
	return r
}

func (l *LinkConfig) link() uplink.LinkConfig {
	zone, _ := parseZone(l.Zone) // checked
	out := uplink.LinkConfig{
		Name: l.Name, Preference: l.Preference, CostMicros: l.CostMicrosPerMiB, Carry: uplink.Carry(l.Carry),
		Budget:         uplink.Budget{Bytes: l.BudgetMiB << 20, ResetDay: int(l.BudgetDay), Zone: zone, Emergency: l.WhenSpent == "emergency"},
		Windows:        uplink.Windows{Zone: zone},
		HoldEvidenceMs: l.HoldEvidenceMinutes * 60_000,
	}
	for _, s := range l.Windows {
		if w, err := uplink.ParseWindow(s); err == nil { // checked
			out.Windows.List = append(out.Windows.List, w)
		}
	}
	return out
}
