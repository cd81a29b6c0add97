package server

import (
	"encoding/json"

	"github.com/holdfast-ev/holdfast/uplink"
)

// deviceRoutes are the commands about a charger itself.
func (s *Server) deviceRoutes(r *routes) {
	command(r, "reset", uplink.ResetBody{Charger: "CP-1"}, "restart a charger when it is idle, or at once (`now`)", s.plane.Reset)
	command(r, "unlock", uplink.UnlockBody{Charger: "CP-1", EVSE: 1}, "release a connector's cable", s.plane.Unlock)
	command(r, "availability", uplink.AvailabilityBody{Charger: "CP-1", EVSE: 1}, "take a charger or an EVSE out of service, or back (`operative`)", s.plane.Availability)
	command(r, "clear-cache", uplink.ChargerBody{Charger: "CP-1"}, "make a charger forget the verdicts that it remembers", s.plane.ClearCache)
	command(r, "reserve", uplink.ReserveBody{Charger: "CP-1", EVSE: 1, ID: 7, Token: "04A2B3C4D5E680", Expires: 1_900_000_000_000}, "reserve an EVSE for a driver", s.plane.Reserve)
	command(r, "cancel-reservation", uplink.CancelBody{Charger: "CP-1", ID: 7}, "end a reservation", s.plane.CancelReservation)
	command(r, "log", uplink.LogBody{Charger: "CP-1", URL: "https://files.example/logs/7"}, "ask a charger to upload its diagnostics or its security log (`security`)", s.plane.FetchLog)
	command(r, "firmware", uplink.FirmwareBody{Charger: "CP-1", URL: "https://files.example/fw/2.1.bin"}, "ask a charger to install an image", s.plane.Firmware)
	command(r, "report", uplink.ReportBody{Charger: "CP-1", Base: "SummaryInventory"}, "read a charger's variables (OCPP 2.x)", s.plane.Report)
	command(r, "profiles", uplink.ProfilesBody{Charger: "CP-1"}, "read the charging profiles that a charger holds (OCPP 2.x)", s.plane.Profiles)
	command(r, "schedule", uplink.CompositeBody{Charger: "CP-1", EVSE: 1, DurationS: 3600}, "read the schedule that a charger follows", s.plane.Composite)
	command(r, "call", uplink.CallBody{Charger: "CP-1", Action: "GetInstalledCertificateIds", Payload: json.RawMessage(`{}`)},
		"send a charger any message of its OCPP version that no rule of the gateway owns", s.plane.Call)
	sessionCommand(r, "transaction-status", "ask a session's charger whether it still runs there (OCPP 2.x)", s.plane.TransactionStatus)
}
