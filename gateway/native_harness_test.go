package gateway_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A device answers what the gateway asks of a charger, from its own memory: its
// settings and its local list. It keeps the standards' rules on versions.
type device struct {
	b        *bench
	conn     gateway.ConnID
	v2       bool
	settings map[string]string
	readonly map[string]string // key -> the answer to a change
	list     map[string]entry  // by token
	version  int               // -1: no lists here (1.6)
	most     int               // entries that fit; 0: any number
	piece    int               // entries that fit into one message; 0: any number
	keys     int               // settings that may be asked for in one message; 0: any number
	deaf     string            // action that is never answered
	refuse   map[string]string // action -> CALLERROR code
	cleared  int               // times that the cache was cleared
	sends    []int             // entries of each SendLocalList that came
	fulls    int
	answered int // of what was sent to the connection
}

type entry struct {
	Status  string
	Expires string
	Group   string
}

func (b *bench) native(id holdfast.ChargerID, version string, settings map[string]string) *device {
	b.t.Helper()
	d := &device{b: b, v2: version != "ocpp1.6", settings: settings, readonly: map[string]string{}, refuse: map[string]string{}, list: map[string]entry{}}
	d.conn = b.connect(id, version)
	d.boot()
	return d
}

// boot sends a BootNotification.
func (d *device) boot() {
	d.b.t.Helper()
	payload := `{"chargePointVendor":"V","chargePointModel":"M"}`
	if d.v2 {
		payload = `{"reason":"PowerUp","chargingStation":{"vendorName":"V","model":"M"}}`
	}
	d.b.call(d.conn, fmt.Sprintf("boot-%d", d.b.now.Mono), "BootNotification", payload)
}

// reconnect is a new connection of the same charger, without a boot.
func (d *device) reconnect(id holdfast.ChargerID) {
	version := "ocpp1.6"
	if d.v2 {
		version = "ocpp2.0.1"
	}
	d.answered = 0
	d.conn = d.b.connect(id, version)
}

// live lets time pass and answers everything meanwhile: in half seconds while
// anything is said, faster when nothing is.
func (b *bench) live(seconds int64, ds ...*device) {
	b.t.Helper()
	for end, quiet := b.now.Mono+seconds*1000, 0; b.now.Mono < end; quiet++ {
		dt := int64(500)
		if quiet > 30 {
			dt = 20_000
		}
		b.pass(min(dt, end-b.now.Mono))
		b.step(gateway.Tick{})
		for _, d := range ds {
			if d.answer() {
				quiet = 0
			}
		}
	}
}

// answer answers what was sent, and reports whether there was anything.
func (d *device) answer() (said bool) {
	for d.answered < len(d.b.sent[d.conn]) {
		f := d.b.sent[d.conn][d.answered]
		d.answered++
		said = true
		if f.Type != ocpp.Call || f.Action == d.deaf {
			continue
		}
		code := d.refuse[f.Action]
		if d.keys > 0 && strings.Count(string(f.Payload), "Offline") > d.keys {
			code = "InternalError"
		}
		reply := fmt.Sprintf(`[4,%q,%q,"no",{}]`, f.ID, code)
		if code == "" {
			out, err := json.Marshal(d.do(f.Action, f.Payload))
			if err != nil {
				d.b.t.Fatal(err)
			}
			reply = fmt.Sprintf(`[3,%q,%s]`, f.ID, out)
		}
		d.b.step(gateway.Frame{Conn: d.conn, Raw: []byte(reply)})
	}
	return said
}

type obj = map[string]any

func (d *device) do(action string, payload []byte) obj {
	switch action {
	case "GetConfiguration", "GetVariables":
		return d.get(payload)
	case "ChangeConfiguration", "SetVariables":
		return d.change(payload)
	case "GetLocalListVersion":
		if d.v2 {
			return obj{"versionNumber": max(d.version, 0)}
		}
		return obj{"listVersion": d.version}
	case "SendLocalList":
		return obj{"status": d.send(payload)}
	case "ClearCache":
		d.cleared++
		return obj{"status": "Accepted"}
	}
	return obj{"status": "Accepted"}
}

type variable struct {
	Component struct{ Name string }
	Variable  struct{ Name, Instance string }
	Value     string `json:"attributeValue"`
}

func (v variable) key() string {
	k := v.Component.Name + "." + v.Variable.Name
	if v.Variable.Instance != "" {
		k += "[" + v.Variable.Instance + "]"
	}
	return k
}

func (d *device) get(payload []byte) obj {
	var in struct {
		Key []string
		Get []variable `json:"getVariableData"`
	}
	d.must(json.Unmarshal(payload, &in))
	have, results := []obj{}, []obj{}
	for _, k := range in.Key {
		if v, ok := d.settings[k]; ok {
			have = append(have, obj{"key": k, "readonly": false, "value": v})
		}
	}
	for _, v := range in.Get {
		name := obj{"name": v.Variable.Name}
		if v.Variable.Instance != "" {
			name["instance"] = v.Variable.Instance
		}
		r := obj{"component": obj{"name": v.Component.Name}, "variable": name, "attributeStatus": "UnknownVariable"}
		if value, ok := d.settings[v.key()]; ok {
			r["attributeStatus"], r["attributeValue"] = "Accepted", value
		}
		results = append(results, r)
	}
	if d.v2 {
		return obj{"getVariableResult": results}
	}
	return obj{"configurationKey": have}
}

func (d *device) change(payload []byte) obj {
	var in struct {
		Key, Value string
		Set        []variable `json:"setVariableData"`
	}
	d.must(json.Unmarshal(payload, &in))
	if len(in.Set) > 0 {
		in.Key, in.Value = in.Set[0].key(), in.Set[0].Value
	}
	status := d.readonly[in.Key]
	if status == "" {
		status, d.settings[in.Key] = "Accepted", in.Value
	}
	if !d.v2 {
		return obj{"status": status}
	}
	v := in.Set[0]
	name := obj{"name": v.Variable.Name}
	if v.Variable.Instance != "" {
		name["instance"] = v.Variable.Instance
	}
	return obj{"setVariableResult": []obj{{"component": obj{"name": v.Component.Name}, "variable": name, "attributeStatus": status}}}
}

func (d *device) send(payload []byte) string {
	type info struct{ Status, ExpiryDate, ParentIDTag, CacheExpiryDateTime string }
	var in struct {
		ListVersion, VersionNumber int
		UpdateType                 string
		List                       []struct {
			IDTag       string
			IDTagInfo   *info
			IDToken     struct{ IDToken string }
			IDTokenInfo *info
		} `json:"localAuthorizationList"`
	}
	d.must(json.Unmarshal(payload, &in))
	version := in.ListVersion + in.VersionNumber
	d.sends = append(d.sends, len(in.List))
	next := map[string]entry{}
	if in.UpdateType == "Full" {
		d.fulls++
	} else {
		if version <= d.version {
			return "VersionMismatch"
		}
		for t, e := range d.list {
			next[t] = e
		}
	}
	for _, e := range in.List {
		token, i := e.IDTag+e.IDToken.IDToken, e.IDTagInfo
		if d.v2 {
			i = e.IDTokenInfo
		}
		if i == nil {
			delete(next, token)
			continue
		}
		next[token] = entry{i.Status, i.ExpiryDate + i.CacheExpiryDateTime, i.ParentIDTag}
	}
	if d.most > 0 && len(next) > d.most || d.piece > 0 && len(in.List) > d.piece {
		return "Failed"
	}
	d.list, d.version = next, version
	return "Accepted"
}

func (d *device) must(err error) {
	d.b.t.Helper()
	if err != nil {
		d.b.t.Fatal(err)
	}
}

// holds is the list in short: tokens with their status unless Accepted, sorted.
func (d *device) holds() string {
	var out []string
	for t, e := range d.list {
		if e.Status != "Accepted" {
			t += ":" + e.Status
		}
		out = append(out, t)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// wants makes the site look after its chargers, and answers its questions for
// tokens in clear.
func (b *bench) wants(n gateway.NativeConfig) {
	b.t.Helper()
	b.cfg.Native = &n
	b.crash()
}

// online brings the link up, to stay.
func (b *bench) online() {
	b.t.Helper()
	b.step(gateway.LinkUp{Welcome: uplink.Welcome{Cursors: []uplink.Cursor{{Journal: holdfast.Evidence, Epoch: evidenceEpoch}}}})
}

// given answers the requests for a book that are under way: the disk has none,
// and the cloud the tokens named.
func (b *bench) given(tokens ...string) {
	b.t.Helper()
	for range 8 {
		b.pass(500)
		b.step(gateway.Tick{})
		r := b.last.Book
		switch {
		case r == nil:
		case r.Stored:
			b.step(gateway.Book{Stored: true})
		default:
			in := gateway.Book{Version: r.Version}
			for _, t := range tokens {
				in.Tokens = append(in.Tokens, uplink.BookToken{Value: t})
			}
			b.step(in)
			return
		}
	}
	b.t.Fatal("the gateway asked for no book")
}
