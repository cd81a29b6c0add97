package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/record"
)

// settings16 is a charger as it comes from the factory, good for nothing alone.
func settings16() map[string]string {
	return map[string]string{
		"LocalAuthorizeOffline": "false", "AllowOfflineTxForUnknownId": "true", "LocalAuthListEnabled": "false",
		"LocalPreAuthorize": "true", "AuthorizationCacheEnabled": "true", "StopTransactionOnInvalidId": "False",
		"TransactionMessageAttempts": "3", "TransactionMessageRetryInterval": "600",
		"LocalAuthListMaxLength": "50", "SendLocalListMaxLength": "4",
	}
}

func settings2() map[string]string {
	return map[string]string{
		"AuthCtrlr.LocalAuthorizeOffline": "false", "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true", "LocalAuthListCtrlr.Enabled": "false",
		"AuthCtrlr.LocalPreAuthorize": "true", "AuthCacheCtrlr.Enabled": "true", "TxCtrlr.StopTxOnInvalidId": "false",
		"OCPPCommCtrlr.QueueAllMessages": "false", "OCPPCommCtrlr.MessageAttempts[TransactionEvent]": "3",
		"OCPPCommCtrlr.OfflineThreshold": "0", "LocalAuthListCtrlr.Available": "true", "LocalAuthListCtrlr.ItemsPerMessage": "4",
	}
}

// prepared is a bench whose site looks after its chargers, with a list of the
// tokens named and their values.
func prepared(t testing.TB, tokens ...string) *bench {
	b := newBench(t)
	b.wants(gateway.NativeConfig{})
	b.installed(1, tokens...)
	b.online()
	b.given(names(tokens)...)
	return b
}

func names(tokens []string) (out []string) {
	for _, t := range tokens {
		name, _, _ := strings.Cut(t, ":")
		out = append(out, name)
	}
	return out
}

func (b *bench) charger(id holdfast.ChargerID) gateway.NativeStatus {
	b.t.Helper()
	for _, c := range b.g.Status(b.now).Chargers {
		if c.ID == id {
			return c.Native
		}
	}
	b.t.Fatalf("no charger %s in the status", id)
	return gateway.NativeStatus{}
}

// TestNativeReadiness: what a charger lacks to cope alone is read and set, in
// both versions, and what it then shows is the verdict. Nothing is asked twice
// for no reason.
func TestNativeReadiness_C13_C15(t *testing.T) {
	for version, settings := range map[string]func() map[string]string{"ocpp1.6": settings16, "ocpp2.0.1": settings2} {
		t.Run(version, func(t *testing.T) {
			b := prepared(t, "CARD1:ALWAYS")
			d := b.native("CP1", version, settings())
			if s := b.charger("CP1"); s.Verdict != gateway.NativeUnasked {
				t.Fatalf("before: %+v", s)
			}
			b.live(60, d)
			s := b.charger("CP1")
			if s.Verdict != gateway.NativeReady || s.List != record.ListInstalled || s.Count != 1 || len(s.Missing) != 0 {
				t.Fatalf("after: %+v", s)
			}
			for _, v := range s.Settings {
				if !v.OK || d.settings[v.Key] != v.Have {
					t.Errorf("%+v, the charger has %q", v, d.settings[v.Key])
				}
			}
			if d.cleared == 0 {
				t.Error("a cache that was switched off keeps what it remembered")
			}
			for _, c := range b.commands(d.conn, "ChangeConfiguration") {
				if strings.Contains(string(c.Payload), "MaxEnergyOnInvalidId") {
					t.Errorf("a setting that the charger does not have was set: %s", c.Payload)
				}
			}
			records, sent := len(b.records), len(b.sent[d.conn])
			b.live(3600, d)
			if n := len(b.sent[d.conn]) - sent; n != 0 {
				t.Errorf("%d messages to a charger that is ready", n)
			}
			if n := len(bodies[*record.ChargerReadiness](b)); n != 1 {
				t.Errorf("%d readiness records, want 1 (of %d)", n, records)
			}
			b.live(24*3600, d) // asked again after a day; nothing new is written
			if n := len(bodies[*record.ChargerReadiness](b)); n != 1 || len(b.sent[d.conn]) == sent {
				t.Errorf("after a day %d readiness records, %d messages", n, len(b.sent[d.conn])-sent)
			}
		})
	}
}

// TestNativeSettingsThatCannotBeHad: a charger that refuses a setting, needs a
// restart for it, or does not know it, is shown with the reason, and it is not
// restarted.
func TestNativeSettingsThatCannotBeHad(t *testing.T) {
	b := prepared(t, "CARD1")
	set := settings16()
	delete(set, "LocalAuthorizeOffline")
	d := b.native("CP1", "ocpp1.6", set)
	d.readonly["AllowOfflineTxForUnknownId"], d.readonly["LocalAuthListEnabled"] = "Rejected", "RebootRequired"
	b.live(60, d)
	s := b.charger("CP1")
	want := []string{
		"the charger does not say LocalAuthorizeOffline",
		"AllowOfflineTxForUnknownId is true, want false; the charger answered Rejected",
		"LocalAuthListEnabled becomes true when the charger restarts",
	}
	if s.Verdict != gateway.NativeNotReady || !slices.Equal(s.Missing, want) || !slices.Equal(s.Restart, []string{"LocalAuthListEnabled"}) {
		t.Fatalf("%+v", s)
	}
	if n := len(b.commands(d.conn, "Reset")); n != 0 {
		t.Errorf("the charger was restarted %d times", n)
	}
	d.settings["LocalAuthListEnabled"], d.settings["LocalAuthorizeOffline"] = "true", "true"
	delete(d.readonly, "AllowOfflineTxForUnknownId")
	d.boot()
	b.live(60, d)
	if s := b.charger("CP1"); s.Verdict != gateway.NativeReady {
		t.Errorf("after a restart: %+v", s)
	}
}

// TestNativeListFollowsTheSite: the list goes in pieces of the charger's own
// size, changes go as changes, a revoked driver is blocked, NEVER is not told,
// and no version is used twice. 1.6 section 5.15, 2.0.1 D01.
func TestNativeListFollowsTheSite_D01(t *testing.T) {
	for version, settings := range map[string]func() map[string]string{"ocpp1.6": settings16, "ocpp2.0.1": settings2} {
		t.Run(version, func(t *testing.T) {
			tokens := []string{"CARD1:ALWAYS", "CARD2", "CARD3:ALLOWED_OFFLINE", "CARD4:NEVER", "CARD5:revoked", "CARD6", "CARD7", "CARD8", "CARD9"}
			b := prepared(t, tokens...)
			d := b.native("CP1", version, settings())
			b.live(60, d)
			if h := d.holds(); h != "CARD1 CARD2 CARD3 CARD5:Blocked CARD6 CARD7 CARD8 CARD9" {
				t.Fatalf("the charger holds %s", h)
			}
			if !slices.Equal(d.sends, []int{4, 4}) || d.fulls != 1 {
				t.Fatalf("sent in pieces of %v, %d full", d.sends, d.fulls)
			}
			if d.list["CARD1"].Expires != "" || d.list["CARD2"].Expires == "" {
				t.Errorf("ALWAYS ends %q, ALLOWED %q: want never and an end", d.list["CARD1"].Expires, d.list["CARD2"].Expires)
			}
			b.installed(2, append(slices.Clone(tokens[2:]), "CARD1:revoked", "CARDA")...)
			b.given(append(names(tokens), "CARDA")...)
			cleared := d.cleared
			b.live(120, d)
			if h := d.holds(); h != "CARD1:Blocked CARD3 CARD5:Blocked CARD6 CARD7 CARD8 CARD9 CARDA" || d.fulls != 1 {
				t.Errorf("after a change the charger holds %s, %d full lists", h, d.fulls)
			}
			if d.cleared != cleared {
				t.Error("a cache that is off was cleared")
			}
			for _, c := range bodies[*record.CommandSent](b) {
				if c.Action != "TriggerMessage" {
					t.Errorf("%s is a record of its own", c.Action)
				}
			}
			seen := map[int32]bool{}
			for _, l := range bodies[*record.ChargerList](b) {
				if l.Outcome == record.ListSending {
					if seen[l.Taken] {
						t.Errorf("version %d was taken twice", l.Taken)
					}
					seen[l.Taken] = true
				}
			}

			b.crash() // what was sent is known again from its version and hash
			b.online()
			b.given(append(names(tokens), "CARDA")...)
			d.reconnect("CP1")
			sends := len(d.sends)
			b.live(120, d)
			if len(d.sends) != sends {
				t.Errorf("after a restart the same list went again")
			}
			d.version, d.list = 0, map[string]entry{} // the charger forgets
			d.boot()
			b.live(120, d)
			if h := d.holds(); !strings.HasPrefix(h, "CARD1:Blocked CARD3") || d.fulls != 2 {
				t.Errorf("a charger that forgot holds %s after %d full lists", h, d.fulls)
			}
		})
	}
}

// TestNativeListTooLong: the most useful drivers go first and the rest is
// counted, whether the charger says how much it holds or finds out.
func TestNativeListTooLong(t *testing.T) {
	var tokens []string
	for i := range 30 {
		tokens = append(tokens, fmt.Sprintf("CARD%02d", i))
	}
	tokens[17], tokens[23], tokens[4] = "CARD17:ALWAYS", "CARD23:ALLOWED_OFFLINE", "CARD04:revoked"
	for name, change := range map[string]func(*device){
		"said":  func(d *device) { d.settings["LocalAuthListMaxLength"] = "8" },
		"found": func(d *device) { d.most = 8 },
	} {
		t.Run(name, func(t *testing.T) {
			b := prepared(t, tokens...)
			c := b.connect("CP2", "ocpp1.6") // a driver whom the site has seen comes before the rest
			b.call(c, "1", "StartTransaction", fmt.Sprintf(`{"connectorId":1,"idTag":"CARD29","meterStart":0,"timestamp":%q}`, b.now.Wall))
			d := b.native("CP1", "ocpp1.6", settings16())
			change(d)
			b.live(120, d)
			h := d.holds()
			if len(d.list) != 8 || !strings.Contains(h, "CARD17") || !strings.Contains(h, "CARD23") || !strings.Contains(h, "CARD29") || strings.Contains(h, "Blocked") {
				t.Errorf("the charger holds %s", h)
			}
			if s := b.charger("CP1"); s.Count != 8 || s.LeftOut != 21 || s.Verdict != gateway.NativeReady {
				t.Errorf("%+v, want 8 entries and 21 drivers left out", s)
			}
			sends := len(d.sends)
			b.live(600, d)
			if len(d.sends) != sends {
				t.Errorf("%d more messages about a list that does not fit", len(d.sends)-sends)
			}
		})
	}
}

// TestNativeListRefused: no lists, no answer, a refusal, a foreign hand on the
// list: each is recorded, tried again within bounds, and shown.
func TestNativeListRefused_D01FR12(t *testing.T) {
	t.Run("no lists, 1.6 section 5.10", func(t *testing.T) {
		b := prepared(t, "CARD1")
		d := b.native("CP1", "ocpp1.6", settings16())
		d.version = -1
		b.live(3600, d)
		if s := b.charger("CP1"); s.Verdict != gateway.NativeNotReady || !slices.Equal(s.Missing, []string{"the charger has no local list"}) || len(d.sends) != 0 {
			t.Errorf("%+v after %v", s, d.sends)
		}
		if d.settings["AuthorizationCacheEnabled"] != "true" {
			t.Error("a charger without a list lost its cache, which is all that it has")
		}
		if n := len(b.commands(d.conn, "GetLocalListVersion")); n != 1 {
			t.Errorf("asked %d times in an hour", n)
		}
		d.version = 0 // its maker has sent an update
		b.live(24*3600, d)
		if s := b.charger("CP1"); s.Verdict != gateway.NativeReady {
			t.Errorf("the next day: %+v", s)
		}
		d.version = -1
		d.boot()
		b.live(60, d)
		d.version = 0
		d.boot()
		b.live(60, d)
		if s := b.charger("CP1"); s.Verdict != gateway.NativeReady {
			t.Errorf("after a boot: %+v", s)
		}
	})
	t.Run("not implemented", func(t *testing.T) {
		b := prepared(t, "CARD1")
		d := b.native("CP1", "ocpp2.0.1", settings2())
		d.refuse["SendLocalList"] = "NotImplemented"
		b.live(3600, d)
		if s := b.charger("CP1"); s.List != record.ListUnsupported || len(bodies[*record.ChargerList](b)) > 2 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("failing", func(t *testing.T) {
		b := prepared(t, "CARD1")
		d := b.native("CP1", "ocpp1.6", settings16())
		d.most = -1
		d.refuse["SendLocalList"] = "InternalError"
		b.live(24*3600, d)
		n := len(b.commands(d.conn, "SendLocalList"))
		if s := b.charger("CP1"); s.List != record.ListFailed || s.Verdict != gateway.NativeNotReady || n < 4 || n > 16 {
			t.Errorf("%d tries in a day, %+v", n, s)
		}
		used := map[int]bool{}
		for _, f := range b.commands(d.conn, "SendLocalList") {
			var in struct{ ListVersion int }
			if err := json.Unmarshal(f.Payload, &in); err != nil || used[in.ListVersion] {
				t.Errorf("version %d was used twice (%v)", in.ListVersion, err)
			}
			used[in.ListVersion] = true
		}
		delete(d.refuse, "SendLocalList")
		d.most = 0
		b.live(7*3600, d)
		if s := b.charger("CP1"); s.Verdict != gateway.NativeReady {
			t.Errorf("when it works again: %+v", s)
		}
	})
	t.Run("deaf", func(t *testing.T) {
		b := prepared(t, "CARD1")
		d := b.native("CP1", "ocpp1.6", settings16())
		d.deaf = "SendLocalList"
		b.live(600, d)
		if s := b.charger("CP1"); s.Verdict != gateway.NativeNotReady || len(b.commands(d.conn, "SendLocalList")) > 5 {
			t.Errorf("%+v", s)
		}
		d.deaf = ""
		b.live(3600, d)
		if d.holds() != "CARD1" {
			t.Errorf("holds %q", d.holds())
		}
	})
	t.Run("a foreign hand", func(t *testing.T) {
		b := prepared(t, "CARD1")
		d := b.native("CP1", "ocpp1.6", settings16())
		b.live(60, d)
		d.version, d.list = 7000, map[string]entry{"STRANGER": {Status: "Accepted"}}
		b.installed(2, "CARD1", "CARD2")
		b.given("CARD1", "CARD2")
		b.live(120, d)
		if d.holds() != "CARD1 CARD2" || d.version <= 7000 {
			t.Errorf("version %d holds %s", d.version, d.holds())
		}
	})
}

// TestNativeListWhoseAnswerWasLost: the charger has the list and the gateway
// died before it heard so. Its version says so: the same list does not go again.
func TestNativeListWhoseAnswerWasLost(t *testing.T) {
	b := prepared(t, "CARD1", "CARD2")
	d := b.native("CP1", "ocpp1.6", settings16())
	d.deaf = "SendLocalList"
	b.live(20, d)
	sent := b.commands(d.conn, "SendLocalList")
	if len(sent) != 1 || d.send(sent[0].Payload) != "Accepted" { // it takes the list; its answer does not come
		t.Fatalf("%d messages", len(sent))
	}
	b.crash()
	b.online()
	b.given("CARD1", "CARD2")
	d.deaf = ""
	d.reconnect("CP1")
	b.live(60, d)
	if s := b.charger("CP1"); s.Verdict != gateway.NativeReady || s.List != record.ListInstalled || d.fulls != 1 {
		t.Errorf("%+v after %d full lists", s, d.fulls)
	}
}

// TestNativeCacheIsCleared: where chargers remember verdicts, they forget them
// when somebody has lost a right, and not when somebody got one.
func TestNativeCacheIsCleared_C11(t *testing.T) {
	b := newBench(t)
	b.wants(gateway.NativeConfig{Cache: true})
	b.installed(1, "CARD1", "CARD2")
	b.online()
	b.given("CARD1", "CARD2")
	d := b.native("CP1", "ocpp2.0.1", settings2())
	b.live(60, d)
	if d.settings["AuthCacheCtrlr.Enabled"] != "true" {
		t.Error("the cache was switched off")
	}
	cleared := d.cleared
	b.online()
	b.installed(2, "CARD1", "CARD2", "CARD3")
	b.given("CARD1", "CARD2", "CARD3")
	b.live(60, d)
	if d.cleared != cleared || d.holds() != "CARD1 CARD2 CARD3" {
		t.Errorf("a new driver: cleared %d times, holds %s", d.cleared-cleared, d.holds())
	}
	b.online()
	b.installed(3, "CARD1", "CARD3")
	b.given("CARD1", "CARD3")
	b.live(60, d)
	if d.cleared != cleared+1 || d.holds() != "CARD1 CARD3" {
		t.Errorf("a driver less: cleared %d times, holds %s", d.cleared-cleared, d.holds())
	}
	b.online()
	b.installed(4, "CARD1", "CARD3:revoked")
	b.given("CARD1", "CARD3")
	b.live(60, d)
	if d.cleared != cleared+2 || d.holds() != "CARD1 CARD3:Blocked" {
		t.Errorf("a revoked driver: cleared %d times, holds %s", d.cleared-cleared, d.holds())
	}
}

// TestNativeBootAtAnyMoment: a charger that boots, or reconnects, in the middle
// of a round, between a question and its answer, gets ready all the same.
func TestNativeBootAtAnyMoment(t *testing.T) {
	for _, again := range []string{"boot", "reconnect", "cut"} {
		for at := range 30 {
			b := prepared(t, "CARD1", "CARD2", "CARD3", "CARD4", "CARD5", "CARD6")
			d := b.native("CP1", "ocpp1.6", settings16())
			for i := 0; len(b.sent[d.conn]) < at+2 && i < 200; i++ {
				b.pass(500)
				b.step(gateway.Tick{})
				if len(b.sent[d.conn]) < at+2 {
					d.answer()
				}
			}
			switch again { // its answer comes after this, or never
			case "boot":
				d.boot()
			case "reconnect":
				d.reconnect("CP1")
			case "cut":
				b.step(gateway.Disconnected{Conn: d.conn})
				d.reconnect("CP1")
			}
			b.live(600, d)
			if s := b.charger("CP1"); s.Verdict != gateway.NativeReady || len(d.list) != 6 {
				t.Errorf("%s after %d messages: %+v, %s", again, at, s, d.holds())
			}
		}
	}
}

// TestNativeSmallChargers: a charger that takes less in one message than the
// gateway tries, and does not say so, is asked and told in smaller pieces.
func TestNativeSmallChargers(t *testing.T) {
	for version, settings := range map[string]func() map[string]string{"ocpp1.6": settings16, "ocpp2.0.1": settings2} {
		var tokens []string
		for i := range 12 {
			tokens = append(tokens, fmt.Sprintf("CARD%02d", i))
		}
		b := prepared(t, tokens...)
		set := settings()
		delete(set, "SendLocalListMaxLength")
		delete(set, "LocalAuthListCtrlr.ItemsPerMessage")
		d := b.native("CP1", version, set)
		d.keys, d.piece = 1, 3
		b.live(1800, d)
		if s := b.charger("CP1"); s.Verdict != gateway.NativeReady || len(d.list) != 12 {
			t.Errorf("%s: %+v, the list has %d entries", version, s, len(d.list))
		}
	}
}

// TestNativeListWaitsForItsTokens: without the values of its tokens a list is
// not written: an empty one would lock out the drivers whom the charger knows.
func TestNativeListWaitsForItsTokens(t *testing.T) {
	b := prepared(t, "CARD1")
	d := b.native("CP1", "ocpp1.6", settings16())
	b.live(60, d)
	b.crash()
	b.step(gateway.Tick{})
	b.step(gateway.Book{Stored: true, Err: "the file was deleted"})
	d.reconnect("CP1")
	b.installed(2, "CARD1", "CARD2")
	b.live(600, d)
	if d.holds() != "CARD1" {
		t.Fatalf("without a book the charger's list became %q", d.holds())
	}
	b.online()
	b.given("CARD1", "CARD2")
	b.live(120, d)
	if d.holds() != "CARD1 CARD2" {
		t.Errorf("with the book: %q", d.holds())
	}
}

// TestNativeListAgesWithTheSite: past the hard age of the site's list ALLOWED
// drivers leave the chargers' lists as well.
func TestNativeListAgesWithTheSite(t *testing.T) {
	b := prepared(t, "CARD1:ALWAYS", "CARD2", "CARD3:ALLOWED_OFFLINE")
	d := b.native("CP1", "ocpp1.6", settings16())
	b.live(60, d)
	b.step(gateway.LinkDown{Cause: holdfast.CauseCloudUnreachable})
	if d.holds() != "CARD1 CARD2 CARD3" {
		t.Fatalf("holds %s", d.holds())
	}
	for range 73 {
		b.pass(3_600_000 - 60_000)
		b.live(60, d)
	}
	if d.holds() != "CARD1 CARD3" {
		t.Errorf("after 73 h without the cloud the charger holds %s", d.holds())
	}
}

// TestErasedDriverLeavesTheChargers: a token that is not on the new list leaves
// the disk at once, with or without a link, and the chargers' lists.
func TestErasedDriverLeavesTheChargers(t *testing.T) {
	b := prepared(t, "CARD1", "CARD2")
	d := b.native("CP1", "ocpp1.6", settings16())
	b.live(60, d)
	b.step(gateway.LinkDown{Cause: holdfast.CauseCloudUnreachable})
	b.installed(2, "CARD2")
	b.pass(500)
	b.step(gateway.Tick{})
	k := b.last.KeepBook
	if k == nil || len(k.Tokens) != 1 || k.Tokens[0].Value != "CARD2" {
		t.Fatalf("the disk keeps %v", k)
	}
	b.live(120, d)
	if d.holds() != "CARD2" {
		t.Errorf("the charger holds %s", d.holds())
	}
	if bytes.Contains(bytes.Join(b.records, nil), []byte("CARD")) {
		t.Error("a record names a token")
	}
}

// TestBookIsBelievedByItsHashes: values whose hashes are not on the signed list
// count for nothing, whoever sent them.
func TestBookIsBelievedByItsHashes(t *testing.T) {
	b := newBench(t)
	b.wants(gateway.NativeConfig{})
	b.installed(1, "CARD1", "CARD9:NEVER")
	b.online()
	b.given("CARD1", "INTRUDER", "CARD9")
	if k := b.last.KeepBook; k == nil || len(k.Tokens) != 1 {
		t.Fatalf("kept %v", k)
	}
	d := b.native("CP1", "ocpp1.6", settings16())
	b.live(60, d)
	if d.holds() != "CARD1" {
		t.Errorf("the charger holds %s", d.holds())
	}
}

// TestNativeStaysOutOfTheWay: while another command waits for a charger nothing
// of this is sent, and a site without the wish leaves chargers alone.
func TestNativeStaysOutOfTheWay(t *testing.T) {
	b := prepared(t, "CARD1")
	d := b.native("CP1", "ocpp1.6", settings16())
	d.deaf = "TriggerMessage"
	b.directive("d1", "charger.trigger", `{"charger":"CP1","message":"Heartbeat"}`)
	b.live(20, d)
	if n := len(b.commands(d.conn, "GetConfiguration")); n != 0 {
		t.Errorf("%d questions while a command waits", n)
	}
	b.live(60, d)
	if b.charger("CP1").Verdict != gateway.NativeReady {
		t.Errorf("after the command: %+v", b.charger("CP1"))
	}

	b.cfg.Chargers["CP2"] = gateway.ChargerConfig{Native: &gateway.NativeConfig{Mode: gateway.NativeWatch}}
	b.cfg.Chargers["CP3"] = gateway.ChargerConfig{Native: &gateway.NativeConfig{Mode: gateway.NativeOff}}
	b.crash()
	watched, off := b.native("CP2", "ocpp1.6", settings16()), b.native("CP3", "ocpp1.6", settings16())
	b.live(120, watched, off)
	if s := b.charger("CP2"); s.Verdict != gateway.NativeNotReady || len(b.commands(watched.conn, "ChangeConfiguration"))+len(watched.sends) != 0 {
		t.Errorf("watched: %+v", s)
	}
	if s := b.charger("CP3"); s.Verdict != gateway.NativeAlone || len(b.commands(off.conn, "GetConfiguration")) != 0 {
		t.Errorf("left alone: %+v", s)
	}
}

// TestNativeSameScriptSameBytes: lists and readiness come out the same in every
// run, to the byte.
func TestNativeSameScriptSameBytes(t *testing.T) {
	run := func() []byte {
		var tokens []string
		for i := range 60 {
			tokens = append(tokens, fmt.Sprintf("CARD%02d", i))
		}
		b := prepared(t, tokens...)
		d, e := b.native("CP1", "ocpp1.6", settings16()), b.native("CP2", "ocpp2.0.1", settings2())
		b.live(120, d, e)
		sent, err := json.Marshal(b.sent)
		if err != nil {
			t.Fatal(err)
		}
		return append(bytes.Join(b.records, []byte("\n")), sent...)
	}
	if a, b := run(), run(); !bytes.Equal(a, b) {
		t.Error("two runs differ")
	}
}
