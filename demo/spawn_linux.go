package demo

import (
	"os/exec"
	"syscall"
)

// tie makes the kernel kill cmd's process when its parent is gone. A process
// group of its own keeps an interrupt typed at the terminal from reaching it:
// the demo ends its children itself, in order.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
