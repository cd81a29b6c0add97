package durable

import (
	"errors"
	"os"
	"syscall"
)

// syncData is fdatasync(2), repeated only when a signal interrupted it before it
// began to tell: EINTR says nothing about the data.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync "+f.Name(), err)
		}
	}
}
