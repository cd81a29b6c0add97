package gateway_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/statement"
	"github.com/holdfast-ev/holdfast/uplink"
)

// BenchmarkCalls is the core alone under the load of docs/benchmarks.md: 200
// chargers that loop Authorize, Start, five MeterValues of three samples, Stop,
// with their ended sessions remembered. One operation is one call.
func BenchmarkCalls(b *testing.B) {
	const chargers = 200
	site := newBench(b)
	list := &access.List{
		Site: "site-1", Version: 1, Issued: site.now.Wall, Entries: map[holdfast.TokenHash]access.Entry{},
		Policy: access.Policy{TokenCap: 1e13, SiteCap: 1e13, Dark: true},
	}
	for i := range chargers {
		list.Entries[holdfast.Token{Value: fmt.Sprintf("04BE%08X", i)}.Hash(tokenKey)] = access.Entry{Valid: true, Whitelist: access.Always}
	}
	site.install("list", uplink.InstallList, statement.TypList, must(access.EncodeList(list)))
	site.tariff()
	g := site.g
	now := site.now
	var answers [][]byte
	step := func(in gateway.Input) {
		g.Step(now, in)
		r := g.Ready()
		for _, s := range r.Sends {
			answers = append(answers, s.Raw)
		}
		g.Advance()
		for _, s := range r.Signs {
			g.Step(now, gateway.Signed{ID: s.ID, Bytes: []byte("a receipt of about a hundred bytes, if it were one")})
		}
		g.Ready()
		g.Advance()
	}
	call := func(i int, action, payload string) []byte {
		answers = answers[:0]
		step(gateway.Frame{Conn: gateway.ConnID(i + 1), Raw: fmt.Appendf(nil, `[2,"%d","%s",%s]`, now.Mono, action, payload)})
		now.Mono++
		now.Wall++
		if len(answers) == 0 || answers[0][1] != '3' {
			b.Fatalf("%s: %s", action, answers)
		}
		return answers[0]
	}
	for i := range chargers {
		step(gateway.Connected{Conn: gateway.ConnID(i + 1), Charger: holdfast.ChargerID(fmt.Sprintf("CP-%04d", i)), Version: "ocpp1.6", Proved: true})
	}
	stamp := func() string { return now.Wall.String() }
	loop := func(i int) {
		card, wh := fmt.Sprintf("04BE%08X", i), 1000
		call(i, "Authorize", `{"idTag":"`+card+`"}`)
		a := call(i, "StartTransaction", fmt.Sprintf(`{"connectorId":1,"idTag":"%s","meterStart":%d,"timestamp":"%s"}`, card, wh, stamp()))
		_, id, _ := bytes.Cut(a, []byte(`"transactionId":`))
		tx := string(id[:bytes.IndexAny(id, ",}")])
		for range 5 {
			wh++
			call(i, "MeterValues", fmt.Sprintf(`{"connectorId":1,"transactionId":%s,"meterValue":[{"timestamp":"%s","sampledValue":[`+
				`{"value":"%d","measurand":"Energy.Active.Import.Register","unit":"Wh"},`+
				`{"value":"11040.0","measurand":"Power.Active.Import","unit":"W"},`+
				`{"value":"16.0","measurand":"Current.Import","phase":"L1","unit":"A"}]}]}`, tx, stamp(), wh))
		}
		call(i, "StopTransaction", fmt.Sprintf(`{"transactionId":%s,"idTag":"%s","meterStop":%d,"timestamp":"%s","reason":"Local"}`, tx, card, wh, stamp()))
	}
	for range gateway.MaxEndedKept { // as after an hour
		for i := range chargers {
			loop(i)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 8 {
		loop(i / 8 % chargers)
	}
}
