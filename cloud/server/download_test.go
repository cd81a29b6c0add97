package server

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/uplink"
)

func (d *device) get(as holdfast.GatewayID, j *testJournal, from, query string) answer {
	d.w.t.Helper()
	return send(d.w.t, d.http, "GET", fmt.Sprintf("%s/v1/gateways/%s/journals/evidence/%s/%s%s", d.w.s.GatewayURL(), as, j.epoch, from, query), nil, nil)
}

// A gateway gets its own records back, verbatim; nobody else does.
func TestDownloadForRepair(t *testing.T) {
	w := start(t)
	north, south := w.enrol("north"), w.enrol("south")
	j := north.journal(10)
	if a := north.put("evidence", j.epoch, "0", compress(t, j.slice(0))); a.status != http.StatusOK {
		t.Fatalf("upload: HTTP %d: %s", a.status, a.body)
	}
	a := north.get(north.id, j, "0", "?to=10")
	if a.status != http.StatusOK || a.header.Get("Content-Encoding") != "zstd" || a.header.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("HTTP %d, %v: %s", a.status, a.header, a.body)
	}
	got, err := inflate(a.body)
	if err != nil || len(got) == 0 || !bytes.HasPrefix(j.slice(0), got) {
		t.Fatalf("%d bytes that are not those that were sent: %v", len(got), err)
	}
	tail, err := inflate(north.get(north.id, j, "4", "?to=7").body)
	if err != nil || len(tail) == 0 || !bytes.HasPrefix(j.slice(4), tail) || len(tail) >= len(j.slice(4)) {
		t.Errorf("records 4 to 6: %d bytes, %v", len(tail), err)
	}

	south.get(north.id, j, "0", "?to=10").want(t, kindForeign)
	south.get(south.id, j, "0", "?to=10").want(t, kindNotFound)
	north.get(north.id, j, "10", "?to=11").want(t, kindNotFound)
	for _, query := range []string{"", "?to=", "?to=0", "?to=-1", "?to=99999999999999999999"} {
		north.get(north.id, j, "0", query).want(t, kindInvalid)
	}
	north.get(north.id, j, "0", "?to=1&until=2").want(t, kindBadRequest)
	north.get(north.id, j, "x", "?to=1").want(t, kindInvalid)
	for range maxUploads {
		w.s.uploads.enter()
	}
	if p := north.get(north.id, j, "0", "?to=10").want(t, kindBusy); p.LaterMs < laterLeastMillis || p.LaterMs > uplink.MaxLaterMillis {
		t.Errorf("come back in %d ms", p.LaterMs)
	}
}
