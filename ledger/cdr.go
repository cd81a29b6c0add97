package ledger

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"github.com/holdfast-ev/holdfast/tariff"
)

// A CDR is a charge detail record, in the field names of OCPI 2.2.1 (module
// CDRs). Everything in it follows from the session's evidence, so it holds no
// creation time (last_updated is the books') and no address (the exporter
// adds the location). Money is exact to the micro: up to six decimals.
type CDR struct {
	CountryCode       string    `json:"country_code,omitempty"` // of the tariff
	PartyID           string    `json:"party_id,omitempty"`     // of the tariff
	ID                string    `json:"id"`                     // at most 36 characters; 38 for a credit
	StartDateTime     DateTime  `json:"start_date_time"`
	EndDateTime       DateTime  `json:"end_date_time"`
	SessionID         string    `json:"session_id"` // OCPI's 36 characters; the whole id is Holdfast.Session
	CdrToken          CdrToken  `json:"cdr_token"`
	CdrLocation       Location  `json:"cdr_location"`
	Currency          string    `json:"currency"`
	Tariffs           []Tariff  `json:"tariffs"`
	ChargingPeriods   []Period  `json:"charging_periods"`
	TotalCost         Price     `json:"total_cost"` // the only field that a credit negates
	TotalFixedCost    *Price    `json:"total_fixed_cost,omitempty"`
	TotalEnergy       KWh       `json:"total_energy"`
	TotalEnergyCost   *Price    `json:"total_energy_cost,omitempty"`
	TotalTime         Hours     `json:"total_time"`
	TotalTimeCost     *Price    `json:"total_time_cost,omitempty"`
	TotalParkingTime  Hours     `json:"total_parking_time"`
	TotalParkingCost  *Price    `json:"total_parking_cost,omitempty"`
	Remark            string    `json:"remark,omitempty"` // why the charger stopped
	Credit            bool      `json:"credit,omitempty"`
	CreditReferenceID string    `json:"credit_reference_id,omitempty"`
	Holdfast          Extension `json:"holdfast"`
}

// Price is OCPI's Price class.
type Price struct {
	ExclVAT Amount `json:"excl_vat"`
	InclVAT Amount `json:"incl_vat"`
}

// A CdrToken names the driver's token without disclosing it; the exporter puts
// the uid in OCPI's place where the books may open it.
type CdrToken struct {
	Hash holdfast.TokenHash `json:"hash"`
}

// A Location is the part of OCPI's CdrLocation that the evidence holds.
type Location struct {
	EVSEUID     string `json:"evse_uid"` // charger*evse
	ConnectorID string `json:"connector_id"`
}

// A Tariff names the tariff version that was in force at the start.
type Tariff struct {
	CountryCode string        `json:"country_code,omitempty"`
	PartyID     string        `json:"party_id,omitempty"`
	ID          string        `json:"id"`
	Currency    string        `json:"currency"`
	Version     uint64        `json:"version"`
	Hash        holdfast.Hash `json:"hash"`
}

// A Period is OCPI's ChargingPeriod. There is one: the tariffs that are
// supported do not change their price during a session.
type Period struct {
	StartDateTime DateTime    `json:"start_date_time"`
	Dimensions    []Dimension `json:"dimensions"`
	TariffID      string      `json:"tariff_id"`
}

// A Dimension is OCPI's CdrDimension: what was used, before any step_size.
// ENERGY has its volume in kWh, TIME and PARKING_TIME in hours.
type Dimension struct {
	Type   tariff.Dimension `json:"type"`
	Volume Volume           `json:"volume"`
}

// An Extension is what a bill can be checked by and OCPI has no field for.
type Extension struct {
	Session      holdfast.SessionID `json:"session"`
	Revision     int                `json:"revision"` // 1, 2, ...; a credit has its original's
	Gateway      holdfast.GatewayID `json:"gateway"`
	Opening      string             `json:"opening"` // position of the record that opened the session
	Source       record.StartSource `json:"source"`
	Offline      bool               `json:"offline"`
	Quality      holdfast.Quality   `json:"quality"` // of the two times
	Seconds      int64              `json:"seconds"`
	ParkingS     int64              `json:"parking_s"`
	SpanQuality  holdfast.Quality   `json:"span_quality,omitempty"`  // of Seconds and ParkingS
	StartedClaim *DateTime          `json:"started_claim,omitempty"` // what the charger says, where start_date_time is not that
	StoppedClaim *DateTime          `json:"stopped_claim,omitempty"`
	Wh           holdfast.WattHours `json:"wh"`
	Meter        []session.Span     `json:"meter"` // registers that the energy is the difference of
	Lines        []tariff.Line      `json:"lines"` // of the bill, positive in a credit too
}

func newCDR(v View, ref record.TariffRef, t *tariff.Tariff, bill tariff.Bill) CDR {
	c := CDR{
		CountryCode: t.CountryCode, PartyID: t.PartyID,
		StartDateTime: DateTime(v.Started), EndDateTime: DateTime(v.Stopped), SessionID: v.ID.String()[:36],
		CdrToken:    CdrToken{v.Token},
		CdrLocation: Location{string(v.Charger) + "*" + strconv.Itoa(v.EVSE), strconv.Itoa(v.Connector)},
		Currency:    bill.Currency,
		Tariffs:     []Tariff{{t.CountryCode, t.PartyID, ref.ID, ref.Currency, ref.Version, ref.Hash}},
		TotalCost:   Price{Amount(bill.Net), Amount(bill.Gross)},
		TotalEnergy: KWh(v.Energy), TotalTime: Hours(v.Seconds), TotalParkingTime: Hours(v.IdleS),
		Remark: v.Reason,
		Holdfast: Extension{
			Session: v.ID, Gateway: v.Opening.Gateway, Opening: v.Opening.String(), Source: v.Source, Offline: v.Offline,
			Quality: v.Quality, SpanQuality: v.SpanQuality, Seconds: v.Seconds, ParkingS: v.IdleS, Wh: v.Energy, Meter: v.Spans, Lines: bill.Lines,
		},
	}
	c.Holdfast.StartedClaim, c.Holdfast.StoppedClaim = claim(v.StartedClaim), claim(v.StoppedClaim)
	for _, l := range bill.Lines {
		p := &Price{Amount(l.Net), Amount(l.Gross)}
		switch tariff.Dimension(l.Kind) {
		case tariff.Flat:
			c.TotalFixedCost = p
		case tariff.Energy:
			c.TotalEnergyCost = p
		case tariff.Time:
			c.TotalTimeCost = p
		case tariff.ParkingTime:
			c.TotalParkingCost = p
		}
	}
	c.ChargingPeriods = []Period{{c.StartDateTime, []Dimension{
		{tariff.Energy, Volume{v.Energy, 0}}, {tariff.Time, Volume{0, v.Seconds - v.IdleS}}, {tariff.ParkingTime, Volume{0, v.IdleS}},
	}, ref.ID}}
	return c.number(1)
}

func claim(at holdfast.UnixMilli) *DateTime {
	if at == 0 {
		return nil
	}
	d := DateTime(at)
	return &d
}

// sessionDigits of a session id go into a CDR id: 112 bits keep it unique, and
// leave seven digits of OCPI's 36 characters for the revision.
const sessionDigits = 28

func (c CDR) number(revision int) CDR {
	c.Holdfast.Revision = revision
	c.ID = c.Holdfast.Session.String()[:sessionDigits] + "-" + strconv.Itoa(revision)
	return c
}

// creditSuffix makes a credit's id from its original's, as OCPI suggests.
const creditSuffix = "-C"

// CreditOf returns the Credit CDR that takes c back: all its data, its id with
// "-C" appended, and the total negated (OCPI 2.2.1, section "Credit CDRs").
func CreditOf(c CDR) CDR {
	c.Credit, c.CreditReferenceID = true, c.ID
	c.ID += creditSuffix
	c.TotalCost = Price{-c.TotalCost.ExclVAT, -c.TotalCost.InclVAT}
	return c
}

// Content is a hash of what a CDR says about money, energy and time, and of
// nothing else: two CDRs with one content bill the same thing for the same
// reason. Its text is frozen, so that a field added to the CDR later does not
// make old CDRs differ from new ones.
func (c CDR) Content() holdfast.Hash {
	var b strings.Builder
	fmt.Fprintf(&b, "holdfast/cdr-content/v1\n%s\n%d %d\n%d %d %d\n%s\n", c.Holdfast.Session,
		c.StartDateTime, c.EndDateTime, c.Holdfast.Wh, c.Holdfast.Seconds, c.Holdfast.ParkingS, c.Currency)
	for _, t := range c.Tariffs {
		fmt.Fprintf(&b, "%q %d %s\n", t.ID, t.Version, t.Hash)
	}
	for _, l := range c.Holdfast.Lines {
		fmt.Fprintf(&b, "%s %d %d %d %d %d %d\n", l.Kind, l.Quantity, l.UnitPrice, l.VATppm, l.Net, l.VAT, l.Gross)
	}
	return sha256.Sum256([]byte(b.String()))
}

// Revise returns the CDRs to issue now, given all that were ever issued for the
// session (credits included) and the one that should count ([Outcome.CDR]; nil
// for none). Nothing when the books already say so; otherwise a credit for what
// counts now, and then the new CDR with the next revision. After issuing them,
// running it again returns nothing (I7), and whatever was issued in whatever
// order, what counts in the end is want alone (I8).
func Revise(issued []CDR, want *CDR) (out []CDR) {
	credited := map[string]bool{} // also what was looked at: a CDR that is listed twice is one CDR
	last := 0
	for _, c := range issued {
		last = max(last, c.Holdfast.Revision)
		if c.Credit {
			credited[c.CreditReferenceID] = true
		}
	}
	issued = slices.SortedStableFunc(slices.Values(issued), func(a, b CDR) int {
		return cmp.Compare(a.Holdfast.Revision, b.Holdfast.Revision)
	})
	for _, c := range issued {
		switch {
		case c.Credit || credited[c.ID]:
		case want != nil && c.Content() == want.Content():
			// It stands; a second one of the same content is a double bill, and
			// is credited.
			want, credited[c.ID] = nil, true
		default:
			credited[c.ID] = true
			out = append(out, CreditOf(c))
		}
	}
	if want != nil {
		out = append(out, want.number(last+1))
	}
	return out
}
