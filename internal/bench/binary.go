package bench

import (
	"fmt"
	"os"
)

// maxBinaryMiB is the aim for the stripped gateway: what a small gateway computer
// downloads over a metered link.
const maxBinaryMiB = 25

// binarySize measures the built programs. They are built as they are shipped:
// static, stripped.
func binarySize(r *Run) error {
	for _, name := range []string{"holdfast-gateway", "holdfast"} {
		info, err := os.Stat(r.program(name))
		if err != nil {
			return fmt.Errorf("%w: build the programs first (make build)", err)
		}
		f := Figure{Name: name + ", stripped", Value: mib(info.Size()), Unit: "MiB"}
		if name == "holdfast-gateway" {
			f.Aim, f.Met = fmt.Sprintf("at most %d MiB", maxBinaryMiB), f.Value <= maxBinaryMiB
		}
		r.Add(f)
	}
	return nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
func kib(n int64) float64 { return float64(n) / (1 << 10) }
