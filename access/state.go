package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/holdfast-ev/holdfast"
)

// StateVersion is the version of [State]'s JSON form.
const StateVersion = 1

// A State is what a site knows about access: the installed list and grants, the
// proven time, the money at risk. Make one with [New], or with
// json.Unmarshal from a snapshot.
type State struct {
	list   *List
	grants map[string]Grant
	clock  clock
	money  exposure
}

// New returns the state of a site that was told nothing yet: it refuses
// everybody.
func New() *State {
	return &State{grants: map[string]Grant{}, money: newExposure(nil)}
}

// Observe moves the proven time and the list's age along the monotonic clock.
// The gateway calls it with the instant of every evidence record that it
// applies, before anything else: over a reboot, only time that no record saw is
// lost.
func (s *State) Observe(at holdfast.Instant) { s.clock.advance(at) }

// CheckList says whether [State.InstallList] would succeed now, and changes
// nothing: a gateway asks before it writes the record, and cannot fail to apply
// what it has written.
func (s *State) CheckList(site holdfast.SiteID, l *List) error {
	if err := l.Validate(); err != nil {
		return fmt.Errorf("install list: %w", err)
	}
	if l.Site != site {
		return fmt.Errorf("install list %d: %w: %s, this is %s", l.Version, ErrSite, l.Site, site)
	}
	if s.list != nil && (l.Version < s.list.Version || l.Version == s.list.Version && !sameList(l, s.list)) {
		return fmt.Errorf("install list %d: %w: version %d", l.Version, ErrOlder, s.list.Version)
	}
	return nil
}

// InstallList puts l in force for site. A list of the same version and content
// changes nothing. Older ones, and another content under the same version, are
// refused with [ErrOlder]; another site's with [ErrSite]. The list's issue time
// is a signed time and raises the floor. Its age starts at its issue time: a
// list that came over a live link is confirmed by [State.Confirm] as well.
func (s *State) InstallList(site holdfast.SiteID, l *List, at holdfast.Instant) error {
	if err := s.CheckList(site, l); err != nil {
		return err
	}
	if l.Version == s.ListVersion() {
		return nil
	}
	s.clock.advance(at)
	s.clock.raise(l.Issued)
	s.clock.confirm(at, int64(s.clock.judge(at)-l.Issued), trusted(at))
	s.list = l.clone()
	return nil
}

func (l *List) clone() *List {
	c := *l
	c.Entries = maps.Clone(l.Entries)
	return &c
}

func sameList(a, b *List) bool {
	x, errX := EncodeList(a)
	y, errY := EncodeList(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// Confirm notes that at this instant the cloud was in contact and had no newer
// list: the installed list is as fresh as can be. The gateway calls it when it
// applies a record that proves contact (a raised time floor, a change of the
// link to or from any state but OFFLINE, a statement that came down the link).
func (s *State) Confirm(at holdfast.Instant) {
	s.clock.advance(at)
	s.clock.confirm(at, 0, true)
}

// CheckGrant says whether [State.InstallGrant] would succeed at this instant,
// and changes nothing.
func (s *State) CheckGrant(site holdfast.SiteID, g Grant, at holdfast.Instant) error {
	if err := g.Validate(); err != nil {
		return fmt.Errorf("install grant: %w", err)
	}
	if g.Site != site {
		return fmt.Errorf("install grant %s: %w: %s, this is %s", g.ID, ErrSite, g.Site, site)
	}
	if old, ok := s.grants[g.ID]; ok {
		if old == g {
			return nil
		}
		return fmt.Errorf("install grant %s: %w: another content under this id", g.ID, ErrOlder)
	}
	if now := s.TimeAt(at); g.Expires <= now {
		return fmt.Errorf("install grant %s: %w: at %s, it is %s", g.ID, ErrExpired, g.Expires, now)
	}
	floor, inForce := s.Floor(at), 0
	for _, held := range s.grants {
		if held.Expires > floor {
			inForce++
		}
	}
	if inForce >= MaxGrants {
		return fmt.Errorf("install grant %s: %w: %d grants are in force", g.ID, ErrFull, inForce)
	}
	return nil
}

// InstallGrant puts g in force for site. Installing the same grant again
// changes nothing; another content under its id is refused with [ErrOlder].
// Grants that have expired at the proven time are dropped on this occasion.
func (s *State) InstallGrant(site holdfast.SiteID, g Grant, at holdfast.Instant) error {
	if err := s.CheckGrant(site, g, at); err != nil {
		return err
	}
	s.clock.advance(at)
	// Only what is expired at the floor goes: a trusted wall clock may be
	// corrected backwards, the floor may not.
	maps.DeleteFunc(s.grants, func(_ string, old Grant) bool { return old.Expires <= s.clock.Floor })
	s.grants[g.ID] = g
	return nil
}

// RaiseFloor notes a time that the cloud signed. The floor never falls.
func (s *State) RaiseFloor(t holdfast.UnixMilli, at holdfast.Instant) {
	s.clock.advance(at)
	s.clock.raise(t)
}

// Floor is the proven time at now: the truth is not before it. Zero when
// nothing signed was ever seen.
func (s *State) Floor(now holdfast.Instant) holdfast.UnixMilli {
	c := s.clock
	c.advance(now)
	return c.Floor
}

// TimeAt is the time that expiry is judged at: the floor, or the wall clock when
// its quality is S and it is later. A gateway never tells a charger an earlier
// time than this.
func (s *State) TimeAt(now holdfast.Instant) holdfast.UnixMilli {
	c := s.clock
	c.advance(now)
	return c.judge(now)
}

// ListVersion is the version of the list in force, 0 for none.
func (s *State) ListVersion() uint64 {
	if s.list == nil {
		return 0
	}
	return s.list.Version
}

// Policy is the policy in force, with its defaults filled in.
func (s *State) Policy() Policy {
	if s.list == nil {
		return Policy{}.Effective()
	}
	return s.list.Policy.Effective()
}

// Entry is what the list in force says of token.
func (s *State) Entry(token holdfast.TokenHash) (Entry, bool) {
	if s.list == nil {
		return Entry{}, false
	}
	e, ok := s.list.Entries[token]
	return e, ok
}

// Grant returns an installed grant, in force or not.
func (s *State) Grant(id string) (Grant, bool) { g, ok := s.grants[id]; return g, ok }

// Freshness is how old the list in force is at now, in seconds, and what
// follows. The age is -1 when it is unknown: no list, or a reboot of unknown
// length since it was confirmed.
func (s *State) Freshness(now holdfast.Instant) (ageS int64, stage Stage) {
	c := s.clock
	c.advance(now)
	return freshness(&c, s.Policy())
}

// A Stage says how far a list has aged.
type Stage string

// The stages.
const (
	Fresh    Stage = "fresh"
	Degraded Stage = "degraded"
	Hard     Stage = "hard"
)

func freshness(c *clock, p Policy) (ageS int64, stage Stage) {
	ageS = -1
	if c.AgeExact {
		ageS = c.AgeMs / 1000
	}
	switch {
	case p.Dark:
		return ageS, Fresh
	case c.AgeMs >= p.HardAfterS*1000:
		return ageS, Hard
	case !c.AgeExact || c.AgeMs >= p.DegradedAfterS*1000:
		return ageS, Degraded
	}
	return ageS, Fresh
}

// stateJSON is the snapshot form. encoding/json sorts the keys of maps, so one
// state has one form.
type stateJSON struct {
	V      int              `json:"v"`
	List   *List            `json:"list,omitempty"`
	Grants map[string]Grant `json:"grants"`
	Clock  clock            `json:"clock"`
	Held   map[uint64]held  `json:"held"`
}

// MarshalJSON implements json.Marshaler. Equal states give equal bytes.
func (s *State) MarshalJSON() ([]byte, error) {
	return json.Marshal(stateJSON{V: StateVersion, List: s.list, Grants: s.grants, Clock: s.clock, Held: s.money.held})
}

// UnmarshalJSON implements json.Unmarshaler. It refuses a newer version and a
// list or grant that could not have been installed.
func (s *State) UnmarshalJSON(b []byte) error {
	var j stateJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("access state: %w", err)
	}
	if j.V != StateVersion {
		return fmt.Errorf("access state: version %d, this software reads %d", j.V, StateVersion)
	}
	if j.List != nil {
		if err := j.List.Validate(); err != nil {
			return fmt.Errorf("access state: %w", err)
		}
	}
	for id, g := range j.Grants {
		if err := g.Validate(); err != nil || g.ID != id {
			return fmt.Errorf("access state: grant %q: %w", id, ErrInvalid)
		}
	}
	if !j.Clock.plausible() {
		return fmt.Errorf("access state: %w: clock out of range", ErrInvalid)
	}
	if j.Grants == nil {
		j.Grants = map[string]Grant{}
	}
	*s = State{list: j.List, grants: j.Grants, clock: j.Clock, money: newExposure(j.Held)}
	return nil
}
