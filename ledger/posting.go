package ledger

import (
	"cmp"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
)

// The accounts. A driver owes the gross; the net is revenue by kind; the VAT is
// owed to the state.
const (
	AccountReceivable = "receivable"
	AccountVAT        = "vat"
	accountRevenue    = "revenue." // + the line's kind in lower case, e.g. "revenue.energy"
)

// A Posting is one line of a double entry. The postings of one Booking sum to
// zero.
type Posting struct {
	Key      string             `json:"key"`     // unique for ever: Booking + "/" + Account
	Booking  string             `json:"booking"` // id of the CDR or Credit CDR that it posts
	Session  holdfast.SessionID `json:"session"`
	Revision int                `json:"revision"` // of the CDR; a credit has its original's
	Account  string             `json:"account"`
	Amount   holdfast.Micros    `json:"amount"` // debit positive, credit negative
	Currency string             `json:"currency"`
	Reverses string             `json:"reverses,omitempty"` // key of the posting that this one takes back
	Content  holdfast.Hash      `json:"content"`            // CDR.Content: what was billed and why
}

// Postings is the double entry of a CDR, or of a Credit CDR, whose postings
// mirror those of its original and name them. Every CDR has one, a free one
// too: then all amounts are zero.
func (c CDR) Postings() []Posting {
	if c.Credit {
		original := c
		original.Credit, original.ID = false, c.CreditReferenceID
		return reverse(original.Postings())
	}
	content := c.Content()
	post := func(account string, amount holdfast.Micros) Posting {
		return Posting{
			Key: c.ID + "/" + account, Booking: c.ID, Session: c.Holdfast.Session, Revision: c.Holdfast.Revision,
			Account: account, Amount: amount, Currency: c.Currency, Content: content,
		}
	}
	var gross, vat holdfast.Micros
	var out []Posting
	for _, l := range c.Holdfast.Lines {
		gross, vat = gross+l.Gross, vat+l.VAT
		out = append(out, post(accountRevenue+strings.ToLower(l.Kind), -l.Net))
	}
	out = append(out, post(AccountReceivable, gross), post(AccountVAT, -vat))
	slices.SortFunc(out, byKey)
	return out
}

func byKey(a, b Posting) int { return cmp.Compare(a.Key, b.Key) }

// reverse mirrors a booking: same accounts, opposite amounts, each posting
// naming the one that it takes back.
func reverse(booking []Posting) []Posting {
	out := make([]Posting, len(booking))
	for i, p := range booking {
		p.Reverses = p.Key
		p.Booking += creditSuffix
		p.Key = p.Booking + "/" + p.Account
		p.Amount = -p.Amount
		out[i] = p
	}
	return out
}

// Diff returns the postings to add so that what counts of posted (all that were
// ever posted for the session) is want ([Outcome.Postings], or nothing). It is
// what the postings of [Revise] come to, worked out from postings alone: an
// auditor compares the two. Running it again adds nothing.
func Diff(posted, want []Posting) (add []Posting) {
	last := 0
	reversed := map[string]bool{}
	bookings := map[string][]Posting{}
	for _, p := range posted {
		last = max(last, p.Revision)
		if p.Reverses != "" {
			reversed[p.Reverses] = true
		}
	}
	for _, p := range posted {
		if p.Reverses == "" && !reversed[p.Key] {
			bookings[p.Booking] = append(bookings[p.Booking], p)
		}
	}
	live := make([][]Posting, 0, len(bookings))
	for _, b := range bookings {
		slices.SortFunc(b, byKey)
		live = append(live, b)
	}
	slices.SortFunc(live, func(a, b []Posting) int {
		return cmp.Or(cmp.Compare(a[0].Revision, b[0].Revision), cmp.Compare(a[0].Booking, b[0].Booking))
	})
	missing := len(want) > 0
	for _, b := range live {
		if missing && sameBooking(b, want) {
			missing = false
			continue
		}
		add = append(add, reverse(b)...)
	}
	if missing {
		add = append(add, renumber(want, last+1)...)
	}
	return add
}

func sameBooking(a, b []Posting) bool {
	same := func(p, q Posting) bool {
		return p.Account == q.Account && p.Amount == q.Amount && p.Currency == q.Currency && p.Content == q.Content
	}
	return slices.EqualFunc(a, slices.SortedFunc(slices.Values(b), byKey), same)
}

func renumber(booking []Posting, revision int) []Posting {
	out := slices.Clone(booking)
	for i := range out {
		p := &out[i]
		p.Revision, p.Booking = revision, CDR{Holdfast: Extension{Session: p.Session}}.number(revision).ID
		p.Key = p.Booking + "/" + p.Account
	}
	return out
}
