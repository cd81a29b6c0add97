package charger

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ev/holdfast/ocpp"
)

// Every CALL and every answer of a charger in all its moods fits the official
// schemas: a flaw is a lie, never a malformed message.
func TestEveryFrameFitsTheSchemas(t *testing.T) {
	wire := map[Version]ocpp.Version{V16: ocpp.V16, V201: ocpp.V201}
	for _, v := range []Version{V16, V201} {
		for _, flaws := range []Flaws{{}, {PlaceholderStart: true, Clock1970: true, ForgetStart: true, StopAtBoot: true, BootBurst: 2}} {
			o := Options{Version: v, EVSEs: 2, KWh: true, OfflineUnknown: true, SampleInterval: 20 * time.Second, Flaws: flaws}
			with(t, o, func(t *testing.T, c *Charger, s *csms) {
				everything(t, c, s, v)
				checkSchemas(t, s, wire[v])
			})
		}
	}
}

// everything makes the charger say all that it can say.
func everything(t *testing.T, c *Charger, s *csms, v Version) {
	t.Helper()
	charge(t, c, "04A1B2C3", 50*time.Second)
	c.Sever()
	charge(t, c, "a-long-token-that-is-cut-to-its-field-x", 50*time.Second)
	c.Mend()
	settle(t, c)
	for _, what := range []string{"BootNotification", "Heartbeat", "StatusNotification", "MeterValues"} {
		s.order("TriggerMessage", map[string]any{"requestedMessage": what})
		synctest.Wait()
	}
	begin(t, c, "CARD")
	s.order("TriggerMessage", map[string]any{"requestedMessage": "MeterValues"})
	synctest.Wait()
	if v == V201 {
		s.order("TriggerMessage", map[string]any{"requestedMessage": "TransactionEvent"})
		synctest.Wait()
	}
	c.PowerCycle()
	time.Sleep(10 * time.Minute)
	settle(t, c)
}

func checkSchemas(t *testing.T, s *csms, v ocpp.Version) {
	t.Helper()
	schemas := ocpp.NewSchemas()
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]int{}
	for _, c := range s.calls {
		raw, err := json.Marshal(c.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if e := schemas.CheckCall(v, c.Action, raw); e != nil {
			t.Errorf("%s: %+v\n%s", c.Action, e, raw)
		}
		seen[c.Action]++
	}
	for _, action := range []string{"BootNotification", "Heartbeat", "StatusNotification", "MeterValues", "Authorize"} {
		if seen[action] == 0 {
			t.Errorf("%s was never sent", action)
		}
	}
}
