package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/holdfast-ev/holdfast/gateway/agent/command"
)

// profiledRole is the gateway's program with a CPU profile from its start to its
// end. What is measured is the shipped program; this one only explains it.
func profiledRole(_ context.Context, args []string) error {
	f := flag.NewFlagSet("profiled", flag.ContinueOnError)
	out := f.String("cpu", "", "file for the profile")
	if err := f.Parse(args); err != nil {
		return err
	}
	file, err := os.Create(*out)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(err, file.Close())
	}
	os.Args = append([]string{"holdfast-gateway"}, f.Args()...)
	code := command.Main("profiled")
	pprof.StopCPUProfile()
	if code != 0 {
		err = fmt.Errorf("the gateway ended with code %d", code)
	}
	return errors.Join(err, file.Close())
}

// profileCalls repeats the load on a gateway with a profile.
func (r *Run) profileCalls(s *site, n int, window time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cpu := filepath.Join(r.Dir, "cpu.pprof")
	if err := s.startAs(self, "profiled", "-cpu", cpu, "run", "--config", s.config); err != nil {
		return err
	}
	_, err = r.load(&served{url: "ws://" + s.ocpp + "/ocpp", flags: []string{"-second"}}, n, window)
	if err := errors.Join(err, s.stop()); err != nil {
		return err
	}
	if keep := os.Getenv("HOLDFAST_BENCH_PROFILE"); keep != "" {
		b, err := os.ReadFile(cpu)
		if err != nil {
			return err
		}
		if err := os.WriteFile(keep, b, 0o600); err != nil {
			return err
		}
	}
	return r.explain("", cpu)
}

// explain adds what a CPU profile shows, below a heading, to what explains a
// missed aim.
func (r *Run) explain(heading, profile string) error {
	ctx, cancel := context.WithTimeout(r.Ctx, time.Minute)
	defer cancel()
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=40", profile).Output()
	if err != nil {
		return fmt.Errorf("read the profile: %w", err)
	}
	r.profile += heading + string(top)
	return nil
}
