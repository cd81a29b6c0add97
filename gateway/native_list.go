package gateway

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// A nativeList is what is known of one charger's local list.
type nativeList struct {
	holds    *nativeContent // what the charger holds; nil: not known
	want     *nativeContent // what is being sent
	pieces   []ocpp.SendList
	full     bool
	sent     int   // entries that the charger has taken of this update
	version  int32 // of the last piece that it took
	capacity int   // entries that it has shown to take at most; 0 not known
	piece    int   // entries of one message, at most: more were refused; 0 not known
	refused  int   // versions refused in a row
	tries    int   // failures in a row
	retry    int64 // mono ms before which it is left alone
	at       int64 // mono ms + 1 of the last update
	none     int64 // mono ms + 1 when it said that it has no list; 0 it did not
	clear    bool  // its cache must be cleared: somebody may be remembered who has lost the right
}

// fail counts a failure and says when to try again. What the charger holds is
// not known after it.
func (l *nativeList) fail(now int64) {
	l.retry = now + min(int64(NativeRetryMillis)<<min(l.tries, 20), NativeRetryMaxMillis)
	l.tries++
	l.pieces, l.holds = nil, nil
}

// nativeContent is a list as a charger shall hold it, the most useful entries
// first. It is shared and never changed.
type nativeContent struct {
	entries []nativeEntry
	left    int // usable entries that found no room
	hash    holdfast.Hash
	site    uint64 // version of the site's list
	stage   access.Stage
}

type nativeEntry struct {
	hash  holdfast.TokenHash
	entry ocpp.ListEntry
}

// A contentKey is everything that a list for a charger depends on.
type contentKey struct {
	access access.LocalKey
	book   uint64 // generation
	v16    bool   // shorter tokens
	most   int    // entries
}

// content returns the list for a charger.
func (g *Gateway) content(c *conn, n *native, w NativeConfig) *nativeContent {
	if at := g.state.Access.TimeAt(g.now); g.natives.until != 0 && at >= g.natives.until {
		g.natives.built, g.natives.until = nil, 0
	}
	key := contentKey{g.state.Access.LocalKey(g.now), g.natives.book.generation, c.dialect.Version() == ocpp.V16, n.most(w)}
	if have := g.natives.built[key]; have != nil {
		return have
	}
	for old := range g.natives.built {
		if old.access != key.access || old.book != key.book {
			delete(g.natives.built, old)
		}
	}
	if g.natives.built == nil {
		g.natives.built = map[contentKey]*nativeContent{}
	}
	built := g.build(key)
	g.natives.built[key] = built
	return built
}

// most is how many entries the charger's list may have.
func (n *native) most(w NativeConfig) int {
	most := NativeListUnknown
	if max16, err := strconv.Atoi(n.have[keyListMax16]); err == nil && max16 >= 0 {
		most = max16
	}
	if w.ListMax > 0 {
		most = w.ListMax
	}
	if n.list.capacity > 0 {
		most = min(most, n.list.capacity)
	}
	return min(most, access.MaxEntries)
}

// build makes a list: ALWAYS first, then drivers that this site has seen lately,
// then the rest by rank. What has no value in the book, or does not fit the
// dialect, is left out and counted; revoked tokens only fill the room that is
// left, since a charger refuses what it does not know.
func (g *Gateway) build(key contentKey) *nativeContent {
	locals, next := g.state.Access.Locals(g.now)
	if next != 0 && (g.natives.until == 0 || next < g.natives.until) {
		g.natives.until = next
	}
	seen := map[holdfast.TokenHash]bool{}
	for _, ses := range g.state.Sessions {
		seen[ses.Token()] = true
	}
	class := func(l access.Local) int {
		switch {
		case l.Rank == access.LocalAlways:
			return 0
		case l.Rank != access.LocalBlocked && seen[l.Token]:
			return 1
		}
		return 1 + int(l.Rank)
	}
	slices.SortStableFunc(locals, func(a, b access.Local) int { return cmp.Compare(class(a), class(b)) })
	out := &nativeContent{site: key.access.Version, stage: key.access.Stage}
	for _, l := range locals {
		t, known := g.natives.book.tokens[l.Token]
		fits := known && len(out.entries) < key.most && (!key.v16 || utf8.RuneCountInString(t.Value) <= maxIDTag)
		switch {
		case fits:
			out.entries = append(out.entries, nativeEntry{l.Token, listEntry(l, t.Token())})
		case l.Rank != access.LocalBlocked:
			out.left++
		}
	}
	out.hash = out.digest()
	return out
}

// maxIDTag is the length of a token in OCPP 1.6, in characters.
const maxIDTag = 20

func listEntry(l access.Local, t holdfast.Token) ocpp.ListEntry {
	if t.Type == "" {
		t.Type = guessType(t.Value)
	}
	if l.Rank == access.LocalBlocked {
		return ocpp.ListEntry{Token: t, Status: ocpp.AuthBlocked}
	}
	return ocpp.ListEntry{Token: t, Status: ocpp.AuthAccepted, Expires: l.Expires, Group: l.Group}
}

// guessType is the type that a reader would most likely report with a value: a
// charger of OCPP 2.x may compare it. UIDs of cards have 4, 7 or 10 bytes (ISO
// 14443) or 8 (ISO 15693).
func guessType(value string) string {
	hex := strings.Trim(value, "0123456789abcdefABCDEF") == ""
	switch n := len(value); {
	case hex && (n == 8 || n == 14 || n == 20):
		return "ISO14443"
	case hex && n == 16:
		return "ISO15693"
	}
	return "Central"
}

// digest is the hash of the content in an order of its own: tokens by their
// hashes, never by their values.
func (c *nativeContent) digest() holdfast.Hash {
	sorted := slices.SortedFunc(slices.Values(c.entries), func(a, b nativeEntry) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	h := sha256.New()
	h.Write([]byte("holdfast/charger-list/v1\x00"))
	for _, e := range sorted {
		h.Write(e.hash[:])
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(e.entry.Expires)))
		h.Write([]byte(string(e.entry.Status) + "\x00" + e.entry.Group + "\x00"))
	}
	return holdfast.Hash(h.Sum(nil))
}

// first returns the list cut after its first n entries.
func (c *nativeContent) first(n int) *nativeContent {
	cut := *c
	cut.entries, cut.left = c.entries[:n], c.left
	for _, e := range c.entries[n:] {
		if e.entry.Status == ocpp.AuthAccepted {
			cut.left++
		}
	}
	cut.hash = cut.digest()
	return &cut
}

// since returns the changes that lead from an older list to c, removals first:
// they make room and take rights away. loses says that somebody has lost a
// right.
func (c *nativeContent) since(old *nativeContent) (changes []ocpp.ListEntry, loses bool) {
	was, is := map[holdfast.TokenHash]ocpp.ListEntry{}, map[holdfast.TokenHash]bool{}
	for _, e := range old.entries {
		was[e.hash] = e.entry
	}
	for _, e := range c.entries {
		is[e.hash] = true
	}
	for _, e := range old.entries {
		if !is[e.hash] {
			changes = append(changes, ocpp.ListEntry{Token: e.entry.Token, Remove: true})
			loses = loses || e.entry.Status == ocpp.AuthAccepted
		}
	}
	for _, e := range c.entries {
		before, had := was[e.hash]
		if !had || before != e.entry {
			changes = append(changes, e.entry)
		}
		loses = loses || had && before.Status == ocpp.AuthAccepted && e.entry.Status != ocpp.AuthAccepted
	}
	return changes, loses
}

// listDue reports whether a charger that rests should hear of its list.
func (g *Gateway) listDue(c *conn, n *native, w NativeConfig) bool {
	l := &n.list
	if w.Mode != NativeKeep || g.now.Mono < l.retry || l.at != 0 && g.now.Mono-l.at < NativeListMillis || !g.bookHere() {
		return false
	}
	known := g.state.Chargers[c.charger].native().List
	if known != nil && known.Outcome == record.ListUnsupported {
		return known.Site != g.state.Access.ListVersion() && n.caches()
	}
	want := g.content(c, n, w)
	return l.holds == nil || l.holds.hash != want.hash
}

// caches reports whether the charger remembers verdicts.
func (n *native) caches() bool {
	return strings.EqualFold(n.have[keyCache16], "true") || strings.EqualFold(n.have[keyCache2], "true")
}

// listAsk asks a charger for the version of its list. Without an access list, or
// without its tokens, there is nothing to compare with, and what the charger
// holds stays as it is: an empty list would lock everybody out.
func (g *Gateway) listAsk(c *conn, n *native, w NativeConfig) bool {
	known := g.state.Chargers[c.charger].native().List
	switch {
	case w.Mode != NativeKeep, g.now.Mono < n.list.retry:
		g.nativeDone(c, n)
		return false
	case !g.bookHere():
		if n.due = g.now.Mono + BookWaitMillis/10; !g.bookComing() {
			g.nativeDone(c, n)
		}
		return false
	case strings.EqualFold(n.have[keyAvailable2], "false"):
		g.listUnsupported(c, n, "LocalAuthListCtrlr.Available is false")
		return false
	case n.list.none != 0 && g.now.Mono-n.list.none < NativeEveryMillis:
		g.listUnsupported(c, n, known.Detail)
		return false
	}
	return g.nativeCall(c, ocpp.GetListVersion{})
}

// listVersion compares what the charger holds with what it should hold.
func (g *Gateway) listVersion(c *conn, n *native, out ocpp.Outcome) {
	w, l := g.cfg.native(c.charger), &n.list
	if out.Number < 0 || unsupported(out.Status) {
		l.none = g.now.Mono + 1
		g.listUnsupported(c, n, out.Status)
		return
	}
	if !out.Accepted {
		g.listFailed(c, n, "GetLocalListVersion: "+out.Status)
		return
	}
	want, known := g.content(c, n, w), g.state.Chargers[c.charger].native().List
	same := known != nil && known.Outcome != record.ListFailed && int(known.Version) == out.Number
	if !same {
		l.holds = nil
	}
	if same && known.Hash == want.hash {
		// It is what we sent last, to its last piece: pieces go one after the other.
		l.want, l.holds = want, want
		if known.Outcome == record.ListSending {
			l.full = known.Full
			g.listRecord(c, n, record.ListInstalled, known.Version, "")
		}
		g.listDone(c, n)
		return
	}
	g.listBegin(c, n, want, out.Number)
}

// listBegin cuts an update into pieces and takes their versions for good before
// the first is sent: a version is never used for two contents.
func (g *Gateway) listBegin(c *conn, n *native, want *nativeContent, theirs int) {
	l, known := &n.list, g.state.Chargers[c.charger].native().List
	next := theirs
	if known != nil {
		next = max(next, int(known.Taken))
	}
	next++
	changes, loses := []ocpp.ListEntry(nil), true
	l.want, l.full, l.sent = want, l.holds == nil || next > math.MaxInt32-access.MaxEntries, 0
	if !l.full {
		changes, loses = want.since(l.holds)
		l.full = len(changes) > len(want.entries)
	}
	if l.full {
		changes = nil
		for _, e := range want.entries {
			changes = append(changes, e.entry)
		}
	}
	if next > math.MaxInt32-access.MaxEntries {
		next = 1 // after two thousand million updates; a full list may go back
	}
	l.clear = l.clear || loses && n.caches()
	l.pieces = nil
	for piece := range slices.Chunk(changes, n.chunk()) {
		l.pieces = append(l.pieces, ocpp.SendList{Version: next, Full: l.full && len(l.pieces) == 0, Entries: piece})
		next++
	}
	if len(l.pieces) == 0 { // an empty list
		l.pieces = []ocpp.SendList{{Version: next, Full: true}}
		l.full = true
	}
	last := l.pieces[len(l.pieces)-1].Version
	g.listRecord(c, n, record.ListSending, int32(last), "")
	n.step = nativeSend
}

// chunk is how many entries one message may have.
func (n *native) chunk() int {
	most := NativeChunkUnknown
	for _, key := range []string{keyChunk16, keyChunk2} {
		if v, err := strconv.Atoi(n.have[key]); err == nil && v > 0 {
			most = min(v, NativeChunkMax)
		}
	}
	if v, err := strconv.Atoi(n.have[keyChunkBytes2]); err == nil && v > 0 {
		most = min(most, v/NativeEntryBytes)
	}
	if n.list.piece > 0 {
		most = min(most, n.list.piece)
	}
	return max(most, 1)
}

// listSent takes the answer to a piece (1.6 section 5.15, 2.0.1 D01).
func (g *Gateway) listSent(c *conn, n *native, out ocpp.Outcome) {
	l := &n.list
	switch {
	case out.Accepted:
		l.sent += len(l.pieces[0].Entries)
		l.version = int32(l.pieces[0].Version)
		if l.pieces = l.pieces[1:]; len(l.pieces) > 0 {
			return
		}
		l.holds = l.want
		g.listRecord(c, n, record.ListInstalled, l.version, "")
		g.listDone(c, n)
	case unsupported(out.Status):
		l.none = g.now.Mono + 1
		g.listUnsupported(c, n, out.Status)
	case out.Status == "VersionMismatch" && l.refused < NativeMismatchMax:
		// Somebody else writes this list as well, or the charger lost it: all of it,
		// above the version that the charger names.
		l.refused++
		l.holds, l.pieces, n.step = nil, nil, nativeAsk
	case l.full && l.sent > 0 && out.Status != "Timeout" && out.Status != "VersionMismatch":
		// It took a part and no more: its list is full. The most useful went first.
		l.capacity = l.sent
		l.want = l.want.first(l.sent)
		l.holds = l.want
		g.listRecord(c, n, record.ListPartial, l.version, clip(out.Status))
		g.listDone(c, n)
	default:
		if size := len(l.pieces[0].Entries); size > 1 && out.Status != "Timeout" {
			l.piece = size / 2 // it may be the length of the message that it cannot take
		}
		g.listFailed(c, n, out.Status)
	}
}

// unsupported reports whether an answer says that there are no lists here.
func unsupported(status string) bool {
	switch status {
	case "NotSupported", "Unsupported", "Error:NotSupported", "Error:NotImplemented":
		return true
	}
	return false
}

// listDone ends the list's part of a round. A cache that may remember somebody
// who has lost the right is cleared last.
func (g *Gateway) listDone(c *conn, n *native) {
	l := &n.list
	l.pieces, l.refused, l.tries, l.retry, l.at = nil, 0, 0, 0, g.now.Mono+1
	if n.set = n.differing(c.dialect.Version(), g.wanted(c.charger)); len(n.set) > 0 {
		n.step = nativeSet // what only the list allows: the cache can go
		return
	}
	if l.clear {
		n.step = nativeClear
		return
	}
	g.nativeDone(c, n)
}

// listUnsupported notes that a charger has no list. It can only forget what it
// remembers when a right was lost.
func (g *Gateway) listUnsupported(c *conn, n *native, why string) {
	l, known := &n.list, g.state.Chargers[c.charger].native().List
	l.holds, l.want = nil, nil
	l.clear = l.clear || n.caches() && known != nil && known.Site != g.state.Access.ListVersion()
	g.listRecord(c, n, record.ListUnsupported, 0, why)
	g.listDone(c, n)
}

// listFailed notes that an update did not work; all of the list goes again
// later. What the charger says in its own words is not kept: it may name a token.
func (g *Gateway) listFailed(c *conn, n *native, why string) {
	n.list.fail(g.now.Mono)
	n.list.refused = 0
	g.listRecord(c, n, record.ListFailed, 0, clip(why))
	g.nativeDone(c, n)
}

// listRecord writes what is known of a charger's list, unless the last record
// says so already.
func (g *Gateway) listRecord(c *conn, n *native, outcome record.ListOutcome, version int32, detail string) {
	l, known := &n.list, g.state.Chargers[c.charger].native().List
	b := &record.ChargerList{Outcome: outcome, Version: version, Taken: version, Full: l.full, Capacity: l.capacity, Site: g.state.Access.ListVersion(), Detail: detail}
	if known != nil {
		b.Taken = known.Taken
		if outcome == record.ListSending {
			b.Taken = version
		}
	}
	if l.want != nil {
		b.Count, b.LeftOut, b.Hash, b.Site, b.Stage = len(l.want.entries), l.want.left, l.want.hash, l.want.site, string(l.want.stage)
	}
	if outcome == record.ListFailed || outcome == record.ListUnsupported {
		b.Count, b.Full, b.Hash = 0, false, holdfast.Hash{}
	}
	if known == nil || *known != *b {
		g.emit(record.Record{Charger: c.charger, Body: b})
	}
}
