package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/uplink"
	"pgregory.net/rapid"
)

// A script is a list of moves; each is carried out on a bench. It is data, so
// that the same script can be played twice.
type move struct {
	kind    string
	charger int
	a, b    int
}

func moves() *rapid.Generator[[]move] {
	one := rapid.Custom(func(t *rapid.T) move {
		return move{
			kind:    rapid.SampledFrom([]string{"connect", "cut", "authorize", "start", "start", "stop", "stop", "meter", "meter", "status", "pass", "crash", "up", "down", "ack", "garbage", "again"}).Draw(t, "kind"),
			charger: rapid.IntRange(1, 3).Draw(t, "charger"),
			a:       rapid.IntRange(0, 5).Draw(t, "a"),
			b:       rapid.IntRange(-3, 2000).Draw(t, "b"),
		}
	})
	return rapid.SliceOfN(one, 1, 60)
}

// play carries out a script and checks what must hold after every move; fold ==
// state is checked by the bench itself.
func play(t testing.TB, script []move) *bench {
	b := newBench(t)
	b.installed(1, "CARD0", "CARD1:ALWAYS", "CARD2:revoked", "CARD3:NEVER", "CARD4:ALLOWED_OFFLINE")
	b.tariff()
	conns := map[int]gateway.ConnID{}
	var lastFrame []byte
	for i, m := range script {
		id := fmt.Sprintf("m%d", i)
		send := func(action, payload string) {
			if c := conns[m.charger]; c != 0 {
				lastFrame = []byte(fmt.Sprintf(`[2,%q,%q,%s]`, id, action, payload))
				b.step(gateway.Frame{Conn: c, Raw: lastFrame})
			}
		}
		card := fmt.Sprintf("CARD%d", m.a)
		switch m.kind {
		case "connect":
			conns[m.charger] = b.connect(holdfast.ChargerID(fmt.Sprintf("CP%d", m.charger)), "ocpp1.6")
		case "cut":
			b.step(gateway.Disconnected{Conn: conns[m.charger]})
			delete(conns, m.charger)
		case "authorize":
			send("Authorize", fmt.Sprintf(`{"idTag":%q}`, card))
		case "start":
			send("StartTransaction", fmt.Sprintf(`{"connectorId":%d,"idTag":%q,"meterStart":%d,"timestamp":%q}`, 1+m.a%2, card, max(0, m.b), b.now.Wall))
		case "stop":
			tx := b.txID()
			if m.a == 5 {
				tx = m.b
			}
			send("StopTransaction", fmt.Sprintf(`{"transactionId":%d,"meterStop":%d,"timestamp":%q}`, tx, max(0, m.b), b.now.Wall))
		case "meter":
			send("MeterValues", fmt.Sprintf(`{"connectorId":%d,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"%d"}]}]}`, 1+m.a%2, b.now.Wall, m.b))
		case "status":
			send("StatusNotification", fmt.Sprintf(`{"connectorId":%d,"errorCode":"NoError","status":%q}`, 1+m.a%2, []string{"Available", "Charging", "SuspendedEV", "Finishing", "Faulted", "Preparing"}[m.a]))
		case "pass":
			b.pass(int64(max(1, m.b)) * 1000)
			b.step(gateway.Tick{})
		case "crash":
			b.crash()
			clear(conns)
		case "up":
			b.step(gateway.LinkUp{Welcome: uplink.Welcome{Cursors: []uplink.Cursor{{Journal: holdfast.Evidence, Epoch: evidenceEpoch}}}})
		case "down":
			b.step(gateway.LinkDown{Cause: holdfast.CauseCloudUnreachable})
		case "ack":
			n := uint64(b.next[holdfast.Evidence])
			b.step(gateway.UploadDone{Journal: holdfast.Evidence, Epoch: evidenceEpoch, Ack: uplink.Ack{Received: n, Reconciled: n}})
		case "garbage":
			send("StartTransaction", `{"connectorId":"one"}`)
		case "again":
			if c := conns[m.charger]; c != 0 && lastFrame != nil {
				b.step(gateway.Frame{Conn: c, Raw: lastFrame})
			}
		}
		invariants(t, b)
	}
	return b
}

func invariants(t testing.TB, b *bench) {
	t.Helper()
	s := b.g.State()
	type place struct {
		charger holdfast.ChargerID
		evse    int
	}
	at := map[place]int{}
	tx := map[string]int{}
	for _, ses := range s.Sessions {
		if ses.Meter.Energy() < 0 {
			t.Fatalf("session %s has %v", ses.ID.Short(), ses.Meter.Energy())
		}
		if id := ses.Labels[gateway.LabelOCPP16]; id != "" {
			if tx[id]++; tx[id] > 1 {
				t.Fatalf("transaction id %s was given twice", id)
			}
		}
		if ses.Running() {
			p := place{ses.Charger, ses.EVSE()}
			if at[p]++; at[p] > 1 {
				t.Fatalf("two sessions run on %v", p)
			}
		}
	}
	if e := s.Access.Exposure(); e < 0 {
		t.Fatalf("exposure %d", e)
	}
}

// TestAnyScriptKeepsTheInvariants plays random lives of a site.
func TestAnyScriptKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		play(t, moves().Draw(rt, "script"))
	})
}

// TestSameScriptSameBytes: the core has no chance of its own. The same inputs
// give the same records, to the byte, and the same frames.
func TestSameScriptSameBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		script := moves().Draw(rt, "script")
		a, b := play(t, script), play(t, script)
		if !bytes.Equal(bytes.Join(a.records, []byte("\n")), bytes.Join(b.records, []byte("\n"))) {
			rt.Fatal("two runs of one script wrote different records")
		}
		fa, _ := json.Marshal(a.sent)
		fb, _ := json.Marshal(b.sent)
		if !bytes.Equal(fa, fb) {
			rt.Fatal("two runs of one script sent different frames")
		}
	})
}

// FuzzFrameFromACharger: whatever a charger sends, the core does not panic,
// answers at most once, and a frame that is answered with a CALLERROR has
// changed nothing.
func FuzzFrameFromACharger(f *testing.F) {
	for _, seed := range []string{
		`[2,"1","BootNotification",{"chargePointVendor":"A","chargePointModel":"B"}]`,
		`[2,"1","StartTransaction",{"connectorId":1,"idTag":"CARD1","meterStart":0,"timestamp":"1970-01-01T00:00:00Z"}]`,
		`[2,"1","StopTransaction",{"transactionId":-1,"meterStop":99999999999,"timestamp":"2106-01-01T00:00:00Z"}]`,
		`[2,"1","MeterValues",{"connectorId":0,"meterValue":[{"timestamp":"x","sampledValue":[{"value":"1e99"}]}]}]`,
		`[2,"1","Authorize",{"idTag":"a","idTag":"b"}]`,
		`[3,"1",{}]`, `[4,"1","x","",{}]`, `[2,"1","Nonsense",{}]`, `[]`, `{}`, `[[[[[[[[`, "\x00",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, v2 bool) {
		b := newBench(t)
		b.installed(1, "CARD1")
		version := "ocpp1.6"
		if v2 {
			version = "ocpp2.0.1"
		}
		c := b.connect("CP1", version)
		before, records, sent := stateOf(b), len(b.records), len(b.sent[c])
		b.step(gateway.Frame{Conn: c, Raw: raw})
		answers, refused := 0, false
		for _, fr := range b.sent[c][sent:] {
			if fr.Type != ocpp.Call {
				answers++
				refused = fr.Type == ocpp.CallError
			}
		}
		if answers > 1 {
			t.Fatalf("%d answers", answers)
		}
		if refused && (stateOf(b) != before || len(b.records) != records) {
			t.Fatal("a refused frame changed the state")
		}
	})
}

func stateOf(b *bench) string {
	s, _, err := b.g.Snapshot()
	if err != nil {
		b.t.Fatal(err)
	}
	return string(s)
}
