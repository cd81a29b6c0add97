package agent

import "time"

// SpaceEvery is how often the free space is looked at. A session reserves its
// own space, so what this interval can hide is what others write to the disk.
const SpaceEvery = 5 * time.Second

// evidenceSpace returns the bytes that the evidence journal may still grow by:
// what its budget leaves, and what the disk has above the part to be kept free,
// whichever is less.
func evidenceSpace(c StorageConfig, used, free int64) int64 {
	return max(0, min(c.EvidenceMiB<<20-used, free-c.KeepFreeMiB<<20))
}
