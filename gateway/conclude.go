package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// Bounds of an answer that comes in parts.
const (
	MaxCollecting     = 64          // answers under way at once; more are refused
	CollectMillis     = 120_000     // without a further part for this long it is taken as it is
	maxCollectedBytes = 1 << 20 / 2 // of the parts of one answer, before they are cut to MaxValuesBytes
)

// A collection gathers an answer that comes in parts after the CALLRESULT
// (NotifyReport, ReportChargingProfiles). It dies with the process: the directive
// is then unknown, as any whose answer did not come.
type collection struct {
	conn      ConnID
	request   int
	directive string
	values    map[string]string
	bodies    []json.RawMessage
	bytes     int
	last      int64 // mono ms of the last part
}

// conclude writes the outcome of a directive's command.
func (g *Gateway) conclude(c *conn, k call, out ocpp.Outcome, detail string) {
	if out.Accepted && g.collect(c, k) {
		return // the answer proper comes in parts
	}
	outcome := "refused"
	if out.Accepted {
		outcome = "done"
	}
	if out.Status == "Timeout" || out.Status == "Disconnected" {
		outcome = "unknown" // it may have been carried out: never sent again
	}
	if n := requestOf(k.command); n != 0 {
		detail = strings.TrimSpace(fmt.Sprintf("request %d %s", n, detail))
	}
	done := &record.DirectiveDone{ID: k.directive, Outcome: outcome}
	switch {
	case out.Values != nil:
		done.Result, detail = valuesJSON(out.Values, detail)
	case out.Body != nil:
		done.Result, detail = g.bodyJSON(c, out.Body, detail)
	}
	done.Detail = clip(strings.TrimSpace(out.Status + " " + detail))
	g.emit(record.Record{Charger: c.charger, Body: done})
	if out.Accepted {
		g.reserved(c, k)
	}
}

// requestOf is the request id under which a charger reports progress, 0 for none.
func requestOf(c ocpp.Command) int {
	switch c := c.(type) {
	case ocpp.GetLog:
		return c.Request
	case ocpp.UpdateFirmware:
		return c.Request
	}
	return 0
}

// valuesJSON writes values in a fixed order, as many as fit MaxValuesBytes, and
// none that is a secret.
func valuesJSON(values map[string]string, detail string) (json.RawMessage, string) {
	out, left := []byte{'{'}, 0
	for _, k := range slices.Sorted(maps.Keys(values)) {
		name, value := ocpp.Marshal(k), ocpp.Marshal(shown(k, values[k]))
		if len(out)+len(name)+len(value)+3 > MaxValuesBytes {
			left++
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	if left > 0 {
		detail = fmt.Sprintf("%d of %d values left out: too long %s", left, len(values), detail)
	}
	return append(out, '}'), detail
}

// bodyJSON is a charger's answer with its tokens sealed, nothing when it is too
// long to be kept.
func (g *Gateway) bodyJSON(c *conn, body json.RawMessage, detail string) (json.RawMessage, string) {
	sealed := c.dialect.SealTokens(body, g.seal)
	if len(sealed) == 0 || len(sealed) > MaxValuesBytes {
		return nil, fmt.Sprintf("the answer of %d bytes is left out, at most %d are kept %s", len(body), MaxValuesBytes, detail)
	}
	return sealed, detail
}

// collect begins to gather an answer in parts; false for a command that has none.
func (g *Gateway) collect(c *conn, k call) bool {
	n := 0
	switch cmd := k.command.(type) {
	case ocpp.GetReport:
		n = cmd.Request
	case ocpp.GetProfiles:
		n = cmd.Request
	default:
		return false
	}
	if len(g.collecting) >= MaxCollecting {
		g.concluded(c, &collection{directive: k.directive}, "refused", "too many answers are being gathered")
		return true
	}
	g.collecting = append(g.collecting, &collection{
		conn: c.id, request: n, directive: k.directive, values: map[string]string{}, last: g.now.Mono,
	})
	return true
}

// part adds a part to the answer that waits for it. It reports whether one did.
func (g *Gateway) part(c *conn, request int, more bool, add func(*collection)) bool {
	for i, col := range g.collecting {
		if col.conn != c.id || col.request != request {
			continue
		}
		if col.bytes < maxCollectedBytes {
			add(col)
		}
		col.last = g.now.Mono
		if !more {
			g.collecting = slices.Delete(g.collecting, i, i+1)
			g.concluded(c, col, "done", "")
		}
		return true
	}
	return false
}

func (g *Gateway) report(c *conn, ev ocpp.Report) bool {
	return g.part(c, ev.Request, ev.More, func(col *collection) {
		for k, v := range ev.Values {
			col.values[k] = v
			col.bytes += len(k) + len(v)
		}
	})
}

func (g *Gateway) profiles(c *conn, ev ocpp.Profiles) bool {
	return g.part(c, ev.Request, ev.More, func(col *collection) {
		col.bodies = append(col.bodies, slices.Clone(ev.Body))
		col.bytes += len(ev.Body)
	})
}

// concluded writes the outcome of a directive whose answer came in parts.
func (g *Gateway) concluded(c *conn, col *collection, outcome, detail string) {
	done := &record.DirectiveDone{ID: col.directive, Outcome: outcome}
	if outcome != "refused" {
		if col.bodies != nil {
			done.Result, detail = g.bodyJSON(c, ocpp.Marshal(col.bodies), detail)
		} else {
			done.Result, detail = valuesJSON(col.values, detail)
		}
	}
	done.Detail = clip(strings.TrimSpace("Accepted " + detail))
	g.emit(record.Record{Charger: c.charger, Body: done})
}

// collectTick ends what has no further parts: what came is kept, and said to be
// a part.
func (g *Gateway) collectTick() {
	g.endCollections(func(col *collection) bool { return g.now.Mono-col.last >= CollectMillis })
}

func (g *Gateway) endCollections(over func(*collection) bool) {
	var due []*collection
	g.collecting = slices.DeleteFunc(g.collecting, func(col *collection) bool {
		if over(col) {
			due = append(due, col)
			return true
		}
		return false
	})
	for _, col := range due {
		c := g.conns[col.conn]
		if c == nil {
			g.emit(record.Record{Body: &record.DirectiveDone{ID: col.directive, Outcome: "unknown", Detail: "Disconnected before all parts came"}})
			continue
		}
		g.concluded(c, col, "done", "the last part did not come")
	}
}
