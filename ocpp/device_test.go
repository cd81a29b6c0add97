package ocpp_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/ocpp/v16"
	"github.com/holdfast-ev/holdfast/ocpp/v2"
)

func number(n int) *int { return &n }

const noon = holdfast.UnixMilli(1777888800000) // 2026-05-04T10:00:00Z

// A want is the action and payload of a command in each version; "" is
// ErrUnsupported, "!" is ErrCommand.
type want struct{ v16, v2 string }

func checkCommand(t *testing.T, cmd ocpp.Command, w want) {
	t.Helper()
	c := newChecker()
	for i, want := range []string{w.v16, w.v2, w.v2} {
		d := dialects()[i]
		action, payload, err := d.Command(cmd)
		switch {
		case want == "" && !errors.Is(err, ocpp.ErrUnsupported), want == "!" && !errors.Is(err, ocpp.ErrCommand):
			t.Errorf("%s %+v: %s %s, %v", d.Version(), cmd, action, payload, err)
		case want == "" || want == "!":
			if strings.Contains(err.Error(), "CARD") {
				t.Errorf("%s: the error tells a token: %v", d.Version(), err)
			}
		case err != nil || action+" "+string(payload) != want:
			t.Errorf("%s %+v:\n got %s %s, %v\nwant %s", d.Version(), cmd, action, payload, err, want)
		default:
			c.check(t, d.Version(), action, false, payload)
		}
	}
}

func TestDeviceCommands(t *testing.T) {
	card := holdfast.Token{Value: "CARD1"}
	for _, x := range []struct {
		cmd ocpp.Command
		want
	}{
		{ocpp.Reset{}, want{`Reset {"type":"Soft"}`, `Reset {"type":"OnIdle"}`}},
		{ocpp.Reset{Now: true}, want{`Reset {"type":"Hard"}`, `Reset {"type":"Immediate"}`}},
		{ocpp.Reset{EVSE: 2}, want{`!`, `Reset {"type":"OnIdle","evseId":2}`}},
		{ocpp.Unlock{EVSE: 2}, want{`UnlockConnector {"connectorId":2}`, `UnlockConnector {"evseId":2,"connectorId":1}`}},
		{ocpp.Unlock{}, want{`!`, `!`}},
		{ocpp.SetAvailability{EVSE: 2, Operative: true}, want{`ChangeAvailability {"connectorId":2,"type":"Operative"}`,
			`ChangeAvailability {"evse":{"id":2},"operationalStatus":"Operative"}`}},
		{ocpp.SetAvailability{}, want{`ChangeAvailability {"connectorId":0,"type":"Inoperative"}`, `ChangeAvailability {"operationalStatus":"Inoperative"}`}},
		{ocpp.SetAvailability{EVSE: -1}, want{`!`, `!`}},
		{ocpp.ClearCache{}, want{`ClearCache {}`, `ClearCache {}`}},
		{ocpp.GetListVersion{}, want{`GetLocalListVersion {}`, `GetLocalListVersion {}`}},
		{ocpp.Reserve{ID: 4, EVSE: 1, Token: card, Expires: noon, Group: "FLEET"}, want{
			`ReserveNow {"connectorId":1,"expiryDate":"2026-05-04T10:00:00.000Z","idTag":"CARD1","parentIdTag":"FLEET","reservationId":4}`,
			`ReserveNow {"id":4,"expiryDateTime":"2026-05-04T10:00:00.000Z","idToken":{"idToken":"CARD1","type":"ISO14443"},"evseId":1,"groupIdToken":{"idToken":"FLEET","type":"Central"}}`}},
		{ocpp.Reserve{ID: 4, Token: card, Expires: noon}, want{
			`ReserveNow {"connectorId":0,"expiryDate":"2026-05-04T10:00:00.000Z","idTag":"CARD1","reservationId":4}`,
			`ReserveNow {"id":4,"expiryDateTime":"2026-05-04T10:00:00.000Z","idToken":{"idToken":"CARD1","type":"ISO14443"}}`}},
		{ocpp.Reserve{ID: 4, Token: holdfast.Token{Value: strings.Repeat("CARD", 64)}, Expires: noon}, want{`!`, `!`}},
		{ocpp.Reserve{ID: 4, Token: card}, want{`!`, `!`}},
		{ocpp.CancelReservation{ID: 4}, want{`CancelReservation {"reservationId":4}`, `CancelReservation {"reservationId":4}`}},
		{ocpp.CancelReservation{ID: -1}, want{`!`, `!`}},
		{ocpp.GetReport{Request: 3, Base: "FullInventory"}, want{``, `GetBaseReport {"requestId":3,"reportBase":"FullInventory"}`}},
		{ocpp.GetProfiles{Request: 3, EVSE: number(0)}, want{``, `GetChargingProfiles {"requestId":3,"evseId":0,"chargingProfile":{"chargingLimitSource":["CSO","EMS","Other","SO"]}}`}},
		{ocpp.GetProfiles{Request: -1}, want{``, `!`}},
		{ocpp.GetReport{Base: "Everything"}, want{``, `!`}},
		{ocpp.GetTransactionStatus{ID: "TX-1"}, want{``, `GetTransactionStatus {"transactionId":"TX-1"}`}},
		{ocpp.GetTransactionStatus{}, want{``, `GetTransactionStatus {}`}},
		{ocpp.GetTransactionStatus{ID: strings.Repeat("x", 37)}, want{``, `!`}},
		{ocpp.Invoke{Action: "DataTransfer", Payload: []byte(`{"vendorId":"x"}`)}, want{`DataTransfer {"vendorId":"x"}`, `DataTransfer {"vendorId":"x"}`}},
		{ocpp.Invoke{Action: "ExtendedTriggerMessage", Payload: []byte(`{"requestedMessage":"Heartbeat"}`)}, want{`ExtendedTriggerMessage {"requestedMessage":"Heartbeat"}`, ``}},
		{ocpp.Invoke{Action: "Heartbeat", Payload: []byte(`{}`)}, want{``, ``}},
		{ocpp.Invoke{Action: "Frobnicate", Payload: []byte(`{}`)}, want{``, ``}},
		{ocpp.Invoke{Action: "Reset", Payload: []byte(`[]`)}, want{`!`, `!`}},
		{ocpp.Invoke{Action: "Reset", Payload: []byte(`{"type":"Soft","type":"Hard"}`)}, want{`!`, `!`}},
	} {
		checkCommand(t, x.cmd, x.want)
	}
}

func TestLogAndFirmwareCommands(t *testing.T) {
	const url = "https://files.example/up"
	for _, x := range []struct {
		cmd ocpp.Command
		want
	}{
		{ocpp.GetLog{Request: 5, URL: url, From: noon, To: noon + 1000, Retries: 2, WaitS: 30}, want{
			`GetDiagnostics {"location":"` + url + `","retries":2,"retryInterval":30,"startTime":"2026-05-04T10:00:00.000Z","stopTime":"2026-05-04T10:00:01.000Z"}`,
			`GetLog {"logType":"DiagnosticsLog","requestId":5,"retries":2,"retryInterval":30,"log":{"remoteLocation":"` + url +
				`","oldestTimestamp":"2026-05-04T10:00:00.000Z","latestTimestamp":"2026-05-04T10:00:01.000Z"}}`}},
		{ocpp.GetLog{Request: 5, URL: url, Security: true, Secure: true}, want{
			`GetLog {"logType":"SecurityLog","requestId":5,"log":{"remoteLocation":"` + url + `"}}`,
			`GetLog {"logType":"SecurityLog","requestId":5,"log":{"remoteLocation":"` + url + `"}}`}},
		{ocpp.GetLog{Request: 5, URL: url, Security: true}, want{``, `GetLog {"logType":"SecurityLog","requestId":5,"log":{"remoteLocation":"` + url + `"}}`}},
		{ocpp.GetLog{URL: "files.example/up"}, want{`!`, `!`}},
		{ocpp.GetLog{URL: url, From: noon, To: noon - 1}, want{`!`, `!`}},
		{ocpp.GetLog{URL: url + strings.Repeat("x", ocpp.MaxURL)}, want{`!`, `!`}},
		{ocpp.UpdateFirmware{Request: 6, URL: url, RetrieveAt: noon}, want{
			`UpdateFirmware {"location":"` + url + `","retrieveDate":"2026-05-04T10:00:00.000Z"}`,
			`UpdateFirmware {"requestId":6,"firmware":{"location":"` + url + `","retrieveDateTime":"2026-05-04T10:00:00.000Z"}}`}},
		{ocpp.UpdateFirmware{Request: 6, URL: url, RetrieveAt: noon, InstallAt: noon, Signature: "c2ln", Certificate: "PEM"}, want{
			`SignedUpdateFirmware {"requestId":6,"firmware":{"location":"` + url + `","retrieveDateTime":"2026-05-04T10:00:00.000Z","installDateTime":"2026-05-04T10:00:00.000Z","signingCertificate":"PEM","signature":"c2ln"}}`,
			`UpdateFirmware {"requestId":6,"firmware":{"location":"` + url + `","retrieveDateTime":"2026-05-04T10:00:00.000Z","installDateTime":"2026-05-04T10:00:00.000Z","signingCertificate":"PEM","signature":"c2ln"}}`}},
		{ocpp.UpdateFirmware{URL: url, RetrieveAt: noon, InstallAt: noon}, want{`!`, `UpdateFirmware {"requestId":0,"firmware":{"location":"` + url + `","retrieveDateTime":"2026-05-04T10:00:00.000Z","installDateTime":"2026-05-04T10:00:00.000Z"}}`}},
		{ocpp.UpdateFirmware{URL: url}, want{`!`, `!`}},
		{ocpp.UpdateFirmware{URL: url, RetrieveAt: noon, Signature: "c2ln"}, want{`!`, `!`}},
	} {
		checkCommand(t, x.cmd, x.want)
	}
}

func TestSendList_D01(t *testing.T) {
	card := holdfast.Token{Value: "CARD1", Type: "ISO14443"}
	for _, x := range []struct {
		cmd ocpp.SendList
		want
	}{
		{ocpp.SendList{Version: 3, Full: true}, want{`SendLocalList {"listVersion":3,"updateType":"Full"}`, `SendLocalList {"versionNumber":3,"updateType":"Full"}`}},
		{ocpp.SendList{Version: 4, Entries: []ocpp.ListEntry{{Token: card, Status: ocpp.AuthAccepted, Expires: noon, Group: "FLEET"}, {Token: holdfast.Token{Value: "CARD2"}, Remove: true}}}, want{
			`SendLocalList {"listVersion":4,"localAuthorizationList":[{"idTag":"CARD1","idTagInfo":{"status":"Accepted","expiryDate":"2026-05-04T10:00:00.000Z","parentIdTag":"FLEET"}},{"idTag":"CARD2"}],"updateType":"Differential"}`,
			`SendLocalList {"localAuthorizationList":[{"idToken":{"idToken":"CARD1","type":"ISO14443"},"idTokenInfo":{"status":"Accepted","cacheExpiryDateTime":"2026-05-04T10:00:00.000Z","groupIdToken":{"idToken":"FLEET","type":"Central"}}},{"idToken":{"idToken":"CARD2","type":"ISO14443"}}],"versionNumber":4,"updateType":"Differential"}`}},
		{ocpp.SendList{Version: 0, Full: true}, want{`!`, `!`}},
		{ocpp.SendList{Version: past(), Full: true}, want{`!`, `!`}},
		{ocpp.SendList{Version: 1}, want{`!`, `!`}},
		{ocpp.SendList{Version: 1, Full: true, Entries: []ocpp.ListEntry{{Token: card, Remove: true}}}, want{`!`, `!`}},
		{ocpp.SendList{Version: 1, Full: true, Entries: []ocpp.ListEntry{{Status: ocpp.AuthAccepted}}}, want{`!`, `!`}},
		{ocpp.SendList{Version: 1, Full: true, Entries: make([]ocpp.ListEntry, ocpp.MaxListEntries+1)}, want{`!`, `!`}},
		{ocpp.SendList{Version: 1, Full: true, Entries: []ocpp.ListEntry{{Token: card}, {Token: holdfast.Token{Value: "card1", Type: "ISO14443"}}}}, want{`!`, `!`}},
		{ocpp.SendList{Version: 1, Full: true, Entries: []ocpp.ListEntry{{Token: holdfast.Token{Value: strings.Repeat("CARD", 64)}}}}, want{`!`, `!`}},
	} {
		checkCommand(t, x.cmd, x.want)
	}
}

func TestSetProfile_K01(t *testing.T) {
	tx := ocpp.Profile{ID: 1, Purpose: ocpp.TxOnly, TransactionID: "17", Unit: ocpp.InAmperes, ValidTo: noon + 60_000, DurationS: 60,
		Periods: []ocpp.Period{{Limit: 165, Phases: 3}, {StartS: 30, Limit: 60}}}
	for _, x := range []struct {
		evse    int
		profile ocpp.Profile
		want
	}{
		{2, tx, want{
			`SetChargingProfile {"connectorId":2,"csChargingProfiles":{"chargingProfileId":1,"transactionId":17,"stackLevel":0,"chargingProfilePurpose":"TxProfile","chargingProfileKind":"Relative","validTo":"2026-05-04T10:01:00.000Z",` +
				`"chargingSchedule":{"duration":60,"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":16.5,"numberPhases":3},{"startPeriod":30,"limit":6}]}}}`,
			`SetChargingProfile {"evseId":2,"chargingProfile":{"id":1,"stackLevel":0,"chargingProfilePurpose":"TxProfile","chargingProfileKind":"Relative","validTo":"2026-05-04T10:01:00.000Z",` +
				`"chargingSchedule":[{"id":1,"duration":60,"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":16.5,"numberPhases":3},{"startPeriod":30,"limit":6}]}],"transactionId":"17"}}`}},
		{0, ocpp.Profile{ID: 9, StackLevel: 2, Purpose: ocpp.TxDefault, From: noon, Unit: ocpp.InWatts, Periods: []ocpp.Period{{Limit: 1}}}, want{
			`SetChargingProfile {"connectorId":0,"csChargingProfiles":{"chargingProfileId":9,"stackLevel":2,"chargingProfilePurpose":"TxDefaultProfile","chargingProfileKind":"Absolute",` +
				`"chargingSchedule":{"startSchedule":"2026-05-04T10:00:00.000Z","chargingRateUnit":"W","chargingSchedulePeriod":[{"startPeriod":0,"limit":0.1}]}}}`,
			`SetChargingProfile {"evseId":0,"chargingProfile":{"id":9,"stackLevel":2,"chargingProfilePurpose":"TxDefaultProfile","chargingProfileKind":"Absolute",` +
				`"chargingSchedule":[{"id":1,"startSchedule":"2026-05-04T10:00:00.000Z","chargingRateUnit":"W","chargingSchedulePeriod":[{"startPeriod":0,"limit":0.1}]}]}}`}},
		// K01.FR.38: never Relative; from 1970 on it holds whatever the charger's clock says.
		{0, ocpp.Profile{ID: 9, Purpose: ocpp.StationMax, Unit: ocpp.InAmperes, Periods: []ocpp.Period{{Limit: 630}}}, want{
			`SetChargingProfile {"connectorId":0,"csChargingProfiles":{"chargingProfileId":9,"stackLevel":0,"chargingProfilePurpose":"ChargePointMaxProfile","chargingProfileKind":"Absolute",` +
				`"chargingSchedule":{"startSchedule":"1970-01-01T00:00:00.000Z","chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":63}]}}}`,
			`SetChargingProfile {"evseId":0,"chargingProfile":{"id":9,"stackLevel":0,"chargingProfilePurpose":"ChargingStationMaxProfile","chargingProfileKind":"Absolute",` +
				`"chargingSchedule":[{"id":1,"startSchedule":"1970-01-01T00:00:00.000Z","chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":63}]}]}}`}},
	} {
		checkCommand(t, ocpp.SetProfile{EVSE: x.evse, Profile: x.profile}, x.want)
	}
	for name, spoil := range map[string]func(*ocpp.SetProfile){
		"no id":               func(c *ocpp.SetProfile) { c.Profile.ID = 0 },
		"id over 32 bits":     func(c *ocpp.SetProfile) { c.Profile.ID = past() },
		"stack level":         func(c *ocpp.SetProfile) { c.Profile.StackLevel = ocpp.MaxStackLevel + 1 },
		"negative level":      func(c *ocpp.SetProfile) { c.Profile.StackLevel = -1 },
		"no unit":             func(c *ocpp.SetProfile) { c.Profile.Unit = "" },
		"no transaction":      func(c *ocpp.SetProfile) { c.Profile.TransactionID = "" },
		"EVSE 0":              func(c *ocpp.SetProfile) { c.EVSE = 0 },
		"transaction default": func(c *ocpp.SetProfile) { c.Profile.Purpose = ocpp.TxDefault },
		"no purpose":          func(c *ocpp.SetProfile) { c.Profile.Purpose = "" },
		"station on an EVSE":  func(c *ocpp.SetProfile) { c.Profile.Purpose, c.Profile.TransactionID = ocpp.StationMax, "" },
		"station with an end": func(c *ocpp.SetProfile) {
			c.EVSE, c.Profile.Purpose, c.Profile.TransactionID = 0, ocpp.StationMax, ""
		},
		"ends before it starts": func(c *ocpp.SetProfile) { c.Profile.From = c.Profile.ValidTo },
		"negative duration":     func(c *ocpp.SetProfile) { c.Profile.DurationS = -1 },
		"no period":             func(c *ocpp.SetProfile) { c.Profile.Periods = nil },
		"thousands of periods":  func(c *ocpp.SetProfile) { c.Profile.Periods = periods(5000) },
		"one period too many":   func(c *ocpp.SetProfile) { c.Profile.Periods = periods(ocpp.MaxPeriods + 1) },
		"first period late":     func(c *ocpp.SetProfile) { c.Profile.Periods = []ocpp.Period{{StartS: 1}} },
		"periods out of order":  func(c *ocpp.SetProfile) { c.Profile.Periods = []ocpp.Period{{}, {StartS: 9}, {StartS: 9}} },
		"overflowing limit":     func(c *ocpp.SetProfile) { c.Profile.Periods = []ocpp.Period{{Limit: math.MaxInt64}} },
		"a limit below 0":       func(c *ocpp.SetProfile) { c.Profile.Periods = []ocpp.Period{{Limit: -1}} },
		"a limit of 10 kA":      func(c *ocpp.SetProfile) { c.Profile.Periods = []ocpp.Period{{Limit: ocpp.MaxLevelA + 1}} },
		"four phases":           func(c *ocpp.SetProfile) { c.Profile.Periods = []ocpp.Period{{Limit: 1, Phases: 4}} },
		"start over 32 bits":    func(c *ocpp.SetProfile) { c.Profile.Periods = []ocpp.Period{{}, {StartS: past()}} },
	} {
		c := ocpp.SetProfile{EVSE: 2, Profile: tx}
		spoil(&c)
		for _, d := range dialects() {
			if action, payload, err := d.Command(c); !errors.Is(err, ocpp.ErrCommand) {
				t.Errorf("%s, %s: %s %s, %v", name, d.Version(), action, payload, err)
			}
		}
	}
}

func periods(n int) (out []ocpp.Period) {
	for i := range n {
		out = append(out, ocpp.Period{StartS: i, Limit: 60})
	}
	return out
}

func TestClearAndComposite_K10_K08(t *testing.T) {
	for _, x := range []struct {
		cmd ocpp.Command
		want
	}{
		{ocpp.ClearProfile{ID: number(9), EVSE: number(1)}, want{`ClearChargingProfile {"id":9}`, `ClearChargingProfile {"chargingProfileId":9}`}},
		{ocpp.ClearProfile{EVSE: number(0), Purpose: ocpp.StationMax, StackLevel: number(2)}, want{
			`ClearChargingProfile {"connectorId":0,"chargingProfilePurpose":"ChargePointMaxProfile","stackLevel":2}`,
			`ClearChargingProfile {"chargingProfileCriteria":{"evseId":0,"chargingProfilePurpose":"ChargingStationMaxProfile","stackLevel":2}}`}},
		{ocpp.ClearProfile{}, want{`ClearChargingProfile {}`, `!`}}, // K10.FR.02
		{ocpp.ClearProfile{ID: number(-1)}, want{`!`, `!`}},
		{ocpp.ClearProfile{Purpose: "Any"}, want{`!`, `!`}},
		{ocpp.GetComposite{EVSE: 1, DurationS: 3600, Unit: ocpp.InWatts}, want{`GetCompositeSchedule {"connectorId":1,"duration":3600,"chargingRateUnit":"W"}`,
			`GetCompositeSchedule {"duration":3600,"chargingRateUnit":"W","evseId":1}`}},
		{ocpp.GetComposite{EVSE: 1}, want{`!`, `!`}},
		{ocpp.GetComposite{EVSE: 1, DurationS: 1, Unit: "kW"}, want{`!`, `!`}},
	} {
		checkCommand(t, x.cmd, x.want)
	}
}

// Whatever fits the bounds fits the schemas as well, to the tenth.
func TestProfilesFitTheSchemas(t *testing.T) {
	c := newChecker()
	rapid.Check(t, func(r *rapid.T) {
		most := map[ocpp.RateUnit]int64{ocpp.InAmperes: ocpp.MaxLevelA, ocpp.InWatts: ocpp.MaxLevelW}
		unit := rapid.SampledFrom([]ocpp.RateUnit{ocpp.InAmperes, ocpp.InWatts}).Draw(r, "unit")
		limit := rapid.Int64Range(0, most[unit]).Draw(r, "limit")
		cmd := ocpp.SetProfile{EVSE: 1, Profile: ocpp.Profile{ID: 1, Purpose: ocpp.TxDefault, Unit: unit, Periods: []ocpp.Period{{Limit: limit}}}}
		wrote := fmt.Sprintf(`"limit":%d.%d`, limit/10, limit%10)
		for _, d := range dialects() {
			action, payload, err := d.Command(cmd)
			if err != nil {
				r.Fatal(err)
			}
			c.check(t, d.Version(), action, false, payload)
			if !strings.Contains(string(payload), strings.TrimSuffix(wrote, ".0")) {
				r.Fatalf("%d tenths became %s", limit, payload)
			}
		}
	})
}

func TestDeviceOutcomes(t *testing.T) {
	raw := func(s string) []byte { return []byte(s) }
	yes, no := true, false
	for _, c := range []struct {
		d       ocpp.Dialect
		cmd     ocpp.Command
		payload string
		want    ocpp.Outcome
	}{
		{v16.Dialect{}, ocpp.Unlock{}, `{"status":"Unlocked"}`, ocpp.Outcome{Accepted: true, Status: "Unlocked"}},
		{v16.Dialect{}, ocpp.SetAvailability{}, `{"status":"Scheduled"}`, ocpp.Outcome{Accepted: true, Status: "Scheduled"}},
		{v16.Dialect{}, ocpp.GetListVersion{}, `{"listVersion":-1}`, ocpp.Outcome{Status: "NotSupported", Number: -1}},
		{v16.Dialect{}, ocpp.GetListVersion{}, `{"listVersion":0}`, ocpp.Outcome{Accepted: true, Status: "0"}},
		{v16.Dialect{}, ocpp.SendList{}, `{"status":"VersionMismatch"}`, ocpp.Outcome{Status: "VersionMismatch"}},
		{v16.Dialect{}, ocpp.GetLog{}, `{}`, ocpp.Outcome{Status: "NoFile", Body: raw(`{}`)}},
		{v16.Dialect{}, ocpp.GetLog{}, `{"fileName":"a.zip"}`, ocpp.Outcome{Accepted: true, Status: "Accepted", Body: raw(`{"fileName":"a.zip"}`)}},
		{v16.Dialect{}, ocpp.UpdateFirmware{}, `{}`, ocpp.Outcome{Accepted: true, Status: "Accepted"}},
		{v16.Dialect{}, ocpp.UpdateFirmware{Signature: "x"}, `{"status":"InvalidCertificate"}`, ocpp.Outcome{Status: "InvalidCertificate"}},
		{v16.Dialect{}, ocpp.ClearProfile{}, `{"status":"Unknown"}`, ocpp.Outcome{Status: "Unknown"}},
		{v16.Dialect{}, ocpp.Invoke{}, `{"status":"NotFound"}`, ocpp.Outcome{Status: "NotFound", Body: raw(`{"status":"NotFound"}`)}},
		{v2.Dialect{}, ocpp.Invoke{}, `{"requestId":1}`, ocpp.Outcome{Accepted: true, Status: "Answered", Body: raw(`{"requestId":1}`)}},
		{v2.Dialect{}, ocpp.Reset{}, `{"status":"Scheduled"}`, ocpp.Outcome{Accepted: true, Status: "Scheduled"}},
		{v2.Dialect{}, ocpp.GetListVersion{}, `{"versionNumber":7}`, ocpp.Outcome{Accepted: true, Status: "7", Number: 7}},
		{v2.Dialect{}, ocpp.GetLog{}, `{"status":"AcceptedCanceled","filename":"x"}`, ocpp.Outcome{Accepted: true, Status: "AcceptedCanceled", Body: raw(`{"status":"AcceptedCanceled","filename":"x"}`)}},
		{v2.Dialect{}, ocpp.GetComposite{}, `{"status":"Rejected"}`, ocpp.Outcome{Status: "Rejected", Body: raw(`{"status":"Rejected"}`)}},
		{v2.Dialect{}, ocpp.GetTransactionStatus{}, `{"messagesInQueue":true}`, ocpp.Outcome{Accepted: true, Status: "Unknown+Queued", Queued: true}},
		{v2.Dialect{}, ocpp.GetTransactionStatus{}, `{"ongoingIndicator":true,"messagesInQueue":false}`, ocpp.Outcome{Accepted: true, Status: "Ongoing", Ongoing: &yes}},
		{v2.Dialect{}, ocpp.GetTransactionStatus{}, `{"ongoingIndicator":false,"messagesInQueue":false}`, ocpp.Outcome{Accepted: true, Status: "Ended", Ongoing: &no}},
		{v2.Dialect{}, ocpp.GetConfig{}, `{"getVariableResult":[{"attributeStatus":"UnknownVariable","component":{"name":"A"},"variable":{"name":"C"}}]}`,
			ocpp.Outcome{Accepted: true, Status: "UnknownVariable", Values: map[string]string{}}},
		{v2.Dialect{}, ocpp.SetConfig{}, `{"setVariableResult":[{"attributeStatus":"Rejected","component":{"name":"A"},"variable":{"name":"C"}}]}`,
			ocpp.Outcome{Status: "Rejected", Values: map[string]string{}}},
	} {
		if got, err := c.d.Outcome(c.cmd, []byte(c.payload)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %T %s: %+v, %v; want %+v", c.d.Version(), c.cmd, c.payload, got, err, c.want)
		}
	}
	for _, cmd := range []ocpp.Command{ocpp.GetListVersion{}, ocpp.GetTransactionStatus{}, ocpp.Reset{}} {
		for _, d := range dialects() {
			if got, err := d.Outcome(cmd, []byte(`{}`)); err == nil {
				t.Errorf("%s %T: an empty answer is read as %+v", d.Version(), cmd, got)
			}
		}
	}
}

func TestDeviceEvents(t *testing.T) {
	for payload, want := range map[[2]string]ocpp.Event{
		{"NotifyReport", `{"requestId":2,"generatedAt":"2026-05-04T10:00:00Z","seqNo":1,"tbc":true,"reportData":[` +
			`{"component":{"name":"Connector","evse":{"id":1,"connectorId":2}},"variable":{"name":"Available"},"variableAttribute":[{"value":"true"},{"type":"Target","value":"false"}]},` +
			`{"component":{"name":"A","instance":"i"},"variable":{"name":"B","instance":"j"},"variableAttribute":[{"type":"Actual","value":"5"}]},` +
			`{"component":{"name":"A"},"variable":{"name":"Hidden"},"variableAttribute":[{"mutability":"WriteOnly"}]}]}`}: ocpp.Report{
			Request: 2, SeqNo: 1, More: true, Values: map[string]string{"Connector@1/2.Available": "true", "A[i].B[j]": "5"}},
		{"ReservationStatusUpdate", `{"reservationId":4,"reservationUpdateStatus":"Removed"}`}: ocpp.Reservation{ID: 4, Status: "Removed"},
		{"NotifyChargingLimit", `{"evseId":2,"chargingLimit":{"chargingLimitSource":"EMS"}}`}:  ocpp.LimitNotice{EVSE: 2, Source: "EMS"},
		{"ClearedChargingLimit", `{"chargingLimitSource":"SO"}`}:                               ocpp.LimitNotice{Source: "SO", Cleared: true},
		{"FirmwareStatusNotification", `{"status":"Installed","requestId":6}`}:                 ocpp.Progress{What: "firmware", Status: "Installed", Request: number(6)},
	} {
		ev, err := v2.Dialect{}.Event(payload[0], []byte(payload[1]))
		if err != nil || !reflect.DeepEqual(ev, want) {
			t.Errorf("%s: %+v, %v; want %+v", payload, ev, err, want)
		}
	}
}

// past is one more than OCPP's integers hold; where int has 32 bits it is
// negative, and refused there as well.
func past() int {
	n := math.MaxInt32
	n++
	return n
}
