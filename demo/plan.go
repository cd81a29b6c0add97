package demo

import (
	"math/rand/v2"
	"time"
)

// A Plan is everything that will happen, by the clock of the story. It follows
// from the seed alone.
type Plan struct {
	Seed   uint64
	Sites  [3]SitePlan
	Length time.Duration // when the last thing of the plan is over
}

// A SitePlan is what happens at one site.
type SitePlan struct {
	Visits [2][]Visit // of each charger, in order
	Cuts   []Cut      // of the site's link to the cloud
	Kills  []Kill     // of its gateway
}

// A Visit is a driver who comes, charges and leaves.
type Visit struct {
	Driver  int           // index into drivers
	Arrive  time.Duration // not before; the car before must have left
	Charge  time.Duration // how long energy flows
	Refused bool          // the card must be refused
	Lose    bool          // the answer to the start is lost on its way to the charger
}

// A Cut is a time without a link.
type Cut struct {
	From, To time.Duration
	Kind     cutKind
}

type cutKind int

const (
	cutCable   cutKind = iota // refused: nobody answers at the address
	cutAnswers                // the cloud hears the gateway, the gateway hears nothing; then the connection breaks
)

// A Kill ends a gateway with SIGKILL; Down later it is started again.
type Kill struct {
	At, Down time.Duration
}

// Drivers. The one at neverOffline has a card that only the cloud may accept
// (OCPI whitelist NEVER); every other card is ALLOWED.
var drivers = [...]struct{ name, card string }{
	{"Ada", "04ADA00000000A"}, {"Ben", "04BE000000000B"}, {"Cleo", "04C1E00000000C"}, {"Dan", "04DA000000000D"},
	{"Eva", "04E0A00000000E"}, {"Finn", "04F100000000F0"}, {"Gus", "046A5000000006"}, {"Hana", "04AA0000000008"},
	{"Ivo", "041F0000000001"}, {"Jule", "04AE0000000009"}, {"Kim", "04C1A000000002"}, {"Lea", "041EA000000007"},
}

const neverOffline = 6

// The sites by what they go through.
const (
	harbour = iota // a long cut, and a card that is refused
	market         // a long cut
	depot          // answers that are lost
)

// NewPlan draws a plan. The skeleton is always the same, so that every seed
// shows every danger; its times are the seed's.
func NewPlan(seed uint64) Plan {
	d := dice{rand.New(rand.NewPCG(seed, 0x686f6c6466617374))}
	p := Plan{Seed: seed}
	cutA, cutB := d.between(3500, 5500), d.between(3500, 6000)
	healA, healB := cutA+d.between(9000, 12000), cutB+d.between(8000, 11500)
	lost := d.between(5000, 8000)

	a := &p.Sites[harbour]
	a.Cuts = []Cut{{From: cutA, To: healA, Kind: cutCable}}
	first := d.between(300, 1200)
	a.Visits[0] = []Visit{ // begins with a link, ends without
		{Driver: 0, Arrive: first, Charge: cutA - first + d.between(1200, 2500)},
		{Driver: neverOffline, Arrive: cutA + d.between(4000, 5500), Refused: true},
	}
	a.Visits[1] = []Visit{ // begins without a link; the next one after it is back
		{Driver: 1, Arrive: cutA + d.between(700, 1500), Charge: d.between(4500, 6000)},
		{Driver: 2, Arrive: healA + d.between(300, 1500), Charge: d.between(1500, 2500)},
	}

	b := &p.Sites[market]
	b.Cuts = []Cut{{From: cutB, To: healB, Kind: cutCable}}
	b.Visits[0] = []Visit{
		{Driver: 3, Arrive: d.between(300, 800), Charge: d.between(1500, 2500)},
		{Driver: 4, Arrive: cutB + d.between(600, 1200), Charge: d.between(4500, 6000), Lose: true},
	}
	start := cutB - d.between(500, 1500)
	b.Visits[1] = []Visit{
		{Driver: 5, Arrive: start, Charge: cutB - start + d.between(4500, 6000)},
	}

	c := &p.Sites[depot]
	c.Cuts = []Cut{{From: lost, To: lost + d.between(1000, 2500), Kind: cutAnswers}}
	c.Visits[0] = []Visit{
		{Driver: neverOffline, Arrive: d.between(300, 900), Charge: d.between(1200, 2000)},
		{Driver: 7, Arrive: lost - d.between(500, 1500), Charge: d.between(3000, 4500)},
	}
	c.Visits[1] = []Visit{
		{Driver: 8, Arrive: d.between(500, 3000), Charge: d.between(3000, 6000), Lose: d.once(2)},
		{Driver: 9, Arrive: d.between(11000, 13000), Charge: d.between(1500, 3000)},
	}

	p.kills(&d, cutA, cutB)
	p.Length = p.length()
	return p
}

// kills draws which gateways die: one of the two that are cut off, in the middle
// of its sessions, and sometimes another.
func (p *Plan) kills(d *dice, cutA, cutB time.Duration) {
	kill := func(site int, at time.Duration) {
		p.Sites[site].Kills = append(p.Sites[site].Kills, Kill{At: at, Down: d.between(200, 1500)})
	}
	if d.once(2) {
		kill(harbour, cutA+d.between(2500, 4000))
	} else {
		kill(market, cutB+d.between(2000, 4000))
	}
	if d.once(3) {
		kill(depot, d.between(3000, 6000))
	}
}

func (p *Plan) length() time.Duration {
	var end time.Duration
	for _, s := range p.Sites {
		for _, c := range s.Cuts {
			end = max(end, c.To)
		}
		for _, visits := range s.Visits {
			var left time.Duration
			for _, v := range visits {
				left = max(left, v.Arrive) + v.Charge
			}
			end = max(end, left)
		}
		for _, k := range s.Kills {
			end = max(end, k.At+k.Down)
		}
	}
	return end
}

// dice draws from integers only, so that every machine draws the same.
type dice struct{ r *rand.Rand }

// between draws a time from lo to hi milliseconds.
func (d *dice) between(lo, hi int64) time.Duration {
	return time.Duration(lo+d.r.Int64N(hi-lo+1)) * time.Millisecond
}

// once is true one time in n.
func (d *dice) once(n int64) bool { return d.r.Int64N(n) == 0 }
