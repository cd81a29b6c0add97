package ledger_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/ledger"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the table in docs/exceptions.md from the code table")

const (
	exceptionsDoc = "../docs/exceptions.md"
	tableBegin    = "<!-- codes: go test ./ledger -run TestExceptionsDoc -rewrite -->\n"
	tableEnd      = "<!-- end of codes -->\n"
)

func table() string {
	var b strings.Builder
	for _, k := range ledger.Kinds() {
		var actions []string
		for _, a := range k.Actions {
			actions = append(actions, string(a))
		}
		blocks := "no"
		if k.Blocks {
			blocks = "yes"
		}
		fmt.Fprintf(&b, "### %s\n\n%s %s\n\n* Owner: %s, due in %d h\n* Blocks the bill: %s\n* Actions: %s\n\n",
			k.Code, k.Sentence, k.Why, k.Owner, k.DueHours, blocks, strings.Join(actions, ", "))
	}
	return b.String()
}

// TestExceptionsDoc keeps docs/exceptions.md equal to the code table.
func TestExceptionsDoc(t *testing.T) {
	raw, err := os.ReadFile(exceptionsDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), tableBegin)
	got, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks around its table", exceptionsDoc)
	}
	if got == table() {
		return
	}
	if !*rewrite {
		t.Fatalf("%s differs from the code table; run: go test ./ledger -run TestExceptionsDoc -rewrite", exceptionsDoc)
	}
	if err := os.WriteFile(exceptionsDoc, []byte(before+tableBegin+table()+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestEveryCodeInTheTreeIsListed: a code that some package raises and that no
// person can look up is a defect.
func TestEveryCodeInTheTreeIsListed(t *testing.T) {
	literal := regexp.MustCompile(`"((?:FEAS|AUTH|EVID|PAIR|RATE|POWER|CONF|DELV)_[A-Z_]+)"`)
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range literal.FindAllSubmatch(b, -1) {
			code := string(m[1])
			found++
			if _, ok := ledger.KindOf(code); !ok && !slices.Contains(holdfast.Causes(), holdfast.Cause(code)) {
				t.Errorf("%s speaks of %s, which ledger.Kinds does not list", path, code)
			}
		}
		return nil
	})
	if err != nil || found < len(ledger.Kinds()) {
		t.Errorf("found %d codes: %v", found, err)
	}
}

// TestKindsAreWhole: every code is unique, well formed, and tells a person what
// to do; every code that the ledger can find has a story in this suite.
func TestKindsAreWhole(t *testing.T) {
	told := map[string]bool{
		// Found between two sessions: neighbours_test.go.
		ledger.FeasOverlap: true, ledger.FeasRegisterOverlap: true, ledger.EvidEnergyOutside: true, ledger.PairDuplicate: true,
		// Raised by the gateway or by the cloud's door, and passed on: their own
		// suites tell them.
		"EVID_SIGNATURE": true, "EVID_CHAIN_GAP": true, "EVID_FRAME": true, "EVID_UNREADABLE": true, "EVID_RECEIPT": true, "EVID_SEQ_GAP": true, "EVID_HISTORY_LOST": true, "EVID_SEGMENT_DAMAGED": true, "PAIR_GUESSED": true, "PAIR_LATE_START": true,
		"POWER_FAILSAFE": true, "POWER_REFUSED": true, "POWER_EXCEEDED": true, "POWER_CUTOUT": true,
	}
	for _, f := range findings() {
		told[f.code] = true
	}
	seen := map[string]bool{}
	for _, k := range ledger.Kinds() {
		family, _, ok := strings.Cut(k.Code, "_")
		if !ok || seen[k.Code] || !strings.Contains("FEAS AUTH EVID PAIR RATE POWER CONF DELV", family) {
			t.Errorf("code %q", k.Code)
		}
		seen[k.Code] = true
		if !strings.HasSuffix(k.Sentence, ".") || !strings.HasSuffix(k.Why, ".") || k.Owner == "" || k.DueHours <= 0 || len(k.Actions) == 0 {
			t.Errorf("%s does not tell a person what to do: %+v", k.Code, k)
		}
		if !told[k.Code] {
			t.Errorf("%s has no story", k.Code)
		}
	}
}
