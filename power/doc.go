// Package power keeps a site below its limit. It knows what the installation
// was commissioned for, which limit is in force, and how that is shared among
// the sessions by charging profiles. It is PURE and knows no OCPP: a gateway
// asks it what to order next and tells it what was acknowledged.
//
// # Levels
//
// A site counts in one unit: watts, or tenths of an ampere on each phase where
// the fuse is what limits ([Unit]). Every [Level] of a site is in that unit. In
// amperes an AC session counts fully on every phase, because a car chooses which
// one it charges on; that is worth more than the balance it could gain.
//
// # What an outlet may draw
//
// An [Outlet] (an EVSE) may at any time draw its Bound: the most that a charger
// may be obeying. Its Floor is what it may draw with no order of ours in force:
// the fail-safe default profile that the charger has acknowledged, or its rating
// when it has acknowledged none. A set-point is a lease on top of that; when it
// lapses, the floor is what remains. So the floor of every outlet counts always,
// idle ones included: a charger that begins a session on its own, beside a
// gateway that is dead, does not push the site over its limit.
//
// # The order of changes
//
// The sum of the bounds never exceeds the limit by an order of ours. [Targets]
// says where every session should be; [Orders] says what may be sent now. Lowers
// go first. A lowered set-point counts only when it is acknowledged: until then
// the old one may be in force. A raise goes only when what is acknowledged
// leaves room for it, and counts from the moment it is sent. An order whose
// answer never came counts with the higher of the two. When the limit itself
// falls, the sum is above it until the lowers are acknowledged, and no longer.
//
// # Which limit
//
// [Site.Limit] takes the configured limit and a signed [Schedule], and says which
// holds, and why. Nothing that expires, is missing or cannot be dated means more
// power: see [Schedule.Between].
package power
