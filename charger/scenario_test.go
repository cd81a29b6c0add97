package charger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const visit = `# a visit through an outage
flaws: [clock_1970]
repeat: 2
steps:
  - plug: 1
  - swipe: {evse: 1, token: 04A1B2C3, expect: accepted}
  - wait: 20s
  - do: sever
  - wait: 10s
  - stop: 1
  - unplug: 1
  - do: mend
  - do: settle
`

func TestScenarioIsPlayed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "visit.yaml")
	if err := os.WriteFile(file, []byte(visit), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadScenario(file)
	if err != nil {
		t.Fatal(err)
	}
	with(t, Options{}, func(t *testing.T, c *Charger, srv *csms) {
		if err := c.Play(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		truth := c.Truth()
		if len(truth) != 2 || truth[0].EnergyWh != 300 || truth[1].EnergyWh != 300 {
			t.Errorf("truth %+v", truth)
		}
		if n := len(srv.got("StopTransaction")); n != 2 {
			t.Errorf("%d stops", n)
		}
	})
}

func TestScenarioExpectationFails(t *testing.T) {
	s, err := ParseScenario("x.yaml", []byte("steps:\n  - plug: 1\n  - swipe: {token: CARD, expect: accepted}\n"))
	if err != nil {
		t.Fatal(err)
	}
	with(t, Options{}, func(t *testing.T, c *Charger, srv *csms) {
		srv.on("Authorize", func(map[string]any) any { return map[string]any{"idTagInfo": map[string]any{"status": "Blocked"}} })
		err := c.Play(t.Context(), s)
		if err == nil || !strings.Contains(err.Error(), "x.yaml:3:") || !strings.Contains(err.Error(), "Blocked") {
			t.Errorf("error %v", err)
		}
	})
}

func TestScenarioErrorsNameFileAndLine(t *testing.T) {
	for _, tc := range []struct{ yaml, want string }{
		{"steps:\n  - plug: 1\n  - plugg: 1\n", `s.yaml:3:5: unknown field "plugg"`},
		{"stepz: []\n", `s.yaml:1:1: unknown field "stepz"`},
		{"steps:\n  - plug: one\n", "s.yaml:2:11: "},
		{"steps:\n  - plug: 1\n    stop: 1\n", "s.yaml:2:5: a step has exactly one"},
		{"steps:\n  - plug: 1\n  - do: dance\n", `s.yaml:3:9: do "dance": want one of ready, cut, sever`},
		{"steps:\n  - wait: soon\n", `s.yaml:2:11: wait "soon"`},
		{"steps:\n  - swipe: {token: CARD, expect: maybe}\n", `s.yaml:2:34: expect "maybe"`},
		{"steps:\n  - swipe: {evse: 1}\n", "s.yaml:2:13: token of 0 characters"},
		{"steps:\n  - plug: 99\n", "s.yaml:2:11: EVSE 99: want 1 to 64"},
		{"flaws: [boot_burst, lazy]\nsteps:\n  - plug: 1\n", `s.yaml:1:21: flaw "lazy": want one of placeholder_start`},
		{"repeat: 0\nsteps:\n  - plug: 1\n", "s.yaml:1:9: repeat 0"},
		{"steps:\n  - lose: {count: 2}\n", "s.yaml:2:12: lose: want an action"},
		{"steps: []\n", "s.yaml: no steps"},
		{"steps:\n  - plug: 1\n  - plug: 1\n steps: x\n", "s.yaml:"},
		{"steps:\n  - plug: 1\nsteps:\n  - plug: 1\n", "s.yaml:3:1: "},
	} {
		_, err := ParseScenario("s.yaml", []byte(tc.yaml))
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want %s", tc.yaml, err, tc.want)
		}
	}
	if _, err := LoadScenario(filepath.Join(t.TempDir(), "none.yaml")); err == nil {
		t.Error("a missing file was read")
	}
}

func FuzzScenario(f *testing.F) {
	f.Add([]byte(visit))
	f.Add([]byte("steps:\n  - swipe: {token: CARD}\n"))
	f.Add([]byte("steps: [{lose: {action: StartTransaction}}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseScenario("f.yaml", b)
		if err == nil && (len(s.Steps) == 0 || s.Repeat < 1) {
			t.Errorf("accepted %q", b)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte(`[2,"1","Reset",{"type":"Hard"}]`))
	f.Add([]byte(`[3,"1",{}]`))
	f.Add([]byte(`[4,"1","InternalError","",{}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := decodeFrame(b)
		if err == nil && fr.typ == typeCall && fr.payload == nil {
			t.Errorf("a CALL without payload from %q", b)
		}
	})
}
