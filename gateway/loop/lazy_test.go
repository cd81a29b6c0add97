package loop_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
)

// TestStartTakesOneSync: the sample of a start is in the evidence that opens the
// session, so its telemetry waits for a tick; the sample of a meter message is
// nowhere else, and is synced before its answer.
func TestStartTakesOneSync(t *testing.T) {
	s := newSite(t)
	if err := errors.Join(s.open(), s.connect(), s.install(), s.turn(gateway.Tick{})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.call("Authorize", `{"idTag":"CARD"}`); err != nil {
		t.Fatal(err)
	}
	evidence, telemetry, before := s.ev.Syncs(), s.tel.Syncs(), s.l.Log(holdfast.Telemetry).Next()
	if _, err := s.call("StartTransaction", fmt.Sprintf(`{"connectorId":1,"idTag":"CARD","meterStart":100,"timestamp":%q}`, epoch)); err != nil {
		t.Fatal(err)
	}
	if e, n := s.ev.Syncs()-evidence, s.tel.Syncs()-telemetry; e != 1 || n != 0 {
		t.Errorf("a start took %d syncs of evidence and %d of telemetry, want 1 and 0", e, n)
	}
	size, _ := s.l.Log(holdfast.Telemetry).Head()
	if next := s.l.Log(holdfast.Telemetry).Next(); next != before+1 || size != uint64(before) {
		t.Errorf("telemetry: %d synced of %d, want one record waiting at %d", size, next, before)
	}
	if err := s.turn(gateway.Tick{}); err != nil {
		t.Fatal(err)
	}
	if size, _ := s.l.Log(holdfast.Telemetry).Head(); size != uint64(before)+1 {
		t.Errorf("after a tick %d records are synced, want %d", size, before+1)
	}
	telemetry = s.tel.Syncs()
	_, err := s.call("MeterValues", fmt.Sprintf(`{"connectorId":1,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"101","unit":"Wh"}]}]}`, epoch))
	if n := s.tel.Syncs() - telemetry; err != nil || n != 1 {
		t.Errorf("a meter message took %d syncs of telemetry, want 1 (%v)", n, err)
	}
}
