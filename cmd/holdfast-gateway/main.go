// Command holdfast-gateway is the daemon of a site and the technician's tool
// for it. The work is done by gateway/agent.
package main

import (
	"os"

	"github.com/holdfast-ev/holdfast/gateway/agent/command"
)

// version is set by the release build.
var version = "dev"

func main() { os.Exit(command.Main(version)) }
