package interop

import (
	"os/exec"
	"syscall"
)

// tie makes the kernel kill cmd's process when the thread that started it ends,
// so that a test binary that dies leaves no gateway behind.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
