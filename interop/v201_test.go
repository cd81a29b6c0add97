package interop

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp"
	ocpp2 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/authorization"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/availability"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/data"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/meter"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/provisioning"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/remotecontrol"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/transactions"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/types"
)

// A station is an OCPP 2.0.1 charging station by ocpp-go.
type station struct {
	*peer
	cs ocpp2.ChargingStation

	settings sync.Mutex
	config   map[string]string
}

// newStation connects a charging station to the site.
func newStation(t *testing.T, s *site, id string, o setup) *station {
	t.Helper()
	c := madeStation(t, s, id, o)
	c.connect(c.cs, s.defaults(o))
	return c
}

// madeStation makes one that is not connected yet.
func madeStation(t *testing.T, s *site, id string, o setup, more ...*ocpp.Profile) *station {
	o = s.defaults(o)
	c := &station{peer: newPeer(t, id), config: map[string]string{"OCPPCommCtrlr.HeartbeatInterval": "300"}}
	w := c.dialer(o)
	c.cs = ocpp2.NewChargingStation(id, c.endpoint(w, o, append(more, authorization.Profile, availability.Profile, data.Profile,
		meter.Profile, provisioning.Profile, remotecontrol.Profile, transactions.Profile)...), w)
	c.cs.SetProvisioningHandler(c)
	c.cs.SetRemoteControlHandler(c)
	c.cs.SetDataHandler(c)
	return c
}

func (c *station) boot() *provisioning.BootNotificationResponse {
	c.t.Helper()
	got := must(c.peer, "boot", c.booting)
	if got.Status != provisioning.RegistrationStatusAccepted || got.Interval != 300 {
		c.t.Errorf("%s: boot answered with %+v", c.id, got)
	}
	c.sane("boot", got.CurrentTime.Time)
	return got
}

func (c *station) booting() (*provisioning.BootNotificationResponse, error) {
	return c.cs.BootNotification(provisioning.BootReasonPowerUp, "Model 201", "Foreign", func(r *provisioning.BootNotificationRequest) {
		r.ChargingStation.SerialNumber, r.ChargingStation.FirmwareVersion = "SN-"+c.id, "2.0.1"
	})
}

func (c *station) status(st availability.ConnectorStatus) {
	c.t.Helper()
	must(c.peer, "status", func() (*availability.StatusNotificationResponse, error) {
		return c.cs.StatusNotification(types.NewDateTime(time.Now()), st, 1, 1)
	})
}

func (c *station) authorize(card string) types.AuthorizationStatus {
	c.t.Helper()
	return must(c.peer, "authorize", func() (*authorization.AuthorizeResponse, error) {
		return c.cs.Authorize(card, types.IdTokenTypeISO14443)
	}).IdTokenInfo.Status
}

func (c *station) heartbeat() {
	c.t.Helper()
	c.sane("heartbeat", must(c.peer, "heartbeat", c.beating).CurrentTime.Time)
}

func (c *station) beating() (*availability.HeartbeatResponse, error) { return c.cs.Heartbeat() }

// A moment is one TransactionEvent.
type moment struct {
	kind    transactions.TransactionEvent
	trigger transactions.TriggerReason
	tx      string
	seq     int
	at      time.Time
	wh      int64
	card    string // "" when nobody is identified
	offline bool
	remote  *int // remoteStartId
}

var contexts = map[transactions.TransactionEvent]types.ReadingContext{
	transactions.TransactionEventStarted: types.ReadingContextTransactionBegin,
	transactions.TransactionEventUpdated: types.ReadingContextSamplePeriodic,
	transactions.TransactionEventEnded:   types.ReadingContextTransactionEnd,
}

// telling is the call that reports m. The register goes out in kWh, as a
// multiple of Wh: 2.0.1 lets a station choose.
func (c *station) telling(m moment) func() (*transactions.TransactionEventResponse, error) {
	thousand, evse, connector := 3, 1, 1
	info := transactions.Transaction{TransactionID: m.tx, ChargingState: transactions.ChargingStateCharging, RemoteStartID: m.remote}
	if m.kind == transactions.TransactionEventEnded {
		info.ChargingState, info.StoppedReason = transactions.ChargingStateIdle, transactions.ReasonLocal
	}
	value := types.MeterValue{Timestamp: *types.NewDateTime(m.at), SampledValue: []types.SampledValue{{
		Value: float64(m.wh) / 1000, Context: contexts[m.kind], Measurand: types.MeasurandEnergyActiveImportRegister,
		UnitOfMeasure: &types.UnitOfMeasure{Unit: "Wh", Multiplier: &thousand},
	}}}
	return func() (*transactions.TransactionEventResponse, error) {
		return c.cs.TransactionEvent(m.kind, types.NewDateTime(m.at), m.trigger, m.seq, info, func(r *transactions.TransactionEventRequest) {
			r.Offline, r.Evse, r.MeterValue = m.offline, &types.EVSE{ID: evse, ConnectorID: &connector}, []types.MeterValue{value}
			if m.card != "" {
				r.IDToken = &types.IdToken{IdToken: m.card, Type: types.IdTokenTypeISO14443}
			}
		})
	}
}

// tell reports m. A named driver has to be accepted.
func (c *station) tell(m moment) {
	c.t.Helper()
	c.told(m, must(c.peer, string(m.kind), c.telling(m)))
}

func (c *station) told(m moment, got *transactions.TransactionEventResponse) {
	c.t.Helper()
	if m.card != "" && (got.IDTokenInfo == nil || got.IDTokenInfo.Status != types.AuthorizationStatusAccepted) {
		c.t.Errorf("%s: %s answered with %+v", c.id, m.kind, got.IDTokenInfo)
	}
}

// What the gateway asks for.

func (c *station) OnRequestStartTransaction(r *remotecontrol.RequestStartTransactionRequest) (*remotecontrol.RequestStartTransactionResponse, error) {
	c.hear(r)
	return remotecontrol.NewRequestStartTransactionResponse(remotecontrol.RequestStartStopStatusAccepted), nil
}

func (c *station) OnRequestStopTransaction(r *remotecontrol.RequestStopTransactionRequest) (*remotecontrol.RequestStopTransactionResponse, error) {
	c.hear(r)
	return remotecontrol.NewRequestStopTransactionResponse(remotecontrol.RequestStartStopStatusAccepted), nil
}

func (c *station) OnTriggerMessage(r *remotecontrol.TriggerMessageRequest) (*remotecontrol.TriggerMessageResponse, error) {
	c.hear(r)
	return remotecontrol.NewTriggerMessageResponse(remotecontrol.TriggerMessageStatusAccepted), nil
}

func (c *station) OnUnlockConnector(r *remotecontrol.UnlockConnectorRequest) (*remotecontrol.UnlockConnectorResponse, error) {
	c.hear(r)
	return remotecontrol.NewUnlockConnectorResponse(remotecontrol.UnlockStatusUnlockFailed), nil
}

func (c *station) OnDataTransfer(r *data.DataTransferRequest) (*data.DataTransferResponse, error) {
	c.hear(r)
	return data.NewDataTransferResponse(data.DataTransferStatusAccepted), nil
}

func (c *station) OnGetVariables(r *provisioning.GetVariablesRequest) (*provisioning.GetVariablesResponse, error) {
	c.hear(r)
	c.settings.Lock()
	defer c.settings.Unlock()
	var out []provisioning.GetVariableResult
	for _, v := range r.GetVariableData {
		one := provisioning.GetVariableResult{AttributeStatus: provisioning.GetVariableStatusUnknownVariable, Component: v.Component, Variable: v.Variable}
		if value, ok := c.config[v.Component.Name+"."+v.Variable.Name]; ok {
			one.AttributeStatus, one.AttributeValue = provisioning.GetVariableStatusAccepted, value
		}
		out = append(out, one)
	}
	return provisioning.NewGetVariablesResponse(out), nil
}

func (c *station) OnSetVariables(r *provisioning.SetVariablesRequest) (*provisioning.SetVariablesResponse, error) {
	c.hear(r)
	c.settings.Lock()
	defer c.settings.Unlock()
	var out []provisioning.SetVariableResult
	for _, v := range r.SetVariableData {
		one := provisioning.SetVariableResult{AttributeStatus: provisioning.SetVariableStatusAccepted, Component: v.Component, Variable: v.Variable}
		key := v.Component.Name + "." + v.Variable.Name
		if _, ok := c.config[key]; !ok {
			one.AttributeStatus = provisioning.SetVariableStatusUnknownVariable
		} else if _, err := strconv.Atoi(v.AttributeValue); err != nil {
			one.AttributeStatus = provisioning.SetVariableStatusRejected
		} else {
			c.config[key] = v.AttributeValue
		}
		out = append(out, one)
	}
	return provisioning.NewSetVariablesResponse(out), nil
}

func (c *station) OnGetBaseReport(r *provisioning.GetBaseReportRequest) (*provisioning.GetBaseReportResponse, error) {
	c.hear(r)
	return provisioning.NewGetBaseReportResponse(types.GenericDeviceModelStatusNotSupported), nil
}

func (c *station) OnGetReport(r *provisioning.GetReportRequest) (*provisioning.GetReportResponse, error) {
	c.hear(r)
	return provisioning.NewGetReportResponse(types.GenericDeviceModelStatusNotSupported), nil
}

func (c *station) OnReset(r *provisioning.ResetRequest) (*provisioning.ResetResponse, error) {
	c.hear(r)
	return provisioning.NewResetResponse(provisioning.ResetStatusRejected), nil
}

func (c *station) OnSetNetworkProfile(r *provisioning.SetNetworkProfileRequest) (*provisioning.SetNetworkProfileResponse, error) {
	c.hear(r)
	return provisioning.NewSetNetworkProfileResponse(provisioning.SetNetworkProfileStatusRejected), nil
}
