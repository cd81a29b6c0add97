package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast/charger"
)

// endpoint is an OCPP 1.6 server that accepts every token but BLOCKED.
func endpoint(t *testing.T) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"ocpp1.6"}})
		if err != nil {
			t.Errorf("accept: %v", err)
			return
		}
		defer ws.CloseNow()
		for {
			_, raw, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			if answer := reply(t, raw); answer != nil {
				ws.Write(context.Background(), websocket.MessageText, answer)
			}
		}
	}))
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http") + "/ocpp"
}

func reply(t *testing.T, raw []byte) []byte {
	var f []any
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Errorf("%s: %v", raw, err)
		return nil
	}
	verdict := "Accepted"
	if bytes.Contains(raw, []byte("BLOCKED")) {
		verdict = "Blocked"
	}
	b, err := json.Marshal([]any{3, f[1], map[string]any{
		"status": "Accepted", "currentTime": "2026-01-01T00:00:00Z", "interval": 300,
		"transactionId": 7, "idTagInfo": map[string]any{"status": verdict},
	}})
	if err != nil {
		t.Error(err)
	}
	return b
}

// invoke runs the command in this process.
func invoke(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := rootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestChargerVisit(t *testing.T) {
	truth := filepath.Join(t.TempDir(), "truth.ndjson")
	out, err := invoke(t, "charger", "--url", endpoint(t), "--count", "3", "--token", "CARD",
		"--charge", "50ms", "--power", "360000", "--truth", truth)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"CP1-1", "CP1-3", "energy flows", "CHARGER  SESSION  TOKEN", "Local   answered  answered"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	log, err := os.ReadFile(truth)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(log, []byte(`"what":"stop_acked"`)); n != 3 {
		t.Errorf("%d answered stops in the truth log\n%s", n, log)
	}
}

func TestChargerJSON(t *testing.T) {
	out, err := invoke(t, "charger", "--url", endpoint(t), "--token", "CARD", "--charge", "10ms", "--json")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var s charger.TruthSession
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil || s.Token != "CARD" || !s.StopAcked {
		t.Errorf("last line %s: %v", lines[len(lines)-1], err)
	}
}

func TestChargerExitsOneWhenADriverIsRefused(t *testing.T) {
	out, err := invoke(t, "charger", "--url", endpoint(t), "--token", "BLOCKED")
	var f *failure
	if !errors.As(err, &f) || f.code != exitFailed || !strings.Contains(err.Error(), "Blocked") {
		t.Errorf("error %v\n%s", err, out)
	}
}
