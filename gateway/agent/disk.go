package agent

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// SpaceEvery is how often the free space is looked at. A session reserves its
// own space, so what this interval can hide is what others write to the disk.
const SpaceEvery = 5 * time.Second

// diskFree returns the bytes that an unprivileged process may still write to
// the file system of dir.
func diskFree(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // Bsize is 32 bits wide on some platforms
}

// evidenceSpace returns the bytes that the evidence journal may still grow by:
// what its budget leaves, and what the disk has above the part to be kept free,
// whichever is less.
func evidenceSpace(c StorageConfig, used, free int64) int64 {
	const MiB = 1 << 20
	return max(0, min(c.EvidenceMiB*MiB-used, free-c.KeepFreeMiB*MiB))
}
