package gateway

import (
	"bytes"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A book is the tokens of the site's list in clear, by their hashes: what
// chargers compare with. It is never in a record. The shell keeps a sealed copy
// on the disk, which may be deleted: the cloud has another.
type book struct {
	tokens     map[holdfast.TokenHash]uplink.BookToken
	version    uint64 // of the list that the tokens were given for; 0: none yet
	list       uint64 // version of the installed list that they were compared with last
	generation uint64 // rises with each change of tokens
	loaded     bool   // the copy on the disk was asked for
	asking     bool
	tries      int
	due        int64 // mono ms of the next question
	since      int64 // mono ms + 1 when the present list was first seen without its book
}

// bookTick asks for the book of the installed list: first from the disk, then
// from the cloud.
func (g *Gateway) bookTick() {
	b, version := &g.natives.book, g.state.Access.ListVersion()
	if version == 0 || !g.cfg.nativeWanted() {
		return
	}
	if b.list != version {
		b.list, b.since, b.tries, b.due = version, g.now.Mono+1, 0, 0
		g.bookFilter()
	}
	if b.asking || b.version == version || g.now.Mono < b.due {
		return
	}
	switch {
	case !b.loaded:
		b.loaded, b.asking = true, true
		g.ready.Book = &BookRequest{Stored: true}
	case g.line.Reachable():
		b.asking = true
		g.ready.Book = &BookRequest{Version: version}
	}
}

// bookHere reports whether there are tokens to make a list for chargers from.
// Those of a new list are waited for a moment; later an older book will do,
// since it holds only what the new list still has.
func (g *Gateway) bookHere() bool {
	b, version := &g.natives.book, g.state.Access.ListVersion()
	return version != 0 && (b.version == version || b.version != 0 && !g.bookComing())
}

// bookComing reports whether the book of the installed list may come any moment.
func (g *Gateway) bookComing() bool {
	b, version := &g.natives.book, g.state.Access.ListVersion()
	return version != 0 && b.version != version && (b.list != version || g.now.Mono-b.since < BookWaitMillis)
}

// took takes a book. A token counts only when its hash is on the installed
// list, which is signed.
func (g *Gateway) took(in Book) {
	b := &g.natives.book
	b.asking = false
	if in.Err != "" || len(in.Tokens) > access.MaxEntries {
		if !in.Stored {
			b.due = g.now.Mono + min(int64(BookRetryMillis)<<min(b.tries, 20), BookRetryMaxMillis)
			b.tries++
		}
		return
	}
	b.version, b.tokens, b.tries = in.Version, map[holdfast.TokenHash]uplink.BookToken{}, 0
	for _, t := range in.Tokens {
		b.tokens[g.hash(t.Token())] = t
	}
	b.generation++
	if dropped := g.bookFilter(); !dropped && !in.Stored {
		g.keepBook()
	}
}

// bookFilter drops the tokens that are not on the installed list any more, from
// memory and from the disk, and reports whether there were any. The disk loses
// them at once, with or without a link.
func (g *Gateway) bookFilter() bool {
	b, before := &g.natives.book, len(g.natives.book.tokens)
	for hash := range b.tokens {
		e, listed := g.state.Access.Entry(hash)
		if !listed || e.Valid && e.Whitelist == access.Never {
			delete(b.tokens, hash)
		}
	}
	if len(b.tokens) == before {
		return false
	}
	b.generation++
	g.keepBook()
	return true
}

// keepBook has the book written down.
func (g *Gateway) keepBook() {
	b := &g.natives.book
	k := &KeepBook{Version: b.version, Tokens: []uplink.BookToken{}}
	hashes := make([]holdfast.TokenHash, 0, len(b.tokens))
	for hash := range b.tokens {
		hashes = append(hashes, hash)
	}
	slices.SortFunc(hashes, func(x, y holdfast.TokenHash) int { return bytes.Compare(x[:], y[:]) })
	for _, hash := range hashes {
		k.Tokens = append(k.Tokens, b.tokens[hash])
	}
	g.ready.KeepBook = k
}
