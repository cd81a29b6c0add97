package cloud

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
)

// A desk is a transaction on which the documents that a fold works with lie
// open: what was read is not read again, what is written is written once, many
// rows in a statement, when the fold is done ([desk.flush]). To a fold it is the
// transaction, but for one thing: the number of a document that is put is not
// known before the flush, and 0 is returned.
//
// It knows what cannot be in the store, and does not look for it: a session of
// which no record was here before has no place, no CDR and no exceptions.
type desk struct {
	Tx
	docs  map[Kind]map[string]*paper
	dirty map[Kind][]*paper // in the order in which they were first written
	fresh map[string]bool   // sessions that nothing is stored of
	known map[Kind]map[string][]*paper
	rows  map[string]*shelf // of places
}

// A paper is a document on the desk.
type paper struct {
	doc   Doc
	there bool // there is such a document, in the store or since it was written here
	dirty bool
}

// A shelf is a part of a row of places, in order: all documents of the row from
// the first to the last paper, and, where it is open, all before or behind.
type shelf struct {
	papers    []*paper
	openBelow bool
	openAbove bool
}

func newDesk(tx Tx) *desk {
	return &desk{Tx: tx, docs: map[Kind]map[string]*paper{}, dirty: map[Kind][]*paper{}, fresh: map[string]bool{},
		known: map[Kind]map[string][]*paper{}, rows: map[string]*shelf{}}
}

// held reports whether documents of a kind are kept on the desk. Streams are
// not: their numbers are needed at once.
func held(k Kind) bool {
	switch k {
	case KindStream, KindSlice, KindDirective, KindGrant, KindAnswer:
		return false
	}
	return true
}

// bySession reports whether the documents of a kind are looked up by session.
func bySession(k Kind) bool { return k == KindCDR || k == KindException }

// ofSession reports whether k's keys are sessions.
func ofSession(k Kind) bool { return k == KindSession || k == KindPlace }

// startsFresh says that nothing is stored of a session.
func (d *desk) startsFresh(id holdfast.SessionID) { d.fresh[id.String()] = true }

func (d *desk) lay(k Kind, key string, doc Doc, there bool) *paper {
	if d.docs[k] == nil {
		d.docs[k] = map[string]*paper{}
	}
	p := &paper{doc: doc, there: there}
	d.docs[k][key] = p
	return p
}

// fetch lays documents open that will be asked for.
func (d *desk) fetch(k Kind, keys []string) error {
	var missing []string
	for _, key := range keys {
		if d.docs[k][key] == nil && !(ofSession(k) && d.fresh[key]) {
			missing = append(missing, key)
			d.lay(k, key, Doc{}, false)
		}
	}
	docs, err := d.Tx.GetAll(k, missing)
	for _, doc := range docs {
		d.lay(k, doc.Key, doc, true)
	}
	return err
}

// Get implements [Tx].
func (d *desk) Get(k Kind, key string) (Doc, error) {
	if !held(k) {
		return d.Tx.Get(k, key)
	}
	p := d.docs[k][key]
	if p == nil && ofSession(k) && d.fresh[key] {
		p = d.lay(k, key, Doc{}, false)
	}
	if p == nil {
		doc, err := d.Tx.Get(k, key)
		if err != nil && !isNotFound(err) {
			return Doc{}, err
		}
		p = d.lay(k, key, doc, err == nil)
	}
	if !p.there {
		return Doc{}, fmt.Errorf("%s %q: %w", k, key, ErrNotFound)
	}
	out := p.doc
	out.Fields = make(Fields, len(p.doc.Fields))
	for f, v := range p.doc.Fields {
		out.Fields[f] = v
	}
	return out, nil
}

// Put implements [Tx], but for the number.
func (d *desk) Put(doc Doc) (uint64, error) {
	if !held(doc.Kind) {
		return d.Tx.Put(doc)
	}
	p := d.docs[doc.Kind][doc.Key]
	if p == nil {
		p = d.lay(doc.Kind, doc.Key, Doc{}, false)
	}
	was, had := p.doc, p.there
	doc.N = was.N
	p.doc, p.there = doc, true
	if !p.dirty {
		p.dirty = true
		d.dirty[doc.Kind] = append(d.dirty[doc.Kind], p)
	}
	if bySession(doc.Kind) && !had {
		if s := doc.Fields["session"]; s != "" && (d.fresh[s] || d.known[doc.Kind][s] != nil) {
			d.note(doc.Kind, s, p)
		}
	}
	if doc.Kind == KindPlace {
		d.move(p, was, had)
	}
	return 0, nil
}

// note adds a document to those of a session.
func (d *desk) note(k Kind, session string, p *paper) {
	if d.known[k] == nil {
		d.known[k] = map[string][]*paper{}
	}
	d.known[k][session] = append(d.known[k][session], p)
}

// Add implements [Tx], but for the number. Whether the key is new is found out at
// the flush.
func (d *desk) Add(doc Doc) (uint64, error) {
	if doc.Kind != KindEntry {
		return d.Tx.Add(doc)
	}
	d.dirty[KindEntry] = append(d.dirty[KindEntry], &paper{doc: doc})
	return 0, nil
}

// List implements [Tx].
func (d *desk) List(k Kind, q Query) ([]Doc, error) {
	s := q.Where["session"]
	if !bySession(k) || s == "" || len(q.Where) != 1 || !q.Oldest || q.Limit != 0 || q.Cursor != 0 {
		if err := d.flushKind(k); err != nil {
			return nil, err
		}
		return d.Tx.List(k, q)
	}
	if !d.fresh[s] && d.known[k][s] == nil {
		if err := d.flushKind(k); err != nil { // among them may be some of this session
			return nil, err
		}
		docs, err := d.Tx.List(k, q)
		if err != nil {
			return nil, err
		}
		if d.known[k] == nil {
			d.known[k] = map[string][]*paper{}
		}
		d.known[k][s] = []*paper{}
		for _, doc := range docs {
			d.note(k, s, d.lay(k, doc.Key, doc, true))
		}
	}
	out := make([]Doc, 0, len(d.known[k][s]))
	for _, p := range d.known[k][s] {
		out = append(out, p.doc)
	}
	return out, nil
}

// Beside implements [Tx]. A row of places that was looked at once is worked out
// here as long as the question stays between what was found.
func (d *desk) Beside(k Kind, where Fields, field, value string) (before, after *Doc, err error) {
	row, ok := where["row"]
	if k != KindPlace || field != "at" || !ok || len(where) != 1 {
		if err := d.flushKind(k); err != nil {
			return nil, nil, err
		}
		return d.Tx.Beside(k, where, field, value)
	}
	sh := d.rows[row]
	if sh == nil || !sh.covers(value) {
		if sh, err = d.reach(row, value); err != nil {
			return nil, nil, err
		}
	}
	i, _ := slices.BinarySearchFunc(sh.papers, value, compareAt)
	if i > 0 {
		before = copied(&sh.papers[i-1].doc)
	}
	if i < len(sh.papers) && sh.papers[i].doc.Fields["at"] == value {
		i++
	}
	if i < len(sh.papers) {
		after = copied(&sh.papers[i].doc)
	}
	return before, after, nil
}

func compareAt(p *paper, at string) int { return strings.Compare(p.doc.Fields["at"], at) }

func copied(d *Doc) *Doc {
	out := *d
	return &out
}

// reach asks the store for what is beside value in a row.
func (d *desk) reach(row, value string) (*shelf, error) {
	if err := d.flushKind(KindPlace); err != nil {
		return nil, err
	}
	before, after, err := d.Tx.Beside(KindPlace, Fields{"row": row}, "at", value)
	if err != nil {
		return nil, err
	}
	sh := &shelf{openBelow: before == nil, openAbove: after == nil}
	for _, doc := range []*Doc{before, after} {
		if doc != nil {
			sh.papers = append(sh.papers, d.lay(KindPlace, doc.Key, *doc, true))
		}
	}
	// What stands exactly at value was put by who asks, and is on the desk. When it
	// is not, nobody knows whether there is anything.
	delete(d.rows, row)
	for _, p := range d.docs[KindPlace] {
		if p.there && p.doc.Fields["row"] == row && p.doc.Fields["at"] == value {
			sh.insert(p)
			d.rows[row] = sh
			break
		}
	}
	return sh, nil
}

// covers reports whether the neighbours of value are known.
func (s *shelf) covers(value string) bool {
	n := len(s.papers)
	below := s.openBelow || n > 0 && s.papers[0].doc.Fields["at"] < value
	above := s.openAbove || n > 0 && s.papers[n-1].doc.Fields["at"] > value
	return below && above
}

// insert puts p where it belongs.
func (s *shelf) insert(p *paper) {
	i, _ := slices.BinarySearchFunc(s.papers, p.doc.Fields["at"], compareAt)
	s.papers = slices.Insert(s.papers, i, p)
}

// move keeps the shelves right when a place is written. A shelf that loses its
// end is forgotten: what is behind it is not known.
func (d *desk) move(p *paper, was Doc, had bool) {
	if had && was.Fields["row"] == p.doc.Fields["row"] && was.Fields["at"] == p.doc.Fields["at"] {
		return
	}
	if had {
		delete(d.rows, was.Fields["row"])
	}
	sh := d.rows[p.doc.Fields["row"]]
	if sh == nil {
		return
	}
	if !sh.covers(p.doc.Fields["at"]) {
		delete(d.rows, p.doc.Fields["row"])
		return
	}
	sh.insert(p)
}

// Count implements [Tx].
func (d *desk) Count(k Kind, where Fields) (int, error) {
	if err := d.flushKind(k); err != nil {
		return 0, err
	}
	return d.Tx.Count(k, where)
}

// flushKind writes what waits of a kind.
func (d *desk) flushKind(k Kind) error {
	list := d.dirty[k]
	if len(list) == 0 {
		return nil
	}
	docs := make([]Doc, len(list))
	for i, p := range list {
		docs[i], p.dirty = p.doc, false
	}
	d.dirty[k] = nil
	if k == KindEntry {
		return d.Tx.AddAll(k, docs) // a key is posted once, for ever
	}
	return d.Tx.PutAll(k, docs)
}

// flush writes everything that waits.
func (d *desk) flush() error {
	for _, k := range Kinds() {
		if err := d.flushKind(k); err != nil {
			return err
		}
	}
	return nil
}
