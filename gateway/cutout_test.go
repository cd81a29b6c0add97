package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/record"
)

// events are what the cut-out did, by its records.
func events(p *plant) (out []string) {
	for _, c := range bodies[*record.PowerCutOut](p.bench) {
		out = append(out, c.Event)
	}
	return out
}

// A trip orders every session to stop in the same step, before anything else
// that waits, and nothing starts until a person has released it: not after a
// restart, not while the input says stop.
func TestCutOutStopsAndLatches(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.start("CP2", 1, "CARD2")
	p.settle()
	r := p.step(gateway.CutOut{Line: "input", Active: true})
	stops := 0
	for _, s := range r.Sends {
		if strings.Contains(string(s.Raw), "RemoteStopTransaction") {
			stops++
		}
	}
	if stops != 2 {
		t.Fatalf("%d stops left with the trip, want 2", stops)
	}
	p.settle()
	if got := fmt.Sprint(events(p)); got != "[tripped stopped]" {
		t.Errorf("events %s", got)
	}
	refused := func(when string) {
		t.Helper()
		f := p.call(p.chargers["CP3"].conn, fmt.Sprintf("a%d", len(p.records)), "Authorize", `{"idTag":"CARD3"}`)
		d := bodies[*record.AccessDecided](p.bench)
		if !strings.Contains(string(f.Payload), "Blocked") || d[len(d)-1].Rule != "site.cutout" {
			t.Errorf("%s: answered %s by %s", when, f.Payload, d[len(d)-1].Rule)
		}
	}
	refused("tripped")
	p.step(gateway.CutOutRelease{By: "Ada"})
	if p.g.State().Power.CutOut.Latched != true {
		t.Fatal("released while the input said stop")
	}
	p.crash()
	for _, id := range p.ids() {
		p.join(id)
	}
	refused("after a restart, before the input was read")
	p.step(gateway.CutOut{Line: "input"})
	refused("with the input clear again")
	p.step(gateway.CutOutRelease{By: "Ada"})
	f := p.call(p.chargers["CP3"].conn, "a", "Authorize", `{"idTag":"CARD4"}`)
	if !strings.Contains(string(f.Payload), "Accepted") {
		t.Errorf("after the release: %s", f.Payload)
	}
	if e := events(p); e[len(e)-1] != "released" {
		t.Errorf("events %v", e)
	}
}

// A charger that starts on its own while the cut-out is latched is stopped.
func TestCutOutStopsWhatBeginsLater(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.step(gateway.CutOut{Line: "input", Active: true})
	p.start("CP1", 1, "CARD1")
	p.settle()
	if tx := p.chargers["CP1"].tx[1]; tx != 0 {
		t.Error("a session runs on behind a tripped cut-out")
	}
}

// Sessions that do not stop by the deadline: a record, an exception, the EVSE
// out of service, the contactor.
func TestCutOutDeadline_I24(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.settle()
	p.chargers["CP1"].mute = true
	p.step(gateway.CutOut{Line: "input", Active: true})
	p.pass(4_900)
	p.step(gateway.Tick{})
	if got := fmt.Sprint(events(p)); got != "[tripped]" {
		t.Errorf("before the deadline: %s", got)
	}
	p.pass(500)
	r := p.step(gateway.Tick{})
	if got := fmt.Sprint(events(p)); got != "[tripped not_stopped]" {
		t.Errorf("after the deadline: %s", got)
	}
	if len(r.Outputs) != 1 || !r.Outputs[0].On {
		t.Errorf("outputs %+v", r.Outputs)
	}
	x := bodies[*record.ExceptionRaised](p.bench)
	if len(x) != 1 || x[0].Code != "POWER_CUTOUT" {
		t.Errorf("exceptions %+v", x)
	}
	p.chargers["CP1"].mute = false
	p.settle()
	if n := len(p.commands(p.chargers["CP1"].conn, "ChangeAvailability")); n != 1 {
		t.Errorf("%d orders out of service", n)
	}
	p.crash()
	if r := p.step(gateway.CutOut{Line: "input", Active: true}); len(r.Outputs) == 0 || !r.Outputs[0].On {
		t.Errorf("after a restart the outputs are %+v", r.Outputs)
	}
}

// A call that the charger does not answer keeps a stop waiting a second at most.
func TestCutOutDoesNotWaitForAnswers(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.settle()
	c := p.chargers["CP1"].conn
	p.directive("d1", "charger.get", `{"charger":"CP1","keys":["A"]}`)
	before := len(p.commands(c, "RemoteStopTransaction"))
	p.step(gateway.CutOut{Line: "input", Active: true})
	p.pass(gateway.CutOutCallMillis)
	p.step(gateway.Tick{})
	if n := len(p.commands(c, "RemoteStopTransaction")) - before; n != 1 {
		t.Errorf("%d stops a second after the trip", n)
	}
}

// However long a charger is connected and says nothing, one order to stop waits
// for it and no more: when it speaks again it does not find hundreds.
func TestCutOutQueuesOneStopPerSession(t *testing.T) {
	p := newPlant(t)
	p.commission()
	p.start("CP1", 1, "CARD1")
	p.settle()
	d := p.chargers["CP1"]
	d.mute = true
	p.step(gateway.CutOut{Line: "input", Active: true})
	for range 600 {
		p.pass(1000)
		p.step(gateway.Tick{})
	}
	sent := len(p.commands(d.conn, "RemoteStopTransaction"))
	if most := 600_000/gateway.CallTimeoutMillis + 1; sent < most-2 || sent > most {
		t.Errorf("%d stops were sent in 10 minutes of silence, want about %d", sent, most)
	}
	d.mute = false
	p.settle()
	if n := len(p.commands(d.conn, "RemoteStopTransaction")) - sent; n > 1 || d.tx[1] != 0 {
		t.Errorf("%d stops had piled up; still running: %v", n, d.tx[1] != 0)
	}
}
