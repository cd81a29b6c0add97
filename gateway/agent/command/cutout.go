package command

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/gateway/agent"
)

func cutOutCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cutout",
		Short: "Release the safety cut-out",
		Long: `The safety cut-out stops all energy on the site when its input says so, and
latches. "status" shows it; "cutout release" lets sessions start again.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(releaseCommand())
	return c
}

func releaseCommand() *cobra.Command {
	var at socketFlag
	var by string
	c := &cobra.Command{
		Use:   "release",
		Short: "Let sessions start again after the safety cut-out has tripped",
		Long: `Let sessions start again after the safety cut-out has tripped. It latches, over
restarts too, until somebody at the site does this; the cloud cannot. It is refused
while the input still says stop.

Exit code 0 when it is released, 1 when it is not.`,
		Args: cobra.NoArgs,
	}
	at.add(c)
	c.Flags().StringVar(&by, "by", "", "who releases it, for the record (default: the user's name)")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		socket, err := at.path()
		if err != nil {
			return err
		}
		for _, env := range []string{"SUDO_USER", "USER", "LOGNAME"} {
			if by == "" {
				by = os.Getenv(env)
			}
		}
		if by == "" {
			return errors.New("who releases it? give --by NAME")
		}
		if err := agent.ReleaseCutOut(c.Context(), socket, by); err != nil {
			return failed(err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]any{"released": true, "by": by})
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), "Released. Sessions can start again.")
		return err
	}
	return c
}
