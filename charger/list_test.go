package charger

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// order sends a command's payload to the charger's dialect, as the other side's
// call would.
func order(t *testing.T, c *Charger, action, payload string) string {
	t.Helper()
	c.mu.Lock()
	defer c.unlock()
	out, bad := c.d.command(c, action, json.RawMessage(payload))
	if bad != nil {
		return bad.Code
	}
	return text(t, out)
}

// TestLocalList: the charger keeps its list by the standards' rules on versions,
// length and pieces, in both versions.
func TestLocalList_16s515_D01(t *testing.T) {
	for _, v := range []Version{V16, V201} {
		t.Run(string(v), func(t *testing.T) {
			with(t, Options{Version: v, LocalList: 3, ListChunk: 2}, func(t *testing.T, c *Charger, _ *csms) {
				send := func(version int, full bool, tokens ...string) string {
					update := "Differential"
					if full {
						update = "Full"
					}
					list := []any{}
					for _, tok := range tokens {
						item := map[string]any{"idTag": tok, "idToken": map[string]any{"idToken": tok}}
						if tok[0] == '-' {
							item["idTag"], item["idToken"] = tok[1:], map[string]any{"idToken": tok[1:]}
						} else {
							item["idTagInfo"] = map[string]any{"status": "Accepted"}
							item["idTokenInfo"] = item["idTagInfo"]
						}
						list = append(list, item)
					}
					return order(t, c, "SendLocalList", text(t, map[string]any{
						"listVersion": version, "versionNumber": version, "updateType": update, "localAuthorizationList": list,
					}))
				}
				off := map[Version]string{V16: `{"status":"NotSupported"}`, V201: `{"status":"Failed"}`}[v]
				if got := send(1, true, "a"); got != off {
					t.Errorf("while the list is off: %s", got)
				}
				if v == V16 {
					order(t, c, "ChangeConfiguration", `{"key":"LocalAuthListEnabled","value":"true"}`)
				} else {
					order(t, c, "SetVariables", `{"setVariableData":[{"component":{"name":"LocalAuthListCtrlr"},"variable":{"name":"Enabled"},"attributeValue":"true"}]}`)
				}
				for i, step := range []struct {
					got, want string
				}{
					{send(5, true, "a", "b"), "Accepted"},
					{send(5, false, "c"), "VersionMismatch"},
					{send(4, false, "c"), "VersionMismatch"},
					{send(6, false, "c"), "Accepted"},
					{send(7, false, "d"), "Failed"},
					{send(8, false, "-a", "d"), "Accepted"},
					{send(9, false, "e", "f", "g"), "Failed"},
				} {
					if step.got != fmt.Sprintf(`{"status":%q}`, step.want) {
						t.Errorf("step %d: %s, want %s", i, step.got, step.want)
					}
				}
				version, list := c.LocalList()
				if version != 8 || text(t, list) != `{"B":"Accepted","C":"Accepted","D":"Accepted"}` {
					t.Errorf("version %d holds %v", version, list)
				}
				c.PowerCycle()
				if again, _ := c.LocalList(); again != 8 {
					t.Error("the list did not survive a power cut")
				}
			})
		})
	}
}

// TestAloneByTheList: without a link the list decides before the cache, an
// entry ends by its date, and a blocked one is refused although it was accepted
// before (1.6 section 3.5.4, 2.0.1 C13, C15).
func TestAloneByTheList_C13_C15(t *testing.T) {
	with(t, Options{OfflineKnown: true, LocalList: 10}, func(t *testing.T, c *Charger, _ *csms) {
		charge(t, c, "SEEN", time.Second)
		charge(t, c, "GONE", time.Second)
		order(t, c, "ChangeConfiguration", `{"key":"LocalAuthListEnabled","value":"true"}`)
		until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		order(t, c, "SendLocalList", `{"listVersion":1,"updateType":"Full","localAuthorizationList":[
			{"idTag":"listed","idTagInfo":{"status":"Accepted"}},{"idTag":"GONE","idTagInfo":{"status":"Blocked"}},
			{"idTag":"BRIEF","idTagInfo":{"status":"Accepted","expiryDate":"`+until+`"}}]}`)
		c.Sever()
		synctest.Wait()
		try := func(token string) bool {
			t.Helper()
			if err := c.Plug(1); err != nil {
				t.Fatal(err)
			}
			ok, _ := c.Swipe(t.Context(), 1, token)
			if err := c.Unplug(1); err != nil {
				t.Fatal(err)
			}
			return ok
		}
		for token, want := range map[string]bool{"LISTED": true, "SEEN": true, "GONE": false, "BRIEF": true, "STRANGER": false} {
			if got := try(token); got != want {
				t.Errorf("%s: %v, want %v", token, got, want)
			}
		}
		time.Sleep(2 * time.Hour)
		if try("BRIEF") {
			t.Error("an entry that has ended let a driver in")
		}
		order(t, c, "ChangeConfiguration", `{"key":"AuthorizationCacheEnabled","value":"false"}`)
		if try("SEEN") {
			t.Error("a cache that is off let a driver in")
		}
		order(t, c, "ChangeConfiguration", `{"key":"LocalAuthorizeOffline","value":"false"}`)
		if try("LISTED") {
			t.Error("a charger that may not decide alone did")
		}
	})
}
