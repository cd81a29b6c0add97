// Package command is the command line of a gateway, for cmd/holdfast-gateway
// and for `holdfast gateway`: run, check-config, status, chargers, sync, cutout, enroll,
// hash-password, example-config. Each verb reads flags, calls package agent and prints.
//
// Exit codes: 0 it worked; 1 the answer is no (the gateway is not running, the
// cloud refused, the disk failed); 2 the question was wrong (flags, files,
// configuration, not enrolled); 3 nobody knows (the cloud cannot be reached or is
// busy).
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/gateway/agent"
)

// Exit codes.
const (
	ExitFailed  = 1
	ExitUsage   = 2
	ExitUnknown = 3
)

// Main runs the command as a program and returns its exit code. SIGTERM and
// SIGINT end it in order.
func Main(version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := Command()
	root.Version = version
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-gateway:", err)
	}
	return ExitCode(err)
}

// An exit is an error that has its own exit code.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// failed marks err as an answer of "no".
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &exit{ExitFailed, err}
}

// ExitCode returns the exit code for an error of a command.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if e := (*exit)(nil); errors.As(err, &e) {
		return e.code
	}
	return ExitUsage
}

// Command returns the command with its verbs. Its caller sets Use and Version.
func Command() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast-gateway",
		Short: "The site gateway: chargers in, decisions here, evidence to the cloud",
		Long: `The site gateway of Holdfast. It speaks OCPP to the chargers of a site, decides
who may charge with or without a cloud, and keeps the evidence until the cloud
has it in its books.

First steps on a new gateway:
  holdfast-gateway example-config > gateway.yaml
  holdfast-gateway enroll --cloud URL --code CODE --dir DIR
  holdfast-gateway check-config --config gateway.yaml
  holdfast-gateway run --config gateway.yaml
  holdfast-gateway status --config gateway.yaml`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), checkCommand(), statusCommand(), chargersCommand(), syncCommand(), enrollCommand(), hashCommand(), exampleCommand(), cutOutCommand())
	return root
}

// configFlag adds --config.
func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "config", "/etc/holdfast/gateway.yaml", "configuration file")
}

func exampleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "example-config",
		Short: "Print a configuration file with every key explained",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(agent.ExampleConfig())
			return err
		},
	}
}

func checkCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check-config",
		Short: "Check a configuration file; say nothing when it is right",
		Long: `Check a configuration file. A right one gives no output and exit code 0. A wrong
one gives a line for each problem, "file:line:col: key: what is wrong and what is
allowed", and exit code 2.`,
		Args: cobra.NoArgs,
	}
	configFlag(c, &file)
	asJSON := c.Flags().Bool("json", false, "print the problems as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		_, err := agent.LoadConfig(file)
		if !*asJSON {
			return err
		}
		bad := (*agent.ConfigError)(nil)
		if err != nil && !errors.As(err, &bad) {
			return err
		}
		out := struct {
			OK       bool            `json:"ok"`
			Problems []agent.Problem `json:"problems"`
		}{OK: err == nil, Problems: []agent.Problem{}}
		if bad != nil {
			out.Problems = bad.Problems
		}
		if err := printJSON(c.OutOrStdout(), out); err != nil {
			return err
		}
		if bad != nil {
			return fmt.Errorf("%d problems in %s", len(bad.Problems), file)
		}
		return nil
	}
	return c
}
