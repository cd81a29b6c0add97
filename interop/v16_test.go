package interop

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp"
	ocpp16 "github.com/lorenzodonini/ocpp-go/ocpp1.6"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/core"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/remotetrigger"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/smartcharging"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
)

// A chargePoint is an OCPP 1.6 charge point by ocpp-go.
type chargePoint struct {
	*peer
	cp ocpp16.ChargePoint

	settings sync.Mutex
	config   map[string]string
}

// newChargePoint connects a charge point to the site.
func newChargePoint(t *testing.T, s *site, id string, o setup) *chargePoint {
	t.Helper()
	c := madeChargePoint(t, s, id, o)
	c.connect(c.cp, s.defaults(o))
	return c
}

// madeChargePoint makes one that is not connected yet.
func madeChargePoint(t *testing.T, s *site, id string, o setup, more ...*ocpp.Profile) *chargePoint {
	o = s.defaults(o)
	c := &chargePoint{peer: newPeer(t, id), config: map[string]string{"HeartbeatInterval": "300", "NumberOfConnectors": "1"}}
	w := c.dialer(o)
	c.cp = ocpp16.NewChargePoint(id, c.endpoint(w, o, append(more, core.Profile, remotetrigger.Profile, smartcharging.Profile)...), w)
	c.cp.SetCoreHandler(c)
	c.cp.SetRemoteTriggerHandler(c)
	c.cp.SetSmartChargingHandler(c)
	return c
}

func (c *chargePoint) boot() *core.BootNotificationConfirmation {
	c.t.Helper()
	got := must(c.peer, "boot", c.booting)
	if got.Status != core.RegistrationStatusAccepted || got.Interval != 300 {
		c.t.Errorf("%s: boot answered with %+v", c.id, got)
	}
	c.sane("boot", got.CurrentTime.Time)
	return got
}

func (c *chargePoint) booting() (*core.BootNotificationConfirmation, error) {
	return c.cp.BootNotification("Model 16", "Foreign", func(r *core.BootNotificationRequest) {
		r.ChargePointSerialNumber, r.FirmwareVersion = "SN-"+c.id, "1.0.0"
	})
}

func (c *chargePoint) status(st core.ChargePointStatus) {
	c.t.Helper()
	must(c.peer, "status", func() (*core.StatusNotificationConfirmation, error) {
		return c.cp.StatusNotification(1, core.NoError, st, func(r *core.StatusNotificationRequest) { r.Timestamp = types.Now() })
	})
}

func (c *chargePoint) authorize(card string) types.AuthorizationStatus {
	c.t.Helper()
	return must(c.peer, "authorize", func() (*core.AuthorizeConfirmation, error) { return c.cp.Authorize(card) }).IdTagInfo.Status
}

func (c *chargePoint) heartbeat() {
	c.t.Helper()
	c.sane("heartbeat", must(c.peer, "heartbeat", c.beating).CurrentTime.Time)
}

func (c *chargePoint) beating() (*core.HeartbeatConfirmation, error) { return c.cp.Heartbeat() }

func (c *chargePoint) starting(card string, wh int64, at time.Time) func() (*core.StartTransactionConfirmation, error) {
	return func() (*core.StartTransactionConfirmation, error) {
		return c.cp.StartTransaction(1, card, int(wh), types.NewDateTime(at))
	}
}

// begin starts a transaction that has to be accepted, and returns its id.
func (c *chargePoint) begin(card string, wh int64, at time.Time) int {
	c.t.Helper()
	got := must(c.peer, "start", c.starting(card, wh, at))
	if got.TransactionId <= 0 || got.IdTagInfo.Status != types.AuthorizationStatusAccepted {
		c.t.Fatalf("%s: start answered with %+v %+v", c.id, got, got.IdTagInfo)
	}
	return got.TransactionId
}

func (c *chargePoint) metering(tx int, wh int64, at time.Time) func() (*core.MeterValuesConfirmation, error) {
	values := []types.MeterValue{{Timestamp: types.NewDateTime(at), SampledValue: []types.SampledValue{
		{Value: decimal(wh), Context: types.ReadingContextSamplePeriodic, Measurand: types.MeasurandEnergyActiveImportRegister, Unit: types.UnitOfMeasureWh},
		{Value: "11.0", Measurand: types.MeasurandPowerActiveImport, Unit: types.UnitOfMeasureKW},
	}}}
	return func() (*core.MeterValuesConfirmation, error) {
		return c.cp.MeterValues(1, values, func(r *core.MeterValuesRequest) { r.TransactionId = &tx })
	}
}

func (c *chargePoint) meter(tx int, wh int64, at time.Time) {
	c.t.Helper()
	must(c.peer, "meter values", c.metering(tx, wh, at))
}

func (c *chargePoint) ending(tx int, card string, wh int64, at time.Time) func() (*core.StopTransactionConfirmation, error) {
	return func() (*core.StopTransactionConfirmation, error) {
		return c.cp.StopTransaction(int(wh), types.NewDateTime(at), tx, func(r *core.StopTransactionRequest) {
			r.IdTag, r.Reason = card, core.ReasonLocal
		})
	}
}

// stop ends a transaction and expects the standard's answer.
func (c *chargePoint) stop(tx int, card string, wh int64, at time.Time) {
	c.t.Helper()
	c.stopped(must(c.peer, "stop", c.ending(tx, card, wh, at)))
}

func (c *chargePoint) stopped(got *core.StopTransactionConfirmation) {
	c.t.Helper()
	if got.IdTagInfo == nil || got.IdTagInfo.Status != types.AuthorizationStatusAccepted {
		c.t.Errorf("%s: stop answered with %+v", c.id, got.IdTagInfo)
	}
}

// sane checks a time that the gateway told.
func (p *peer) sane(what string, at time.Time) {
	p.t.Helper()
	if d := time.Since(at).Abs(); d > time.Minute {
		p.t.Errorf("%s: %s told the time %s, which is %s off", p.id, what, at, d)
	}
}

// What the gateway asks for.

func (c *chargePoint) OnChangeAvailability(r *core.ChangeAvailabilityRequest) (*core.ChangeAvailabilityConfirmation, error) {
	c.hear(r)
	return core.NewChangeAvailabilityConfirmation(core.AvailabilityStatusAccepted), nil
}

func (c *chargePoint) OnChangeConfiguration(r *core.ChangeConfigurationRequest) (*core.ChangeConfigurationConfirmation, error) {
	c.hear(r)
	c.settings.Lock()
	defer c.settings.Unlock()
	if _, ok := c.config[r.Key]; !ok {
		return core.NewChangeConfigurationConfirmation(core.ConfigurationStatusNotSupported), nil
	}
	if _, err := strconv.Atoi(r.Value); err != nil {
		return core.NewChangeConfigurationConfirmation(core.ConfigurationStatusRejected), nil
	}
	c.config[r.Key] = r.Value
	return core.NewChangeConfigurationConfirmation(core.ConfigurationStatusAccepted), nil
}

func (c *chargePoint) OnGetConfiguration(r *core.GetConfigurationRequest) (*core.GetConfigurationConfirmation, error) {
	c.hear(r)
	c.settings.Lock()
	defer c.settings.Unlock()
	out := core.NewGetConfigurationConfirmation(nil)
	for _, k := range r.Key {
		if v, ok := c.config[k]; ok {
			out.ConfigurationKey = append(out.ConfigurationKey, core.ConfigurationKey{Key: k, Value: &v})
		} else {
			out.UnknownKey = append(out.UnknownKey, k)
		}
	}
	return out, nil
}

func (c *chargePoint) OnClearCache(r *core.ClearCacheRequest) (*core.ClearCacheConfirmation, error) {
	c.hear(r)
	return core.NewClearCacheConfirmation(core.ClearCacheStatusAccepted), nil
}

func (c *chargePoint) OnDataTransfer(r *core.DataTransferRequest) (*core.DataTransferConfirmation, error) {
	c.hear(r)
	return core.NewDataTransferConfirmation(core.DataTransferStatusAccepted), nil
}

func (c *chargePoint) OnRemoteStartTransaction(r *core.RemoteStartTransactionRequest) (*core.RemoteStartTransactionConfirmation, error) {
	c.hear(r)
	return core.NewRemoteStartTransactionConfirmation(types.RemoteStartStopStatusAccepted), nil
}

func (c *chargePoint) OnRemoteStopTransaction(r *core.RemoteStopTransactionRequest) (*core.RemoteStopTransactionConfirmation, error) {
	c.hear(r)
	return core.NewRemoteStopTransactionConfirmation(types.RemoteStartStopStatusAccepted), nil
}

func (c *chargePoint) OnReset(r *core.ResetRequest) (*core.ResetConfirmation, error) {
	c.hear(r)
	return core.NewResetConfirmation(core.ResetStatusRejected), nil
}

func (c *chargePoint) OnUnlockConnector(r *core.UnlockConnectorRequest) (*core.UnlockConnectorConfirmation, error) {
	c.hear(r)
	return core.NewUnlockConnectorConfirmation(core.UnlockStatusNotSupported), nil
}

func (c *chargePoint) OnTriggerMessage(r *remotetrigger.TriggerMessageRequest) (*remotetrigger.TriggerMessageConfirmation, error) {
	c.hear(r)
	return remotetrigger.NewTriggerMessageConfirmation(remotetrigger.TriggerMessageStatusAccepted), nil
}

func (c *chargePoint) OnSetChargingProfile(r *smartcharging.SetChargingProfileRequest) (*smartcharging.SetChargingProfileConfirmation, error) {
	c.hear(r)
	return smartcharging.NewSetChargingProfileConfirmation(smartcharging.ChargingProfileStatusAccepted), nil
}

func (c *chargePoint) OnClearChargingProfile(r *smartcharging.ClearChargingProfileRequest) (*smartcharging.ClearChargingProfileConfirmation, error) {
	c.hear(r)
	return smartcharging.NewClearChargingProfileConfirmation(smartcharging.ClearChargingProfileStatusAccepted), nil
}

func (c *chargePoint) OnGetCompositeSchedule(r *smartcharging.GetCompositeScheduleRequest) (*smartcharging.GetCompositeScheduleConfirmation, error) {
	c.hear(r)
	return smartcharging.NewGetCompositeScheduleConfirmation(smartcharging.GetCompositeScheduleStatusRejected), nil
}
