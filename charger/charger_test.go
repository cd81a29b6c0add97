package charger

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestLife runs one driver's visit and a remote one and compares every frame,
// both ways, with a golden file. Time is virtual and starts in 2000.
func TestLife(t *testing.T) {
	for _, v := range []Version{V16, V201} {
		t.Run(string(v), func(t *testing.T) {
			o := Options{Version: v, Seed: 1, SampleInterval: 40 * time.Second, Password: "0123456789abcdef"}
			with(t, o, func(t *testing.T, c *Charger, s *csms) {
				charge(t, c, "04A1B2C3", 61*time.Second)
				settle(t, c)
				remoteVisit(t, c, s, v)
				golden(t, filepath.Join("testdata", "life-"+string(v)+".golden"), strings.Join(s.log, "\n")+"\n")
				if user, pass, _ := basicAuth(s.headers[0].Get("Authorization")); user != "CP-7" || pass != o.Password {
					t.Errorf("authenticated as %q with %q", user, pass)
				}
				checkLife(t, c)
			})
		})
	}
}

// remoteVisit plugs in, is started and stopped from afar.
func remoteVisit(t *testing.T, c *Charger, s *csms, v Version) {
	t.Helper()
	if err := c.Plug(1); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if v == V16 {
		s.order("RemoteStartTransaction", map[string]any{"connectorId": 1, "idTag": "REMOTE1"})
	} else {
		s.order("RequestStartTransaction", map[string]any{
			"evseId": 1, "remoteStartId": 77, "idToken": map[string]any{"idToken": "REMOTE1", "type": "Central"},
		})
	}
	synctest.Wait()
	time.Sleep(10 * time.Second)
	id := c.Truth()[1].TransactionID
	if v == V16 {
		s.order("RemoteStopTransaction", map[string]any{"transactionId": json.Number(id)})
	} else {
		s.order("RequestStopTransaction", map[string]any{"transactionId": id})
	}
	synctest.Wait()
	settle(t, c)
}

func checkLife(t *testing.T, c *Charger) {
	t.Helper()
	truth := c.Truth()
	if len(truth) != 2 {
		t.Fatalf("%d sessions, want 2", len(truth))
	}
	for i, want := range []struct {
		energy, start int64
		source, why   string
	}{{610, 910_031, "authorized", "Local"}, {100, 910_641, "remote", "Remote"}} {
		s := truth[i]
		if s.EnergyWh != want.energy || s.StartWh != want.start || s.StopWh != want.start+want.energy {
			t.Errorf("session %d: %d Wh from %d to %d, want %d from %d", i, s.EnergyWh, s.StartWh, s.StopWh, want.energy, want.start)
		}
		if s.Source != want.source || s.Reason != want.why || !s.StartAcked || !s.StopAcked || s.TransactionID == "" {
			t.Errorf("session %d: %+v", i, s)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", file, got, want)
	}
}

func TestRefusedTokenDrawsNothing(t *testing.T) {
	for _, v := range []Version{V16, V201} {
		with(t, Options{Version: v}, func(t *testing.T, c *Charger, s *csms) {
			no := map[string]any{"status": "Blocked"}
			s.on("Authorize", func(map[string]any) any { return map[string]any{"idTagInfo": no, "idTokenInfo": no} })
			if err := c.Plug(1); err != nil {
				t.Fatal(err)
			}
			ok, why := c.Swipe(t.Context(), 1, "STOLEN")
			time.Sleep(time.Minute)
			synctest.Wait()
			if ok || why != "Blocked" {
				t.Errorf("accepted %v, reason %q", ok, why)
			}
			if n := len(c.Truth()); n != 0 {
				t.Errorf("%d sessions", n)
			}
			if r := c.Refusals(); len(r) != 1 || r[0].Token != "STOLEN" {
				t.Errorf("refusals %+v", r)
			}
			if got := s.got("StartTransaction", "TransactionEvent"); len(got) != 0 {
				t.Errorf("sent %v", got)
			}
		})
	}
}

// The token was good when the charger asked nobody, and is not when the start
// is told: energy stops with reason DeAuthorized.
func TestTurnedDownAfterTheStart(t *testing.T) {
	for _, v := range []Version{V16, V201} {
		with(t, Options{Version: v, OfflineUnknown: true}, func(t *testing.T, c *Charger, s *csms) {
			no := map[string]any{"status": "Invalid"}
			s.on("StartTransaction", func(map[string]any) any { return map[string]any{"transactionId": 5, "idTagInfo": no} })
			s.on("TransactionEvent", func(p map[string]any) any {
				if p["eventType"] == "Started" {
					return map[string]any{"idTokenInfo": no}
				}
				return map[string]any{}
			})
			c.Sever()
			begin(t, c, "UNKNOWN")
			time.Sleep(10 * time.Second)
			c.Mend()
			if err := c.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			settle(t, c)
			got := c.Truth()[0]
			if got.Source != "offline" || got.Rejected != "Invalid" || got.Reason != "DeAuthorized" || !got.StopAcked {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestStopTwiceAtBoot_libocpp907(t *testing.T) {
	with(t, Options{Flaws: Flaws{StopAtBoot: true, BootBurst: 4}}, func(t *testing.T, c *Charger, s *csms) {
		charge(t, c, "CARD", 10*time.Second)
		settle(t, c)
		c.PowerCycle()
		synctest.Wait()
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle(t, c)
		stops := s.got("StopTransaction")
		if len(stops) != 2 || text(t, stops[0].Payload) != text(t, stops[1].Payload) || stops[0].ID == stops[1].ID {
			t.Errorf("stops %v", stops)
		}
		if n := len(s.got("BootNotification")); n != 2*5 {
			t.Errorf("%d boots, want 1 and a burst of 4, twice", n)
		}
	})
}

func TestPowerLossEndsTheSession(t *testing.T) {
	with(t, Options{}, func(t *testing.T, c *Charger, s *csms) {
		begin(t, c, "CARD")
		time.Sleep(20 * time.Second)
		c.PowerCycle()
		time.Sleep(time.Minute)
		settle(t, c)
		got := c.Truth()[0]
		if got.Reason != "PowerLoss" || got.EnergyWh != 200 || !got.StopAcked {
			t.Errorf("%+v", got)
		}
		if stop := s.got("StopTransaction")[0].Payload; at(t, stop, "reason") != "PowerLoss" || at(t, stop, "meterStop") != "910231.000" {
			t.Errorf("stop %v", stop)
		}
	})
}

func TestPlaceholderZeroStart(t *testing.T) {
	for _, v := range []Version{V16, V201} {
		with(t, Options{Version: v, Flaws: Flaws{PlaceholderStart: true}}, func(t *testing.T, c *Charger, s *csms) {
			charge(t, c, "CARD", 10*time.Second)
			settle(t, c)
			first := s.got("StartTransaction", "TransactionEvent")[0].Payload
			said := at(t, first, "meterStart")
			if v == V201 {
				said = at(t, first, "meterValue", 0, "sampledValue", 0, "value")
			}
			if said != "0.000" {
				t.Errorf("start register %s", said)
			}
			if got := c.Truth()[0]; got.StartWh != 910_031 || got.EnergyWh != 100 {
				t.Errorf("truth %+v", got)
			}
		})
	}
}

func TestMeterResetKeepsTheTruth(t *testing.T) {
	with(t, Options{}, func(t *testing.T, c *Charger, _ *csms) {
		begin(t, c, "CARD")
		time.Sleep(30 * time.Second)
		if err := c.ResetMeter(1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		end(t, c)
		if got := c.Truth()[0]; got.StartWh != 910_031 || got.StopWh != 200 || got.EnergyWh != 500 {
			t.Errorf("%+v", got)
		}
	})
}

func TestUnsetClock(t *testing.T) {
	o := Options{OfflineUnknown: true, Flaws: Flaws{Clock1970: true}}
	with(t, o, func(t *testing.T, c *Charger, s *csms) {
		c.Sever()
		c.PowerCycle()
		charge(t, c, "CARD", 10*time.Second)
		c.Mend()
		settle(t, c)
		start := at(t, s.got("StartTransaction")[0].Payload, "timestamp")
		if !strings.HasPrefix(start, "1970-01-01T00:00:0") {
			t.Errorf("offline start says %s", start)
		}
		charge(t, c, "CARD", 10*time.Second)
		settle(t, c)
		if start = at(t, s.got("StartTransaction")[1].Payload, "timestamp"); !strings.HasPrefix(start, "2000-01-01T") {
			t.Errorf("after the boot was answered the clock says %s", start)
		}
	})
}

func TestReconnectsByItselfAndBeats(t *testing.T) {
	with(t, Options{}, func(t *testing.T, c *Charger, s *csms) {
		for range 5 {
			c.Cut()
			synctest.Wait()
			if err := c.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(s.got("BootNotification")); n != 1 {
			t.Errorf("%d boots: a lost link is no reboot", n)
		}
		time.Sleep(16 * time.Minute)
		if n := len(s.got("Heartbeat")); n != 3 {
			t.Errorf("%d heartbeats in 16 minutes at 300 s", n)
		}
	})
}

func TestThrottle(t *testing.T) {
	set := map[Version]map[string]any{
		V16: {"connectorId": 1, "csChargingProfiles": map[string]any{"chargingSchedule": map[string]any{
			"chargingRateUnit": "W", "chargingSchedulePeriod": []any{map[string]any{"startPeriod": 0, "limit": 7200}},
		}}},
		V201: {"evseId": 1, "chargingProfile": map[string]any{"chargingSchedule": []any{map[string]any{
			"chargingRateUnit": "A", "chargingSchedulePeriod": []any{map[string]any{"startPeriod": 0, "limit": 0.0}},
		}}}},
	}
	for v, want := range map[Version]int64{V16: 100 + 20, V201: 100} { // 10 s free, then 10 s at 7.2 kW or at nothing
		with(t, Options{Version: v}, func(t *testing.T, c *Charger, s *csms) {
			begin(t, c, "CARD")
			time.Sleep(10 * time.Second)
			s.order("SetChargingProfile", set[v])
			synctest.Wait()
			if got := s.last(`"order-1"`); !strings.Contains(got, "Accepted") {
				t.Errorf("answered %s", got)
			}
			time.Sleep(10 * time.Second)
			end(t, c)
			if got := c.Truth()[0].EnergyWh; got != want {
				t.Errorf("%s: %d Wh, want %d", v, got, want)
			}
		})
	}
}

func TestConfigurationAndUnknownCommands(t *testing.T) {
	for _, tc := range []struct {
		v       Version
		action  string
		payload any
		want    string
	}{
		{V16, "ChangeConfiguration", map[string]any{"key": "HeartbeatInterval", "value": "17"}, `"Accepted"`},
		{V16, "ChangeConfiguration", map[string]any{"key": "HeartbeatInterval", "value": "soon"}, `"Rejected"`},
		{V16, "ChangeConfiguration", map[string]any{"key": "NumberOfConnectors", "value": "9"}, `"Rejected"`},
		{V16, "ChangeConfiguration", map[string]any{"key": "Colour", "value": "red"}, `"NotSupported"`},
		{V16, "GetConfiguration", map[string]any{"key": []string{"NumberOfConnectors", "Colour"}},
			`{"configurationKey":[{"key":"NumberOfConnectors","readonly":true,"value":"1"}],"unknownKey":["Colour"]}`},
		{V16, "RemoteStopTransaction", map[string]any{"transactionId": 9}, `"Rejected"`},
		{V16, "TriggerMessage", map[string]any{"requestedMessage": "Heartbeat"}, `"Accepted"`},
		{V16, "TriggerMessage", map[string]any{"requestedMessage": "FirmwareStatusNotification"}, `"NotImplemented"`},
		{V16, "FlyToTheMoon", map[string]any{}, `[4,"order-1","NotImplemented"`},
		{V16, "RemoteStartTransaction", map[string]any{"idTag": 7}, `[4,"order-1","FormationViolation"`},
		{V201, "SetVariables", map[string]any{"setVariableData": []any{map[string]any{"attributeValue": "60",
			"component": map[string]any{"name": "SampledDataCtrlr"}, "variable": map[string]any{"name": "TxUpdatedInterval"}}}}, `"attributeStatus":"Accepted"`},
		{V201, "GetVariables", map[string]any{"getVariableData": []any{map[string]any{
			"component": map[string]any{"name": "TxCtrlr"}, "variable": map[string]any{"name": "StopTxOnInvalidId"}}}}, `"attributeValue":"true"`},
		{V201, "GetTransactionStatus", map[string]any{}, `"messagesInQueue":false`},
		{V201, "RequestStopTransaction", map[string]any{"transactionId": "x"}, `"Rejected"`},
		{V201, "FlyToTheMoon", map[string]any{}, `[4,"order-1","NotImplemented"`},
	} {
		with(t, Options{Version: tc.v}, func(t *testing.T, _ *Charger, s *csms) {
			s.order(tc.action, tc.payload)
			synctest.Wait()
			if got := s.last(`> [`); !strings.Contains(got, tc.want) && !strings.Contains(s.last(`> [3,"order-1"`), tc.want) {
				t.Errorf("%s %s: answered %s, want %s", tc.v, tc.action, got, tc.want)
			}
		})
	}
}

func TestResetOnOrder(t *testing.T) {
	with(t, Options{Version: V201}, func(t *testing.T, c *Charger, s *csms) {
		begin(t, c, "CARD")
		s.order("Reset", map[string]any{"type": "Immediate"})
		synctest.Wait()
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle(t, c)
		boots := s.got("BootNotification")
		if len(boots) != 2 || at(t, boots[1].Payload, "reason") != "RemoteReset" {
			t.Errorf("boots %v", boots)
		}
		if got := c.Truth()[0].Reason; got != "Reboot" {
			t.Errorf("session ended by %s", got)
		}
	})
}

func TestTruthLogTellsEveryChange(t *testing.T) {
	var log bytes.Buffer
	with(t, Options{TruthLog: &log, OfflineKnown: true}, func(t *testing.T, c *Charger, _ *csms) {
		charge(t, c, "CARD", 10*time.Second)
		settle(t, c)
		c.Sever()
		synctest.Wait()
		if err := c.Plug(1); err != nil {
			t.Fatal(err)
		}
		c.Swipe(t.Context(), 1, "OTHER")
	})
	var what []string
	for line := range strings.Lines(log.String()) {
		var l truthLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		what = append(what, l.What)
	}
	if got, want := strings.Join(what, " "), "started start_acked stopped stop_acked refused"; got != want {
		t.Errorf("log says %s, want %s", got, want)
	}
}

func TestSpeedAndKWh(t *testing.T) {
	with(t, Options{Speed: 60, KWh: true}, func(t *testing.T, c *Charger, s *csms) {
		charge(t, c, "CARD", 60*time.Second)
		settle(t, c)
		if got := c.Truth()[0].EnergyWh; got != 36_000 {
			t.Errorf("%d Wh in one meter hour at 36 kW", got)
		}
		s.order("TriggerMessage", map[string]any{"requestedMessage": "MeterValues"})
		synctest.Wait()
		v := s.got("MeterValues")[0].Payload
		if value, unit := at(t, v, "meterValue", 0, "sampledValue", 0, "value"), at(t, v, "meterValue", 0, "sampledValue", 0, "unit"); value != "946.031" || unit != "kWh" {
			t.Errorf("reported %s %s", value, unit)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{URL: "ws://x/ocpp", ID: "CP1"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Options){
		"scheme":  func(o *Options) { o.URL = "http://x" },
		"no id":   func(o *Options) { o.ID = "" },
		"colon":   func(o *Options) { o.ID = "a:b" },
		"version": func(o *Options) { o.Version = "1.5" },
		"evses":   func(o *Options) { o.EVSEs = 65 },
		"power":   func(o *Options) { o.Power = -1 },
		"speed":   func(o *Options) { o.Speed = -1 },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	var f Flaws
	for _, name := range FlawNames() {
		if err := f.Set(name); err != nil {
			t.Error(err)
		}
	}
	if err := f.Set("nonsense"); err == nil || !strings.Contains(err.Error(), "boot_burst") {
		t.Errorf("unknown flaw: %v", err)
	}
}

// Whatever the clock does between two looks at it, the register that a start or
// a stop reports is the one in the truth.
func TestReportedRegistersAreTheTruth(t *testing.T) {
	for _, v := range []Version{V16, V201} {
		tick := time.Duration(0)
		o := Options{Version: v, Power: MaxPower, Speed: 60} // more than 60 Wh a millisecond
		o.Now = func() time.Time { tick += 3 * time.Millisecond; return time.Unix(1_800_000_000, 0).Add(tick) }
		with(t, o, func(t *testing.T, c *Charger, s *csms) {
			charge(t, c, "CARD", time.Second)
			settle(t, c)
			got := c.Truth()[0]
			calls := s.got("StartTransaction", "StopTransaction", "TransactionEvent")
			first, last := calls[0].Payload, calls[len(calls)-1].Payload
			from, to := at(t, first, "meterStart"), at(t, last, "meterStop")
			if v == V201 {
				from = at(t, first, "meterValue", 0, "sampledValue", 0, "value")
				to = at(t, last, "meterValue", 0, "sampledValue", 0, "value")
			}
			if want := fmt.Sprintf("%d.000 %d.000", got.StartWh, got.StopWh); from+" "+to != want {
				t.Errorf("%s: reported %s to %s, the truth is %s", v, from, to, want)
			}
			if got.StopWh-got.StartWh != got.EnergyWh || got.EnergyWh == 0 {
				t.Errorf("%s: %d Wh from %d to %d", v, got.EnergyWh, got.StartWh, got.StopWh)
			}
		})
	}
}
