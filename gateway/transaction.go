package gateway

import (
	"slices"
	"strconv"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
)

// transaction handles StartTransaction, StopTransaction and TransactionEvent.
func (g *Gateway) transaction(m message, tx ocpp.Transaction) ocpp.Answer {
	if tx.Kind == ocpp.TxEnded {
		return g.stop(m, tx)
	}
	if tx.Kind == ocpp.TxStarted {
		if ses := g.repeated(m.conn.charger, tx); ses != nil {
			return g.again(m, tx, ses)
		}
	} else if ses := g.byLabel(m.conn.charger, tx.ID); ses != nil {
		return g.update(m, tx, ses)
	}
	return g.begin(m, tx)
}

// begin opens a session, after a decision where the message names a driver.
func (g *Gateway) begin(m message, tx ocpp.Transaction) ocpp.Answer {
	g.vacate(m.conn.charger, tx.EVSE)
	if tx.Token == nil {
		return g.open(m, tx, nil, nil)
	}
	token := g.hash(*tx.Token)
	if d := g.pending(m.conn.charger, token); d != nil {
		return g.open(m, tx, d, nil)
	}
	v := g.judge(m.conn.charger, tx.EVSE, token, access.Told{})
	if v.Ask {
		g.ask(m, token, tx.EVSE)
		return nil
	}
	return g.transactionDecided(m, tx, v)
}

// vacate closes what runs on an EVSE on which the charger has begun something
// else. It comes before the decision about that: what is over must not count
// against the driver who is there now.
func (g *Gateway) vacate(id holdfast.ChargerID, evse int) {
	for _, old := range g.state.running(id) {
		if old.EVSE() == evse && evse != 0 {
			g.abandon(old, session.ReasonReplaced)
		}
	}
}

// transactionDecided goes on with a start, or with a driver's identification
// inside a running transaction, when there is a verdict.
func (g *Gateway) transactionDecided(m message, tx ocpp.Transaction, v access.Decision) ocpp.Answer {
	if tx.Kind == ocpp.TxStarted {
		if ses := g.repeated(m.conn.charger, tx); ses != nil {
			return g.again(m, tx, ses) // it came again while the cloud was thinking
		}
	}
	seq, auth := g.decided(m.conn.charger, tx.EVSE, *tx.Token, viaStart, v)
	var d *Decision
	if seq != nil {
		d = g.state.Pending[*seq]
	}
	if ses := g.byLabel(m.conn.charger, tx.ID); ses != nil && tx.ID != "" {
		g.identify(m, tx, ses, d, auth)
		return ocpp.TxAnswer{Auth: &auth, Limits: watched(ses)}
	}
	return g.open(m, tx, d, &auth)
}

// open writes the record that opens a session. It is written whatever the
// verdict: the charger says that a transaction is running, and a truth that we
// do not like is still one. A refused one is told to stop.
func (g *Gateway) open(m message, tx ocpp.Transaction, d *Decision, auth *ocpp.AuthAnswer) ocpp.Answer {
	id := m.conn.charger
	g.vacate(id, tx.EVSE) // again: one may have begun while the cloud was asked
	b := g.opening(m, tx, d)
	if auth == nil && tx.Token != nil {
		auth = &ocpp.AuthAnswer{Status: ocpp.AuthAccepted}
	}
	if auth != nil && auth.Status != ocpp.AuthAccepted {
		b.Source = record.StartRefused
	}
	sid := holdfast.SessionID(g.emit(record.Record{Charger: id, Body: b}))
	ses := g.state.Sessions[sid]
	g.adopt(ses)
	g.numbered(m, tx, ses)
	g.counters.Sessions++
	g.enforce(ses)
	at := len(g.ready.Records)
	g.readings(m, ses, tx.Readings)
	for i, a := range g.ready.Records[at:] {
		// The record that opens the session has the whole message.
		g.ready.Records[at+i].Lazy = a.Journal == holdfast.Telemetry
	}
	n, _ := strconv.ParseInt(b.Labels[LabelOCPP16], 10, 32)
	return ocpp.TxAnswer{ID: int32(n), Auth: auth, Limits: watched(ses)}
}

// watched returns the limits that a charger which can is told to watch as well.
func watched(ses *Session) holdfast.Limits {
	if ses == nil || ses.Opened == nil || !ses.Running() || ses.Opened.Source == record.StartRefused {
		return holdfast.Limits{}
	}
	return ses.Opened.Limits
}

// opening fills the body of a session's first record.
func (g *Gateway) opening(m message, tx ocpp.Transaction, d *Decision) *record.SessionOpened {
	id := m.conn.charger
	state, _, _ := g.line.State()
	start, trust := g.startRegister(id, tx)
	b := &record.SessionOpened{
		Nonce: g.state.Nonce, Source: record.StartLocal, EVSE: tx.EVSE, Connector: tx.Connector,
		StartedAt: tx.At, ClaimedAt: tx.AtRaw, Time: m.time, Start: start, StartTrust: trust, Offline: g.late(m, tx), Link: state,
		Labels: map[string]string{}, PowerBudget: g.cfg.power(id), Raw: g.sealed(m),
	}
	if tx.Token != nil {
		b.Token, b.Sealed = g.hash(*tx.Token), g.seal(tx.Token.Value)
	}
	if d != nil {
		seq := d.Seq
		b.Decision, b.Limits, b.Reserved = &seq, d.Body.Limits, d.Body.Reserved
		b.Source = record.StartAuthorized
		if d.Body.Via == viaRemote || tx.RemoteID != nil {
			b.Source = record.StartRemote
		}
		if b.Offline && d.Body.Via == viaStart {
			b.Source = record.StartLocal // judged after the fact: the energy was flowing
		}
	}
	if t := g.state.Tariff; t != nil {
		ref := t.Ref
		b.Tariff = &ref
	}
	if tx.ID == "" {
		b.Labels[LabelOCPP16] = strconv.Itoa(int(g.freeTx()))
	} else {
		b.Labels[LabelOCPP2] = tx.ID
	}
	if tx.RemoteID != nil {
		b.Labels[LabelRemote] = strconv.Itoa(*tx.RemoteID)
	}
	if tx.Reserved != nil {
		b.Labels[LabelReservation] = strconv.Itoa(*tx.Reserved)
	}
	return b
}

// late reports whether the charger began or ended the transaction without us.
// Where its clock is not known the claim is held against ours, if that is one
// that not anybody can set.
func (g *Gateway) late(m message, tx ocpp.Transaction) bool {
	if m.time.Known() {
		return tx.Offline || g.now.Mono-m.time.At.Mono > RecentStartMillis
	}
	if m.time != nil {
		return true // its clock was set since, so it was made some time ago
	}
	return tx.Offline || g.now.Quality.Trusted() && tx.At.Plausible() && int64(g.now.Wall-tx.At) > RecentStartMillis
}

// freeTx takes the next 1.6 transaction id of the lease: a positive int32 that
// no remembered session has.
func (g *Gateway) freeTx() int32 {
	n := max(g.state.NextTx, 1)
	for len(g.state.byTx(strconv.Itoa(int(n)))) > 0 {
		n++
		if n <= 0 {
			n = 1
		}
	}
	return n
}

// startRegister finds the register at the start and whether to believe it. A
// zero on a meter that is known to have counted before is a placeholder; a zero
// on a meter that nobody knows is believed until its next reading proves it
// impossible (see [Gateway.readings]).
func (g *Gateway) startRegister(id holdfast.ChargerID, tx ocpp.Transaction) (*holdfast.WattHours, record.RegisterTrust) {
	if tx.Kind != ocpp.TxStarted {
		return nil, record.Absent // an update of a transaction whose start we never saw
	}
	for _, r := range tx.Readings {
		if r.Register == nil || r.Context != holdfast.ContextBegin && r.Context != "" && len(tx.Readings) > 1 {
			continue
		}
		wh := *r.Register
		if c := g.state.Chargers[id]; wh == 0 && c != nil && c.Registers[strconv.Itoa(tx.EVSE)] > 0 {
			return &wh, record.Placeholder
		}
		return &wh, record.Trusted
	}
	return nil, record.Absent
}

// repeated finds the session that a start has opened before. A charger that
// lost our answer sends the start again, under a new message id (its 60 s retry)
// or the same; what makes it the same start is its content. It is a repeat only
// while the session runs: after a stop, the same content is another session.
func (g *Gateway) repeated(id holdfast.ChargerID, tx ocpp.Transaction) *Session {
	if tx.ID != "" {
		return g.byLabel(id, tx.ID)
	}
	start, _ := g.startRegister(id, tx)
	for _, ses := range g.state.running(id) {
		o := ses.Opened
		if o.EVSE == tx.EVSE && o.ClaimedAt == tx.AtRaw && equal(o.Start, start) && tx.Token != nil && o.Token == g.hash(*tx.Token) {
			return ses
		}
	}
	return nil
}

func equal(a, b *holdfast.WattHours) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// again answers a repeated start with what it was told before.
func (g *Gateway) again(m message, tx ocpp.Transaction, ses *Session) ocpp.Answer {
	g.counters.Repeats++
	if ses.Opened == nil {
		g.raise(record.Record{Session: ses.ID, Charger: m.conn.charger}, "PAIR_LATE_START",
			"the start of a session arrived after its stop: "+g.sealed(m))
	} else if !tx.At.Plausible() && ses.Opened.Start != nil && *ses.Opened.Start == 0 {
		g.raise(record.Record{Session: ses.ID, Charger: m.conn.charger}, "PAIR_DUPLICATE",
			"a start was repeated with an unset clock and a zero register: it may have been another session")
	}
	auth := &ocpp.AuthAnswer{Status: ocpp.AuthAccepted}
	if ses.Opened != nil && ses.Opened.Source == record.StartRefused {
		auth.Status = ocpp.AuthInvalid
	}
	n, _ := strconv.ParseInt(ses.Labels[LabelOCPP16], 10, 32)
	if tx.Token == nil {
		auth = nil
	}
	return ocpp.TxAnswer{ID: int32(n), Auth: auth, Limits: watched(ses)}
}

// byLabel finds a charger's session by the transaction id that it goes by.
// Only the charger's own sessions are looked at: an id is no key to others'.
func (g *Gateway) byLabel(id holdfast.ChargerID, tx string) *Session {
	if tx == "" {
		return nil
	}
	for _, ses := range slices.Backward(g.state.of(id)) {
		if ses.Labels[LabelOCPP16] == tx || ses.Labels[LabelOCPP2] == tx {
			return ses
		}
	}
	return nil
}

// update handles a TransactionEvent of kind Updated.
func (g *Gateway) update(m message, tx ocpp.Transaction, ses *Session) ocpp.Answer {
	g.numbered(m, tx, ses)
	if ses.Running() {
		g.charging(ses, tx.State, tx.At, m.time)
		g.readings(m, ses, tx.Readings)
	}
	if tx.Token == nil {
		return ocpp.TxAnswer{}
	}
	if !ses.Running() || !ses.Token().IsZero() {
		return ocpp.TxAnswer{Auth: &ocpp.AuthAnswer{Status: ocpp.AuthAccepted}} // to stop, not to begin
	}
	token := g.hash(*tx.Token)
	if d := g.pending(m.conn.charger, token); d != nil {
		auth := ocpp.AuthAnswer{Status: ocpp.AuthAccepted, Group: d.Body.Group}
		g.identify(m, tx, ses, d, auth)
		return ocpp.TxAnswer{Auth: &auth, Limits: watched(ses)}
	}
	v := g.judge(m.conn.charger, ses.EVSE(), token, access.Told{})
	if v.Ask {
		g.ask(m, token, ses.EVSE())
		return nil
	}
	return g.transactionDecided(m, tx, v)
}

// identify names the driver of a session that was opened without one.
func (g *Gateway) identify(m message, tx ocpp.Transaction, ses *Session, d *Decision, auth ocpp.AuthAnswer) {
	if !ses.Running() || !ses.Token().IsZero() {
		return
	}
	b := &record.SessionAuthorized{Source: record.StartRefused, Token: g.hash(*tx.Token), Sealed: g.seal(tx.Token.Value)}
	if d != nil {
		seq := d.Seq
		b.Decision, b.Limits, b.Reserved, b.Source = &seq, d.Body.Limits, d.Body.Reserved, record.StartAuthorized
	}
	if t := g.state.Tariff; t != nil {
		ref := t.Ref
		b.Tariff = &ref
	}
	g.emit(record.Record{Session: ses.ID, Charger: m.conn.charger, Body: b})
	if auth.Status != ocpp.AuthAccepted {
		g.order(ses)
	}
}
