package power

import (
	"cmp"
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// None stands where no set-point is known.
const None Level = -1

// An Outlet is one EVSE, as far as the site's power is concerned.
type Outlet struct {
	Charger holdfast.ChargerID
	EVSE    int

	Floor Level // with no order in force: the acknowledged fail-safe, or the rating
	Safe  Level // the fail-safe that it has or should have: no set-point is shared out below it
	Min   Level // below it a session is paused
	Want  Level // the most that the session may have: the rating, or its own cap

	Running   bool
	Steerable bool // its charger is connected
	Place     int  // in the order in which the running sessions were opened

	Acked  Level // the last set-point acknowledged; None
	Flying Level // sent and not answered; None
	Doubt  Level // the highest that was sent and never answered, since Acked; None
	Held   bool  // the last lower was refused, or not answered
}

// Idle returns an outlet without a session.
func Idle(charger holdfast.ChargerID, evse int, floor, least Level) Outlet {
	return Outlet{Charger: charger, EVSE: evse, Floor: floor, Safe: floor, Min: least, Acked: None, Flying: None, Doubt: None}
}

// Bound is the most that the outlet may draw now.
func (o *Outlet) Bound() Level {
	if !o.Running {
		return o.Floor
	}
	return max(o.Floor, o.Acked, o.Flying, o.Doubt)
}

// Sent notes that a set-point was sent.
func (o *Outlet) Sent(l Level) { o.Flying = max(o.Flying, l) }

// Accepted notes that the charger acknowledged a set-point: it alone is in force.
func (o *Outlet) Accepted(l Level) { o.Acked, o.Flying, o.Doubt, o.Held = l, None, None, false }

// Refused notes that the charger did not take a set-point: what was in force
// still is.
func (o *Outlet) Refused(l Level) {
	o.Flying, o.Held = None, o.Held || l < o.Bound()
}

// Unanswered notes that nobody knows whether the charger took a set-point.
func (o *Outlet) Unanswered(l Level) {
	o.Doubt, o.Flying = max(o.Doubt, l), None
	o.Held = o.Held || l < o.Bound()
}

// Lapsed notes that every set-point's lease is over: the floor holds.
func (o *Outlet) Lapsed() { o.Acked, o.Flying, o.Doubt, o.Held = None, None, None, false }

// Sum is what the outlets may draw together.
func Sum(outlets []Outlet) (sum Level) {
	for i := range outlets {
		sum += outlets[i].Bound()
	}
	return sum
}

// Floors is what the outlets may draw with no order in force.
func Floors(outlets []Outlet) (sum Level) {
	for i := range outlets {
		sum += outlets[i].Floor
	}
	return sum
}

// Targets returns the set-point that every running outlet should have, and 0
// for idle ones. The limit is shared equally; what a session cannot use goes to
// the others (max-min fairness); nothing is rounded up. What cannot be steered
// is taken off first. When there is too little for everybody's minimum, some
// are paused; turn says who comes first, and rises by one to pass it on.
func Targets(limit Level, turn int, outlets []Outlet) []Level {
	out := make([]Level, len(outlets))
	share(limit, turn, outlets, out, func(o *Outlet) bool { return o.Running && o.Steerable })
	// Those that do not do as they are told keep what they may have, and are told
	// again; the others share what is left.
	share(limit, turn, outlets, out, func(o *Outlet) bool { return o.Running && o.Steerable && !o.Held })
	for i := range outlets {
		if o := &outlets[i]; o.Held {
			out[i] = min(out[i], o.Bound())
		}
	}
	return out
}

// share sets the targets of the outlets that member picks. All others count with
// their bounds.
func share(limit Level, turn int, outlets []Outlet, out []Level, member func(*Outlet) bool) {
	left := limit
	var in []int
	for i := range outlets {
		if member(&outlets[i]) {
			in = append(in, i)
			left -= outlets[i].Floor
		} else {
			left -= outlets[i].Bound()
		}
	}
	if len(in) == 0 {
		return
	}
	admitted := admit(left, turn, outlets, in, out)
	fill(left, outlets, admitted, out)
}

// admit picks who charges at all: everybody, if the minimums fit beside the
// floors. The others get 0. left is what there is above the floors.
func admit(left Level, turn int, outlets []Outlet, in []int, out []Level) (admitted []int) {
	slices.SortFunc(in, func(a, b int) int { return cmp.Compare(outlets[a].Place, outlets[b].Place) })
	first := turn % len(in)
	if first < 0 {
		first += len(in)
	}
	for n := range in {
		i := in[(first+n)%len(in)]
		o := &outlets[i]
		out[i] = 0
		if need := base(o) - o.Floor; need <= 0 || need <= left {
			left -= max(need, 0)
			admitted = append(admitted, i)
		}
	}
	return admitted
}

// base is the least that an outlet takes when it charges.
func base(o *Outlet) Level { return max(o.Floor, min(o.Min, o.Want)) }

// fill raises the admitted ones together until the room is used. Their floors
// are paid for already.
func fill(left Level, outlets []Outlet, admitted []int, out []Level) {
	at := func(o *Outlet, water Level) Level { return max(base(o), min(o.Want, water)) }
	low, high := Level(0), Level(0)
	for _, i := range admitted {
		high = max(high, outlets[i].Want)
	}
	for low < high { // the highest water that fits
		water := low + (high-low+1)/2
		need := Level(0)
		for _, i := range admitted {
			need += at(&outlets[i], water) - outlets[i].Floor
		}
		if need <= left {
			low = water
		} else {
			high = water - 1
		}
	}
	for _, i := range admitted {
		o := &outlets[i]
		out[i] = min(o.Want, max(o.Safe, low, min(o.Min, o.Want)))
		if left < 0 { // what may be drawn unasked is too much already
			out[i] = min(o.Want, o.Safe)
		}
	}
}

// An Order is a set-point to send.
type Order struct {
	Index    int // of the outlet
	SetPoint Level
}

// Orders returns what may be sent now: every lower, and the raises that what is
// acknowledged leaves room for, in the order of the outlets. An outlet with an
// order under way gets no second one.
func Orders(limit Level, outlets []Outlet, targets []Level) (out []Order) {
	sum := Sum(outlets)
	for i := range outlets {
		if o := &outlets[i]; o.ready() && targets[i] < o.Bound() && targets[i] != o.known() {
			out = append(out, Order{i, targets[i]})
		}
	}
	for i := range outlets {
		o := &outlets[i]
		if !o.ready() || targets[i] < o.Bound() || targets[i] == o.known() {
			continue
		}
		if more := targets[i] - o.Bound(); more == 0 || sum+more <= limit {
			sum += more
			out = append(out, Order{i, targets[i]})
		}
	}
	return out
}

func (o *Outlet) ready() bool { return o.Running && o.Steerable && o.Flying == None }

// known is the set-point that is surely in force; None when it is not sure.
func (o *Outlet) known() Level {
	if o.Doubt != None || o.Held {
		return None
	}
	return o.Acked
}
