package agent

import (
	"os"
	"syscall"
)

func save(f *os.File) error {
	if err := f.Sync(); err != nil { // want "Sync of a file"
		return err
	}
	if err := syscall.Fdatasync(int(f.Fd())); err != nil { // want "syscall.Fdatasync"
		return err
	}
	return os.Rename("a.tmp", "a") // want "os.Rename"
}
