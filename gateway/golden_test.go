package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
	"github.com/holdfast-ev/holdfast/uplink"
)

// TestGolden runs the scripts in testdata: what comes in, and every record and
// effect that goes out. Rewrite them with -rewrite and read the difference.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		b := newBench(t)
		p := &printer{b: b}
		p.flush()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			b.t = t
			run(t, b, d)
			return p.flush()
		})
	})
}

func run(t *testing.T, b *bench, d *datadriven.TestData) {
	switch d.Cmd {
	case "pass":
		dur, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		b.pass(dur.Milliseconds())
		b.step(gateway.Tick{})
	case "clock":
		var wall string
		d.ScanArgs(t, "wall", &wall)
		at, _ := ocpp.ParseTime(wall)
		b.now.Wall, b.now.Quality = at, holdfast.Unknown
		b.step(gateway.Tick{})
	case "connect":
		var id, version string
		d.ScanArgs(t, "charger", &id)
		d.ScanArgs(t, "version", &version)
		b.conns++
		b.step(gateway.Connected{Conn: b.conns, Charger: holdfast.ChargerID(id), Version: version, Proved: !d.HasArg("unproved"), Remote: "192.0.2.1"})
	case "cut":
		b.step(gateway.Disconnected{Conn: conn(t, d), Detail: "cut"})
	case "frames":
		for line := range strings.SplitSeq(d.Input, "\n") {
			line = strings.ReplaceAll(line, "$TX", strconv.Itoa(b.txID()))
			b.step(gateway.Frame{Conn: conn(t, d), Raw: []byte(line)})
		}
	case "answer":
		sent := b.sent[conn(t, d)]
		for i := len(sent) - 1; i >= 0; i-- {
			if sent[i].Type == ocpp.Call {
				b.step(gateway.Frame{Conn: conn(t, d), Raw: []byte(fmt.Sprintf(`[3,%q,%s]`, sent[i].ID, d.Input))})
				return
			}
		}
		d.Fatalf(t, "nothing to answer")
	case "install":
		b.installed(1, strings.Fields(d.Input)...)
	case "tariff":
		b.tariff()
	case "directive":
		var list []uplink.Directive
		if err := json.Unmarshal([]byte("["+d.Input+"]"), &list); err != nil {
			d.Fatalf(t, "%v", err)
		}
		b.step(gateway.Directives{List: list})
	case "link":
		if d.HasArg("up") {
			b.step(gateway.LinkUp{Welcome: uplink.Welcome{Cursors: []uplink.Cursor{{Journal: holdfast.Evidence, Epoch: evidenceEpoch}}}})
			return
		}
		var cause string
		d.ScanArgs(t, "down", &cause)
		b.step(gateway.LinkDown{Cause: holdfast.Cause(cause)})
	case "reconcile":
		n := uint64(b.next[holdfast.Evidence])
		b.step(gateway.UploadDone{Journal: holdfast.Evidence, Epoch: evidenceEpoch, Ack: uplink.Ack{Received: n, Reconciled: n}})
	case "told":
		told := gateway.Told{ID: 1}
		if err := json.Unmarshal([]byte(d.Input), &told.Ack); err != nil {
			d.Fatalf(t, "%v", err)
		}
		b.step(told)
	case "space":
		n, _ := strconv.ParseInt(d.CmdArgs[0].Key, 10, 64)
		b.step(gateway.Space{FreeBytes: n})
	case "signed":
		b.step(gateway.Signed{ID: 1, Bytes: []byte("a receipt")})
	case "crash":
		b.crash()
	case "quit":
		b.step(gateway.Quit{})
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
}

func conn(t *testing.T, d *datadriven.TestData) gateway.ConnID {
	var n int
	d.ScanArgs(t, "conn", &n)
	return gateway.ConnID(n)
}

// printer prints what has come out since the last time, short enough to read.
type printer struct {
	b       *bench
	records int
	sent    map[gateway.ConnID]int
}

func (p *printer) flush() string {
	var out strings.Builder
	for ; p.records < len(p.b.records); p.records++ {
		printRecord(&out, p.b.records[p.records])
	}
	if p.sent == nil {
		p.sent = map[gateway.ConnID]int{}
	}
	for id := gateway.ConnID(1); id <= p.b.conns; id++ {
		frames := p.b.sent[id]
		for _, f := range frames[p.sent[id]:] {
			fmt.Fprintf(&out, "-> %d %s\n", id, shortID(f))
		}
		p.sent[id] = len(frames)
	}
	r := p.b.last
	for _, c := range r.Closes {
		fmt.Fprintf(&out, "close %d %d %s\n", c.Conn, c.Code, c.Reason)
	}
	for _, s := range r.Signs {
		fmt.Fprintf(&out, "sign %s\n", s.Typ)
	}
	for range r.Asks {
		fmt.Fprintf(&out, "ask the cloud\n")
	}
	for name, on := range map[string]bool{"checkpoint": r.Checkpoint} {
		if on {
			fmt.Fprintf(&out, "%s\n", name)
		}
	}
	p.b.last = gateway.Ready{}
	if out.Len() == 0 {
		return "nothing\n"
	}
	return out.String()
}

// shortID hides our random message ids, which say nothing.
func shortID(f ocpp.Frame) string {
	if f.Type == ocpp.Call {
		f.ID = "*"
	}
	return string(f.Encode())
}

func printRecord(out *strings.Builder, raw []byte) {
	r, err := record.Decode(raw)
	if err != nil {
		fmt.Fprintf(out, "BAD %v\n", err)
		return
	}
	var e struct {
		D map[string]any `json:"d"`
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&e); err != nil {
		fmt.Fprintf(out, "BAD %v\n", err)
		return
	}
	for _, long := range []string{"raw", "sealed", "bytes", "hash", "token", "nonce", "config", "tariff", "id", "parent", "parent_root", "parent_size"} {
		if v, ok := e.D[long]; ok && (long != "id" || r.Body.Type() != "directive.done") {
			if s, isString := v.(string); !isString || len(s) > 12 {
				delete(e.D, long)
			}
		}
	}
	body, _ := json.Marshal(e.D)
	who := ""
	if r.Charger != "" {
		who = " " + string(r.Charger)
	}
	if !r.Session.IsZero() {
		who += " session"
	}
	fmt.Fprintf(out, "%d %s%s %s\n", r.Seq, r.Body.Type(), who, body)
}
