package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// The two frames that OCPP 2.1 adds have no answer, whatever is wrong with them.

// sent takes a SEND. It is judged as a CALL is; what is wrong with it is counted,
// because there is nobody to tell.
func (g *Gateway) sent(c *conn, f ocpp.Frame, raw []byte) {
	v := c.dialect.Version()
	if bad := g.cfg.Schemas.CheckSend(v, f.Action, f.Payload); bad != nil || len(raw) > MaxFrameBytes {
		g.counters.BadFrames++
		return
	}
	ev, bad := c.dialect.Event(f.Action, f.Payload)
	if bad != nil {
		g.counters.BadFrames++
		return
	}
	g.counters.Calls++
	g.note(message{conn: c, id: f.ID, action: f.Action, event: ev, raw: raw})
}

// unread takes a CALLRESULTERROR: the charger could not use an answer of ours. It
// is counted; where the answer was a decision or ended a transaction message, the
// charger may act as if it had none, and that is evidence.
func (g *Gateway) unread(c *conn, f ocpp.Frame) {
	for _, r := range c.replays {
		if r.id != f.ID {
			continue
		}
		g.counters.UnreadAnswers++
		switch r.action {
		case "Authorize", "TransactionEvent":
			g.counters.Security["answer_unread"]++
			g.once(coalesceKey{charger: c.charger, kind: "unread/" + r.action}, record.Record{Charger: c.charger,
				Body: &record.SecurityEvent{Kind: "answer_unread", Detail: clip(fmt.Sprintf("%s: %s", r.action, f.Code)), Count: 1}})
		}
		return
	}
	g.counters.StrayResults++
}

// complain tells a 2.1 charger that its answer could not be used. Older versions
// have no word for it.
func (g *Gateway) complain(c *conn, id string, why *ocpp.Error) {
	if c.dialect.Version() != ocpp.V21 {
		return
	}
	f := why.Frame(ocpp.V21, id)
	f.Type = ocpp.CallResultError
	g.send(c, f.Encode())
}
