package bench

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Main is the program: without a role it measures, with one it is a part of a
// benchmark (a peer, the load) that another call of it has started. It returns
// the exit code.
func Main(args []string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) > 0 {
		if role := roles()[args[0]]; role != nil {
			return exit(errs, role(ctx, args[1:]))
		}
	}
	return exit(errs, measure(ctx, args, out))
}

// roles are the parts of benchmarks that run as processes of their own.
func roles() map[string]func(context.Context, []string) error {
	return map[string]func(context.Context, []string) error{
		"load": loadRole, "echo": echoRole, "ocppgo": ocppgoRole, "profiled": profiledRole,
	}
}

func exit(errs io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(errs, "bench:", err)
		return 1
	}
	return 0
}

func measure(ctx context.Context, args []string, out io.Writer) error {
	o := Options{Out: out}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "bench [flags] [benchmark ...]\n\nBenchmarks:\n")
		for _, b := range All() {
			fmt.Fprintf(f.Output(), "  %-10s %s\n", b.Name, b.About)
		}
		fmt.Fprintf(f.Output(), "\nFlags:\n")
		f.PrintDefaults()
	}
	f.StringVar(&o.Dir, "dir", "", "work here: the disk that is measured (default: the system's temporary directory)")
	f.StringVar(&o.Bins, "bin", "bin", "directory of holdfast and holdfast-gateway")
	f.BoolVar(&o.Smoke, "smoke", false, "a moment of each: shows that it works and measures nothing")
	f.BoolVar(&o.Keep, "keep", false, "leave logs and data where they are")
	merge := f.Bool("merge", false, "keep what the JSON report has of the benchmarks that do not run now")
	asJSON := f.String("json", "", "write the report as JSON to this file")
	doc := f.String("doc", "", "write the report into this document's generated part")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	o.Names = f.Args()
	report := Report{At: time.Now(), Machine: ThisMachine(o.Dir)}
	var err error
	report.Results, err = Measure(ctx, o)
	if err != nil {
		return err
	}
	if *merge {
		if err := report.Merge(*asJSON); err != nil {
			return err
		}
	}
	if *asJSON != "" {
		if err := report.WriteJSON(*asJSON); err != nil {
			return err
		}
	}
	if *doc != "" {
		return report.WriteDoc(*doc)
	}
	return nil
}
