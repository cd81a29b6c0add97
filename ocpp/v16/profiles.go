package v16

import (
	"github.com/holdfast-ev/holdfast/ocpp"
)

type schedule struct {
	Duration int               `json:"duration,omitempty"`
	Start    string            `json:"startSchedule,omitempty"`
	Unit     string            `json:"chargingRateUnit"`
	Periods  []ocpp.WirePeriod `json:"chargingSchedulePeriod"`
}

type profile struct {
	ID            int      `json:"chargingProfileId"`
	TransactionID *int32   `json:"transactionId,omitempty"`
	StackLevel    int      `json:"stackLevel"`
	Purpose       string   `json:"chargingProfilePurpose"`
	Kind          string   `json:"chargingProfileKind"`
	ValidTo       string   `json:"validTo,omitempty"`
	Schedule      schedule `json:"chargingSchedule"`
}

// purpose16 spells a purpose; only the whole charger's differs from 2.x.
func purpose16(p ocpp.Purpose) string {
	if p == ocpp.StationMax {
		return "ChargePointMaxProfile"
	}
	return string(p)
}

func setProfile(c ocpp.SetProfile) ([]byte, error) {
	p := c.Profile
	if err := p.Check(c.EVSE); err != nil {
		return nil, err
	}
	out := profile{ID: p.ID, StackLevel: p.StackLevel, Purpose: purpose16(p.Purpose), ValidTo: ocpp.Moment(p.ValidTo)}
	if p.Purpose == ocpp.TxOnly {
		id, err := transactionID(p.TransactionID)
		if err != nil {
			return nil, err
		}
		out.TransactionID = &id
	}
	out.Schedule = schedule{Duration: p.DurationS, Unit: string(p.Unit), Periods: p.WirePeriods()}
	out.Kind, out.Schedule.Start = p.Kind()
	return ocpp.Marshal(struct {
		Connector int     `json:"connectorId"`
		Profile   profile `json:"csChargingProfiles"`
	}{c.EVSE, out}), nil
}

// clearProfile: without any criterion every profile goes (section 5.5).
func clearProfile(c ocpp.ClearProfile) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.ID != nil {
		return ocpp.Marshal(struct {
			ID int `json:"id"`
		}{*c.ID}), nil
	}
	return ocpp.Marshal(struct {
		Connector  *int   `json:"connectorId,omitempty"`
		Purpose    string `json:"chargingProfilePurpose,omitempty"`
		StackLevel *int   `json:"stackLevel,omitempty"`
	}{c.EVSE, purpose16(c.Purpose), c.StackLevel}), nil
}

func composite(c ocpp.GetComposite) ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return ocpp.Marshal(struct {
		Connector int    `json:"connectorId"`
		Duration  int    `json:"duration"`
		Unit      string `json:"chargingRateUnit,omitempty"`
	}{c.EVSE, c.DurationS, string(c.Unit)}), nil
}
