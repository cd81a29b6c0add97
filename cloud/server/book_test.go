package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/uplink"
)

// TestTokenBookEndpoint: a gateway reads its own book and no other, a bad query
// is refused, and no token goes into the log.
func TestTokenBookEndpoint(t *testing.T) {
	w := start(t)
	d := w.enrol("north")
	do[json.RawMessage](w, "POST", "/v1/tokens", `{"value":"04SECRET"}`)
	_, version, err := w.s.plane.ListFor(t.Context(), w.s.now(), "north")
	if err != nil {
		t.Fatal(err)
	}
	right := fmt.Sprintf("?version=%d", version)
	at := w.s.GatewayURL() + "/v1/gateways/" + string(d.got.Gateway) + "/tokens"
	a := send(t, d.http, "GET", at+right, nil, nil)
	var b uplink.TokenBook
	if err := json.Unmarshal(a.body, &b); err != nil || a.status != http.StatusOK || len(b.Tokens) != 1 || b.Tokens[0].Value != "04SECRET" || b.Next != 0 {
		t.Fatalf("HTTP %d, %v: %s", a.status, err, a.body)
	}
	if c := a.header.Get("Cache-Control"); c != "no-store" {
		t.Errorf("Cache-Control %q: a token must not stay in a cache", c)
	}
	send(t, d.http, "GET", at+"?version=70", nil, nil).want(t, kindConflict)
	send(t, d.http, "GET", at, nil, nil).want(t, kindInvalid)
	send(t, d.http, "GET", at+right+"&after=x", nil, nil).want(t, kindInvalid)
	send(t, d.http, "GET", at+right+"&site=south", nil, nil).want(t, kindBadRequest)
	for range maxUploads {
		w.s.uploads.enter()
	}
	send(t, d.http, "GET", at+right, nil, nil).want(t, kindBusy)
	w.s.Close()
	if strings.Contains(w.log.String(), "04SECRET") {
		t.Error("the log holds a token")
	}
}
