package ocpp

import (
	"encoding/json"
	"math"
)

// CompositeMost reads the answer to a [GetComposite], in either version's words
// ([Outcome.Body]), and returns its unit and the highest limit in it, in tenths
// of the unit. ok is false when there is no schedule in it.
func CompositeMost(body json.RawMessage) (unit RateUnit, most int64, ok bool) {
	type schedule struct {
		Unit    RateUnit `json:"chargingRateUnit"`
		Periods []struct {
			Limit json.Number `json:"limit"`
		} `json:"chargingSchedulePeriod"`
	}
	var answer struct {
		V16 *schedule `json:"chargingSchedule"`
		V2  *schedule `json:"schedule"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return "", 0, false
	}
	s := answer.V16
	if s == nil {
		s = answer.V2
	}
	if s == nil || len(s.Periods) == 0 {
		return "", 0, false
	}
	for _, p := range s.Periods {
		f, err := p.Limit.Float64() // compared with a margin, never counted with
		if err != nil || f < 0 || f > MaxLevelW {
			return "", 0, false
		}
		most = max(most, int64(math.Ceil(f*10)))
	}
	return s.Unit, most, true
}
