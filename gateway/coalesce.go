package gateway

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// A coalescer keeps anybody from filling the disk by knocking: the first of a
// kind is recorded at once, the rest of its minute becomes one record with a
// count.
type coalescer map[coalesceKey]*coalesced

type coalesceKey struct {
	charger holdfast.ChargerID
	kind    string
	token   holdfast.TokenHash
}

type coalesced struct {
	since int64 // mono ms of the last record
	count int   // since then
	last  record.Record
}

// once writes r unless a record of its key was written less than
// [CoalesceMillis] ago; then it is counted. It reports whether it was written.
func (g *Gateway) once(key coalesceKey, r record.Record) bool {
	c := g.coalesced[key]
	if c == nil {
		if len(g.coalesced) >= MaxCoalesced {
			// Too many distinct things at once: all the rest share one count.
			key = coalesceKey{kind: "overflow/" + string(r.Body.Type())}
			c = g.coalesced[key]
		}
		if c == nil {
			g.coalesced[key] = &coalesced{since: g.now.Mono}
			g.emit(withCount(r, 1))
			return true
		}
	}
	c.count++
	c.last = r
	return false
}

// flush writes what has been counted for a minute, and forgets what stopped.
func (g *Gateway) flush() {
	var due []coalesceKey
	for key, c := range g.coalesced {
		if g.now.Mono-c.since >= CoalesceMillis {
			due = append(due, key)
		}
	}
	slices.SortFunc(due, func(a, b coalesceKey) int {
		return cmp.Or(cmp.Compare(a.charger, b.charger), cmp.Compare(a.kind, b.kind), bytes.Compare(a.token[:], b.token[:]))
	})
	for _, key := range due {
		c := g.coalesced[key]
		if c.count == 0 {
			delete(g.coalesced, key)
			continue
		}
		g.emit(withCount(c.last, c.count))
		c.since, c.count = g.now.Mono, 0
	}
}

func withCount(r record.Record, n int) record.Record {
	switch b := r.Body.(type) {
	case *record.ChargerLink:
		b.Count = n
	case *record.SecurityEvent:
		b.Count = n
	case *record.AccessDecided:
		b.Count = n
	case *record.ChargerSecurity:
		b.Count = n
	case *record.ChargerFirmware:
		b.Count = n
	case *record.ChargerReserved:
		b.Count = n
	case *record.ClockDoubted:
		b.Count = n
	case *record.LinkRoute:
		b.Count = n
	}
	return r
}

// flap notes a charger's connection coming or going.
func (g *Gateway) flap(id holdfast.ChargerID, up bool, cause holdfast.Cause, detail string) {
	kind := "link/down"
	if up {
		kind = "link/up"
	}
	g.once(coalesceKey{charger: id, kind: kind}, record.Record{Charger: id, Body: &record.ChargerLink{Up: up, Cause: cause, Detail: detail}})
}

// security notes something that looks like an attack or a wrong wiring.
func (g *Gateway) security(id holdfast.ChargerID, kind, remote string) {
	g.counters.Security[kind]++
	g.once(coalesceKey{charger: id, kind: "security/" + kind}, record.Record{Charger: id, Body: &record.SecurityEvent{Kind: kind, Remote: remote}})
}

func (g *Gateway) refused(in Refused) {
	id := in.Charger
	if _, ours := g.cfg.Chargers[id]; !ours {
		id = "" // a made-up name per knock would make a record per knock
	}
	g.security(id, in.Kind, in.Remote)
}
