package cloud

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// A Stage is how far a session has come on the delivery ladder. "journaled" is
// known to the gateway alone and "delivered" to partners.
type Stage string

// The stages that the cloud knows.
const (
	StageReceived   Stage = "received"   // some of its evidence is not covered by a verified checkpoint
	StageReconciled Stage = "reconciled" // all of it is, and there is no CDR (yet)
	StageRated      Stage = "rated"      // priced and posted
)

// A Session is a charging session as the records so far tell it.
type Session struct {
	ID           holdfast.SessionID  `json:"id"`
	Site         holdfast.SiteID     `json:"site"`
	Gateway      holdfast.GatewayID  `json:"gateway"`
	Charger      holdfast.ChargerID  `json:"charger"`
	EVSE         int                 `json:"evse"`
	Running      bool                `json:"running"`
	Failed       bool                `json:"failed"` // ended at once and without energy: there is no CDR
	Stage        Stage               `json:"stage"`
	Offline      bool                `json:"offline"` // began while the site's link was down, or the charger was offline
	Started      holdfast.UnixMilli  `json:"started"`
	Stopped      holdfast.UnixMilli  `json:"stopped,omitempty"`
	Quality      holdfast.Quality    `json:"quality"`                 // of Started and Stopped
	StartedClaim holdfast.UnixMilli  `json:"started_claim,omitempty"` // what the charger's clock said, where Started is not that
	StoppedClaim holdfast.UnixMilli  `json:"stopped_claim,omitempty"`
	Energy       holdfast.WattHours  `json:"wh"`               // metered so far
	Start        *holdfast.WattHours `json:"start,omitempty"`  // first trusted register
	Stop         *holdfast.WattHours `json:"stop,omitempty"`   // last trusted register
	Reason       string              `json:"reason,omitempty"` // why it ended
	Source       record.StartSource  `json:"source,omitempty"`
	Token        holdfast.TokenHash  `json:"token"`
	Labels       map[string]string   `json:"labels"`
	Tariff       *record.TariffRef   `json:"tariff,omitempty"`
	Amount       *holdfast.Money     `json:"amount,omitempty"` // gross of the current CDR
	Opening      holdfast.Pos        `json:"opening"`          // the record that opened it
	Records      int                 `json:"records"`
	Exception    []string            `json:"exceptions"` // codes of open exceptions
}

// A SessionFilter narrows a list of sessions. Zero fields do not.
type SessionFilter struct {
	Site    holdfast.SiteID
	Charger holdfast.ChargerID
	Running *bool
	Stage   Stage
}

// A SessionDetail is a session with everything that is known of it.
type SessionDetail struct {
	Session
	CDRs       []CDR       `json:"cdrs"` // oldest first, credits included
	Exceptions []Exception `json:"exception_list"`
	Evidence   []Evidence  `json:"evidence"`
}

// Evidence is one record of a session, as it lies in the journal.
type Evidence struct {
	Pos        holdfast.Pos    `json:"pos"`
	Leaf       holdfast.Hash   `json:"leaf"`
	Reconciled bool            `json:"reconciled"`
	Record     json.RawMessage `json:"record"` // verbatim
}

// A CDR is a charge detail record, or the credit that takes one back. It is
// never changed: a correction is a credit and a new one.
type CDR struct {
	ID       string             `json:"id"`
	Session  holdfast.SessionID `json:"session"`
	Site     holdfast.SiteID    `json:"site"`
	Revision int                `json:"revision"`          // 1, 2, ...
	Credits  string             `json:"credits,omitempty"` // the CDR that this one takes back
	Current  bool               `json:"current"`           // neither a credit nor credited
	Added    holdfast.UnixMilli `json:"added"`
	Started  holdfast.UnixMilli `json:"started"`
	Stopped  holdfast.UnixMilli `json:"stopped"`
	Energy   holdfast.WattHours `json:"wh"`
	Currency string             `json:"currency"`
	Net      holdfast.Micros    `json:"net"`
	VAT      holdfast.Micros    `json:"vat"`
	Gross    holdfast.Micros    `json:"gross"`
	Document json.RawMessage    `json:"document"` // package ledger's CDR in full
}

// A CDRFilter narrows a list of CDRs.
type CDRFilter struct {
	Site    holdfast.SiteID
	Session holdfast.SessionID
	Current bool // leave out credits and what they took back
}

// An Entry is one line of the ledger: a double entry has at least two, and the
// lines of one Booking sum to zero.
type Entry struct {
	Key      string             `json:"key"`     // unique for ever
	Booking  string             `json:"booking"` // the double entry it is part of
	Session  holdfast.SessionID `json:"session"`
	Site     holdfast.SiteID    `json:"site"`
	CDR      string             `json:"cdr"`
	Account  string             `json:"account"`
	Amount   holdfast.Micros    `json:"amount"` // debit positive, credit negative
	Currency string             `json:"currency"`
	Reverses string             `json:"reverses,omitempty"` // key of the entry that this one takes back
	Added    holdfast.UnixMilli `json:"added"`
}

// A LedgerFilter narrows a list of entries.
type LedgerFilter struct {
	Site    holdfast.SiteID
	Session holdfast.SessionID
	Account string
}

// A Balance is the sum of an account in one currency.
type Balance struct {
	Account  string          `json:"account"`
	Currency string          `json:"currency"`
	Amount   holdfast.Micros `json:"amount"`
}

// Session returns one session with its evidence, [ErrNotFound].
func (p *Plane) Session(ctx context.Context, id holdfast.SessionID) (d SessionDetail, err error) {
	err = p.o.Store.View(ctx, func(tx Tx) error {
		if d.Session, err = get[Session](tx, KindSession, id.String()); err != nil {
			return err
		}
		of := Query{Where: Fields{"session": id.String()}, Oldest: true}
		if d.CDRs, err = all[CDR](tx, KindCDR, of); err != nil {
			return err
		}
		if d.Exceptions, err = all[Exception](tx, KindException, of); err != nil {
			return err
		}
		d.Evidence, err = evidenceOf(tx, id)
		return err
	})
	if err != nil {
		return SessionDetail{}, err
	}
	return d, nil
}

func evidenceOf(tx Tx, id holdfast.SessionID) ([]Evidence, error) {
	rows, err := tx.SessionRecords(id)
	if err != nil {
		return nil, err
	}
	out := make([]Evidence, 0, len(rows))
	streams := map[uint64]stream{}
	for _, r := range rows {
		st, ok := streams[r.Stream]
		if !ok {
			if st, err = streamByNumber(tx, r.Stream); err != nil {
				return nil, err
			}
			streams[r.Stream] = st
		}
		out = append(out, Evidence{st.pos(r.Seq), r.Leaf, uint64(r.Seq) < st.Reconciled, r.Body})
	}
	return out, nil
}

// Sessions lists sessions.
func (p *Plane) Sessions(ctx context.Context, f SessionFilter, page Page) (list []Session, next string, err error) {
	where := Fields{"site": string(f.Site), "charger": string(f.Charger), "stage": string(f.Stage)}
	if f.Running != nil {
		where["running"] = flag(*f.Running)
	}
	return paged(ctx, p, KindSession, where, page, asStored[Session])
}

// CDRs lists charge detail records.
func (p *Plane) CDRs(ctx context.Context, f CDRFilter, page Page) (list []CDR, next string, err error) {
	where := Fields{"site": string(f.Site)}
	if !f.Session.IsZero() {
		where["session"] = f.Session.String()
	}
	if f.Current {
		where["current"] = "1"
	}
	return paged(ctx, p, KindCDR, where, page, asStored[CDR])
}

// Ledger lists ledger entries.
func (p *Plane) Ledger(ctx context.Context, f LedgerFilter, page Page) (list []Entry, next string, err error) {
	where := Fields{"site": string(f.Site), "account": f.Account}
	if !f.Session.IsZero() {
		where["session"] = f.Session.String()
	}
	return paged(ctx, p, KindEntry, where, page, asStored[Entry])
}

// Balances sums the ledger by account and currency. The sum over all accounts is
// zero in every currency. Sums are kept by site and account; of one session they
// are [ErrInvalid]: list its entries.
func (p *Plane) Balances(ctx context.Context, f LedgerFilter) (out []Balance, err error) {
	if !f.Session.IsZero() {
		return nil, invalid("balances", "by session: list the entries of the session instead")
	}
	out = []Balance{}
	err = p.o.Store.View(ctx, func(tx Tx) error {
		docs, err := all[balanceDoc](tx, KindBalance, Query{})
		if err != nil {
			return err
		}
		for _, d := range docs {
			if f.Site != "" && d.Site != f.Site || f.Account != "" && d.Account != f.Account {
				continue
			}
			i := slices.IndexFunc(out, func(b Balance) bool { return b.Account == d.Account && b.Currency == d.Currency })
			if i < 0 {
				i, out = len(out), append(out, Balance{Account: d.Account, Currency: d.Currency})
			}
			out[i].Amount += d.Amount
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Balance) int {
		return cmp.Or(cmp.Compare(a.Currency, b.Currency), cmp.Compare(a.Account, b.Account))
	})
	return out, err
}

// Totals are counts for metrics.
type Totals struct {
	Sites          int                `json:"sites"`
	Sessions       int                `json:"sessions"`
	Running        int                `json:"running"`
	CDRs           int                `json:"cdrs"` // current ones
	OpenExceptions map[string]int     `json:"open_exceptions"`
	Records        uint64             `json:"records"` // evidence records received
	Energy         holdfast.WattHours `json:"wh"`      // of ended sessions
}

// Totals counts what is in the books.
func (p *Plane) Totals(ctx context.Context) (t Totals, err error) {
	t.OpenExceptions = map[string]int{}
	err = p.o.Store.View(ctx, func(tx Tx) error {
		if t.Sites, err = tx.Count(KindSite, nil); err != nil {
			return err
		}
		sites, err := all[totalDoc](tx, KindTotal, Query{})
		if err != nil {
			return err
		}
		for _, d := range sites {
			t.Sessions, t.Running, t.CDRs = t.Sessions+d.Sessions, t.Running+d.Running, t.CDRs+d.CDRs
			t.Records, t.Energy = t.Records+d.Records, t.Energy+d.Energy
		}
		open, err := tx.List(KindException, Query{Where: Fields{"state": StateOpen}})
		for _, d := range open {
			t.OpenExceptions[d.Fields["code"]]++
		}
		return err
	})
	return t, err
}
