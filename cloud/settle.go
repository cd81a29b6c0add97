package cloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ledger"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/statement"
)

// gathered is the evidence of one session as it lies in the store.
type gathered struct {
	owner   holdfast.GatewayID // whose session it is
	all     []ledger.Item
	covered []ledger.Item // by verified checkpoints: the only ones that money rests on
	extra   []ledger.Exception
}

// session folds one session again. around says whether its neighbour is to
// follow; a neighbour's own neighbour never is, because what a session is does
// not depend on others, only what is doubtful about it does.
func (f *fold) session(id holdfast.SessionID, around bool) error {
	g, err := f.gather(id)
	if err != nil {
		return err
	}
	site, err := f.site(g.owner)
	if err != nil {
		return err
	}
	var failed error
	tariffs := f.tariffsOf(site, &failed)
	whole := ledger.Settle(g.all, tariffs)
	sure := whole
	if len(g.covered) != len(g.all) {
		sure = ledger.Settle(g.covered, tariffs)
	}
	if failed != nil {
		return failed
	}
	more, next, err := f.place(id, sure.Session)
	if err != nil {
		return err
	}
	sure = sure.With(append(more, g.extra...)...)
	if err := f.issue(site, id, sure.CDR); err != nil {
		return err
	}
	codes, err := f.exceptions(site, g.owner, id, sure.Exceptions)
	if err != nil {
		return err
	}
	if err := f.show(site, whole.Session, sure, len(g.covered) == len(g.all), codes); err != nil {
		return err
	}
	if around {
		for _, n := range next {
			if err := f.session(n, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// gather reads a session's records and decides whose session it is: the gateway
// that opened it, the first one if several say so. What others send about it
// stays visible as foreign, but a copy of one of the owner's records is left
// out: two equal leaves are one record, and the ledger must not take the wrong
// one for the copy.
func (f *fold) gather(id holdfast.SessionID) (g gathered, err error) {
	if items, ok := f.fresh[id]; ok {
		return f.atHand(items), nil
	}
	rows, err := f.tx.SessionRecords(id)
	if err != nil {
		return g, err
	}
	if g.owner, err = f.owner(id, rows); err != nil {
		return g, err
	}
	own := map[holdfast.Hash]bool{}
	for _, r := range rows {
		if f.streams[r.Stream].Gateway == g.owner {
			own[r.Leaf] = true
		}
	}
	for _, r := range rows {
		st := f.streams[r.Stream]
		if st.Gateway != g.owner && own[r.Leaf] {
			g.extra = append(g.extra, replayed(id, st.pos(r.Seq)))
			continue
		}
		rec, err := record.Decode(r.Body)
		if err != nil {
			continue // reported when it came
		}
		item := ledger.Item{Pos: st.pos(r.Seq), Leaf: r.Leaf, Record: rec}
		g.all = append(g.all, item)
		if uint64(r.Seq) < st.Reconciled {
			g.covered = append(g.covered, item)
		}
	}
	return g, nil
}

// atHand is gather for a session whose records are all in the slice at hand.
func (f *fold) atHand(items []ledger.Item) (g gathered) {
	g.owner = f.gw.ID
	g.all = slices.DeleteFunc(slices.Clone(items), func(i ledger.Item) bool { return i.Record.Body == nil }) // did not decode: reported when it came
	for _, i := range g.all {
		if uint64(i.Pos.Seq) < f.streams[f.slicing].Reconciled {
			g.covered = append(g.covered, i)
		}
	}
	return g
}

// owner returns the gateway that opened the session, and reads the streams of
// all rows on the way. Rows are ordered by stream: the first that came is first.
func (f *fold) owner(id holdfast.SessionID, rows []Row) (owner holdfast.GatewayID, err error) {
	for _, r := range rows {
		st, err := f.stream(r.Stream)
		if err != nil {
			return "", err
		}
		if owner == "" && r.Leaf == holdfast.Hash(id) {
			owner = st.Gateway
		}
	}
	if owner == "" {
		owner = f.gw.ID
	}
	return owner, nil
}

func replayed(id holdfast.SessionID, at holdfast.Pos) ledger.Exception {
	k, _ := ledger.KindOf(ledger.EvidReplayed)
	return ledger.Exception{
		Code: k.Code, Session: id, Sentence: k.Sentence, Details: []string{"gateway " + string(at.Gateway) + " sent copies of the session's records"},
		Count: 1, Evidence: []holdfast.Pos{at}, Owner: k.Owner, DueS: k.DueHours * 3600,
	}
}

// place puts a session in the row of its EVSE, by the time at which it began,
// and compares it with the one before. It returns what does not fit, and the
// sessions that have to be looked at again because they now have another
// session, or another story of it, before them.
func (f *fold) place(id holdfast.SessionID, v ledger.View) (doubts []ledger.Exception, next []holdfast.SessionID, err error) {
	old, err := f.tx.Get(KindPlace, id.String())
	if err != nil && !isNotFound(err) {
		return nil, nil, err
	}
	known := err == nil
	if v.Opening.Gateway == "" { // nothing is certain about it (any more)
		return nil, nil, nil
	}
	row := key(string(v.Opening.Gateway), string(v.Charger), fmt.Sprint(v.EVSE))
	at := fmt.Sprintf("%020d/%s", max(int64(v.Started), 0), id)
	body, err := json.Marshal(v)
	if err != nil {
		return nil, nil, err
	}
	if known && (old.Fields["row"] != row || old.Fields["at"] != at) {
		if _, after, err := f.tx.Beside(KindPlace, Fields{"row": old.Fields["row"]}, "at", old.Fields["at"]); err != nil {
			return nil, nil, err
		} else if after != nil {
			next = append(next, idOf(*after))
		}
	}
	if _, err := f.tx.Put(Doc{Kind: KindPlace, Key: id.String(), Fields: Fields{"row": row, "at": at}, Body: body}); err != nil {
		return nil, nil, err
	}
	before, after, err := f.tx.Beside(KindPlace, Fields{"row": row}, "at", at)
	if err != nil {
		return nil, nil, err
	}
	if before != nil {
		prev, err := decode[ledger.View](*before)
		if err != nil {
			return nil, nil, err
		}
		doubts = ledger.Neighbours(prev, v)
	}
	if after != nil && (!known || string(old.Body) != string(body)) && !slices.Contains(next, idOf(*after)) {
		next = append(next, idOf(*after))
	}
	return doubts, next, nil
}

func idOf(place Doc) holdfast.SessionID {
	id, _ := holdfast.ParseSessionID(place.Key) // we wrote it; a zero id folds to nothing
	return id
}

// issue brings a session's CDRs and the ledger to what want says: nothing when
// they say so already, otherwise a credit, a new CDR, or both.
func (f *fold) issue(site holdfast.SiteID, id holdfast.SessionID, want *ledger.CDR) error {
	docs, err := f.tx.List(KindCDR, Query{Where: Fields{"session": id.String()}, Oldest: true})
	if err != nil {
		return err
	}
	issued := make([]ledger.CDR, len(docs))
	known := make(map[string]CDR, len(docs))
	for i, d := range docs {
		c, err := decode[CDR](d)
		if err != nil {
			return err
		}
		known[c.ID] = c
		if err := json.Unmarshal(c.Document, &issued[i]); err != nil {
			return fmt.Errorf("read CDR %s: %w", c.ID, err)
		}
	}
	for _, c := range ledger.Revise(issued, want) {
		if c.Credit {
			old := known[c.CreditReferenceID]
			old.Current = false
			if err := old.put(f.tx); err != nil {
				return err
			}
		}
		made, err := f.cdr(site, c)
		if err != nil {
			return err
		}
		known[c.ID] = made
		if err := f.post(site, c); err != nil {
			return err
		}
	}
	return nil
}

// cdr stores a new CDR.
func (f *fold) cdr(site holdfast.SiteID, c ledger.CDR) (CDR, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return CDR{}, fmt.Errorf("CDR %s: %w", c.ID, err)
	}
	out := CDR{
		ID: c.ID, Session: c.Holdfast.Session, Site: site, Revision: c.Holdfast.Revision, Credits: c.CreditReferenceID, Current: !c.Credit,
		Added: f.now, Started: holdfast.UnixMilli(c.StartDateTime), Stopped: holdfast.UnixMilli(c.EndDateTime), Energy: c.Holdfast.Wh,
		Currency: c.Currency, Net: holdfast.Micros(c.TotalCost.ExclVAT), Gross: holdfast.Micros(c.TotalCost.InclVAT), Document: body,
	}
	out.VAT = out.Gross - out.Net
	return out, out.put(f.tx)
}

func (c CDR) put(tx Tx) error {
	current := ""
	if c.Current {
		current = "1"
	}
	_, err := put(tx, KindCDR, c.ID, Fields{"site": string(c.Site), "session": c.Session.String(), "current": current}, c)
	return err
}

// post writes the double entry of a CDR and refuses one that does not balance:
// then the code is wrong, and no book is better than a wrong one.
func (f *fold) post(site holdfast.SiteID, c ledger.CDR) error {
	var sum holdfast.Micros
	for _, p := range c.Postings() {
		sum += p.Amount
		e := Entry{p.Key, p.Booking, p.Session, site, c.ID, p.Account, p.Amount, p.Currency, p.Reverses, f.now}
		d, err := asDoc(KindEntry, e.Key, Fields{"site": string(site), "session": e.Session.String(), "account": e.Account}, e)
		if err != nil {
			return err
		}
		if _, err := f.tx.Add(d); err != nil { // a key is posted once, for ever
			return err
		}
		if err := f.addBalance(site, e); err != nil {
			return err
		}
	}
	if sum != 0 {
		return fmt.Errorf("booking %s does not balance: it sums to %d micros", c.ID, sum)
	}
	return nil
}

// A balanceDoc is an account's sum at a site.
type balanceDoc struct {
	Site holdfast.SiteID `json:"site"`
	Balance
}

func (b balanceDoc) key() string { return key(string(b.Site), b.Currency, b.Account) }

// addBalance adds an entry to its account; flush writes the sums.
func (f *fold) addBalance(site holdfast.SiteID, e Entry) error {
	name := balanceDoc{Site: site, Balance: Balance{Account: e.Account, Currency: e.Currency}}
	b, ok := f.balances[name.key()]
	if !ok {
		had, err := get[balanceDoc](f.tx, KindBalance, name.key())
		if err != nil && !isNotFound(err) {
			return err
		}
		name.Amount = had.Amount
		b = name
	}
	b.Amount += e.Amount
	f.balances[b.key()] = b
	return nil
}

// total returns a site's counters to change; flush writes them.
func (f *fold) total(site holdfast.SiteID) (*totalDoc, error) {
	if t, ok := f.totals[site]; ok {
		return t, nil
	}
	t, err := get[totalDoc](f.tx, KindTotal, string(site))
	if err != nil && !isNotFound(err) {
		return nil, err
	}
	f.totals[site] = &t
	return &t, nil
}

// flush writes the sums and counters that the fold has changed, in a fixed
// order: numbers of documents must not depend on the order of a map.
func (f *fold) flush() error {
	for _, name := range slices.Sorted(maps.Keys(f.balances)) {
		if _, err := put(f.tx, KindBalance, name, nil, f.balances[name]); err != nil {
			return err
		}
	}
	for _, site := range slices.Sorted(maps.Keys(f.totals)) {
		if _, err := put(f.tx, KindTotal, string(site), nil, f.totals[site]); err != nil {
			return err
		}
	}
	return nil
}

// show writes what lists and people see of a session, and counts it.
func (f *fold) show(site holdfast.SiteID, v ledger.View, sure ledger.Outcome, covered bool, codes []string) error {
	if v.Opening.Gateway == "" {
		return nil // records of a session whose opening is not here: an exception says so
	}
	s := Session{
		ID: v.ID, Site: site, Gateway: v.Opening.Gateway, Charger: v.Charger, EVSE: v.EVSE, Running: v.Running, Failed: v.Failed,
		Offline: v.Offline, Started: v.Started, Stopped: v.Stopped, Quality: v.Quality, StartedClaim: v.StartedClaim, StoppedClaim: v.StoppedClaim, Energy: v.Energy, Start: v.Start, Stop: v.Stop,
		Reason: v.Reason, Source: v.Source, Token: v.Token, Labels: v.Labels, Tariff: v.Tariff, Opening: v.Opening, Records: v.Records,
		Exception: codes, Stage: StageReceived,
	}
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	if covered {
		s.Stage = StageReconciled
	}
	if sure.CDR != nil {
		s.Stage = StageRated
		s.Amount = &holdfast.Money{Currency: sure.CDR.Currency, Micros: holdfast.Micros(sure.CDR.TotalCost.InclVAT)}
	}
	old, err := get[Session](f.tx, KindSession, s.ID.String())
	if err != nil && !isNotFound(err) {
		return err
	}
	if err := f.count(site, old, s); err != nil {
		return err
	}
	_, err = put(f.tx, KindSession, s.ID.String(), Fields{
		"site": string(s.Site), "charger": string(s.Charger), "running": flag(s.Running), "stage": string(s.Stage),
	}, s)
	return err
}

// flag is a boolean as a field.
func flag(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// A totalDoc counts a site's books, so that metrics cost no scan.
type totalDoc struct {
	Sessions int                `json:"sessions"`
	Running  int                `json:"running"`
	CDRs     int                `json:"cdrs"`
	Records  uint64             `json:"records"`
	Energy   holdfast.WattHours `json:"wh"` // of ended sessions
}

// count moves the totals from what a session was to what it is.
func (f *fold) count(site holdfast.SiteID, was, is Session) error {
	t, err := f.total(site)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		s    Session
		sign int
	}{{was, -1}, {is, 1}} {
		switch {
		case c.s.ID.IsZero():
			continue
		case c.s.Running:
			t.Running += c.sign
		default:
			t.Energy += holdfast.WattHours(c.sign) * c.s.Energy
		}
		t.Sessions += c.sign
		if c.s.Stage == StageRated {
			t.CDRs += c.sign
		}
	}
	return nil
}

// waiting returns the sessions of the site that lack a tariff, when rows may
// have brought one.
func (f *fold) waiting(rows []Row) (out []holdfast.SessionID, err error) {
	brought := slices.ContainsFunc(rows, func(r Row) bool { return bytes.Contains(r.Body, []byte(statement.TypTariff)) })
	if !brought {
		return nil, nil
	}
	open, err := all[Exception](f.tx, KindException, Query{
		Where: Fields{"site": string(f.gw.Site), "code": ledger.RateTariffMissing, "state": StateOpen}, Oldest: true,
	})
	for _, x := range open {
		out = append(out, x.Session)
	}
	return out, err
}
