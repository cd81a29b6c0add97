package demo

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
)

// A spawner starts child processes that cannot outlive this one, however it
// ends. On Linux the kernel kills a child when the thread that started it ends
// (PR_SET_PDEATHSIG), so one thread starts them all and stays.
type spawner struct {
	jobs chan job
	done chan struct{}
	once sync.Once
}

type job struct {
	cmd    *exec.Cmd
	result chan error
}

var errSpawner = errors.New("the demo is ending")

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan job), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for {
			select {
			case j := <-s.jobs:
				tie(j.cmd)
				j.result <- j.cmd.Start()
			case <-s.done:
				return
			}
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	j := job{cmd, make(chan error, 1)}
	select {
	case s.jobs <- j:
		return <-j.result
	case <-s.done:
		return errSpawner
	}
}

// close lets the thread end, and with it every child that still runs.
func (s *spawner) close() { s.once.Do(func() { close(s.done) }) }
