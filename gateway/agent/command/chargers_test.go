package command

import (
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/record"
)

// TestChargersTable: the table names what is missing, line by line, and a
// charger that nobody has asked yet is no fault.
func TestChargersTable(t *testing.T) {
	list := []gateway.ChargerStatus{
		{ID: "CP-1", Native: gateway.NativeStatus{Verdict: gateway.NativeReady, List: record.ListInstalled, Count: 50, Version: 31, LeftOut: 162}},
		{ID: "CP-2", Native: gateway.NativeStatus{Verdict: gateway.NativeNotReady, List: record.ListUnsupported, Missing: []string{"the charger has no local list", "X is 1, want 2"}}},
		{ID: "CP-3", Native: gateway.NativeStatus{Verdict: gateway.NativeUnasked}},
	}
	var out strings.Builder
	if err := printNative(&out, list); err != nil {
		t.Fatal(err)
	}
	want := `CHARGER  ALONE          LIST                                           WHAT IS MISSING
CP-1     ready          50 entries, version 31; 162 drivers do not fit  -
CP-2     not ready      none                                           the charger has no local list
                                                                       X is 1, want 2
CP-3     not asked yet  not written yet                                -
`
	if squeeze(out.String()) != squeeze(want) {
		t.Errorf("the table is\n%s", out.String())
	}
	out.Reset()
	if err := printNative(&out, nil); err != nil || !strings.Contains(out.String(), "Add them under chargers:") {
		t.Errorf("without chargers: %q, %v", out.String(), err)
	}
	out.Reset()
	list[1].Native.Settings = []record.NativeVariable{{Key: "A", Have: "1", Want: "1", OK: true}, {Key: "B", Have: "x", Want: "y", Answer: "Rejected"}}
	if err := printCharger(&out, list[1]); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"missing X is 1, want 2", "A 1 as it is -", "B x y Rejected"} {
		if !strings.Contains(squeeze(out.String()), line) {
			t.Errorf("no line %q in\n%s", line, out.String())
		}
	}
	out.Reset()
	if err := printCharger(&out, list[2]); err != nil || !strings.Contains(out.String(), "were not read yet") {
		t.Errorf("a charger that was not asked: %q, %v", out.String(), err)
	}
}

// squeeze takes the columns' width out.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}
