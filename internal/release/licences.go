package release

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Licences returns the licence and notice files of every module in the binaries,
// and of Go itself. A module without one is an error: it must not be shipped
// before a person has looked.
func Licences(binaries []string) ([]byte, error) {
	modules := map[string]bool{}
	for _, file := range binaries {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read what %s is built from: %w", file, err)
		}
		for _, d := range info.Deps {
			modules[d.Path+"@"+d.Version] = true
		}
	}
	names := make([]string, 0, len(modules))
	for m := range modules {
		names = append(names, m)
	}
	slices.Sort(names)
	var out bytes.Buffer
	fmt.Fprintf(&out, "Holdfast's binaries contain the work of others. These are its licences.\n")
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find the Go tree: %w", err)
	}
	if err := section(&out, "The Go standard library and runtime", filepath.Join(strings.TrimSpace(string(goroot)), "LICENSE")); err != nil {
		return nil, err
	}
	for _, m := range names {
		dir, err := moduleDir(m)
		if err != nil {
			return nil, err
		}
		files, err := legal(dir)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("module %s has no licence file: find out what it may be used for before it is shipped", m)
		}
		if err := section(&out, m, files...); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// moduleDir is where the go command keeps a module's source.
func moduleDir(module string) (string, error) {
	path, _, _ := strings.Cut(module, "@")
	b, err := exec.Command("go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return "", fmt.Errorf("find module %s: %w", module, err)
	}
	dir := strings.TrimSpace(string(b))
	if dir == "" {
		return "", fmt.Errorf("module %s is not in the module cache: run go mod download", module)
	}
	return dir, nil
}

// legal lists the licence and notice files at the top of a module, in order.
func legal(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		for _, prefix := range []string{"LICENSE", "LICENCE", "COPYING", "NOTICE"} {
			if !e.IsDir() && strings.HasPrefix(name, prefix) {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	return files, nil
}

func section(out *bytes.Buffer, title string, files ...string) error {
	fmt.Fprintf(out, "\n%s\n%s\n", strings.Repeat("=", 80), title)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n-- %s --\n\n%s\n", filepath.Base(file), bytes.TrimRight(b, "\n"))
	}
	return nil
}
