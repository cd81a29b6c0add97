package charger

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// set16 is a SetChargingProfile of 1.6 with one period.
func set16(id, connector, stack int, purpose, unit string, limit float64, schedule map[string]any) map[string]any {
	s := map[string]any{"chargingRateUnit": unit, "chargingSchedulePeriod": []any{map[string]any{"startPeriod": 0, "limit": limit}}}
	for k, v := range schedule {
		s[k] = v
	}
	kind := "Relative"
	if s["startSchedule"] != nil {
		kind = "Absolute"
	}
	return map[string]any{"connectorId": connector, "csChargingProfiles": map[string]any{
		"chargingProfileId": id, "stackLevel": stack, "chargingProfilePurpose": purpose, "chargingProfileKind": kind, "chargingSchedule": s,
	}}
}

// A TxDefaultProfile limits every session; a TxProfile goes before it and ends
// with its duration, or with its transaction; the whole charger's is shared.
func TestProfilesStack(t *testing.T) {
	with(t, Options{EVSEs: 2, Power: 22_000}, func(t *testing.T, c *Charger, s *csms) {
		order := func(action string, payload map[string]any, want string) {
			t.Helper()
			s.order(action, payload)
			synctest.Wait()
			if got := s.last(`> [`); !strings.Contains(got, want) && !strings.Contains(s.last(`> [3,"order-`), want) {
				t.Errorf("%s: answered %s, want %s", action, got, want)
			}
		}
		power := func(what string, want int64) {
			t.Helper()
			if got := c.Power(1); got != want {
				t.Errorf("%s: %d W flow, want %d", what, got, want)
			}
		}
		order("SetChargingProfile", set16(1, 0, 0, "TxDefaultProfile", "A", 6, nil), "Accepted")
		begin(t, c, "CARD")
		power("by the default profile", 6*3*230)
		tx := set16(2, 1, 0, "TxProfile", "W", 11_000, map[string]any{"startSchedule": stamp(time.Now()), "duration": 60})
		order("SetChargingProfile", tx, "Accepted")
		power("by the session's own", 11_000)
		order("SetChargingProfile", set16(3, 0, 0, "ChargePointMaxProfile", "W", 9_000, nil), "Accepted")
		power("by the charger's", 9_000)
		order("ClearChargingProfile", map[string]any{"id": 3}, "Accepted")
		order("GetCompositeSchedule", map[string]any{"connectorId": 1, "duration": 120}, `{"limit":11000,"startPeriod":0},{"limit":4140,"startPeriod":60}`)
		time.Sleep(61 * time.Second)
		power("when the lease is over", 6*3*230)
		end(t, c)
		begin(t, c, "CARD")
		power("of the next session", 6*3*230)
		for what, p := range map[string]map[string]any{
			"no session":       set16(5, 2, 0, "TxProfile", "W", 1, nil),
			"a negative limit": set16(5, 1, 0, "TxProfile", "W", -1, nil),
			"a huge level":     set16(5, 1, 99, "TxProfile", "W", 1, nil),
			"a huge limit":     set16(5, 1, 0, "TxProfile", "W", 1e300, nil),
			"an odd unit":      set16(5, 1, 0, "TxProfile", "VA", 1, nil),
			"out of order": set16(5, 1, 0, "TxProfile", "W", 1, map[string]any{"chargingSchedulePeriod": []any{
				map[string]any{"startPeriod": 0, "limit": 1}, map[string]any{"startPeriod": 0, "limit": 2}}}),
		} {
			order("SetChargingProfile", p, `"Rejected"`)
			power(what, 6*3*230)
		}
	})
}
