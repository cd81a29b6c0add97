package gateway

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// command queues a command for a charger and sends it when its turn comes: OCPP
// allows one outstanding call in each direction. It reports whether there was
// room.
func (g *Gateway) command(c *conn, k call) bool {
	if len(c.calls) >= MaxCallQueue {
		return false
	}
	k.id = g.chance.messageID()
	c.calls = append(c.calls, k)
	if len(c.calls) == 1 {
		g.sendCall(c)
	}
	return true
}

func (g *Gateway) sendCall(c *conn) {
	for len(c.calls) > 0 && c.sent == 0 {
		k := c.calls[0]
		action, payload, err := c.dialect.Command(k.command)
		if err != nil {
			c.calls = c.calls[1:]
			g.answered(c, k, ocpp.Outcome{Status: "Unsupported"}, err.Error())
			continue
		}
		if bad := g.cfg.Schemas.CheckCommand(c.dialect.Version(), action, payload); bad != nil {
			c.calls = c.calls[1:]
			g.answered(c, k, ocpp.Outcome{Status: "Invalid"}, bad.Error())
			continue
		}
		if !k.quiet() {
			g.emit(record.Record{Session: k.session, Charger: c.charger, Body: &record.CommandSent{ID: k.id, Action: action, Directive: k.directive}})
		}
		c.sent = g.now.Mono + 1
		f := ocpp.Frame{Type: ocpp.Call, ID: k.id, Action: action, Payload: payload}
		g.send(c, f.Encode())
	}
}

// result matches an answer with the call under way on the same connection. An
// answer from before a reconnect, or to nothing, matches nothing (libocpp#1137).
func (g *Gateway) result(c *conn, f ocpp.Frame) {
	if c.sent == 0 || len(c.calls) == 0 || c.calls[0].id != f.ID {
		g.counters.StrayResults++
		return
	}
	k := c.calls[0]
	c.calls, c.sent = c.calls[1:], 0
	switch {
	case f.Type == ocpp.CallError:
		g.answered(c, k, ocpp.Outcome{Status: "Error:" + string(f.Code)}, clip(f.Description))
	default:
		g.resulted(c, k, f)
	}
	g.sendCall(c)
}

func (g *Gateway) resulted(c *conn, k call, f ocpp.Frame) {
	action, _, err := c.dialect.Command(k.command)
	if err != nil {
		return
	}
	if bad := g.cfg.Schemas.CheckResult(c.dialect.Version(), action, f.Payload); bad != nil && !(g.cfg.Lenient && bad.Tolerable) {
		g.counters.BadFrames++
		g.complain(c, k.id, bad)
		g.answered(c, k, ocpp.Outcome{Status: "Error:" + string(bad.Code)}, "the charger's answer breaks the schema: "+clip(bad.Error()))
		return
	}
	out, bad := c.dialect.Outcome(k.command, f.Payload)
	if bad != nil {
		g.complain(c, k.id, bad)
		g.answered(c, k, ocpp.Outcome{Status: "Error:" + string(bad.Code)}, clip(bad.Error()))
		return
	}
	g.answered(c, k, out, "")
}

func clip(s string) string {
	if len(s) > 255 {
		return s[:255]
	}
	return s
}

// quiet reports whether a command is no record of its own: questions that change
// nothing, and what charger.readiness, charger.list, power.shared and
// power.failsafe tell of.
func (k call) quiet() bool {
	_, trigger := k.command.(ocpp.Trigger)
	return k.native != 0 || k.duty != nil && k.duty.quiet || trigger && k.directive == ""
}

// answered draws the consequences of a command's outcome.
func (g *Gateway) answered(c *conn, k call, out ocpp.Outcome, detail string) {
	if k.native != 0 {
		g.nativeAnswered(c, k, out)
		return
	}
	if !k.quiet() {
		if detail == "" && len(out.Values) > 0 {
			detail = values(out.Values)
		}
		g.emit(record.Record{Session: k.session, Charger: c.charger, Body: &record.CommandAnswered{ID: k.id, Status: out.Status, Detail: detail}})
	}
	if k.directive != "" {
		g.conclude(c, k, out, detail)
	}
	if _, asked := k.command.(ocpp.GetTransactionStatus); asked {
		g.still(k.session, out)
		return
	}
	if k.duty != nil {
		k.duty.answered(g, c, k, out)
	}
}

// values prints a configuration in a fixed order.
func values(m map[string]string) (s string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s += fmt.Sprintf("%s=%s\n", k, shown(k, m[k]))
	}
	if len(s) > MaxValuesBytes {
		s = s[:MaxValuesBytes]
	}
	return s
}

// shown is the value of a charger's setting as records may have it.
func shown(key, value string) string {
	if ocpp.SecretKey(key) {
		return "(hidden)"
	}
	return value
}

// MaxValuesBytes bounds the configuration that an outcome carries.
const MaxValuesBytes = 64 << 10

// failCalls ends every command of a connection: whether the one under way was
// carried out is unknown, and none is ever sent again by itself.
func (g *Gateway) failCalls(c *conn, status string) {
	calls := c.calls
	c.calls, c.sent = nil, 0
	for _, k := range calls {
		g.answered(c, k, ocpp.Outcome{Status: status}, "")
	}
}

// timeouts fails commands that were not answered in time.
func (g *Gateway) timeouts() {
	for _, id := range slices.Sorted(maps.Keys(g.conns)) {
		c := g.conns[id]
		if c.sent == 0 || g.now.Mono-c.sent < CallTimeoutMillis {
			continue
		}
		g.unanswered(c)
	}
}

// unanswered gives up on the call under way and sends the next.
func (g *Gateway) unanswered(c *conn) {
	k := c.calls[0]
	c.calls, c.sent = c.calls[1:], 0
	g.answered(c, k, ocpp.Outcome{Status: "Timeout"}, "")
	g.sendCall(c)
}
