package charger

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOfflineRules(t *testing.T) {
	for _, tc := range []struct {
		name           string
		known, unknown bool
		seen           bool
		want           bool
	}{
		{"nothing allowed", false, false, true, false},
		{"known token, cache on", true, false, true, true},
		{"unknown token, cache on", true, false, false, false},
		{"unknown token, unknown allowed", false, true, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{OfflineKnown: tc.known, OfflineUnknown: tc.unknown}
			with(t, o, func(t *testing.T, c *Charger, _ *csms) {
				if tc.seen {
					charge(t, c, "CARD", time.Second)
				}
				c.Sever()
				synctest.Wait()
				if err := c.Plug(1); err != nil {
					t.Fatal(err)
				}
				if ok, why := c.Swipe(t.Context(), 1, "CARD"); ok != tc.want {
					t.Errorf("accepted %v: %s", ok, why)
				}
			})
		})
	}
}

// A session that began and ended while offline is replayed in order, with the
// times and registers of when it happened.
func TestReplayKeepsOriginalTimes(t *testing.T) {
	with(t, Options{OfflineUnknown: true, SampleInterval: 30 * time.Second}, func(t *testing.T, c *Charger, s *csms) {
		c.Sever()
		synctest.Wait()
		began := time.Now()
		charge(t, c, "CARD", 50*time.Second)
		time.Sleep(time.Hour)
		c.Mend()
		settle(t, c)
		calls := s.got("StartTransaction", "MeterValues", "StopTransaction")
		var order []string
		for _, c := range calls {
			order = append(order, c.Action)
		}
		if got := strings.Join(order, " "); got != "StartTransaction MeterValues StopTransaction" {
			t.Fatalf("sent %s", got)
		}
		for i, want := range []time.Duration{0, 30 * time.Second, 50 * time.Second} {
			stampOf := at(t, calls[i].Payload, "timestamp")
			if i == 1 {
				stampOf = at(t, calls[i].Payload, "meterValue", 0, "timestamp")
			}
			said, err := time.Parse(time.RFC3339, stampOf)
			if off := said.Sub(began) - want; err != nil || off < -time.Second || off > time.Second {
				t.Errorf("%s says %s, want %s after %s", calls[i].Action, said, want, began)
			}
		}
		if got := at(t, calls[2].Payload, "meterStop"); got != "910531.000" {
			t.Errorf("stopped at %s", got)
		}
		if got := at(t, calls[2].Payload, "transactionId"); got != at(t, calls[1].Payload, "transactionId") || got != "101.000" {
			t.Errorf("transaction %s", got)
		}
	})
}

func TestOfflineFlagAndSequenceNumbers201(t *testing.T) {
	o := Options{Version: V201, OfflineUnknown: true, SampleInterval: 10 * time.Second}
	with(t, o, func(t *testing.T, c *Charger, s *csms) {
		begin(t, c, "CARD")
		c.Sever()
		time.Sleep(25 * time.Second)
		c.Mend()
		if err := c.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		end(t, c)
		settle(t, c)
		var got []string
		for i, e := range s.got("TransactionEvent") {
			if n := at(t, e.Payload, "seqNo"); n != at(t, map[string]any{"n": float64(i)}, "n") {
				t.Errorf("event %d has seqNo %s", i, n)
			}
			got = append(got, at(t, e.Payload, "eventType")+":"+at(t, e.Payload, "offline"))
		}
		want := "Started:false Updated:true Updated:true Updated:false Ended:false"
		if s := strings.Join(got, " "); s != want {
			t.Errorf("events %s, want %s", s, want)
		}
	})
}

// The answer to the start is lost: the charger repeats it after the retry
// interval, as the same facts under a new message id (what firmware was
// measured to do, and what SteVe 1294 and others answer with a second
// transaction).
func TestLostStartAnswerIsRepeatedWithANewID(t *testing.T) {
	for _, flaw := range []bool{false, true} {
		with(t, Options{Flaws: Flaws{RepeatID: flaw}}, func(t *testing.T, c *Charger, s *csms) {
			c.LoseAnswers("StartTransaction", 1)
			charge(t, c, "CARD", 61*time.Second)
			settle(t, c)
			starts := s.got("StartTransaction")
			if len(starts) != 2 {
				t.Fatalf("%d starts", len(starts))
			}
			a, b := starts[0], starts[1]
			if same := a.ID == b.ID; same != flaw {
				t.Errorf("message ids %s and %s", a.ID, b.ID)
			}
			if x, y := text(t, a.Payload), text(t, b.Payload); x != y {
				t.Errorf("repeated as %s, was %s", y, x)
			}
			if got := at(t, s.got("StopTransaction")[0].Payload, "transactionId"); got != "102.000" {
				t.Errorf("stopped transaction %s, want the one that was answered", got)
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The answer to the start never comes before the stop: -1.
func TestStopWithMinusOne_libocpp495(t *testing.T) {
	with(t, Options{Flaws: Flaws{ForgetStart: true}}, func(t *testing.T, c *Charger, s *csms) {
		s.on("StartTransaction", func(map[string]any) any { return nil })
		charge(t, c, "CARD", 10*time.Second)
		settle(t, c)
		stops := s.got("StopTransaction")
		if len(stops) != 1 || at(t, stops[0].Payload, "transactionId") != "-1.000" {
			t.Errorf("stops %v", stops)
		}
		if got := c.Truth()[0]; got.StartAcked || !got.StopAcked || got.EnergyWh != 100 {
			t.Errorf("%+v", got)
		}
	})
}

// A start that the other side cannot process is given up after three attempts
// with growing pauses (1.6 section 3.7.1); what follows has no address.
func TestGiveUpAfterAttempts(t *testing.T) {
	o := Options{Attempts: 3, RetryInterval: time.Minute, SampleInterval: 50 * time.Second}
	with(t, o, func(t *testing.T, c *Charger, s *csms) {
		var when []time.Time
		s.on("StartTransaction", func(map[string]any) any {
			when = append(when, time.Now())
			return callError{Code: "InternalError", Text: "no"}
		})
		charge(t, c, "CARD", 4*time.Minute)
		settle(t, c)
		if len(when) != 3 {
			t.Fatalf("%d attempts", len(when))
		}
		if a, b := when[1].Sub(when[0]), when[2].Sub(when[1]); a != time.Minute || b != 2*time.Minute {
			t.Errorf("pauses of %s and %s, want 1 m and 2 m", a, b)
		}
		if n := len(s.got("MeterValues")); n != 0 {
			t.Errorf("%d samples of a transaction without an id", n)
		}
		if got := c.Truth()[0]; got.Discarded != 1 || got.StartAcked || !got.StopAcked {
			t.Errorf("%+v", got)
		}
	})
}
