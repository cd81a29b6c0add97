package agent

import "syscall"

// bindTo binds a socket to an interface before it connects. Since Linux 5.7 a
// process may do that without privileges.
func bindTo(iface string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) { failed = syscall.BindToDevice(int(fd), iface) }); err != nil {
			return err
		}
		return failed
	}
}
