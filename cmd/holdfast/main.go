// Command holdfast is the cloud side of Holdfast and the tool that looks into
// everything: the control plane, the demo, the simulated charger, journals and
// receipts. Each verb has a file of its own here; the work is done by the
// packages that the verb wires together.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/gateway/agent/command"
)

// version is set by the release build.
var version = "dev"

// Exit codes, documented in docs/cli.md.
const (
	exitFailed      = 1 // the thing asked for did not hold: books do not balance, a journal does not verify
	exitUsage       = 2 // the question was wrong: flags, files, configuration
	exitUnreachable = 3 // nobody knows: the cloud cannot be reached, is busy, or failed; asking again may help
)

// A failure is an error that has its own exit code.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failed marks err as an answer of "no", as opposed to a question that could
// not be asked.
func failed(err error) error { return &failure{exitFailed, err} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "holdfast:", err)
		if f := (*failure)(nil); errors.As(err, &f) {
			os.Exit(f.code)
		}
		os.Exit(command.ExitCode(err)) // of the hidden gateway verb; any other error is exitUsage
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "EV charging that goes on when the cloud is gone, with books that come out exactly right",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		demoCommand(),
		chargerCommand(),
		gatewayCommand(),
		receiptCommand(),
		journalCommand(),
		cloudCommand(),
		openapiCommand(),
		sitesCommand(),
		gatewaysCommand(),
		tokensCommand(),
		tariffsCommand(),
		limitsCommand(),
		grantsCommand(),
		sessionsCommand(),
		cdrsCommand(),
		exceptionsCommand(),
		ledgerCommand(),
		startCommand(),
		stopCommand(),
		chargersCommand(),
		directivesCommand(),
		eraseCommand(),
	)
	return root
}
