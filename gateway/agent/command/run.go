package command

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/gateway/agent"
)

func runCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the gateway until it is told to stop",
		Long: `Run the gateway. It logs JSON to standard error and serves until SIGTERM or
SIGINT. It may be killed or lose power at any moment: nothing that anybody was
told is lost. The log line "ready" says that it serves, and where.`,
		Args: cobra.NoArgs,
	}
	configFlag(c, &file)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := agent.LoadConfig(file)
		if err != nil {
			return err
		}
		var level slog.Level
		if err := level.UnmarshalText([]byte(cfg.Log)); err != nil {
			return fmt.Errorf("log level: %w", err)
		}
		log := slog.New(slog.NewJSONHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
		err = agent.Run(c.Context(), cfg, c.Root().Version, log)
		bad := (*agent.ConfigError)(nil)
		if errors.As(err, &bad) || errors.Is(err, agent.ErrNotEnrolled) {
			return err
		}
		return failed(err)
	}
	return c
}

func enrollCommand() *cobra.Command {
	var o agent.EnrolOptions
	c := &cobra.Command{
		Use:   "enroll",
		Short: "Make this gateway known to its cloud with a one-time code",
		Long: `Make this gateway known to its cloud. The code comes from "holdfast sites add"; it
works once, and it carries the fingerprint of the cloud's certificate authority,
which is pinned from then on.

A data directory that is enrolled already is refused while it holds evidence that
the cloud has not confirmed; otherwise its content moves aside within it. Nothing
is deleted.`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	f.StringVar(&o.Cloud, "cloud", "", "https URL of the cloud's gateway endpoint")
	f.StringVar(&o.Code, "code", "", "one-time code; default: the environment's HOLDFAST_CODE")
	f.StringVar(&o.Dir, "dir", "", "data directory; made when it is missing")
	f.StringVar(&o.Keys.PassphraseFile, "passphrase-file", "", "file with the passphrase of the key file; made when it is missing (default DIR/keys/passphrase)")
	f.StringVar(&o.Keys.Credential, "credential", "", "name of a systemd credential with the passphrase, instead of --passphrase-file")
	asJSON := f.Bool("json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("passphrase-file", "credential")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.Cloud == "" || o.Dir == "" {
			return errors.New("--cloud and --dir are needed; see: enroll --help")
		}
		if o.Code == "" {
			o.Code = os.Getenv("HOLDFAST_CODE")
		}
		if o.Code == "" {
			return errors.New("no one-time code: give --code or set HOLDFAST_CODE; make one with: holdfast sites add")
		}
		res, err := agent.Enrol(c.Context(), o)
		if agent.Unanswered(err) {
			return &exit{ExitUnknown, err}
		}
		if err != nil {
			return failed(err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), res)
		}
		return printEnrolled(c, &o, res)
	}
	return c
}

func printEnrolled(c *cobra.Command, o *agent.EnrolOptions, res *agent.EnrolResult) error {
	out := c.OutOrStdout()
	fmt.Fprintf(out, "Enrolled as gateway %s of site %s; the cloud is %s.\n", res.Gateway, res.Site, res.Endpoint)
	if res.Retired != "" {
		fmt.Fprintf(out, "What the former enrolment left is in %s.\n", res.Retired)
	}
	if res.PassphraseMade {
		fmt.Fprintf(out, "A passphrase was made: %s. Whoever steals it with the disk has the key; keep it\non another device or in a systemd credential where you can.\n", res.PassphraseFile)
	}
	_, err := fmt.Fprintf(out, "Next: write a configuration with \"dir: %s\" (see: %s example-config) and run it.\n", o.Dir, c.Parent().CommandPath())
	return err
}
