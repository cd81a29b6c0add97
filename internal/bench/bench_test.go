package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test's own program play the parts of a benchmark.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles()[os.Args[1]] != nil {
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Every benchmark runs for a moment and gives figures that can be measurements.
func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"holdfast", "holdfast-gateway"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), "../../cmd/"+name)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	for _, b := range All() {
		t.Run(b.Name, func(t *testing.T) {
			var out bytes.Buffer
			res, err := Measure(t.Context(), Options{Names: []string{b.Name}, Dir: t.TempDir(), Bins: dir, Smoke: true, Out: &out})
			t.Log(out.String())
			if err != nil {
				t.Fatal(err)
			}
			if len(res) != 1 || len(res[0].Figures) == 0 {
				t.Fatalf("results: %+v", res)
			}
		})
	}
}

func TestReport(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "benchmarks.md")
	if err := os.WriteFile(doc, []byte("before\n"+docBegin+"old\n"+docEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := Report{Machine: ThisMachine(t.TempDir()), Results: []Result{{
		Name: "start", About: "About.", Profile: "flat 10%",
		Figures: []Figure{
			{Name: "p50", Value: 1.25, Unit: "ms", Of: "write and sync, 0.2 ms", Ratio: 6.25, Aim: "at most 1.4 ms", Met: true, Aimed: true},
			{Name: "p99", Value: 9, Unit: "ms", Aim: "at most 3 ms", Aimed: true, Note: "A note."},
		},
	}}}
	if err := r.WriteDoc(doc); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n" + docBegin + "Measured on ", docEnd + "\nafter\n", "| p50 | 1.2 ms | write and sync, 0.2 ms | 6.25 | at most 1.4 ms | met |",
		"| p99 | 9 ms |  |  | at most 3 ms | **missed** |", "p99: A note.", "flat 10%",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Errorf("the former figures are still there:\n%s", text)
	}
}

func TestChoose(t *testing.T) {
	if all, err := choose(nil); err != nil || len(all) != len(All()) {
		t.Errorf("all: %d, %v", len(all), err)
	}
	if _, err := choose([]string{"binary", "nothing"}); err == nil || !strings.Contains(err.Error(), "binary") {
		t.Errorf("an unknown name: %v, want an error that lists the known ones", err)
	}
}

// A run of some benchmarks keeps the figures of the others, in their order.
func TestMerge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.json")
	if err := (&Report{}).Merge(path); err != nil {
		t.Fatalf("without a former report: %v", err)
	}
	old := Report{Results: []Result{{Name: "calls", Seconds: 1}, {Name: "binary", Seconds: 1}, {Name: "gone"}}}
	if err := old.WriteJSON(path); err != nil {
		t.Fatal(err)
	}
	r := Report{Results: []Result{{Name: "calls", Seconds: 2}}}
	if err := r.Merge(path); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 2 || r.Results[0].Name != "binary" || r.Results[1].Name != "calls" || r.Results[1].Seconds != 2 {
		t.Errorf("merged: %+v", r.Results)
	}
}

// docs/benchmarks.md shows what docs/benchmarks.json says.
func TestPageShowsTheReport(t *testing.T) {
	b, err := os.ReadFile("../../docs/benchmarks.json")
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), docBegin+r.Markdown()+docEnd) {
		t.Error("the figures in docs/benchmarks.md are not those of docs/benchmarks.json: run make bench")
	}
}
