//go:build !linux

package agent

import "syscall"

// bindTo refuses as a kernel without permission does: the caller then goes by
// the interface's address.
func bindTo(string) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return syscall.EPERM }
}
