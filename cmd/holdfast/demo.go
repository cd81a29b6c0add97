package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/demo"
	"github.com/holdfast-ev/holdfast/gateway/agent/command"
)

// demoCommand runs the demo; docs/demo.md is its manual.
func demoCommand() *cobra.Command {
	o := demo.Options{Version: version}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch three sites charge through an outage, and the books come out right",
		Long: `Runs the main job before your eyes, on this machine alone: a cloud, three sites
with a gateway process each, six simulated chargers over real sockets. Links are
cut, a gateway is killed with SIGKILL in the middle of a session, everything
comes back, and the cloud's books are compared with the chargers' own meters.

Exits 1 when the books do not balance.`,
		Example: `  holdfast demo --once
  holdfast demo --once --seed 7 --json
  holdfast demo --keep ./demo-data`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				o.Seed = rand.Uint64N(1_000_000)
			}
			return runDemo(cmd, o, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Once, "once", false, "end after the report instead of staying up")
	f.Uint64Var(&o.Seed, "seed", 0, "moves the times of cuts, kills and sessions (default: another each time)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object on standard output; the story goes to standard error")
	f.StringVar(&o.Keep, "keep", "", "keep journals and store in this new folder")
	f.StringVar(&o.API, "api", "", "address of the cloud's API (default: a free loopback port)")
	f.StringVar(&o.Plant, "plant", "", "plant a mistake before the check, to see it found: "+demo.PlantDouble+" or "+demo.PlantDrop)
	return cmd
}

func runDemo(cmd *cobra.Command, o demo.Options, asJSON bool) error {
	if err := o.Validate(); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	o.Story = out
	o.Report = func(r *demo.Report) error { return r.Table(out) }
	if asJSON {
		o.Story = cmd.ErrOrStderr()
		o.Report = func(r *demo.Report) error { return printReport(out, r) }
	}
	// Cleaned away as well when the terminal goes, or a pipe that the story is
	// written to: by default either ends the process on the spot.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
	defer stop()
	o.Story = &audience{o.Story, stop}
	r, err := demo.Run(ctx, o)
	if err != nil {
		return failed(err)
	}
	if !r.Balanced {
		return failed(errors.New("demo: the books do not balance"))
	}
	return nil
}

// An audience that has gone ends the story.
type audience struct {
	w    io.Writer
	gone func()
}

func (a *audience) Write(b []byte) (int, error) {
	n, err := a.w.Write(b)
	if err != nil {
		a.gone()
	}
	return n, err
}

func printReport(w io.Writer, r *demo.Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// gatewayCommand is holdfast-gateway inside this binary, so that the demo needs
// no second one. It is hidden: a site gets the small static daemon.
func gatewayCommand() *cobra.Command {
	c := command.Command()
	c.Use, c.Hidden = "gateway", true
	return c
}
