package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// leaves lists the commands that do something of their own; a noun's list is
// one of its children.
func leaves(cmd *cobra.Command) (out []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		switch {
		case sub.Hidden || sub.Name() == "help" || sub.Name() == "completion":
		case sub.HasSubCommands():
			out = append(out, leaves(sub)...)
		default:
			out = append(out, sub)
		}
	}
	return out
}

func TestVerbsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(holdfast [a-z -]+)` \\|").FindAllStringSubmatch(string(b), -1) {
		has[m[1]] = true
	}
	for _, cmd := range leaves(rootCommand()) {
		if !has[cmd.CommandPath()] {
			t.Errorf("docs/cli.md has no line for %s", cmd.CommandPath())
		}
		delete(has, cmd.CommandPath())
	}
	for path := range has {
		t.Errorf("docs/cli.md describes %s, which is not there", path)
	}
}

// Every verb says in one line what it does, and takes no argument that it
// ignores.
func TestVerbsExplainThemselves(t *testing.T) {
	for _, cmd := range leaves(rootCommand()) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short text %q", cmd.CommandPath(), cmd.Short)
		}
		if cmd.Args == nil {
			t.Errorf("%s: does not check its arguments", cmd.CommandPath())
		}
	}
}
