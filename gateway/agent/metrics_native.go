package agent

import "github.com/holdfast-ev/holdfast/gateway"

// nativeMetrics count chargers by how they would cope alone.
func nativeMetrics(r *Report, gauge metric) {
	counts := map[gateway.NativeVerdict]int{}
	entries, left := 0, 0
	for _, ch := range r.Chargers {
		counts[ch.Native.Verdict]++
		entries += ch.Native.Count
		left += ch.Native.LeftOut
	}
	for _, v := range gateway.NativeVerdicts() {
		gauge("holdfast_chargers_alone", "Chargers by how they would cope without this gateway.", float64(counts[v]), string(v))("verdict")
	}
	gauge("holdfast_charger_list_entries", "Entries in the local lists of all chargers.", float64(entries))()
	gauge("holdfast_charger_list_left_out", "Drivers who found no room in chargers' local lists, over all chargers.", float64(left))()
}
