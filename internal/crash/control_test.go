package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast/charger"
)

// A plant spoils one thing in what a real run has left.
type plant struct {
	name  string
	spoil func(claims []claim, ev *evidence, b *books) []claim
	want  string // the kind of finding that must come of it
}

var plants = []plant{
	{"a start acknowledged and gone from the journal", func(c []claim, ev *evidence, _ *books) []claim {
		ev.entries = slices.Delete(ev.entries, 0, 1)
		return c
	}, "lost"},
	{"a stop acknowledged and gone from the journal", func(c []claim, ev *evidence, _ *books) []claim {
		ev.entries[0].ends = nil
		return c
	}, "lost"},
	{"a start opened twice in the journal", func(c []claim, ev *evidence, _ *books) []claim {
		ev.entries = append(ev.entries, ev.entries[0])
		return c
	}, "duplicate"},
	{"a repeated start opened under a second transaction id", func(c []claim, ev *evidence, _ *books) []claim {
		again := ev.entries[0]
		again.tx += "0"
		ev.entries = append(ev.entries, again)
		return c
	}, "stray"},
	{"a stop ended twice in the journal", func(c []claim, ev *evidence, _ *books) []claim {
		ev.entries[0].ends = append(ev.entries[0].ends, ev.entries[0].ends[0])
		return c
	}, "duplicate"},
	{"a register changed in the journal", func(c []claim, ev *evidence, _ *books) []claim {
		ev.entries[0].ends[0]++
		return c
	}, "differs"},
	{"a stop kept without its session", func(c []claim, ev *evidence, _ *books) []claim {
		ev.orphans++
		return c
	}, "stray"},
	{"history lost", func(c []claim, ev *evidence, _ *books) []claim {
		ev.epochs++
		return c
	}, "evidence"},
	{"a session gone from the cloud", func(c []claim, _ *evidence, b *books) []claim {
		b.sessions = slices.Delete(b.sessions, 0, 1)
		return c
	}, "lost"},
	{"a session twice in the cloud", func(c []claim, _ *evidence, b *books) []claim {
		b.sessions = append(b.sessions, b.sessions[0])
		return c
	}, "duplicate"},
	{"a CDR gone", func(c []claim, _ *evidence, b *books) []claim {
		b.cdrs = slices.Delete(b.cdrs, 0, 1)
		return c
	}, "lost"},
	{"a CDR twice", func(c []claim, _ *evidence, b *books) []claim {
		b.cdrs = append(b.cdrs, b.cdrs[0])
		return c
	}, "duplicate"},
	{"a CDR of one Wh more", func(c []claim, _ *evidence, b *books) []claim {
		b.cdrs[0].Wh++
		return c
	}, "differs"},
	{"a CDR that nobody charged for", func(c []claim, _ *evidence, b *books) []claim {
		b.cdrs = append(b.cdrs, bookCDR{ID: "x", Session: "nobody", Current: true, Wh: 1})
		return c
	}, "stray"},
	{"a ledger line twice", func(c []claim, _ *evidence, b *books) []claim {
		b.ledger = append(b.ledger, b.ledger[0])
		return c
	}, "duplicate"},
	{"a ledger line gone", func(c []claim, _ *evidence, b *books) []claim {
		b.ledger = slices.Delete(b.ledger, 0, 1)
		return c
	}, "ledger"},
	{"an open exception", func(c []claim, _ *evidence, b *books) []claim {
		b.exceptions = append(b.exceptions, bookException{Code: "EVID_FORK", State: "open"})
		return c
	}, "evidence"},
	{"an acknowledgement that the gateway never gave", func(c []claim, _ *evidence, _ *books) []claim {
		return append(c, claim{Charger: c[0].Charger, N: 99, Tx: "4711", Started: true, Stopped: true, Start: 1, Stop: 2, Wh: 1})
	}, "lost"},
	{"a charger that still waits", func(c []claim, _ *evidence, _ *books) []claim {
		c[0].Stopped = false
		return c
	}, "unsettled"},
}

// TestControlsCheckerCanFail spoils, one thing at a time, what a real run has
// left, and expects the checks of the crash test to say so: each finds nothing
// before, and the planted thing after.
func TestControlsCheckerCanFail(t *testing.T) {
	t.Parallel()
	s := newSite(t, newCloud(t), "delta", 1, charger.V16, charger.V201)
	if err := s.furnish(); err != nil {
		t.Fatal(err)
	}
	ctx, unplug := context.WithCancel(t.Context())
	defer s.network.Wait()
	defer unplug()
	s.plug(ctx)
	for range 2 {
		if _, _, err := s.script(tracing{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.drain(); err != nil {
		t.Fatal(err)
	}
	f, _, _, err := s.check()
	if err != nil {
		t.Fatal(err)
	}
	if len(f) > 0 || len(s.claims()) != 4 {
		t.Fatalf("an undisturbed run of %d sessions has %d findings:%s", len(s.claims()), len(f), f.text())
	}
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			ev, err := s.readEvidence()
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.cloud.books(s.name)
			if err != nil {
				t.Fatal(err)
			}
			claims := p.spoil(s.claims(), ev, b)
			f := append(settled(claims), checkEvidence(claims, ev, 1)...)
			f = append(f, checkBooks(claims, b)...)
			if f.count(p.want) == 0 {
				t.Errorf("want a finding %q, got:%s", p.want, f.text())
			}
		})
	}
	s.damage(t)
	s.lie(t)
}

// damage changes one byte of the evidence: `holdfast journal verify` must not
// pass.
func (s *site) damage(t *testing.T) {
	t.Helper()
	seg, err := s.lastSegment()
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(seg)
	if err != nil {
		t.Fatal(err)
	}
	bad := slices.Clone(good)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(seg, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := s.verify(); f.count("evidence") == 0 {
		t.Error("holdfast journal verify passes on a journal with a changed byte")
	}
	if err := os.WriteFile(seg, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := s.verify(); len(f) > 0 {
		t.Fatalf("holdfast journal verify does not pass any more:%s", f.text())
	}
}

// lie lets a charger of the site talk to somebody who acknowledges everything
// and writes nothing down: its claims must be reported as lost.
func (s *site) lie(t *testing.T) {
	t.Helper()
	liar := httptest.NewServer(http.HandlerFunc(acknowledge))
	defer liar.Close()
	ch, err := charger.New(charger.Options{
		URL: "ws" + strings.TrimPrefix(liar.URL, "http"), ID: s.charger(0), Version: charger.V16, Power: power, Seed: 99,
		CallTimeout: 5 * time.Second, ReconnectMin: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), drainTimeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- ch.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	if err := charge(ctx, ch, s.card(0)); err != nil {
		t.Fatal(err)
	}
	ev, err := s.readEvidence()
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.cloud.books(s.name)
	if err != nil {
		t.Fatal(err)
	}
	claims := append(s.claims(), claimsOf([]*charger.Charger{ch})...)
	if f := checkEvidence(claims, ev, 1); f.count("lost") != 1 {
		t.Errorf("the journal's check of an acknowledgement that nobody gave:%s", f.text())
	}
	if f := checkBooks(claims, b); f.count("lost") != 1 {
		t.Errorf("the books' check of an acknowledgement that nobody gave:%s", f.text())
	}
}

// acknowledge answers every call of a charger with what it wants to hear.
func acknowledge(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"ocpp1.6"}})
	if err != nil {
		return
	}
	defer ws.CloseNow() //nolint:errcheck // the charger is gone
	for {
		_, raw, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		var call []json.RawMessage
		if json.Unmarshal(raw, &call) != nil || len(call) != 4 {
			continue
		}
		info := `"idTagInfo":{"status":"Accepted"}`
		answer := map[string]string{
			`"BootNotification"`: `{"status":"Accepted","interval":300,"currentTime":"` + time.Now().UTC().Format(time.RFC3339) + `"}`,
			`"Authorize"`:        `{` + info + `}`,
			`"StartTransaction"`: `{"transactionId":4711,` + info + `}`,
			`"StopTransaction"`:  `{` + info + `}`,
		}[string(call[2])]
		if answer == "" {
			answer = `{}`
		}
		if err := ws.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, `[3,%s,%s]`, call[1], answer)); err != nil {
			return
		}
	}
}

// TestControlsLyingDisk is the planted weakness: a disk that takes back what it
// had acknowledged. The gateway runs without a cloud, acknowledges a start, is
// killed, and its journal is cut to what it was before. The crash test's own
// check must find the start lost.
func TestControlsLyingDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, newCloud(t), "epsilon", 1, charger.V16)
	if err := s.furnish(); err != nil {
		t.Fatal(err)
	}
	if err := s.isolate(); err != nil {
		t.Fatal(err)
	}
	ctx, unplug := context.WithCancel(t.Context())
	defer s.network.Wait()
	defer unplug()
	s.plug(ctx)
	if _, _, err := s.script(tracing{}); err != nil {
		t.Fatal(err)
	}
	if err := s.forget(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.script(tracing{}); err != nil { // ends the session, and charges once more
		t.Fatal(err)
	}
	ev, err := s.readEvidence()
	if err != nil {
		t.Fatal(err)
	}
	claims := s.claims()
	f := append(settled(claims), checkEvidence(claims, ev, 1)...)
	t.Logf("a disk that took back an acknowledged start:%s", f.text())
	if f.count("lost") == 0 {
		t.Error("the check does not report the start that the disk took back")
	}
}

// isolate gives the gateway a cloud that nobody can reach.
func (s *site) isolate() error {
	b, err := os.ReadFile(s.config)
	if err != nil {
		return err
	}
	return os.WriteFile(s.config, append(b, "cloud:\n  endpoint: https://127.0.0.1:1\n"...), 0o600)
}

// forget has a charger's start acknowledged, kills the gateway and cuts its
// evidence to the length from before.
func (s *site) forget() error {
	ch := s.chargers[0]
	l, err := s.start(tracing{})
	if err != nil {
		return err
	}
	defer l.kill()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := ch.Ready(ctx); err != nil {
		return err
	}
	seg, err := s.lastSegment()
	if err != nil {
		return err
	}
	before, err := os.Stat(seg)
	if err != nil {
		return err
	}
	if err := ch.Plug(1); err != nil {
		return err
	}
	if ok, why := ch.Swipe(ctx, 1, s.card(0)); !ok {
		return errors.New(why)
	}
	if err := ch.Settle(ctx); err != nil { // the start is acknowledged
		return err
	}
	l.kill()
	if _, err := l.end(); err != nil {
		return err
	}
	if t := ch.Truth(); !t[len(t)-1].StartAcked {
		return errors.New("the start was not acknowledged")
	}
	return os.Truncate(seg, before.Size())
}
