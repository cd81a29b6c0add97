package demo

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A demo that is itself killed with SIGKILL takes its gateways with it. Its
// temporary files stay: nobody is left to remove them.
func TestKilledDemoTakesItsGatewaysWithIt(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	reached := make(chan struct{})
	w := &waiter{until: "charges at", reached: func() { close(reached) }}
	cmd := exec.Command(os.Args[0], "demo")
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reached:
	case <-time.After(time.Minute):
		t.Error("the story did not begin")
	}
	pids := children(t)
	if len(pids) < 4 {
		t.Errorf("%d processes while it runs, want itself and three gateways", len(pids))
	}
	var ends []unix.PollFd
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		ends = append(ends, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // killed
	for i := range ends {
		if !ended(t, ends[i:i+1]) {
			t.Errorf("process %d was left behind", pids[i])
		}
	}
}

// ended waits for the end of a process.
func ended(t *testing.T, fd []unix.PollFd) bool {
	t.Helper()
	for {
		n, err := unix.Poll(fd, 10_000)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
}
