package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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

const maxJSONFile = 100 << 10 // bytes; the API takes a little more

// readJSON reads a file of JSON, "-" for standard input.
func readJSON(stdin io.Reader, what, file string) (json.RawMessage, error) {
	r := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", what, err)
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, maxJSONFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the %s %s: %w", what, file, err)
	}
	if len(b) > maxJSONFile {
		return nil, fmt.Errorf("read the %s %s: larger than %d bytes", what, file, maxJSONFile)
	}
	if err := json.Unmarshal(b, new(any)); err != nil {
		return nil, fmt.Errorf("read the %s %s: %w", what, file, atLine(b, err))
	}
	return b, nil
}

// atLine adds line and column to an error of package json.
func atLine(b []byte, err error) error {
	syntax := (*json.SyntaxError)(nil)
	if !errors.As(err, &syntax) {
		return err
	}
	line, col := 1, 1
	for _, c := range b[:min(int(syntax.Offset), len(b))] {
		if col++; c == '\n' {
			line, col = line+1, 1
		}
	}
	return fmt.Errorf("line %d, column %d: %w", line, col, err)
}

// parseTime reads a moment: RFC 3339, or a day, which ends at its last second in
// the reader's zone.
func parseTime(flag, s string) (holdfast.UnixMilli, error) {
	if s == "" {
		return 0, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return holdfast.UnixMilli(t.UnixMilli()), nil
	}
	t, err := time.ParseInLocation(time.DateOnly, s, time.Local)
	if err != nil {
		return 0, fmt.Errorf("%s %q: want a time such as 2027-01-31T18:00:00Z, or a day such as 2027-01-31", flag, s)
	}
	return holdfast.UnixMilli(t.AddDate(0, 0, 1).Add(-time.Second).UnixMilli()), nil
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
