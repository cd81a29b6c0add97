package agent

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// BenchmarkCalls is the throughput of a whole gateway on real sockets and a
// real disk, client on the same machine: 200 chargers (OCPP 1.6), each sending
// its next call when the last one was answered. A heartbeat needs no record, a
// status one of telemetry, a stop of an unknown transaction evidence.
func BenchmarkCalls(b *testing.B) {
	for _, bb := range []struct{ name, call string }{
		{"heartbeat", `[2,"%d","Heartbeat",{}]`},
		{"status", `[2,"%d","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Available"}]`},
		{"stop", `[2,"%[1]d","StopTransaction",{"meterStop":%[1]d,"timestamp":"2026-01-02T03:04:05Z","transactionId":-1}]`},
	} {
		b.Run(bb.name, func(b *testing.B) { benchmarkCalls(b, bb.call) })
	}
}

func benchmarkCalls(b *testing.B, call string) {
	const chargers = 200
	d := start(b, manyChargers(b, chargers))
	site := &site{url: "ws://" + d.until("readiness", func(*Report) bool { return true }).Listening[0] + "/ocpp/"}
	socks := make([]*websocket.Conn, chargers)
	for i := range socks {
		var status int
		if socks[i], status = site.dial(b, dialer{user: fmt.Sprintf("CP-%d", i), password: password}); status != 101 {
			b.Fatalf("charger %d: status %d", i, status)
		}
	}
	next := make(chan int, chargers)
	go func() {
		for i := range b.N {
			next <- i
		}
		close(next)
	}()
	b.ResetTimer()
	var all sync.WaitGroup
	for _, ws := range socks {
		all.Go(func() {
			for i := range next {
				if err := ws.Write(b.Context(), websocket.MessageText, fmt.Appendf(nil, call, i)); err != nil {
					b.Error(err)
					return
				}
				for raw := []byte("[2"); string(raw[:2]) == "[2"; { // the gateway's own calls are not answered here
					var err error
					if _, raw, err = ws.Read(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.StopTimer()
	for _, ws := range socks {
		ws.CloseNow()
	}
	d.end()
}

// manyChargers enrols a gateway with n chargers.
func manyChargers(b *testing.B, n int) *Config {
	books := newBooks(b)
	dir := filepath.Join(b.TempDir(), "gw")
	if _, err := Enrol(b.Context(), EnrolOptions{Cloud: books.web.URL, Code: books.code(), Dir: dir, cost: cheap}); err != nil {
		b.Fatal(err)
	}
	hash, err := HashPassword(password, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	text := fmt.Appendf(nil, "dir: %s\nocpp:\n  listen: 127.0.0.1:0\n  frames_per_second: 100000\nchargers:\n", dir)
	for i := range n {
		text = fmt.Appendf(text, "  - id: CP-%d\n    password_hash: %s\n    max_power_w: 22000\n", i, hash)
	}
	cfg, err := ParseConfig("gateway.yaml", text)
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}
