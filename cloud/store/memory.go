package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// ErrReadOnly is returned for a write inside View.
var ErrReadOnly = errors.New("write in a read-only transaction")

// Memory keeps everything in memory: a [cloud.Store] and a [cloud.Archive] for
// tests and the simulator. It rolls back, serialises and isolates like a
// database, and forgets all when the process ends.
type Memory struct {
	mu      sync.RWMutex
	log     []cloud.LogEntry
	tables  map[cloud.Kind]*table
	streams map[uint64][]cloud.Row
	bySess  map[holdfast.SessionID][]rowID

	archiveMu sync.RWMutex
	archive   map[string][]byte
}

type rowID struct {
	stream uint64
	index  int // in the stream's rows
}

// A table is the documents of one kind, with an index for each field.
type table struct {
	docs  map[string]cloud.Doc // by key
	order map[uint64]string    // n -> key
	last  uint64
	index map[string]map[uint64]struct{} // "field=value" -> n
}

func newTable() *table {
	return &table{docs: map[string]cloud.Doc{}, order: map[uint64]string{}, index: map[string]map[uint64]struct{}{}}
}

// NewMemory returns an empty keeper.
func NewMemory() *Memory {
	m := &Memory{
		tables:  map[cloud.Kind]*table{},
		streams: map[uint64][]cloud.Row{},
		bySess:  map[holdfast.SessionID][]rowID{},
		archive: map[string][]byte{},
	}
	for _, k := range cloud.Kinds() {
		m.tables[k] = newTable()
	}
	return m
}

// Update implements [cloud.Store].
func (m *Memory) Update(ctx context.Context, fn func(cloud.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := &memoryTx{m: m}
	done := false
	defer func() {
		if !done { // fn failed or panicked
			tx.rollback()
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if tx.failed != nil {
		return tx.failed
	}
	done = true
	return nil
}

// View implements [cloud.Store].
func (m *Memory) View(ctx context.Context, fn func(cloud.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return fn(&memoryTx{m: m, readOnly: true})
}

// Scrub implements [cloud.Store]: nothing that was deleted is left.
func (m *Memory) Scrub(context.Context) error { return nil }

// Close implements [cloud.Store].
func (m *Memory) Close() error { return nil }

// memoryArchive is a Memory's [cloud.Archive].
type memoryArchive struct{ m *Memory }

// Archive returns the keeper's archive.
func (m *Memory) Archive() cloud.Archive { return memoryArchive{m} }

func (a memoryArchive) Put(_ context.Context, name string, b []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	a.m.archiveMu.Lock()
	defer a.m.archiveMu.Unlock()
	a.m.archive[name] = bytes.Clone(b)
	return nil
}

func (a memoryArchive) Get(_ context.Context, name string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	a.m.archiveMu.RLock()
	defer a.m.archiveMu.RUnlock()
	b, ok := a.m.archive[name]
	if !ok {
		return nil, fmt.Errorf("archive %s: %w", name, cloud.ErrNotFound)
	}
	return bytes.Clone(b), nil
}

// memoryTx writes into the tables at once and keeps what undoes it.
type memoryTx struct {
	m        *Memory
	readOnly bool
	undo     []func()
	failed   error // sticky: like a database, a failed write loses the transaction
}

func (t *memoryTx) rollback() {
	for _, f := range slices.Backward(t.undo) {
		f()
	}
}

func (t *memoryTx) write() error {
	if t.readOnly {
		return ErrReadOnly
	}
	return t.failed
}

func (t *memoryTx) AppendLog(e cloud.LogEntry) (uint64, error) {
	if err := t.write(); err != nil {
		return 0, err
	}
	m := t.m
	e.N, e.Body = uint64(len(m.log))+1, bytes.Clone(e.Body)
	m.log = append(m.log, e)
	t.undo = append(t.undo, func() { m.log = m.log[:len(m.log)-1] })
	return e.N, nil
}

func (t *memoryTx) ReadLog(after uint64, limit int) ([]cloud.LogEntry, error) {
	rest := t.m.log[min(after, uint64(len(t.m.log))):]
	rest = slices.Clone(rest[:min(limit, len(rest))])
	for i := range rest {
		rest[i].Body = bytes.Clone(rest[i].Body)
	}
	return rest, nil
}

func (t *memoryTx) table(k cloud.Kind) (*table, error) {
	tab, ok := t.m.tables[k]
	if !ok {
		return nil, fmt.Errorf("kind of document %q: %w", k, cloud.ErrInvalid)
	}
	return tab, nil
}

func (t *memoryTx) Add(d cloud.Doc) (uint64, error) {
	if err := t.write(); err != nil {
		return 0, err
	}
	if tab, err := t.table(d.Kind); err != nil {
		return 0, err
	} else if _, had := tab.docs[d.Key]; had {
		t.failed = fmt.Errorf("put %s %q: %w", d.Kind, d.Key, cloud.ErrExists)
		return 0, t.failed
	}
	return t.Put(d)
}

func (t *memoryTx) Put(d cloud.Doc) (uint64, error) {
	if err := t.write(); err != nil {
		return 0, err
	}
	tab, err := t.table(d.Kind)
	if err != nil {
		return 0, err
	}
	if err := checkFields(d); err != nil {
		return 0, err
	}
	d.Fields, d.Body = maps.Clone(d.Fields), bytes.Clone(d.Body)
	old, had := tab.docs[d.Key]
	last := tab.last
	if had {
		d.N = old.N
		tab.remove(old)
	} else {
		d.N = last + 1
	}
	tab.insert(d)
	t.undo = append(t.undo, func() {
		tab.remove(d)
		if had {
			tab.insert(old)
		}
		tab.last = last
	})
	return d.N, nil
}

func (tab *table) insert(d cloud.Doc) {
	tab.docs[d.Key], tab.order[d.N] = d, d.Key
	tab.last = max(tab.last, d.N)
	for f, v := range d.Fields {
		key := f + "=" + v
		if tab.index[key] == nil {
			tab.index[key] = map[uint64]struct{}{}
		}
		tab.index[key][d.N] = struct{}{}
	}
}

func (tab *table) remove(d cloud.Doc) {
	delete(tab.docs, d.Key)
	delete(tab.order, d.N)
	for f, v := range d.Fields {
		delete(tab.index[f+"="+v], d.N)
	}
	if d.N == tab.last {
		for tab.last > 0 && tab.order[tab.last] == "" {
			tab.last--
		}
	}
}

func (t *memoryTx) Get(k cloud.Kind, key string) (cloud.Doc, error) {
	tab, err := t.table(k)
	if err != nil {
		return cloud.Doc{}, err
	}
	d, ok := tab.docs[key]
	if !ok {
		return cloud.Doc{}, fmt.Errorf("%s %q: %w", k, key, cloud.ErrNotFound)
	}
	return clone(d), nil
}

func clone(d cloud.Doc) cloud.Doc {
	d.Fields, d.Body = maps.Clone(d.Fields), bytes.Clone(d.Body)
	return d
}

// matching returns the numbers of the documents whose fields equal where, in
// ascending order.
func (tab *table) matching(k cloud.Kind, where cloud.Fields) ([]uint64, error) {
	if err := checkWhere(k, where); err != nil {
		return nil, err
	}
	var some map[uint64]struct{}
	for f, v := range where { // the smallest index decides what is looked at
		if ix := tab.index[f+"="+v]; some == nil || len(ix) < len(some) {
			if some = ix; len(ix) == 0 {
				return nil, nil
			}
		}
	}
	if len(where) == 0 {
		return slices.Sorted(maps.Keys(tab.order)), nil
	}
	var out []uint64
	for n := range some {
		if equal(tab.docs[tab.order[n]].Fields, where) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func equal(have, where cloud.Fields) bool {
	for f, v := range where {
		if have[f] != v {
			return false
		}
	}
	return true
}

func (t *memoryTx) List(k cloud.Kind, q cloud.Query) ([]cloud.Doc, error) {
	tab, err := t.table(k)
	if err != nil {
		return nil, err
	}
	ns, err := tab.matching(k, q.Where)
	if err != nil {
		return nil, err
	}
	if !q.Oldest {
		slices.Reverse(ns)
	}
	var out []cloud.Doc
	for _, n := range ns {
		if q.Cursor != 0 && (q.Oldest && n <= q.Cursor || !q.Oldest && n >= q.Cursor) {
			continue
		}
		if q.Limit > 0 && len(out) == q.Limit {
			break
		}
		out = append(out, clone(tab.docs[tab.order[n]]))
	}
	return out, nil
}

func (t *memoryTx) Beside(k cloud.Kind, where cloud.Fields, field, value string) (before, after *cloud.Doc, err error) {
	tab, err := t.table(k)
	if err != nil {
		return nil, nil, err
	}
	if err := checkWhere(k, cloud.Fields{field: value}); err != nil {
		return nil, nil, err
	}
	ns, err := tab.matching(k, where)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range ns {
		d := tab.docs[tab.order[n]]
		switch v := d.Fields[field]; {
		case v < value && (before == nil || v > before.Fields[field]):
			before = &d
		case v > value && (after == nil || v < after.Fields[field]):
			after = &d
		}
	}
	for _, d := range []*cloud.Doc{before, after} {
		if d != nil {
			*d = clone(*d)
		}
	}
	return before, after, nil
}

func (t *memoryTx) Count(k cloud.Kind, where cloud.Fields) (int, error) {
	tab, err := t.table(k)
	if err != nil {
		return 0, err
	}
	ns, err := tab.matching(k, where)
	return len(ns), err
}

func (t *memoryTx) Delete(k cloud.Kind, key string) error {
	if err := t.write(); err != nil {
		return err
	}
	tab, err := t.table(k)
	if err != nil {
		return err
	}
	old, ok := tab.docs[key]
	if !ok {
		return nil
	}
	last := tab.last
	tab.remove(old)
	t.undo = append(t.undo, func() { tab.insert(old); tab.last = last })
	return nil
}

func (t *memoryTx) Clear(k cloud.Kind) error {
	if err := t.write(); err != nil {
		return err
	}
	tab, err := t.table(k)
	if err != nil {
		return err
	}
	old := *tab
	*tab = *newTable()
	t.undo = append(t.undo, func() { *tab = old })
	return nil
}

func (t *memoryTx) AddRecords(stream uint64, rows []cloud.Row) error {
	if err := t.write(); err != nil {
		return err
	}
	m := t.m
	have := m.streams[stream]
	for i, r := range rows {
		if r.Seq > math.MaxInt64 {
			return fmt.Errorf("record %d of stream %d: sequence out of range: %w", r.Seq, stream, cloud.ErrInvalid)
		}
		// Consecutive by contract, and so is what is there: the position is free when
		// it is the next.
		if want := nextSeq(have); r.Seq != want && len(have) > 0 {
			t.failed = fmt.Errorf("record %d of stream %d, next is %d: %w", r.Seq, stream, want, cloud.ErrExists)
			return t.failed
		}
		r.Stream, r.Body = stream, bytes.Clone(r.Body)
		have = append(have, r)
		if !r.Session.IsZero() {
			m.bySess[r.Session] = append(m.bySess[r.Session], rowID{stream, len(have) - 1})
			rows := rows[i]
			t.undo = append(t.undo, func() {
				m.bySess[rows.Session] = m.bySess[rows.Session][:len(m.bySess[rows.Session])-1]
			})
		}
	}
	old := m.streams[stream]
	m.streams[stream] = have
	t.undo = append(t.undo, func() { m.streams[stream] = old })
	return nil
}

func nextSeq(rows []cloud.Row) holdfast.Seq {
	if len(rows) == 0 {
		return 0
	}
	return rows[len(rows)-1].Seq + 1
}

// span returns the rows of a stream in [from, to).
func (m *Memory) span(stream uint64, from, to holdfast.Seq) []cloud.Row {
	rows := m.streams[stream]
	bySeq := func(r cloud.Row, s holdfast.Seq) int { return cmp.Compare(r.Seq, s) }
	lo, _ := slices.BinarySearchFunc(rows, from, bySeq)
	hi, _ := slices.BinarySearchFunc(rows, to, bySeq)
	if hi < lo {
		return nil
	}
	return rows[lo:hi]
}

func (t *memoryTx) Leaves(stream uint64, from, to holdfast.Seq, fn func(holdfast.Seq, holdfast.Hash) error) error {
	for _, r := range t.m.span(stream, from, to) {
		if err := fn(r.Seq, r.Leaf); err != nil {
			return err
		}
	}
	return nil
}

func (t *memoryTx) Touched(stream uint64, from, to holdfast.Seq) ([]holdfast.SessionID, error) {
	var out []holdfast.SessionID
	seen := map[holdfast.SessionID]bool{}
	for _, r := range t.m.span(stream, from, to) {
		if !r.Session.IsZero() && !seen[r.Session] {
			seen[r.Session] = true
			out = append(out, r.Session)
		}
	}
	return out, nil
}

func (t *memoryTx) SessionRecords(s holdfast.SessionID) ([]cloud.Row, error) {
	ids := slices.Clone(t.m.bySess[s])
	slices.SortFunc(ids, func(a, b rowID) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.index, b.index))
	})
	out := make([]cloud.Row, 0, len(ids))
	for _, id := range ids {
		r := t.m.streams[id.stream][id.index]
		r.Body = bytes.Clone(r.Body)
		out = append(out, r)
	}
	return out, nil
}

func (t *memoryTx) ClearRecords() error {
	if err := t.write(); err != nil {
		return err
	}
	m := t.m
	streams, bySess := m.streams, m.bySess
	m.streams, m.bySess = map[uint64][]cloud.Row{}, map[holdfast.SessionID][]rowID{}
	t.undo = append(t.undo, func() { m.streams, m.bySess = streams, bySess })
	return nil
}
