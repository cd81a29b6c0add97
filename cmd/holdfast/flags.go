package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-ev/holdfast"
)

// parseDecimal reads a decimal number without a sign as an integer of
// 10^-places units: "0.45" with 6 places is 450000. Money and energy never pass
// through a floating-point number.
func parseDecimal(s string, places int) (int64, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" || len(frac) > places || strings.HasSuffix(s, ".") {
		return 0, fmt.Errorf("%q: want a number with at most %d decimals", s, places)
	}
	n, err := strconv.ParseUint(whole+frac+strings.Repeat("0", places-len(frac)), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q: want a number with at most %d decimals", s, places)
	}
	return int64(n), nil
}

// decimalFlag is a flag whose value is a decimal number.
type decimalFlag struct {
	places int
	text   string
	n      int64
}

func (d *decimalFlag) String() string { return d.text }
func (d *decimalFlag) Type() string   { return "number" }
func (d *decimalFlag) Set(s string) (err error) {
	d.text = s
	d.n, err = parseDecimal(s, d.places)
	return err
}

// siteFlag is a flag that may be given more than once.
type siteFlag []holdfast.SiteID

func (f *siteFlag) String() string { return joinIDs(*f, "") }
func (f *siteFlag) Type() string   { return "site" }
func (f *siteFlag) Set(s string) error {
	id, err := holdfast.ParseSiteID(s)
	if err != nil {
		return err
	}
	*f = append(*f, id)
	return nil
}

// limitFlags are the flags that bound a session.
type limitFlags struct {
	duration            time.Duration
	energy, power, cost decimalFlag
}

func (l *limitFlags) add(cmd *cobra.Command) {
	l.energy.places, l.power.places, l.cost.places = 3, 3, 6
	f := cmd.Flags()
	f.DurationVar(&l.duration, "max-time", 0, "longest session, for example 4h")
	f.Var(&l.energy, "max-kwh", "most energy of a session in kWh")
	f.Var(&l.power, "max-kw", "highest power in kW")
	f.Var(&l.cost, "max-cost", "most money of a session, in the tariff's currency")
}

func (l *limitFlags) limits() (holdfast.Limits, error) {
	if l.duration < 0 || l.duration%time.Second != 0 {
		return holdfast.Limits{}, fmt.Errorf("--max-time %s: want whole seconds, not negative", l.duration)
	}
	return holdfast.Limits{
		Seconds: int64(l.duration / time.Second), Energy: holdfast.WattHours(l.energy.n),
		Power: holdfast.Watts(l.power.n), Cost: holdfast.Micros(l.cost.n),
	}, nil
}

// secretArg reads a token value that was given as an argument, or from standard
// input when it is "-": arguments are visible to others on this machine and
// stay in the shell's history.
func secretArg(cmd *cobra.Command, arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), holdfast.MaxTokenLen+2))
	if err != nil {
		return "", fmt.Errorf("read the token from standard input: %w", err)
	}
	s := strings.TrimSpace(string(b))
	if s == "" || len(s) > holdfast.MaxTokenLen {
		return "", fmt.Errorf("the token on standard input has %d bytes, want 1 to %d", len(s), holdfast.MaxTokenLen)
	}
	return s, nil
}

// group makes a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return cmd.Help()
	}}
	cmd.AddCommand(subs...)
	return cmd
}

// noun makes the command of a thing that can be listed: the bare noun lists it
// too.
func noun(use, short string, list *cobra.Command, others ...*cobra.Command) *cobra.Command {
	cmd := group(use, short, append(others, list)...)
	cmd.RunE = list.RunE
	cmd.Flags().AddFlagSet(list.Flags())
	return cmd
}
