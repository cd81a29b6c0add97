package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// A Report is everything that one call of `make bench` found.
type Report struct {
	At      time.Time `json:"at"`
	Machine Machine   `json:"machine"`
	Results []Result  `json:"results"`
}

// The generated part of docs/benchmarks.md stands between these lines.
const (
	docBegin = "<!-- figures -->\n"
	docEnd   = "<!-- end -->"
)

// Merge takes over what the report at path has of benchmarks that this one has
// not run. A report that is not there has nothing.
func (r *Report) Merge(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	old := Report{}
	if err == nil {
		err = json.Unmarshal(b, &old)
	}
	if err != nil {
		return fmt.Errorf("the former report: %w", err)
	}
	var all []Result
	for _, b := range All() {
		named := func(res Result) bool { return res.Name == b.Name }
		if i := slices.IndexFunc(r.Results, named); i >= 0 {
			all = append(all, r.Results[i])
		} else if i := slices.IndexFunc(old.Results, named); i >= 0 {
			all = append(all, old.Results[i])
		}
	}
	r.Results = all
	return nil
}

// WriteJSON writes the report to path.
func (r *Report) WriteJSON(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// WriteDoc replaces the generated part of the document at path.
func (r *Report) WriteDoc(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the document: %w", err)
	}
	before, rest, ok := strings.Cut(string(text), docBegin)
	_, after, ok2 := strings.Cut(rest, docEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s: no part between %q and %q", path, strings.TrimSpace(docBegin), docEnd)
	}
	return os.WriteFile(path, []byte(before+docBegin+r.Markdown()+docEnd+after), 0o644)
}

// Markdown returns the report as the document shows it.
func (r *Report) Markdown() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "Measured on %s. Machine: %s, %d cores, %d MiB of memory, Linux %s, disk %s (%s), %s.\n",
		r.At.UTC().Format(time.DateOnly), m.CPU, m.Cores, m.MemMiB, m.Kernel, m.Disk, m.FS, m.Go)
	fmt.Fprintf(&b, "Load averages before the first benchmark: %s.\n", m.Load)
	for _, res := range r.Results {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", res.Name, res.About)
		b.WriteString("| figure | value | beside, in the same run | ratio | aim | |\n|---|---|---|---|---|---|\n")
		for _, f := range res.Figures {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.Name, f.amount(), f.Of, f.ratio(), f.Aim, f.verdict())
		}
		for _, f := range res.Figures {
			if f.Note != "" {
				fmt.Fprintf(&b, "\n%s: %s\n", f.Name, f.Note)
			}
		}
		fmt.Fprintf(&b, "\nBegun %s, took %.0f s; load averages as it began: %s.\n", res.At.UTC().Format("2006-01-02 15:04"), res.Seconds, res.Load)
		if res.Profile != "" {
			fmt.Fprintf(&b, "\nProfile, because an aim was missed:\n\n```\n%s\n```\n", strings.TrimSpace(res.Profile))
		}
	}
	return b.String()
}

// line shows a figure to a person in front of a terminal.
func (f Figure) line() string {
	s := fmt.Sprintf("%-52s %14s", f.Name, f.amount())
	if f.Of != "" {
		s += fmt.Sprintf("   beside %s", f.Of)
	}
	if r := f.ratio(); r != "" {
		s += ": " + r
	}
	if f.Aimed {
		s += fmt.Sprintf("   [%s: %s]", f.Aim, f.verdict())
	}
	return s
}

func (f Figure) amount() string {
	digits := 0
	switch {
	case f.Value != 0 && f.Value < 1:
		digits = 3
	case f.Value < 100:
		digits = 1
	}
	if f.Value == float64(int64(f.Value)) {
		digits = 0
	}
	return fmt.Sprintf("%.*f %s", digits, f.Value, f.Unit)
}

func (f Figure) ratio() string {
	if f.Ratio == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", f.Ratio)
}

func (f Figure) verdict() string {
	switch {
	case !f.Aimed:
		return ""
	case f.Met:
		return "met"
	}
	return "**missed**"
}
