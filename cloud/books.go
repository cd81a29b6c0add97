package cloud

import (
	"context"
	"encoding/json"

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
	ID        holdfast.SessionID  `json:"id"`
	Site      holdfast.SiteID     `json:"site"`
	Gateway   holdfast.GatewayID  `json:"gateway"`
	Charger   holdfast.ChargerID  `json:"charger"`
	EVSE      int                 `json:"evse"`
	Running   bool                `json:"running"`
	Stage     Stage               `json:"stage"`
	Offline   bool                `json:"offline"` // began while the site's link was down, or the charger was offline
	Started   holdfast.UnixMilli  `json:"started"`
	Stopped   holdfast.UnixMilli  `json:"stopped,omitempty"`
	Quality   holdfast.Quality    `json:"quality"`          // of Started and Stopped
	Energy    holdfast.WattHours  `json:"wh"`               // metered so far
	Start     *holdfast.WattHours `json:"start,omitempty"`  // first trusted register
	Stop      *holdfast.WattHours `json:"stop,omitempty"`   // last trusted register
	Reason    string              `json:"reason,omitempty"` // why it ended
	Source    record.StartSource  `json:"source,omitempty"`
	Token     holdfast.TokenHash  `json:"token"`
	Labels    map[string]string   `json:"labels"`
	Tariff    *record.TariffRef   `json:"tariff,omitempty"`
	Amount    *holdfast.Money     `json:"amount,omitempty"` // gross of the current CDR
	Opening   holdfast.Pos        `json:"opening"`          // the record that opened it
	Records   int                 `json:"records"`
	Exception []string            `json:"exceptions"` // codes of open exceptions
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

// An Exception is a case for a person.
type Exception struct {
	ID       string             `json:"id"`
	Code     string             `json:"code"`
	State    string             `json:"state"` // "open", or "resolved": later evidence answered it
	Site     holdfast.SiteID    `json:"site"`
	Gateway  holdfast.GatewayID `json:"gateway"`
	Session  holdfast.SessionID `json:"session,omitzero"`
	Pos      *holdfast.Pos      `json:"pos,omitempty"`
	Opened   holdfast.UnixMilli `json:"opened"`
	Resolved holdfast.UnixMilli `json:"resolved,omitempty"`
	Detail   string             `json:"detail"`
	Evidence []string           `json:"evidence,omitempty"` // positions, or archive names of bytes that were set aside
}

// An ExceptionFilter narrows a list of exceptions.
type ExceptionFilter struct {
	Site  holdfast.SiteID
	Code  string
	State string // "open", "resolved", "" both
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
func (p *Plane) Session(ctx context.Context, id holdfast.SessionID) (SessionDetail, error) {
	panic("first slice")
}

// Sessions lists sessions.
func (p *Plane) Sessions(ctx context.Context, f SessionFilter, page Page) (list []Session, next string, err error) {
	panic("first slice")
}

// CDRs lists charge detail records.
func (p *Plane) CDRs(ctx context.Context, f CDRFilter, page Page) (list []CDR, next string, err error) {
	panic("first slice")
}

// Exceptions lists exceptions.
func (p *Plane) Exceptions(ctx context.Context, f ExceptionFilter, page Page) (list []Exception, next string, err error) {
	panic("first slice")
}

// Ledger lists ledger entries.
func (p *Plane) Ledger(ctx context.Context, f LedgerFilter, page Page) (list []Entry, next string, err error) {
	panic("first slice")
}

// Balances sums the ledger by account and currency. The sum over accounts is
// zero in every currency.
func (p *Plane) Balances(ctx context.Context, f LedgerFilter) ([]Balance, error) {
	panic("first slice")
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
func (p *Plane) Totals(ctx context.Context) (Totals, error) { panic("first slice") }
