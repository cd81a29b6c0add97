package gateway

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// This file and its neighbours prepare chargers for a time without the gateway:
// they read the settings that decide how a charger copes alone, set what
// differs, and keep its local list in step with the site's access list. It is
// low-priority work: one message at a time, and only to a charger for which no
// other command waits.

// natives is what the core knows of that beside the durable state. It dies with
// the process; then chargers are asked again.
type natives struct {
	chargers map[holdfast.ChargerID]*native
	book     book
	built    map[contentKey]*nativeContent // lists for chargers, shared by those that get the same
	until    holdfast.UnixMilli            // when an entry in built expires; 0 never
}

// A native is one charger's round of preparation.
type native struct {
	version ocpp.Version // that it spoke last
	round   int          // counts rounds, from 1: an answer to an older one says nothing any more
	step    nativeStep
	due     int64 // mono ms of the next step
	checked int64 // mono ms + 1 of the last whole round
	asked   int   // of the rows, how many were asked for
	few     bool  // it takes one question at a time
	again   bool  // the settings are being read back after a change
	have    map[string]string
	set     []int             // rows still to set
	tried   map[string]bool   // set in this round, whatever came of it
	answers map[string]string // to tries that did not help, by key
	restart map[string]bool   // set, and in force after a restart
	list    nativeList
}

// A nativeStep is what is done next.
type nativeStep int

const (
	nativeRead  nativeStep = iota // ask for settings
	nativeSet                     // set one that differs
	nativeAsk                     // ask for the version of the list
	nativeSend                    // send a piece of the list
	nativeClear                   // clear the cache
	nativeRest
)

// nativeOf returns the round of a charger.
func (g *Gateway) nativeOf(id holdfast.ChargerID) *native {
	n := g.natives.chargers[id]
	if n == nil {
		n = &native{}
		if g.natives.chargers == nil {
			g.natives.chargers = map[holdfast.ChargerID]*native{}
		}
		g.natives.chargers[id] = n
		n.begin(0)
	}
	return n
}

// begin starts a round from its first step.
func (n *native) begin(due int64) {
	n.round++
	n.step, n.due, n.asked, n.again = nativeRead, due, 0, false
	n.have, n.tried, n.answers, n.restart, n.set = map[string]string{}, map[string]bool{}, map[string]string{}, map[string]bool{}, nil
	n.list.pieces = nil
}

// nativeConnected begins a round on a new connection. A charger that only lost
// its connection still has what it had; its list is compared all the same.
func (g *Gateway) nativeConnected(c *conn) {
	if g.cfg.native(c.charger).Mode == NativeOff {
		return
	}
	n, due := g.nativeOf(c.charger), g.now.Mono+NativeSettleMillis
	if n.version == c.dialect.Version() && n.checked != 0 && g.now.Mono-n.checked < NativeRecheckMillis {
		n.round++
		n.step, n.due, n.list.pieces = nativeAsk, due, nil
		return
	}
	n.version, n.checked = c.dialect.Version(), 0
	n.begin(due)
}

// nativeBooted begins a round: a restart may have changed anything. A charger
// that boots in circles is left to settle each time.
func (g *Gateway) nativeBooted(id holdfast.ChargerID) {
	if g.cfg.native(id).Mode != NativeOff {
		n := g.nativeOf(id)
		n.begin(g.now.Mono + NativeSettleMillis)
		n.list.none = 0
	}
}

// nativeTick takes the steps that are due, a few at a time. A charger for which
// a command waits is passed over: nothing here is worth keeping a stop or a
// limit waiting.
func (g *Gateway) nativeTick() {
	g.bookTick()
	left := NativeStepsPerTick
	for _, id := range slices.Sorted(maps.Keys(g.natives.chargers)) {
		c, n := g.chargers[id], g.natives.chargers[id]
		if c == nil || len(c.calls) > 0 || g.now.Mono < n.due {
			continue
		}
		if g.nativeStep(c, n) {
			if left--; left == 0 {
				return
			}
		}
	}
}

// nativeStep takes one step and reports whether it sent something.
func (g *Gateway) nativeStep(c *conn, n *native) bool {
	w := g.cfg.native(c.charger)
	switch n.step {
	case nativeRead:
		keys := n.keys(c.dialect.Version())
		if len(keys) == 0 {
			g.nativeWasRead(c, n, w)
			return false
		}
		return g.nativeCall(c, ocpp.GetConfig{Keys: keys})
	case nativeSet:
		if len(n.set) == 0 {
			// What the charger says it took is believed when it shows it.
			n.step, n.asked, n.again = nativeRead, 0, true
			return false
		}
		row := nativeRows(c.dialect.Version())[n.set[0]]
		return g.nativeCall(c, ocpp.SetConfig{Key: row.key, Value: row.want(n.have[row.key], g.wanted(c.charger))})
	case nativeAsk:
		return g.listAsk(c, n, w)
	case nativeSend:
		return g.nativeCall(c, n.list.pieces[0])
	case nativeClear:
		return g.nativeCall(c, ocpp.ClearCache{})
	}
	switch {
	case n.checked != 0 && g.now.Mono-n.checked >= NativeEveryMillis:
		n.begin(g.now.Mono)
	case g.listDue(c, n, w):
		n.step = nativeAsk
	}
	return false
}

func (g *Gateway) nativeCall(c *conn, cmd ocpp.Command) bool {
	return g.command(c, call{command: cmd, native: g.nativeOf(c.charger).round})
}

// keys returns the next settings to ask for.
func (n *native) keys(v ocpp.Version) (keys []string) {
	rows, most := nativeRows(v), NativeKeysPerCall
	if n.few {
		most = 1
	}
	for _, r := range rows[n.asked:min(n.asked+most, len(rows))] {
		keys = append(keys, r.key)
	}
	return keys
}

// nativeWasRead goes on when all settings have been read.
func (g *Gateway) nativeWasRead(c *conn, n *native, w NativeConfig) {
	if !n.again && w.Mode == NativeKeep {
		n.set = n.differing(c.dialect.Version(), g.wanted(c.charger))
	}
	if len(n.set) > 0 {
		n.step = nativeSet
		return
	}
	n.step, n.checked = nativeAsk, g.now.Mono+1
	if w.Mode == NativeWatch {
		g.nativeDone(c, n)
	}
}

// wanted is what is wanted of a charger now.
func (g *Gateway) wanted(id holdfast.ChargerID) wanted {
	l := g.state.Chargers[id].native().List
	return wanted{g.cfg.native(id), l != nil && (l.Outcome == record.ListInstalled || l.Outcome == record.ListPartial)}
}

// differing lists the rows that the charger has, that are not as wanted, and that
// were not tried in this round.
func (n *native) differing(v ocpp.Version, w wanted) (rows []int) {
	for i, r := range nativeRows(v) {
		have, known := n.have[r.key]
		if known && !n.tried[r.key] && r.want != nil && r.want(have, w) != have {
			rows = append(rows, i)
		}
	}
	return rows
}

// nativeAnswered takes a charger's answer to one of our questions. No answer is
// one as well: what it may have changed is not known any more, and the charger
// is left alone for a while.
func (g *Gateway) nativeAnswered(c *conn, k call, out ocpp.Outcome) {
	n := g.natives.chargers[c.charger]
	if n == nil || g.chargers[c.charger] != c || k.native != n.round {
		return // a newer connection or a boot has begun again
	}
	if out.Status == "Disconnected" {
		n.list.fail(g.now.Mono)
		return // the next connection begins again
	}
	if out.Status == "Timeout" {
		n.due = g.now.Mono + NativeRetryMillis
	}
	switch cmd := k.command.(type) {
	case ocpp.GetConfig:
		n.wasRead(cmd, out)
	case ocpp.SetConfig:
		n.wasSet(cmd, out)
	case ocpp.GetListVersion:
		g.listVersion(c, n, out)
	case ocpp.SendList:
		g.listSent(c, n, out)
	case ocpp.ClearCache:
		n.list.clear = false
		g.nativeDone(c, n)
	}
}

// wasRead notes settings under the names of the table, however the charger
// spells them: both versions compare them without case. A charger that answers
// many questions with an error is asked one by one.
func (n *native) wasRead(cmd ocpp.GetConfig, out ocpp.Outcome) {
	if strings.HasPrefix(out.Status, "Error:") && len(cmd.Keys) > 1 {
		n.few = true
		return
	}
	n.asked += len(cmd.Keys)
	for _, said := range slices.Sorted(maps.Keys(out.Values)) {
		for _, key := range cmd.Keys {
			if strings.EqualFold(key, said) {
				n.have[key] = out.Values[said]
			}
		}
	}
}

// wasSet notes the answer to a change of a setting; what it changed is read back.
func (n *native) wasSet(cmd ocpp.SetConfig, out ocpp.Outcome) {
	n.set, n.tried[cmd.Key] = n.set[1:], true
	switch {
	case out.Status == "RebootRequired":
		n.restart[cmd.Key] = true
	case !out.Accepted:
		n.answers[cmd.Key] = out.Status
	}
	if (cmd.Key == keyCache16 || cmd.Key == keyCache2) && strings.EqualFold(cmd.Value, "false") {
		n.list.clear = true // what it has remembered so far goes as well
	}
}

// nativeDone ends a round: the verdict is written when it says something new.
func (g *Gateway) nativeDone(c *conn, n *native) {
	n.step = nativeRest
	known := g.state.Chargers[c.charger].native()
	list := known.List
	if g.cfg.native(c.charger).Mode == NativeWatch {
		list = &record.ChargerList{Outcome: record.ListInstalled} // not our business, so nothing is missing
	}
	b := n.readiness(c.dialect.Version(), g.wanted(c.charger), list)
	if !reflect.DeepEqual(b, known.Readiness) {
		g.emit(record.Record{Charger: c.charger, Body: b})
	}
}
