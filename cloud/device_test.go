package cloud_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/cloud"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A reservation's token is sealed while it waits, and whole on the wire; what
// the charger answered comes back with the outcome.
func TestReservationAndResult(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx, b := t.Context(), readyBox(w, "north")
		b.sync()
		want := uplink.ReserveBody{Charger: "CP1", EVSE: 1, ID: 7, Token: "04A1B2C3", TokenType: "ISO14443", Expires: w.now + 600_000, Group: "FLEET"}
		id, err := w.plane.Reserve(ctx, w.now, "north", want, "test")
		w.must(err)
		due, err := w.plane.Due(ctx, w.now, b.id)
		w.must(err)
		var got uplink.ReserveBody
		if len(due) != 1 || json.Unmarshal(due[0].Body, &got) != nil || got != want {
			t.Fatalf("due %+v", due)
		}
		if d, err := w.plane.Directive(ctx, id); err != nil || strings.Contains(string(d.Body), "04A1B2C3") {
			t.Errorf("shown: %s, %v", d.Body, err)
		}
		b.put(record.Record{Body: &record.DirectiveDone{ID: id, Outcome: "done", Result: json.RawMessage(`{"A.B":"5"}`)}})
		b.sync()
		if d, err := w.plane.Directive(ctx, id); err != nil || d.Outcome != "done" || string(d.Result) != `{"A.B":"5"}` {
			t.Errorf("outcome %+v, %v", d, err)
		}
	})
}

// What no gateway could carry out, and what would put a secret into a journal,
// is refused before it is queued.
func TestDeviceCommandsAreChecked(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		readyBox(w, "north")
		_, reset := w.plane.Reset(ctx, w.now, "north", uplink.ResetBody{Charger: "a/b"}, "")
		_, unlock := w.plane.Unlock(ctx, w.now, "north", uplink.UnlockBody{Charger: "CP1"}, "")
		_, availability := w.plane.Availability(ctx, w.now, "north", uplink.AvailabilityBody{Charger: "CP1", EVSE: -1}, "")
		_, past := w.plane.Reserve(ctx, w.now, "north", uplink.ReserveBody{Charger: "CP1", Token: "A", Expires: w.now}, "")
		_, nobody := w.plane.Reserve(ctx, w.now, "north", uplink.ReserveBody{Charger: "CP1", Expires: w.now + 1000}, "")
		_, address := w.plane.FetchLog(ctx, w.now, "north", uplink.LogBody{Charger: "CP1", URL: "files"}, "")
		_, password := w.plane.FetchLog(ctx, w.now, "north", uplink.LogBody{Charger: "CP1", URL: "ftp://me:secret@files.example/x"}, "")
		_, signature := w.plane.Firmware(ctx, w.now, "north", uplink.FirmwareBody{Charger: "CP1", URL: "https://x/f", Signature: "s"}, "")
		_, base := w.plane.Report(ctx, w.now, "north", uplink.ReportBody{Charger: "CP1", Base: "All"}, "")
		_, schedule := w.plane.Composite(ctx, w.now, "north", uplink.CompositeBody{Charger: "CP1"}, "")
		_, call := w.plane.Call(ctx, w.now, "north", uplink.CallBody{Charger: "CP1", Action: "Reset", Payload: json.RawMessage(`[]`)}, "")
		_, secret := w.plane.Config(ctx, w.now, "north", uplink.ConfigBody{Charger: "CP1", Key: "AuthorizationKey", Value: "x"}, "")
		for i, err := range []error{reset, unlock, availability, past, nobody, address, password, signature, base, schedule, call, secret} {
			if !errors.Is(err, cloud.ErrInvalid) {
				t.Errorf("%d: %v", i, err)
			} else if strings.Contains(err.Error(), "secret@") {
				t.Errorf("%d: the error tells the password: %v", i, err)
			}
		}
		if list, _, err := w.plane.Directives(ctx, "north", cloud.Page{}); err != nil || len(list) != 2 {
			t.Errorf("%d directives, want the two installs: %v", len(list), err)
		}
	})
}
