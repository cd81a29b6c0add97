package gateway

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/uplink"
)

// device carries out a directive about a charger itself; ok is false for a kind
// that is none.
func (g *Gateway) device(d uplink.Directive) (ok bool, err error) {
	switch d.Kind {
	case uplink.ResetCharger:
		return true, with(d, func(b uplink.ResetBody) error { return g.reset(d, b) })
	case uplink.UnlockConnector:
		return true, with(d, func(b uplink.UnlockBody) error {
			if err := g.spare(b.Charger, b.EVSE, b.Force, "unlocking a connector"); err != nil {
				return err
			}
			return g.direct(d, b.Charger, ocpp.Unlock{EVSE: b.EVSE, Connector: b.Connector})
		})
	case uplink.SetAvailability:
		return true, with(d, func(b uplink.AvailabilityBody) error {
			return g.direct(d, b.Charger, ocpp.SetAvailability{EVSE: b.EVSE, Connector: b.Connector, Operative: b.Operative})
		})
	case uplink.ClearCache:
		return true, with(d, func(b uplink.ChargerBody) error { return g.direct(d, b.Charger, ocpp.ClearCache{}) })
	case uplink.Reserve:
		return true, with(d, func(b uplink.ReserveBody) error { return g.reserve(d, b) })
	case uplink.CancelReservation:
		return true, with(d, func(b uplink.CancelBody) error { return g.direct(d, b.Charger, ocpp.CancelReservation{ID: b.ID}) })
	case uplink.FetchLog:
		return true, with(d, func(b uplink.LogBody) error { return g.fetchLog(d, b) })
	case uplink.UpdateFirmware:
		return true, with(d, func(b uplink.FirmwareBody) error { return g.firmware(d, b) })
	case uplink.GetReport:
		return true, with(d, func(b uplink.ReportBody) error {
			return g.direct(d, b.Charger, ocpp.GetReport{Request: g.request(), Base: b.Base})
		})
	case uplink.GetProfiles:
		return true, with(d, func(b uplink.ProfilesBody) error {
			return g.direct(d, b.Charger, ocpp.GetProfiles{Request: g.request(), EVSE: b.EVSE})
		})
	case uplink.GetComposite:
		return true, with(d, func(b uplink.CompositeBody) error {
			return g.direct(d, b.Charger, ocpp.GetComposite{EVSE: b.EVSE, DurationS: b.DurationS, Unit: ocpp.RateUnit(b.Unit)})
		})
	case uplink.TransactionStatus:
		return true, with(d, func(b uplink.StopBody) error { return g.transactionStatus(d, b) })
	case uplink.CallCharger:
		return true, with(d, func(b uplink.CallBody) error { return g.invoke(d, b) })
	}
	return false, nil
}

// request draws the id of a request that a charger names again later, in other
// messages.
func (g *Gateway) request() int { return int(g.chance.below(1<<30)) + 1 }

// spare refuses what would interrupt a running session that nobody asked to
// interrupt. evse 0 is the whole charger.
func (g *Gateway) spare(id holdfast.ChargerID, evse int, force bool, what string) error {
	if force {
		return nil
	}
	for _, ses := range g.state.running(id) {
		if evse == 0 || ses.EVSE() == evse || ses.EVSE() == 0 {
			return fmt.Errorf("session %s is running on EVSE %d of charger %s, and %s may end it: stop it first, wait, or force it", ses.ID.Short(), ses.EVSE(), id, what)
		}
	}
	return nil
}

// reset: 2.x waits until the charger is idle when it is not told otherwise
// (B12), but the soft reset of 1.6 ends what is running.
func (g *Gateway) reset(d uplink.Directive, b uplink.ResetBody) error {
	c := g.chargers[b.Charger]
	if b.Now || c != nil && c.dialect.Version() == ocpp.V16 {
		if err := g.spare(b.Charger, b.EVSE, b.Force, "a reset"); err != nil {
			return err
		}
	}
	return g.direct(d, b.Charger, ocpp.Reset{EVSE: b.EVSE, Now: b.Now})
}

// MaxReservationMillis bounds how far ahead an EVSE is reserved: a week.
const MaxReservationMillis = 7 * dayMillis

func (g *Gateway) reserve(d uplink.Directive, b uplink.ReserveBody) error {
	if len(b.Token) == 0 || len(b.Token) > holdfast.MaxTokenLen {
		return fmt.Errorf("token of %d bytes, want 1 to %d", len(b.Token), holdfast.MaxTokenLen)
	}
	if now := g.clock(); b.Expires <= now || int64(b.Expires-now) > MaxReservationMillis {
		return fmt.Errorf("the reservation would end at %s: want a time within the next 7 days", b.Expires)
	}
	return g.direct(d, b.Charger, ocpp.Reserve{
		ID: b.ID, EVSE: b.EVSE, Expires: b.Expires, Group: b.Group, Token: holdfast.Token{Value: b.Token, Type: b.TokenType},
	})
}

func (g *Gateway) fetchLog(d uplink.Directive, b uplink.LogBody) error {
	return g.direct(d, b.Charger, ocpp.GetLog{
		Request: g.request(), Security: b.Security, Secure: b.Secure, URL: b.URL, From: b.From, To: b.To, Retries: b.Retries, WaitS: b.WaitS,
	})
}

// firmware: an image that is installed as soon as it is there may restart the
// charger under a driver. 2.0.1 chargers wait (L01), others only should.
func (g *Gateway) firmware(d uplink.Directive, b uplink.FirmwareBody) error {
	now := g.clock()
	if b.RetrieveAt == 0 {
		b.RetrieveAt = now
	}
	if max(b.RetrieveAt, b.InstallAt) <= now {
		if err := g.spare(b.Charger, 0, b.Force, "new firmware"); err != nil {
			return err
		}
	}
	return g.direct(d, b.Charger, ocpp.UpdateFirmware{
		Request: g.request(), URL: b.URL, RetrieveAt: b.RetrieveAt, InstallAt: b.InstallAt,
		Signature: b.Signature, Certificate: b.Certificate, Retries: b.Retries, WaitS: b.WaitS,
	})
}

func (g *Gateway) transactionStatus(d uplink.Directive, b uplink.StopBody) error {
	ses := g.state.Sessions[b.Session]
	if ses == nil || ses.Labels[LabelOCPP2] == "" {
		return fmt.Errorf("session %s is not known here as one of an OCPP 2.x charger", b.Session.Short())
	}
	return g.direct(d, ses.Charger, ocpp.GetTransactionStatus{ID: ses.Labels[LabelOCPP2]})
}

// errOwned is wrapped by the refusal of a message that a rule of the gateway owns.
var errOwned = errors.New("is not sent as it is")

// invoke sends any message that no rule owns: a profile, a list or a
// transaction message behind the rules' back would make the books wrong.
func (g *Gateway) invoke(d uplink.Directive, b uplink.CallBody) error {
	c := g.chargers[b.Charger]
	if c == nil {
		return fmt.Errorf("charger %s is not connected", b.Charger)
	}
	for _, m := range c.dialect.Messages() {
		if m.Action != b.Action || !m.FromCSMS {
			continue
		}
		if m.Command != "Invoke" {
			return fmt.Errorf("%s %w: there is a directive of its own for it", m.Action, errOwned)
		}
		if why := owned(m.Action); why != "" {
			return fmt.Errorf("%s %w: %s", m.Action, errOwned, why)
		}
		if m.Action == "SetNetworkProfile" && !g.cfg.AllowWeaker {
			if err := g.notWeaker(b); err != nil {
				return err
			}
		}
		if bad := g.cfg.Schemas.CheckCommand(c.dialect.Version(), b.Action, b.Payload); bad != nil {
			return fmt.Errorf("payload of %s: %w", b.Action, bad)
		}
		return g.direct(d, b.Charger, ocpp.Invoke{Action: b.Action, Payload: b.Payload})
	}
	return fmt.Errorf("%s has no message %q that a CSMS sends", c.dialect.Version(), clip(b.Action))
}

// owned says which rule a message of OCPP 2.1 without a command belongs to.
func owned(action string) string {
	switch action {
	case "UpdateDynamicSchedule", "UsePriorityCharging", "AFRRSignal", "SetDERControl", "NotifyAllowedEnergyTransfer":
		return "power is shared by the site's limits"
	case "SetDefaultTariff", "ChangeTransactionTariff", "CostUpdated":
		return "the price is that of the site's tariff"
	}
	return ""
}

// notWeaker refuses a network profile with a lower security profile than the
// charger has proved (2.0.1 A05, B09.FR.04).
func (g *Gateway) notWeaker(b uplink.CallBody) error {
	var p struct {
		Data struct {
			Profile int `json:"securityProfile"`
		} `json:"connectionData"`
	}
	if err := json.Unmarshal(b.Payload, &p); err != nil {
		return fmt.Errorf("payload of %s: %w", b.Action, err)
	}
	if has := g.securityProfile(b.Charger); p.Data.Profile < max(1, has) {
		return fmt.Errorf("security profile %d is below %d, which charger %s has: ocpp.allow_weaker_security permits it", p.Data.Profile, max(1, has), b.Charger)
	}
	return nil
}
