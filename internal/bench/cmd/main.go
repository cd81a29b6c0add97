// Command cmd runs the benchmarks; `make bench` calls it.
package main

import (
	"os"

	"github.com/holdfast-ev/holdfast/internal/bench"
)

func main() { os.Exit(bench.Main(os.Args[1:], os.Stdout, os.Stderr)) }
