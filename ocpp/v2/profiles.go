package v2

import (
	"math"

	"github.com/holdfast-ev/holdfast/ocpp"
)

type schedule struct {
	ID       int               `json:"id"`
	Start    string            `json:"startSchedule,omitempty"`
	Duration int               `json:"duration,omitempty"`
	Unit     string            `json:"chargingRateUnit"`
	Periods  []ocpp.WirePeriod `json:"chargingSchedulePeriod"`
}

type profile struct {
	ID            int        `json:"id"`
	StackLevel    int        `json:"stackLevel"`
	Purpose       string     `json:"chargingProfilePurpose"`
	Kind          string     `json:"chargingProfileKind"`
	ValidTo       string     `json:"validTo,omitempty"`
	Schedule      []schedule `json:"chargingSchedule"`
	TransactionID string     `json:"transactionId,omitempty"`
}

// setProfile sends one schedule: two or three are for a car to choose from
// (ISO 15118, K15).
func setProfile(c ocpp.SetProfile) ([]byte, error) {
	p := c.Profile
	if err := p.Check(c.EVSE); err != nil {
		return nil, err
	}
	if p.Purpose == ocpp.TxOnly && ocpp.Longer(p.TransactionID, maxTxID) {
		return nil, ocpp.Wrong("a transaction id is longer than %d characters", maxTxID)
	}
	s := schedule{ID: 1, Duration: p.DurationS, Unit: string(p.Unit), Periods: p.WirePeriods()}
	out := profile{ID: p.ID, StackLevel: p.StackLevel, Purpose: string(p.Purpose), ValidTo: ocpp.Moment(p.ValidTo), TransactionID: p.TransactionID}
	out.Kind, s.Start = p.Kind()
	out.Schedule = []schedule{s}
	return ocpp.Marshal(struct {
		EVSE    int     `json:"evseId"`
		Profile profile `json:"chargingProfile"`
	}{c.EVSE, out}), nil
}

// A criterion is ClearChargingProfileType.
type criterion struct {
	EVSE       *int   `json:"evseId,omitempty"`
	Purpose    string `json:"chargingProfilePurpose,omitempty"`
	StackLevel *int   `json:"stackLevel,omitempty"`
}

// clearProfile names an id or at least one criterion (K10.FR.02).
func clearProfile(c ocpp.ClearProfile) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	var out struct {
		ID       *int       `json:"chargingProfileId,omitempty"`
		Criteria *criterion `json:"chargingProfileCriteria,omitempty"`
	}
	switch {
	case c.ID != nil:
		out.ID = c.ID
	case c.EVSE == nil && c.Purpose == "" && c.StackLevel == nil:
		return nil, ocpp.Wrong("2.x clears by an id or at least one criterion")
	default:
		out.Criteria = &criterion{c.EVSE, string(c.Purpose), c.StackLevel}
	}
	return ocpp.Marshal(out), nil
}

func composite(c ocpp.GetComposite) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return ocpp.Marshal(struct {
		Duration int    `json:"duration"`
		Unit     string `json:"chargingRateUnit,omitempty"`
		EVSE     int    `json:"evseId"`
	}{c.DurationS, string(c.Unit), c.EVSE}), nil
}

// getProfiles asks for all of one purpose or another; the criteria are never
// left out altogether (K09.FR.03).
func getProfiles(c ocpp.GetProfiles) ([]byte, error) {
	if c.Request < 0 || c.Request > math.MaxInt32 || c.EVSE != nil && *c.EVSE < 0 {
		return nil, ocpp.Wrong("request %d", c.Request)
	}
	return ocpp.Marshal(struct {
		Request  int  `json:"requestId"`
		EVSE     *int `json:"evseId,omitempty"`
		Criteria struct {
			Sources []string `json:"chargingLimitSource"`
		} `json:"chargingProfile"`
	}{Request: c.Request, EVSE: c.EVSE, Criteria: struct {
		Sources []string `json:"chargingLimitSource"`
	}{[]string{"CSO", "EMS", "Other", "SO"}}}), nil
}
