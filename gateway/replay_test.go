package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/record"
)

// What chargers have in their queues when the gateway comes back. Each message
// is sent as often as the charger likes, under whatever id.

func (b *bench) sessions() (all []*gateway.Session) {
	for _, ses := range b.g.State().Sessions {
		all = append(all, ses)
	}
	return all
}

// one returns the only session.
func (b *bench) one() *gateway.Session {
	b.t.Helper()
	all := b.sessions()
	if len(all) != 1 {
		b.t.Fatalf("%d sessions, want 1", len(all))
	}
	return all[0]
}

func (b *bench) raised(code string) (n int) {
	for _, x := range bodies[*record.ExceptionRaised](b) {
		if x.Code == code {
			n++
		}
	}
	return n
}

const hour = 3_600_000

// away lets the gateway be gone for two hours.
func (b *bench) away() {
	b.t.Helper()
	b.pass(2 * hour)
	b.crash()
}

func queuedStart(at holdfast.UnixMilli, token string) string {
	return fmt.Sprintf(`{"connectorId":1,"idTag":%q,"meterStart":1000,"timestamp":%q}`, token, at)
}

func queuedStop(tx int, at holdfast.UnixMilli, token string) string {
	return fmt.Sprintf(`{"transactionId":%d,"idTag":%q,"meterStop":9000,"timestamp":%q}`, tx, token, at)
}

// TestQueuedStartAndStop16: a whole session in the queue (1.6 section 3.7) is
// one session, judged after the fact, however often it is told.
func TestQueuedStartAndStop16(t *testing.T) {
	for _, twice := range []bool{false, true} {
		b := newBench(t)
		b.installed(1, "CARD1")
		b.tariff()
		began := b.now.Wall
		b.away()
		c := b.connect("CP1", "ocpp1.6")
		b.call(c, "q1", "StartTransaction", queuedStart(began, "CARD1"))
		tx := b.txID()
		if twice {
			b.call(c, "q1b", "StartTransaction", queuedStart(began, "CARD1"))
			if b.txID() != tx {
				t.Fatalf("the repeated start got transaction %d, the first %d", b.txID(), tx)
			}
		}
		b.call(c, "q2", "StopTransaction", queuedStop(tx, began+hour, "CARD1"))
		if twice {
			b.call(c, "q2b", "StopTransaction", queuedStop(tx, began+hour, "CARD1"))
			b.crash()
			c = b.connect("CP1", "ocpp1.6")
			b.call(c, "q2c", "StopTransaction", queuedStop(tx, began+hour, "CARD1"))
		}
		ses := b.one()
		if ses.Running() || ses.Meter.Energy() != 8000 || ses.Opened.Source != record.StartLocal || !ses.Opened.Offline || ses.Opened.StartedAt != began {
			t.Errorf("twice %t: %+v, %s", twice, ses.Opened, ses.Meter.Energy())
		}
		if n := len(bodies[*record.ExceptionRaised](b)); n != 0 {
			t.Errorf("twice %t: %d exceptions", twice, n)
		}
	}
}

// TestQueuedStopOnly16: the start was known before the gateway went; the stop
// waited in the charger.
func TestQueuedStopOnly16(t *testing.T) {
	b := newBench(t)
	b.installed(1, "CARD1")
	c := b.connect("CP1", "ocpp1.6")
	b.call(c, "1", "Authorize", `{"idTag":"CARD1"}`)
	b.call(c, "2", "StartTransaction", queuedStart(b.now.Wall, "CARD1"))
	tx, began := b.txID(), b.now.Wall
	b.away()
	c = b.connect("CP1", "ocpp1.6")
	for i := range 3 {
		b.call(c, fmt.Sprintf("s%d", i), "StopTransaction", queuedStop(tx, began+hour, "CARD1"))
	}
	if ses := b.one(); ses.Running() || ses.Meter.Energy() != 8000 || len(bodies[*record.SessionEnded](b)) != 1 {
		t.Errorf("%s, %d ends", ses.Meter.Energy(), len(bodies[*record.SessionEnded](b)))
	}
}

// TestQueuedStartWhoseAnswerWasLost16: the start had reached the journal and the
// gateway died before it answered; the charger repeats it under a new id.
func TestQueuedStartWhoseAnswerWasLost16_SteVe1294(t *testing.T) {
	b := newBench(t)
	b.installed(1, "CARD1")
	c := b.connect("CP1", "ocpp1.6")
	began := b.now.Wall
	b.call(c, "1", "StartTransaction", queuedStart(began, "CARD1"))
	tx := b.txID()
	b.away()
	c = b.connect("CP1", "ocpp1.6")
	b.call(c, "2", "StartTransaction", queuedStart(began, "CARD1"))
	if b.txID() != tx {
		t.Fatalf("transaction %d, was %d", b.txID(), tx)
	}
	b.call(c, "3", "StopTransaction", queuedStop(tx, began+hour, "CARD1"))
	if ses := b.one(); ses.Running() || ses.Meter.Energy() != 8000 {
		t.Errorf("%s", ses.Meter.Energy())
	}
}

// TestQueuedSessionsOfManyDrivers16: sessions that followed each other at one
// connector come one after the other; each is its own.
func TestQueuedSessionsOfManyDrivers16(t *testing.T) {
	b := newBench(t)
	b.installed(1, "CARD1", "CARD2", "CARD3")
	began := b.now.Wall
	b.away()
	c := b.connect("CP1", "ocpp1.6")
	for i := range 3 {
		at := began + holdfast.UnixMilli(i*hour/2)
		token := fmt.Sprintf("CARD%d", i+1)
		b.call(c, fmt.Sprintf("a%d", i), "StartTransaction", fmt.Sprintf(`{"connectorId":1,"idTag":%q,"meterStart":%d,"timestamp":%q}`, token, 1000+2000*i, at))
		b.call(c, fmt.Sprintf("b%d", i), "StopTransaction", fmt.Sprintf(`{"transactionId":%d,"meterStop":%d,"timestamp":%q}`, b.txID(), 3000+2000*i, at+hour/4))
	}
	all := b.sessions()
	for _, ses := range all {
		if ses.Running() || ses.Meter.Energy() != 2000 {
			t.Errorf("%s of %s", ses.Meter.Energy(), ses.Opened.ClaimedAt)
		}
	}
	if len(all) != 3 {
		t.Errorf("%d sessions, want 3", len(all))
	}
}

// TestQueuedStartOfABarredDriver: the charger let somebody in whom the site
// would not have: the session is kept, marked, and stopped while it runs; the
// charger is told in the answer.
func TestQueuedStartOfABarredDriver_C15(t *testing.T) {
	b := newBench(t)
	b.installed(1, "CARD1:revoked")
	b.call(b.connect("CP1", "ocpp1.6"), "0", "BootNotification", `{"chargePointVendor":"V","chargePointModel":"M"}`)
	began := b.now.Wall
	b.away()
	c := b.connect("CP1", "ocpp1.6")
	a := b.call(c, "1", "StartTransaction", queuedStart(began, "CARD1"))
	if !strings.Contains(string(a.Payload), `"Blocked"`) {
		t.Errorf("the charger is told %s", a.Payload)
	}
	if n := len(b.commands(c, "RemoteStopTransaction")); n != 1 {
		t.Errorf("%d orders to stop", n)
	}
	if ses := b.one(); ses.Opened.Source != record.StartRefused {
		t.Errorf("source %s", ses.Opened.Source)
	}
}

// queuedEvent is a TransactionEvent.
func queuedEvent(kind, tx string, seq int, at holdfast.UnixMilli, wh int, token string) string {
	id := ""
	if token != "" {
		id = fmt.Sprintf(`"idToken":{"idToken":%q,"type":"ISO14443"},`, token)
	}
	context := map[string]string{"Started": "Transaction.Begin", "Updated": "Sample.Periodic", "Ended": "Transaction.End"}[kind]
	return fmt.Sprintf(`{"eventType":%q,"timestamp":%q,"triggerReason":"Authorized","seqNo":%d,"offline":true,%s"evse":{"id":1,"connectorId":1},"transactionInfo":{"transactionId":%q},`+
		`"meterValue":[{"timestamp":%q,"sampledValue":[{"value":%d,"context":%q,"measurand":"Energy.Active.Import.Register","unitOfMeasure":{"unit":"Wh"}}]}]}`,
		kind, at, seq, id, tx, at, wh, context)
}

// TestQueuedTransaction2: an offline transaction of 2.0.1 by a driver on the
// charger's own list is judged after the fact and folds in once, replayed twice.
func TestQueuedTransaction2_E04_C13(t *testing.T) {
	b := newBench(t)
	b.installed(1, "CARD1")
	b.tariff()
	began := b.now.Wall
	b.away()
	c := b.connect("CP1", "ocpp2.0.1")
	for round := range 2 {
		for i, kind := range []string{"Started", "Updated", "Updated", "Ended"} {
			token := ""
			if i == 0 {
				token = "CARD1"
			}
			b.call(c, fmt.Sprintf("%d-%d", round, i), "TransactionEvent", queuedEvent(kind, "tx-1", i, began+holdfast.UnixMilli(i*hour/4), 1000*(i+1), token))
		}
	}
	ses := b.one()
	if ses.Running() || ses.Meter.Energy() != 3000 || ses.Opened.Source != record.StartLocal || !ses.Opened.Offline {
		t.Errorf("%+v, %s", ses.Opened, ses.Meter.Energy())
	}
	if n := b.raised("EVID_SEQ_GAP"); n != 0 || len(bodies[*record.SessionEnded](b)) != 1 {
		t.Errorf("%d gaps, %d ends", n, len(bodies[*record.SessionEnded](b)))
	}
}

// TestSeqGapIsNoted: a seqNo that never came is lost in the charger: it is
// reported once, and begin and end bill all the same.
func TestSeqGapIsNoted_E01FR07(t *testing.T) {
	for name, c := range map[string]struct {
		seqs []int
		gaps int
		say  string
	}{
		"whole":          {[]int{0, 1, 2, 3}, 0, ""},
		"one lost":       {[]int{0, 1, 3}, 1, "message 2 of"},
		"several lost":   {[]int{0, 4, 9}, 1, "messages 1 to 3 of"},
		"before the end": {[]int{0, 1, 7}, 1, "messages 2 to 6 of"},
		"repeated":       {[]int{0, 1, 1, 0, 2}, 0, ""},
	} {
		b := newBench(t)
		b.installed(1, "CARD1")
		began := b.now.Wall
		conn := b.connect("CP1", "ocpp2.0.1")
		for i, seq := range c.seqs {
			kind, token := "Updated", ""
			switch i {
			case 0:
				kind, token = "Started", "CARD1"
			case len(c.seqs) - 1:
				kind = "Ended"
			}
			if seq == 0 && i > 0 {
				kind, token = "Started", "CARD1"
			}
			b.call(conn, fmt.Sprintf("m%d", i), "TransactionEvent", queuedEvent(kind, "tx-1", seq, began+holdfast.UnixMilli(seq*60_000), 1000+100*seq, token))
		}
		if n := b.raised("EVID_SEQ_GAP"); n != c.gaps {
			t.Errorf("%s: %d gaps, want %d", name, n, c.gaps)
		}
		for _, x := range bodies[*record.ExceptionRaised](b) {
			if x.Code == "EVID_SEQ_GAP" && !strings.HasPrefix(x.Detail, c.say) {
				t.Errorf("%s: %s", name, x.Detail)
			}
		}
		last := c.seqs[len(c.seqs)-1]
		if ses := b.one(); ses.Running() || ses.Meter.Energy() != holdfast.WattHours(100*last) {
			t.Errorf("%s: %s", name, ses.Meter.Energy())
		}
	}
}
