package tariff

import "github.com/holdfast-ev/holdfast"

// Worst returns an upper bound, VAT included, on what a session can cost that
// lasts at most seconds, takes at most energy and never draws more than power.
// Zero means "no such limit", as in [holdfast.Limits]; so does a negative or
// out-of-range value, because a limit that cannot be trusted is none. When
// nothing bounds a price that the tariff has, the answer is the largest amount
// there is: exposure that cannot be bounded fits under no cap.
func (t *Tariff) Worst(seconds int64, energy holdfast.WattHours, power holdfast.Watts) holdfast.Micros {
	timed := seconds > 0 && seconds <= MaxSeconds
	most, metered := mostEnergy(seconds, energy, power)
	var sum holdfast.Micros
	if c, ok := t.component(Flat); ok {
		sum += c.line(1).Gross
	}
	if c, ok := t.component(Energy); ok && c.Price > 0 {
		if !metered {
			return unbounded
		}
		sum += c.line(roundUp(int64(most), c.Step)).Gross
	}
	charge, charged := t.component(Time)
	park, parked := t.component(ParkingTime)
	if charge.Price == 0 && park.Price == 0 {
		return sum
	}
	if !timed {
		return unbounded
	}
	// Each second is paid as charging or as parking. The dearer of the two for
	// every second, plus one step of parking for the rounding up in the middle
	// of a mix, is never less than any mix.
	var dearest holdfast.Micros
	if charged {
		dearest = charge.line(roundUp(seconds, charge.Step)).Gross
	}
	if parked {
		dearest = max(dearest, park.line(roundUp(seconds, park.Step)).Gross)
		dearest += park.line(park.Step).Gross + roundingSlack
	}
	return sum + dearest
}

// mostEnergy is the stricter of the energy limit and what the power can deliver
// in the time; ok is false when neither says anything.
func mostEnergy(seconds int64, energy holdfast.WattHours, power holdfast.Watts) (most holdfast.WattHours, ok bool) {
	if energy > 0 && energy <= MaxEnergy {
		most, ok = energy, true
	}
	const maxPower = 1_000_000_000 // W; above it seconds x W could overflow, and no connector has it
	if seconds > 0 && seconds <= MaxSeconds && power > 0 && power <= maxPower {
		byPower := holdfast.WattHours((int64(power)*seconds + 3599) / 3600)
		if byPower <= MaxEnergy && (!ok || byPower < most) {
			most, ok = byPower, true
		}
	}
	return most, ok
}
