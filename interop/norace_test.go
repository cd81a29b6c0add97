//go:build !race

package interop

// raceFlags build the gateway like the tests that drive it.
var raceFlags []string
