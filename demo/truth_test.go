package demo

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-ev/holdfast/charger"
)

// truthOf reads the chargers' logs back: the last line of each session counts.
func truthOf(t *testing.T, keep string) (all []charger.TruthSession) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(keep, "*.truth.ndjson"))
	if err != nil || len(files) != 6 {
		t.Fatalf("%d truth logs: %v", len(files), err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		last := map[int]charger.TruthSession{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var l struct {
				Session *charger.TruthSession `json:"session"`
			}
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if l.Session != nil {
				last[l.Session.N] = *l.Session
			}
		}
		f.Close()
		for n := 1; n <= len(last); n++ {
			all = append(all, last[n])
		}
	}
	return all
}
