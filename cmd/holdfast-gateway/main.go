// Command holdfast-gateway is the daemon of a site and the technician's tool
// for it. The work is done by gateway/agent.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast-ev/holdfast/gateway/agent/command"
)

// version is set by the release build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := command.Command()
	root.Version = version
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-gateway:", err)
	}
	os.Exit(command.ExitCode(err))
}
