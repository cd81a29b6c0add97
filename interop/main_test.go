package interop

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ev/holdfast/cloud/server"
)

// A world is what all tests share: the gateway's binary, one cloud for all
// sites, and the thread that starts processes.
type world struct {
	dir     string
	program string
	cloud   *server.Server
	api     *api
	spawn   chan job
	sites   atomic.Int64 // made so far
}

// A job is a process to start.
type job struct {
	cmd    *exec.Cmd
	result chan error
}

// here is set once, before any test runs.
var here world

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if here.dir, err = os.MkdirTemp("", "hf-interop-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(here.dir)
	here.program = filepath.Join(here.dir, "holdfast-gateway")
	args := slices.Concat([]string{"build"}, raceFlags, []string{"-o", here.program, "../cmd/holdfast-gateway"})
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(here.dir, "cloud.log"))
	if err != nil {
		return 1, err
	}
	defer log.Close()
	here.cloud, err = server.Start(context.Background(), server.Options{
		DataDir: filepath.Join(here.dir, "cloud"), APIAddr: "127.0.0.1:0", GatewayAddr: "127.0.0.1:0",
		Version: "interop", Log: slog.New(slog.NewJSONHandler(log, nil)),
	})
	if err != nil {
		return 1, err
	}
	defer here.cloud.Close()
	here.api = &api{url: here.cloud.APIURL(), token: here.cloud.Token()}
	if err := here.api.furnish(context.Background()); err != nil {
		return 1, err
	}
	here.spawn = make(chan job)
	defer close(here.spawn)
	go spawner(here.spawn)
	return m.Run(), nil
}

// spawner starts processes on one thread that stays: on Linux they end with it.
func spawner(jobs <-chan job) {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	for j := range jobs {
		tie(j.cmd)
		j.result <- j.cmd.Start()
	}
}
