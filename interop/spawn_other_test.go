//go:build !linux

package interop

import "os/exec"

// tie has no equivalent here: a test binary that is killed leaves its gateways.
func tie(*exec.Cmd) {}
