package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// A Machine is where the figures were measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	MemMiB int64  `json:"mem_mib"`
	Kernel string `json:"kernel"`
	Disk   string `json:"disk"`
	FS     string `json:"fs"`
	Go     string `json:"go"`
	Load   string `json:"load"` // averages over 1, 5 and 15 minutes before the first benchmark
}

// ThisMachine describes the machine and the disk that dir is on.
func ThisMachine(dir string) Machine {
	m := Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Load: loadAverage(), Kernel: content("/proc/sys/kernel/osrelease"),
	}
	var kb int64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kb); err == nil {
		m.MemMiB = kb >> 10
	}
	m.Disk, m.FS = mountOf(dir)
	return m
}

// loadAverage returns the three averages; "unknown" where there is no /proc.
func loadAverage() string {
	f := strings.Fields(content("/proc/loadavg"))
	if len(f) < 3 {
		return "unknown"
	}
	return strings.Join(f[:3], " ")
}

func content(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// field returns the first value of a name in a "name : value" file.
func field(path, name string) string {
	for line := range strings.Lines(content(path)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// mountOf returns the device and the file system of a directory, by the device
// numbers in the mount table.
func mountOf(dir string) (device, fs string) {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return "unknown", "unknown"
	}
	dev := uint64(st.Dev) // as makedev(3) packs it
	number := fmt.Sprintf("%d:%d", dev>>8&0xfff, dev&0xff|dev>>12&0xfff00)
	for line := range strings.Lines(content("/proc/self/mountinfo")) {
		f := strings.Fields(line)
		if len(f) < 5 || f[2] != number {
			continue
		}
		if _, after, ok := strings.Cut(line, " - "); ok {
			if g := strings.Fields(after); len(g) >= 2 {
				return g[1], g[0]
			}
		}
	}
	return "unknown", "unknown"
}
