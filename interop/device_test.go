package interop

import (
	"strings"
	"testing"
	"time"

	ocppgo "github.com/lorenzodonini/ocpp-go/ocpp"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/firmware"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/logging"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/reservation"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/securefirmware"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/security"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/smartcharging"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/diagnostics"
	firmware2 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1/firmware"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/provisioning"
	reservation2 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1/reservation"
	security2 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1/security"
	types2 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1/types"

	"github.com/holdfast-ev/holdfast/record"
)

// device16 is what a 1.6 charge point does when an operator asks for more than
// charging. ocpp-go checks every message against the standard on its way.
type device16 struct{ *peer }

func (d device16) OnGetDiagnostics(r *firmware.GetDiagnosticsRequest) (*firmware.GetDiagnosticsConfirmation, error) {
	d.hear(r)
	return &firmware.GetDiagnosticsConfirmation{FileName: "diagnostics.zip"}, nil
}

func (d device16) OnUpdateFirmware(r *firmware.UpdateFirmwareRequest) (*firmware.UpdateFirmwareConfirmation, error) {
	d.hear(r)
	return firmware.NewUpdateFirmwareConfirmation(), nil
}

func (d device16) OnReserveNow(r *reservation.ReserveNowRequest) (*reservation.ReserveNowConfirmation, error) {
	d.hear(r)
	return reservation.NewReserveNowConfirmation(reservation.ReservationStatusAccepted), nil
}

func (d device16) OnCancelReservation(r *reservation.CancelReservationRequest) (*reservation.CancelReservationConfirmation, error) {
	d.hear(r)
	return reservation.NewCancelReservationConfirmation(reservation.CancelReservationStatusAccepted), nil
}

func (d device16) OnGetLog(r *logging.GetLogRequest) (*logging.GetLogResponse, error) {
	d.hear(r)
	return logging.NewGetLogResponse(logging.LogStatusAccepted), nil
}

func (d device16) OnSignedUpdateFirmware(r *securefirmware.SignedUpdateFirmwareRequest) (*securefirmware.SignedUpdateFirmwareResponse, error) {
	d.hear(r)
	return securefirmware.NewSignedUpdateFirmwareResponse(securefirmware.UpdateFirmwareStatusAccepted), nil
}

// heard waits for the charger's next call of one kind and for the directive that
// it came of.
func heard[R ocppgo.Request](s *site, p *peer, name string, body map[string]any) (R, bookDirective) {
	s.t.Helper()
	body["charger"] = p.id
	id := s.order("/v1/sites/"+s.name+"/"+name, body)
	r := ordered[R](p)
	return r, s.outcome(id)
}

// Firmware, logs, reservations, schedules and security events with a foreign 1.6
// client, the security white paper's included.
func TestForeignDevice16(t *testing.T) {
	t.Parallel()
	s := newSite(t, "device16", "CP-1")
	c := madeChargePoint(t, s, "CP-1", setup{}, firmware.Profile, reservation.Profile, logging.Profile, securefirmware.Profile, security.Profile)
	d := device16{c.peer}
	c.cp.SetFirmwareManagementHandler(d)
	c.cp.SetReservationHandler(d)
	c.cp.SetLogHandler(d)
	c.cp.SetSecureFirmwareHandler(d)
	c.connect(c.cp, s.defaults(setup{}))
	c.boot()

	const url = "https://files.example/x"
	done := func(what string, got bookDirective, detail string) {
		t.Helper()
		if got.Outcome != "done" || !strings.Contains(got.Detail, detail) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	diag, out := heard[*firmware.GetDiagnosticsRequest](s, c.peer, "log", map[string]any{"url": url})
	if done("diagnostics", out, "request"); diag.Location != url {
		t.Errorf("diagnostics arrived as %+v", diag)
	}
	log, out := heard[*logging.GetLogRequest](s, c.peer, "log", map[string]any{"url": url, "security": true, "secure": true})
	if done("security log", out, "Accepted"); log.LogType != logging.LogTypeSecurity || log.Log.RemoteLocation != url {
		t.Errorf("the log arrived as %+v", log)
	}
	fw, out := heard[*firmware.UpdateFirmwareRequest](s, c.peer, "firmware", map[string]any{"url": url})
	if done("firmware", out, "Accepted"); fw.Location != url || fw.RetrieveDate == nil {
		t.Errorf("firmware arrived as %+v", fw)
	}
	signed, out := heard[*securefirmware.SignedUpdateFirmwareRequest](s, c.peer, "firmware", map[string]any{"url": url, "signature": "c2ln", "certificate": "PEM"})
	if done("signed firmware", out, "Accepted"); signed.Firmware.Signature != "c2ln" || signed.RequestID == 0 {
		t.Errorf("signed firmware arrived as %+v", signed)
	}
	until := time.Now().Add(time.Hour).UnixMilli()
	reserve, out := heard[*reservation.ReserveNowRequest](s, c.peer, "reserve", map[string]any{"evse": 1, "id": 9, "token": cardA, "expires": until})
	if done("reservation", out, "Accepted"); reserve.ConnectorId != 1 || reserve.IdTag != cardA || reserve.ReservationId != 9 {
		t.Errorf("the reservation arrived as %+v", reserve)
	}
	cancel, out := heard[*reservation.CancelReservationRequest](s, c.peer, "cancel-reservation", map[string]any{"id": 9})
	if done("cancellation", out, "Accepted"); cancel.ReservationId != 9 {
		t.Errorf("the cancellation arrived as %+v", cancel)
	}
	if _, out := heard[*smartcharging.GetCompositeScheduleRequest](s, c.peer, "schedule", map[string]any{"evse": 1, "duration_s": 60}); out.Outcome != "refused" {
		t.Errorf("a schedule that is rejected: %+v", out)
	}
	must(c.peer, "security event", func() (*security.SecurityEventNotificationResponse, error) {
		return c.cp.SecurityEventNotification("TamperDetectionActivated", types.Now())
	})
	must(c.peer, "firmware status", func() (*securefirmware.SignedFirmwareStatusNotificationResponse, error) {
		return c.cp.SignedUpdateFirmwareStatusNotification(securefirmware.FirmwareStatusInstalled)
	})
	s.toldOfItself("CP-1", "TamperDetectionActivated", "Installed")
}

// toldOfItself waits for what a charger told of itself as evidence.
func (s *site) toldOfItself(id, kind, status string) {
	s.t.Helper()
	eventually(s.t, "the charger's security event and firmware as evidence", func() (bool, any) {
		events, _ := bodies[*record.ChargerSecurity](s, id)
		steps, _ := bodies[*record.ChargerFirmware](s, id)
		return len(events) == 1 && events[0].Kind == kind && events[0].Critical && len(steps) == 1 && steps[0].Status == status, []any{events, steps}
	})
}

// TestForeignDevice201: what ocpp-go supports of 2.0.1 beyond charging.
func TestForeignDevice201(t *testing.T) {
	t.Parallel()
	s := newSite(t, "device201", "CS-1")
	c := madeStation(t, s, "CS-1", setup{}, firmware2.Profile, reservation2.Profile, diagnostics.Profile, security2.Profile)
	c.cs.SetFirmwareHandler(firmware201{peer: c.peer})
	c.cs.SetReservationHandler(reservation201{c.peer})
	c.cs.SetDiagnosticsHandler(diagnostics201{peer: c.peer})
	c.connect(c.cs, s.defaults(setup{}))
	c.boot()

	const url = "https://files.example/x"
	log, out := heard[*diagnostics.GetLogRequest](s, c.peer, "log", map[string]any{"url": url, "security": true})
	if out.Outcome != "done" || log.LogType != diagnostics.LogTypeSecurity || log.RequestID == 0 {
		t.Errorf("the log arrived as %+v: %+v", log, out)
	}
	fw, out := heard[*firmware2.UpdateFirmwareRequest](s, c.peer, "firmware", map[string]any{"url": url, "signature": "c2ln", "certificate": "PEM"})
	if out.Outcome != "refused" || !strings.Contains(out.Detail, "InvalidCertificate") || fw.Firmware.Signature != "c2ln" {
		t.Errorf("firmware arrived as %+v: %+v", fw, out)
	}
	reserve, out := heard[*reservation2.ReserveNowRequest](s, c.peer, "reserve", map[string]any{"evse": 1, "id": 9, "token": cardA, "expires": time.Now().Add(time.Hour).UnixMilli(), "group": "FLEET"})
	if out.Outcome != "done" || reserve.IdToken.IdToken != cardA || reserve.IdToken.Type != types2.IdTokenTypeISO14443 || reserve.GroupIdToken == nil {
		t.Errorf("the reservation arrived as %+v: %+v", reserve, out)
	}
	reset, out := heard[*provisioning.ResetRequest](s, c.peer, "reset", map[string]any{})
	if out.Outcome != "refused" || reset.Type != provisioning.ResetTypeOnIdle {
		t.Errorf("the reset arrived as %+v: %+v", reset, out)
	}
	if base, out := heard[*provisioning.GetBaseReportRequest](s, c.peer, "report", map[string]any{"base": "FullInventory"}); out.Outcome != "refused" || base.ReportBase != provisioning.ReportTypeFullInventory {
		t.Errorf("the report arrived as %+v: %+v", base, out)
	}
	must(c.peer, "security event", func() (*security2.SecurityEventNotificationResponse, error) {
		return c.cs.SecurityEventNotification("MemoryExhaustion", types2.NewDateTime(time.Now()))
	})
	must(c.peer, "firmware status", func() (*firmware2.FirmwareStatusNotificationResponse, error) {
		return c.cs.FirmwareStatusNotification(firmware2.FirmwareStatusInvalidSignature, func(r *firmware2.FirmwareStatusNotificationRequest) { r.RequestID = &fw.RequestID })
	})
	s.toldOfItself("CS-1", "MemoryExhaustion", "InvalidSignature")
}

// What a 2.0.1 station does of each functional block; the other calls of a block
// are not made.
type firmware201 struct {
	firmware2.ChargingStationHandler
	*peer
}

func (d firmware201) OnUpdateFirmware(r *firmware2.UpdateFirmwareRequest) (*firmware2.UpdateFirmwareResponse, error) {
	d.hear(r)
	return firmware2.NewUpdateFirmwareResponse(firmware2.UpdateFirmwareStatusInvalidCertificate), nil
}

type reservation201 struct{ *peer }

func (d reservation201) OnReserveNow(r *reservation2.ReserveNowRequest) (*reservation2.ReserveNowResponse, error) {
	d.hear(r)
	return reservation2.NewReserveNowResponse(reservation2.ReserveNowStatusAccepted), nil
}

func (d reservation201) OnCancelReservation(r *reservation2.CancelReservationRequest) (*reservation2.CancelReservationResponse, error) {
	d.hear(r)
	return reservation2.NewCancelReservationResponse(reservation2.CancelReservationStatusAccepted), nil
}

type diagnostics201 struct {
	diagnostics.ChargingStationHandler
	*peer
}

func (d diagnostics201) OnGetLog(r *diagnostics.GetLogRequest) (*diagnostics.GetLogResponse, error) {
	d.hear(r)
	return diagnostics.NewGetLogResponse(diagnostics.LogStatusAccepted), nil
}
