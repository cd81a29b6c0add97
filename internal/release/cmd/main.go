// Command release is package internal/release for scripts/release.sh.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast/internal/release"
)

func main() {
	root := &cobra.Command{
		Use:           "release",
		Short:         "Make the parts of a release that need more than the go command",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(sbomCommand(), licencesCommand(), imageCommand(), packCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// epoch is the time that everything in a release bears: SOURCE_DATE_EPOCH, in
// seconds since 1970 (reproducible-builds.org/specs/source-date-epoch).
func epoch() (time.Time, error) {
	s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil || s < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", os.Getenv("SOURCE_DATE_EPOCH"))
	}
	return time.Unix(s, 0).UTC(), nil
}

// written gives c its --out, and writes its content there.
func written(c *cobra.Command, content func(args []string) ([]byte, error)) *cobra.Command {
	out := c.Flags().String("out", "/dev/stdout", "file to write")
	c.RunE = func(_ *cobra.Command, args []string) error {
		b, err := content(args)
		if err != nil {
			return err
		}
		return os.WriteFile(*out, b, 0o644)
	}
	return c
}

func sbomCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sbom BINARY",
		Short: "Write the CycloneDX bill of materials of a Go binary",
		Args:  cobra.ExactArgs(1),
	}
	version := c.Flags().String("version", "", "version of the release")
	return written(c, func(args []string) ([]byte, error) {
		at, err := epoch()
		if err != nil {
			return nil, err
		}
		return release.Bill(args[0], *version, at)
	})
}

func licencesCommand() *cobra.Command {
	return written(&cobra.Command{
		Use:   "licences BINARY...",
		Short: "Write the licence texts of every module that the binaries are built from",
		Args:  cobra.MinimumNArgs(1),
	}, release.Licences)
}

func imageCommand() *cobra.Command {
	var i release.Image
	c := &cobra.Command{
		Use:   "image",
		Short: "Write an OCI image layout, as a tar archive, for every platform given",
		Example: `  release image --name holdfast-gateway --version 1.2.3 --out image.tar --data /var/lib/holdfast --port 8180 \
    --platform amd64=dist/amd64/holdfast-gateway --platform arm/v7=dist/armv7/holdfast-gateway -- run`,
		RunE: func(_ *cobra.Command, args []string) error {
			at, err := epoch()
			if err != nil {
				return err
			}
			i.Created, i.Arguments = at, args
			return i.Write()
		},
	}
	f := c.Flags()
	f.StringVar(&i.Name, "name", "", "name of the image and of its program")
	f.StringVar(&i.Version, "version", "", "version of the release")
	f.StringVar(&i.Out, "out", "", "archive to write")
	f.StringVar(&i.Data, "data", "", "directory that must be a volume")
	f.IntSliceVar(&i.Ports, "port", nil, "TCP port that it serves (repeatable)")
	f.StringToStringVar(&i.Platforms, "platform", nil, "ARCHITECTURE[/VARIANT]=BINARY (repeatable)")
	f.StringSliceVar(&i.Documents, "document", nil, "file that goes to /usr/share/doc/NAME (repeatable)")
	return c
}

func packCommand() *cobra.Command {
	return written(&cobra.Command{
		Use:   "pack DIR",
		Short: "Write a folder as tar.gz, the same bytes on every machine",
		Args:  cobra.ExactArgs(1),
	}, func(args []string) ([]byte, error) {
		at, err := epoch()
		if err != nil {
			return nil, err
		}
		return release.Pack(args[0], at)
	})
}
