package gateway

import (
	"cmp"
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// An index answers what is asked of the state at every message without going
// through all of it. It holds nothing of its own: it is built from the state
// when it is first needed, and kept by [State.Apply]. It is no part of the
// snapshot. Whatever comes out of it has an order that does not depend on maps.
type index struct {
	running  []*Session                       // oldest first
	chargers map[holdfast.ChargerID]*shelf    // of each charger that has sessions
	tx       map[string][]*Session            // by OCPP 1.6 transaction id, oldest first
	live     map[holdfast.TokenHash]int64     // running sessions of a token
	tariffs  map[holdfast.Hash]int            // sessions that were opened under a tariff
	waiting  map[holdfast.TokenHash]decisions // pending decisions
}

// A shelf holds a charger's sessions, oldest first.
type shelf struct {
	all, running []*Session
}

// decisions are pending ones, oldest first.
type decisions []*Decision

// facts are what the index knows a session by, beyond what never changes.
type facts struct {
	running bool
	token   holdfast.TokenHash
	tx      string
	tariff  holdfast.Hash
}

func factsOf(ses *Session) (f facts) {
	f.running, f.token, f.tx = ses.Running(), ses.Token(), ses.Labels[LabelOCPP16]
	if ses.Opened != nil && ses.Opened.Tariff != nil {
		f.tariff = ses.Opened.Tariff.Hash
	}
	return f
}

// ix returns the index of s.
func (s *State) ix() *index {
	if s.index == nil {
		s.index = buildIndex(s)
	}
	return s.index
}

func buildIndex(s *State) *index {
	x := &index{
		chargers: map[holdfast.ChargerID]*shelf{}, tx: map[string][]*Session{}, live: map[holdfast.TokenHash]int64{},
		tariffs: map[holdfast.Hash]int{}, waiting: map[holdfast.TokenHash]decisions{},
	}
	for _, ses := range s.Sessions {
		x.add(ses)
	}
	for _, d := range s.Pending {
		x.pend(d)
	}
	return x
}

// add and remove take a session in and out.
func (x *index) add(ses *Session) {
	sh := x.chargers[ses.Charger]
	if sh == nil {
		sh = &shelf{}
		x.chargers[ses.Charger] = sh
	}
	sh.all = insert(sh.all, ses)
	x.enter(ses, factsOf(ses))
}

func (x *index) remove(ses *Session) {
	x.leave(ses, factsOf(ses))
	sh := x.chargers[ses.Charger]
	if sh.all = without(sh.all, ses); len(sh.all) == 0 {
		delete(x.chargers, ses.Charger)
	}
}

// changed follows a session that was known by was and has been changed.
func (x *index) changed(ses *Session, was facts) {
	if now := factsOf(ses); now != was {
		x.leave(ses, was)
		x.enter(ses, now)
	}
}

func (x *index) enter(ses *Session, f facts) {
	if f.running {
		sh := x.chargers[ses.Charger]
		x.running, sh.running = insert(x.running, ses), insert(sh.running, ses)
		count(x.live, f.token, 1)
	}
	if f.tx != "" {
		x.tx[f.tx] = insert(x.tx[f.tx], ses)
	}
	if !f.tariff.IsZero() {
		count(x.tariffs, f.tariff, 1)
	}
}

func (x *index) leave(ses *Session, f facts) {
	if f.running {
		sh := x.chargers[ses.Charger]
		x.running, sh.running = without(x.running, ses), without(sh.running, ses)
		count(x.live, f.token, -1)
	}
	if f.tx != "" {
		if x.tx[f.tx] = without(x.tx[f.tx], ses); len(x.tx[f.tx]) == 0 {
			delete(x.tx, f.tx)
		}
	}
	if !f.tariff.IsZero() {
		count(x.tariffs, f.tariff, -1)
	}
}

// count changes a counter that is not there while it is zero.
func count[K comparable, N int | int64](m map[K]N, k K, by N) {
	if m[k] += by; m[k] == 0 {
		delete(m, k)
	}
}

// insert keeps list in order. A session that has just begun goes to the end.
func insert(list []*Session, ses *Session) []*Session {
	i, _ := slices.BinarySearchFunc(list, ses, cmpSessions)
	return slices.Insert(list, i, ses)
}

func without(list []*Session, ses *Session) []*Session {
	i, found := slices.BinarySearchFunc(list, ses, cmpSessions)
	if !found {
		return list
	}
	return slices.Delete(list, i, i+1)
}

// pend takes a decision in, unpend out.
func (x *index) pend(d *Decision) {
	list := x.waiting[d.Body.Token]
	i, _ := slices.BinarySearchFunc(list, d, orderDecisions)
	x.waiting[d.Body.Token] = slices.Insert(list, i, d)
}

func (x *index) unpend(d *Decision) {
	list := x.waiting[d.Body.Token]
	if i, found := slices.BinarySearchFunc(list, d, orderDecisions); found {
		list = slices.Delete(list, i, i+1)
	}
	if x.waiting[d.Body.Token] = list; len(list) == 0 {
		delete(x.waiting, d.Body.Token)
	}
}

func orderDecisions(a, b *Decision) int { return cmp.Compare(a.Seq, b.Seq) }

// running returns a charger's running sessions, oldest first. The list is the
// caller's: it may end them while it goes through it.
func (s *State) running(id holdfast.ChargerID) []*Session {
	if sh := s.ix().chargers[id]; sh != nil {
		return slices.Clone(sh.running)
	}
	return nil
}

// of returns all of a charger's remembered sessions, oldest first. It must not
// be changed, nor kept while records are applied.
func (s *State) of(id holdfast.ChargerID) []*Session {
	if sh := s.ix().chargers[id]; sh != nil {
		return sh.all
	}
	return nil
}

// allRunning returns every running session, oldest first. The list is the
// caller's.
func (s *State) allRunning() []*Session { return slices.Clone(s.ix().running) }

func (s *State) runningCount() int { return len(s.ix().running) }

// live counts the running sessions of a token on the whole site.
func (s *State) live(token holdfast.TokenHash) int64 {
	if token.IsZero() {
		return 0
	}
	return s.ix().live[token]
}

// byTx returns the remembered sessions with an OCPP 1.6 transaction id, oldest
// first. It must not be changed.
func (s *State) byTx(label string) []*Session { return s.ix().tx[label] }

// waiting returns the pending decisions about a token, oldest first. It must not
// be changed, nor kept while records are applied.
func (s *State) waiting(token holdfast.TokenHash) []*Decision { return s.ix().waiting[token] }
