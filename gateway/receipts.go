package gateway

import (
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/receipt"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/session"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/tariff"
)

// receipt asks the device key for the receipt of a session that has just ended.
// Nobody waits for it: signing may take a TPM tens of milliseconds. It reports
// whether there will be an answer.
func (g *Gateway) receipt(ses *Session) bool {
	if ses.Opened == nil || ses.ClosedByUs() {
		return false // a person or a late stop comes first
	}
	payload, err := receipt.Encode(g.receiptFor(ses))
	if err != nil {
		g.raise(record.Record{Session: ses.ID, Charger: ses.Charger}, "EVID_RECEIPT", "no receipt can be made: "+err.Error())
		return false
	}
	g.lastID++
	g.signs[g.lastID] = ses.ID
	g.ready.Signs = append(g.ready.Signs, SignRequest{ID: g.lastID, Typ: statement.TypReceipt, Payload: payload})
	return true
}

func (g *Gateway) receiptFor(ses *Session) receipt.Receipt {
	bill := ses.Bill()
	r := receipt.Receipt{
		Session: ses.ID, Gateway: g.cfg.Gateway, Site: g.cfg.Site, Charger: ses.Charger, EVSE: ses.EVSE(),
		Epoch: g.epoch[holdfast.Evidence], Seq: g.lastEnd, Provisional: true,
		Issued:       receipt.Moment{At: g.clock(), Quality: g.now.Quality},
		Started:      receipt.Moment{At: bill.Started, Quality: bill.Quality},
		Stopped:      receipt.Moment{At: bill.Stopped, Quality: bill.Quality},
		Energy:       bill.Energy,
		StartedClaim: claim(bill.StartedClaim, bill.Started), StoppedClaim: claim(bill.StoppedClaim, bill.Stopped),
	}
	if first, ok := ses.Meter.First(); ok {
		r.Start = &first
	}
	if last, ok := ses.Meter.Last(); ok {
		r.Stop = &last
	}
	t := g.tariffOf(ses)
	if t == nil || bill.Blocked() || bill.Failed || t.ByTime() && bill.SpanQuality == holdfast.Unknown {
		return r // what a person has to decide has no price yet, and what failed has none
	}
	priced, err := t.Price(usage(bill))
	if err != nil {
		return r
	}
	ref := ses.Opened.Tariff
	r.Tariff = &receipt.Tariff{ID: ref.ID, Version: ref.Version, Hash: ref.Hash}
	r.Currency, r.Net, r.VAT, r.Gross = priced.Currency, priced.Net, priced.VAT, priced.Gross
	for _, l := range priced.Lines {
		r.Lines = append(r.Lines, receipt.Line{
			Kind: string(l.Kind), Quantity: l.Quantity, UnitPrice: l.UnitPrice, VATppm: l.VATppm, Net: l.Net, VAT: l.VAT, Gross: l.Gross,
		})
	}
	return r
}

// claim is what the charger says where the receipt says something else.
func claim(claimed, used holdfast.UnixMilli) holdfast.UnixMilli {
	if claimed == used {
		return 0
	}
	return claimed
}

func usage(b session.Bill) tariff.Usage {
	return tariff.Usage{Energy: b.Energy, ChargingS: b.Seconds - b.IdleS, ParkingS: b.IdleS}
}

// askReceipts asks again, after a start, for receipts that were not signed
// before the last boot ended.
func (g *Gateway) askReceipts() {
	var due []*Session
	for _, ses := range g.state.Sessions {
		if ses.Ended != nil && !ses.Receipt {
			due = append(due, ses)
		}
	}
	slices.SortFunc(due, cmpSessions)
	for _, ses := range due {
		g.receipt(ses)
	}
}

// signed keeps a receipt. A key that cannot sign is a person's matter; the
// session is as good without.
func (g *Gateway) signed(in Signed) {
	id, ok := g.signs[in.ID]
	if !ok {
		return
	}
	delete(g.signs, in.ID)
	g.checkpoint.want = true
	ses := g.state.Sessions[id]
	if ses == nil {
		return
	}
	where := record.Record{Session: id, Charger: ses.Charger}
	if in.Err != "" {
		g.raise(where, "EVID_RECEIPT", "the device key did not sign: "+clip(in.Err))
		return
	}
	where.Body = &record.ReceiptIssued{Bytes: in.Bytes}
	g.emit(where)
}
