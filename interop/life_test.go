package interop

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lorenzodonini/ocpp-go/ocpp1.6/core"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/remotetrigger"
	types16 "github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/availability"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/data"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/provisioning"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/remotecontrol"
	"github.com/lorenzodonini/ocpp-go/ocpp2.0.1/transactions"
	types201 "github.com/lorenzodonini/ocpp-go/ocpp2.0.1/types"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// runningSession waits for a running session of the charger in the books.
func (s *site) runningSession(charger string) (found bookSession) {
	s.t.Helper()
	eventually(s.t, "a running session of "+charger+" in the books", func() (bool, any) {
		all := list[bookSession](s.t, "/v1/sessions", url.Values{"site": {s.name}, "charger": {charger}, "running": {"true"}})
		if len(all) != 1 {
			return false, all
		}
		found = all[0]
		return true, found
	})
	return found
}

// done fails unless a directive had the outcome done.
func (s *site) done(what, id string) bookDirective {
	s.t.Helper()
	d := s.outcome(id)
	if d.Outcome != "done" {
		s.t.Errorf("%s: %s: %s", what, d.Outcome, d.Detail)
	}
	return d
}

// A whole life of an OCPP 1.6 charge point: everything that its driver and the
// operator do on a good day, and the two refusals.
func TestLifeOfAChargePoint16(t *testing.T) {
	t.Parallel()
	s := newSite(t, "life16", "CP-1", "CP-2", "CP-3")
	c := newChargePoint(t, s, "CP-1", setup{})
	if got := ordered[*remotetrigger.TriggerMessageRequest](c.peer); got.RequestedMessage != core.BootNotificationFeatureName {
		t.Errorf("a charger that the gateway does not know was asked for %s", got.RequestedMessage)
	}
	c.boot()
	c.status(core.ChargePointStatusAvailable)
	c.heartbeat()

	for card, want := range map[string]types16.AuthorizationStatus{
		cardA: types16.AuthorizationStatusAccepted, stolen: types16.AuthorizationStatusBlocked, stranger: types16.AuthorizationStatusInvalid,
	} {
		if got := c.authorize(card); got != want {
			t.Errorf("authorize %s: %s, want %s", card, got, want)
		}
	}

	at := seconds(time.Now().Add(-time.Minute))
	c.status(core.ChargePointStatusPreparing)
	tx := c.begin(cardA, 10_000, at)
	c.status(core.ChargePointStatusCharging)
	c.meter(tx, 10_400, at.Add(20*time.Second))
	c.meter(tx, 10_900, at.Add(40*time.Second))
	c.stop(tx, cardA, 11_250, at.Add(50*time.Second))
	c.status(core.ChargePointStatusAvailable)

	transfer := must(c.peer, "data transfer", func() (*core.DataTransferConfirmation, error) {
		return c.cp.DataTransfer("org.example", func(r *core.DataTransferRequest) { r.MessageId, r.Data = "hello", "world" })
	})
	if transfer.Status != core.DataTransferStatusUnknownVendorId {
		t.Errorf("data transfer of an unknown vendor: %s", transfer.Status)
	}

	s.commands16(c)
	s.absent("CP-2")
	s.refused(newChargePoint(t, s, "CP-3", setup{}))
	s.remote16(c)
	s.balanced(metered{charger: "CP-1", start: 10_000, stop: 11_250}, metered{charger: "CP-1", start: 11_250, stop: 12_000})
	s.life("CP-1", "ocpp1.6", "Model 16")
}

// commands16 are the operator's commands, from the cloud's API to the charge
// point and its answer back.
func (s *site) commands16(c *chargePoint) {
	s.t.Helper()
	base := "/v1/sites/" + s.name
	id := s.order(base+"/trigger", map[string]any{"charger": c.id, "evse": 1, "message": "StatusNotification"})
	if got := ordered[*remotetrigger.TriggerMessageRequest](c.peer); got.RequestedMessage != core.StatusNotificationFeatureName || got.ConnectorId == nil || *got.ConnectorId != 1 {
		s.t.Errorf("trigger arrived as %+v", got)
	}
	s.done("trigger", id)

	id = s.order(base+"/config", map[string]any{"charger": c.id, "keys": []string{"HeartbeatInterval", "Nonsense"}})
	ordered[*core.GetConfigurationRequest](c.peer)
	if d := s.done("get configuration", id); !strings.Contains(d.Detail, "HeartbeatInterval=300") || strings.Contains(d.Detail, "Nonsense=") {
		s.t.Errorf("configuration read as %q", d.Detail)
	}
	id = s.order(base+"/config", map[string]any{"charger": c.id, "key": "HeartbeatInterval", "value": "120"})
	ordered[*core.ChangeConfigurationRequest](c.peer)
	s.done("change configuration", id)
	if got := s.outcome(s.order(base+"/config", map[string]any{"charger": c.id, "key": "HeartbeatInterval", "value": "soon"})); got.Outcome != "refused" || !strings.Contains(got.Detail, "Rejected") {
		s.t.Errorf("a value that the charger rejects: %+v", got)
	}
	if d := s.outcome(s.order(base+"/config", map[string]any{"charger": c.id, "keys": []string{"HeartbeatInterval"}})); !strings.Contains(d.Detail, "HeartbeatInterval=120") {
		s.t.Errorf("configuration after the change: %q", d.Detail)
	}

	id = s.order(base+"/data", map[string]any{"charger": c.id, "vendor": "org.example", "message_id": "note", "data": json.RawMessage(`"text"`)})
	if got := ordered[*core.DataTransferRequest](c.peer); got.VendorId != "org.example" || got.MessageId != "note" || got.Data != "text" {
		s.t.Errorf("data arrived as %+v", got)
	}
	s.done("data transfer", id)
}

// remote16 is a session that the operator begins and ends.
func (s *site) remote16(c *chargePoint) {
	s.t.Helper()
	base := "/v1/sites/" + s.name
	if got := s.outcome(s.order(base+"/start", map[string]any{"charger": c.id, "evse": 1, "token": stolen})); got.Outcome != "refused" {
		s.t.Errorf("remote start for a revoked card: %+v", got)
	}
	id := s.order(base+"/start", map[string]any{"charger": c.id, "evse": 1, "token": cardB})
	got := ordered[*core.RemoteStartTransactionRequest](c.peer)
	if got.IdTag != cardB || got.ConnectorId == nil || *got.ConnectorId != 1 {
		s.t.Errorf("remote start arrived as %+v", got)
	}
	s.done("remote start", id)
	at := seconds(time.Now())
	tx := c.begin(got.IdTag, 11_250, at)
	b := s.runningSession(c.id)
	if b.Source != string(record.StartRemote) {
		s.t.Errorf("a remote start is booked with source %q", b.Source)
	}
	id = s.order("/v1/sessions/"+b.ID+"/stop", nil)
	if got := ordered[*core.RemoteStopTransactionRequest](c.peer); got.TransactionId != tx {
		s.t.Errorf("remote stop names transaction %d, want %d", got.TransactionId, tx)
	}
	s.done("remote stop", id)
	must(c.peer, "stop", c.ending(tx, "", 12_000, seconds(time.Now())))
}

// life checks what the gateway says about a charger that has led a whole life.
func (s *site) life(charger, version, model string) {
	s.t.Helper()
	boots, _ := bodies[*record.ChargerBooted](s, charger)
	if len(boots) != 1 || boots[0].Version != version || boots[0].Vendor != "Foreign" || boots[0].Model != model || boots[0].Serial != "SN-"+charger {
		s.t.Errorf("boots in the journal: %+v", boots)
	}
	refused := map[string]bool{}
	decisions, _ := bodies[*record.AccessDecided](s, charger)
	for _, d := range decisions {
		if !d.Accepted {
			refused[d.Rule] = true
		}
	}
	if !refused["list.revoked"] || len(refused) != 2 {
		s.t.Errorf("refusals in the journal: %v", refused)
	}
	var foreign int
	for _, r := range s.records(holdfast.Telemetry) {
		if f, ok := r.Body.(*record.FrameNoted); ok && f.Action == "DataTransfer" {
			foreign++
		}
	}
	if foreign != 1 {
		s.t.Errorf("%d data transfers are journaled, want 1", foreign)
	}
}

// A whole life of a 2.0.1 charging station.
func TestLifeOfAStation201(t *testing.T) {
	t.Parallel()
	s := newSite(t, "life201", "CS-1")
	c := newStation(t, s, "CS-1", setup{})
	if got := ordered[*remotecontrol.TriggerMessageRequest](c.peer); got.RequestedMessage != remotecontrol.MessageTriggerBootNotification {
		t.Errorf("a charger that the gateway does not know was asked for %s", got.RequestedMessage)
	}
	c.boot()
	c.status(availability.ConnectorStatusAvailable)
	c.heartbeat()

	for card, want := range map[string]types201.AuthorizationStatus{
		cardA: types201.AuthorizationStatusAccepted, stolen: types201.AuthorizationStatusBlocked, stranger: types201.AuthorizationStatusInvalid,
	} {
		if got := c.authorize(card); got != want {
			t.Errorf("authorize %s: %s, want %s", card, got, want)
		}
	}

	at := seconds(time.Now().Add(-time.Minute))
	c.status(availability.ConnectorStatusOccupied)
	c.tell(moment{kind: transactions.TransactionEventStarted, trigger: transactions.TriggerReasonAuthorized, tx: "tx-1", seq: 0, at: at, wh: 20_000, card: cardA})
	c.tell(moment{kind: transactions.TransactionEventUpdated, trigger: transactions.TriggerReasonMeterValuePeriodic, tx: "tx-1", seq: 1, at: at.Add(20 * time.Second), wh: 20_300})
	c.tell(moment{kind: transactions.TransactionEventUpdated, trigger: transactions.TriggerReasonMeterValuePeriodic, tx: "tx-1", seq: 2, at: at.Add(40 * time.Second), wh: 20_900})
	c.tell(moment{kind: transactions.TransactionEventEnded, trigger: transactions.TriggerReasonStopAuthorized, tx: "tx-1", seq: 3, at: at.Add(50 * time.Second), wh: 21_111, card: cardA})
	c.status(availability.ConnectorStatusAvailable)

	transfer := must(c.peer, "data transfer", func() (*data.DataTransferResponse, error) {
		return c.cs.DataTransfer("org.example", func(r *data.DataTransferRequest) { r.MessageID, r.Data = "hello", "world" })
	})
	if transfer.Status != data.DataTransferStatusUnknownVendorId {
		t.Errorf("data transfer of an unknown vendor: %s", transfer.Status)
	}

	s.commands201(c)
	s.remote201(c)
	s.balanced(metered{charger: "CS-1", start: 20_000, stop: 21_111}, metered{charger: "CS-1", start: 21_111, stop: 22_000})
	s.life("CS-1", "ocpp2.0.1", "Model 201")
}

func (s *site) commands201(c *station) {
	s.t.Helper()
	base := "/v1/sites/" + s.name
	id := s.order(base+"/trigger", map[string]any{"charger": c.id, "evse": 1, "message": "StatusNotification"})
	if got := ordered[*remotecontrol.TriggerMessageRequest](c.peer); got.RequestedMessage != remotecontrol.MessageTriggerStatusNotification || got.Evse == nil || got.Evse.ID != 1 {
		s.t.Errorf("trigger arrived as %+v", got)
	}
	s.done("trigger", id)

	const key = "OCPPCommCtrlr.HeartbeatInterval"
	id = s.order(base+"/config", map[string]any{"charger": c.id, "keys": []string{key, "OCPPCommCtrlr.Nonsense"}})
	if got := ordered[*provisioning.GetVariablesRequest](c.peer); len(got.GetVariableData) != 2 {
		s.t.Errorf("get variables arrived as %+v", got)
	}
	// 2.0.1 answers each variable by itself; one that is unknown is absent, and the others are read all the same.
	if d := s.outcome(id); d.Outcome != "done" || !strings.Contains(d.Detail, "UnknownVariable") || !strings.Contains(d.Detail, key+"=300") || strings.Contains(d.Detail, "Nonsense=") {
		s.t.Errorf("variables read as %+v", d)
	}
	id = s.order(base+"/config", map[string]any{"charger": c.id, "key": key, "value": "120"})
	ordered[*provisioning.SetVariablesRequest](c.peer)
	s.done("set variables", id)
	if got := s.outcome(s.order(base+"/config", map[string]any{"charger": c.id, "key": key, "value": "soon"})); got.Outcome != "refused" || !strings.Contains(got.Detail, "Rejected") {
		s.t.Errorf("a value that the station rejects: %+v", got)
	}
	if d := s.outcome(s.order(base+"/config", map[string]any{"charger": c.id, "keys": []string{key}})); !strings.Contains(d.Detail, key+"=120") {
		s.t.Errorf("variables after the change: %q", d.Detail)
	}

	id = s.order(base+"/data", map[string]any{"charger": c.id, "vendor": "org.example", "message_id": "note", "data": json.RawMessage(`{"a":1}`)})
	if got := ordered[*data.DataTransferRequest](c.peer); got.VendorID != "org.example" || got.MessageID != "note" {
		s.t.Errorf("data arrived as %+v", got)
	}
	s.done("data transfer", id)
}

func (s *site) remote201(c *station) {
	s.t.Helper()
	base := "/v1/sites/" + s.name
	id := s.order(base+"/start", map[string]any{"charger": c.id, "evse": 1, "token": cardB, "token_type": "ISO14443"})
	got := ordered[*remotecontrol.RequestStartTransactionRequest](c.peer)
	if got.IDToken.IdToken != cardB || got.IDToken.Type != types201.IdTokenTypeISO14443 || got.EvseID == nil || *got.EvseID != 1 {
		s.t.Errorf("remote start arrived as %+v", got)
	}
	s.done("remote start", id)
	c.tell(moment{kind: transactions.TransactionEventStarted, trigger: transactions.TriggerReasonRemoteStart, tx: "tx-2", at: seconds(time.Now()), wh: 21_111, card: cardB, remote: &got.RemoteStartID})
	b := s.runningSession(c.id)
	if b.Source != string(record.StartRemote) {
		s.t.Errorf("a remote start is booked with source %q", b.Source)
	}
	id = s.order("/v1/sessions/"+b.ID+"/stop", nil)
	if got := ordered[*remotecontrol.RequestStopTransactionRequest](c.peer); got.TransactionID != "tx-2" {
		s.t.Errorf("remote stop names transaction %s", got.TransactionID)
	}
	s.done("remote stop", id)
	c.tell(moment{kind: transactions.TransactionEventEnded, trigger: transactions.TriggerReasonRemoteStop, tx: "tx-2", seq: 1, at: seconds(time.Now()), wh: 22_000})
}

// refused: a charge point starts without asking first, for a card that may not
// charge. What it says is a fact and is kept; it is told to stop, and as no
// energy flowed nothing is billed and nobody is bothered.
func (s *site) refused(c *chargePoint) {
	s.t.Helper()
	c.boot()
	at := seconds(time.Now())
	got := must(c.peer, "start", c.starting(stolen, 500, at))
	if got.IdTagInfo.Status != types16.AuthorizationStatusBlocked || got.TransactionId <= 0 {
		s.t.Errorf("a start for a revoked card is answered with %+v %+v", got, got.IdTagInfo)
	}
	if order := ordered[*core.RemoteStopTransactionRequest](c.peer); order.TransactionId != got.TransactionId {
		s.t.Errorf("the order to stop names transaction %d, want %d", order.TransactionId, got.TransactionId)
	}
	must(c.peer, "stop", c.ending(got.TransactionId, "", 500, at.Add(time.Second)))
	eventually(s.t, "the refused session in the books", func() (bool, any) {
		all := list[bookSession](s.t, "/v1/sessions", url.Values{"site": {s.name}, "charger": {c.id}, "running": {"false"}})
		return len(all) == 1 && all[0].Wh == 0 && all[0].Source == string(record.StartRefused), all
	})
	for _, cdr := range list[bookCDR](s.t, "/v1/cdrs", url.Values{"site": {s.name}}) {
		if cdr.Wh == 0 {
			s.t.Errorf("a refused session is billed: %+v", cdr)
		}
	}
}

// absent: a command to a charger that is not there is refused at once, and says
// why; one to a site that does not exist is not even taken.
func (s *site) absent(id string) {
	s.t.Helper()
	d := s.outcome(s.order("/v1/sites/"+s.name+"/trigger", map[string]any{"charger": id, "message": "Heartbeat"}))
	if d.Outcome != "refused" || !strings.Contains(d.Detail, "not connected") {
		s.t.Errorf("command to an absent charger: %+v", d)
	}
	if err := here.api.call(s.t.Context(), http.MethodPost, "/v1/sites/nowhere/trigger", map[string]any{"charger": id, "message": "Heartbeat"}, nil); err == nil || !strings.Contains(err.Error(), "404") {
		s.t.Errorf("command to a site that does not exist: %v", err)
	}
}
