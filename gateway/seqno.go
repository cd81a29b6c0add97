package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// numbered compares the seqNo of what an OCPP 2.x charger says about a
// transaction with the last one (2.0.1 E01.FR.07: from 0, each one more). A
// charger keeps its messages in order, so a number that is left out is a message
// that was lost in it: somebody should know, once a session, and what was
// metered bills all the same. Over a restart of the gateway nothing is compared:
// which of the messages before it were samples, and so are in no evidence, is
// not known any more.
func (g *Gateway) numbered(m message, tx ocpp.Transaction, ses *Session) {
	l := g.live[ses.ID]
	if tx.SeqNo == nil || l == nil {
		return
	}
	n := int64(*tx.SeqNo) + 1
	if l.seq != 0 && n > l.seq+1 && !l.gap {
		l.gap = true
		lost := fmt.Sprintf("message %d", l.seq)
		if n-2 > l.seq {
			lost = fmt.Sprintf("messages %d to %d", l.seq, n-2)
		}
		g.raise(record.Record{Session: ses.ID, Charger: m.conn.charger}, "EVID_SEQ_GAP",
			fmt.Sprintf("%s of the transaction had not come when message %d did: the charger has lost it, and readings with it", lost, n-1))
	}
	l.seq = max(l.seq, n)
}
