package agent

import (
	"sync"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// Bounds of refused handshakes. A refusal takes one from each bucket that it
// concerns; with an empty bucket a handshake is answered 429 and its password
// is not looked at.
const (
	pairBurst, pairEvery         = 10, 6 * time.Second        // one identity from one address
	identityBurst, identityEvery = 20, 3 * time.Second        // one identity from anywhere
	addressBurst, addressEvery   = 60, 500 * time.Millisecond // one address with any identity
	maxBuckets                   = 8192                       // buckets remembered; beyond them strangers share one
)

// A bucket holds tokens that come back with time.
type bucket struct {
	left int
	at   time.Time // when left was right
}

func (b *bucket) refill(now time.Time, burst int, every time.Duration) {
	if b.at.IsZero() {
		b.left, b.at = burst, now
		return
	}
	n := int(min(now.Sub(b.at)/every, time.Duration(burst)))
	if b.left += n; b.left >= burst {
		b.left, b.at = burst, now
		return
	}
	b.at = b.at.Add(time.Duration(n) * every)
}

// A knocker is who stands at the door.
type knocker struct {
	charger holdfast.ChargerID // as claimed, if it is one of ours; else ""
	address string
}

// knocks limits the rate of refused handshakes, so that passwords cannot be
// tried out and the journal cannot be filled by knocking.
//
// A limit per identity alone would let anybody on the network lock a charger
// out by failing in its name, and a limit per address alone would let one
// misconfigured charger lock out its neighbours behind the same router. So a
// pair of identity and address that has proved itself before answers for
// itself only.
type knocks struct {
	mu      sync.Mutex
	buckets map[knocker]*bucket
	shared  bucket // for strangers when the map is full
	proved  map[holdfast.ChargerID]string
	swept   time.Time
}

func newKnocks() *knocks {
	return &knocks{buckets: make(map[knocker]*bucket), proved: make(map[holdfast.ChargerID]string)}
}

// ofLocked lists the buckets that k's failures count against.
func (n *knocks) ofLocked(k knocker, now time.Time) []*bucket {
	stranger := k.charger == ""
	list := make([]*bucket, 0, 3)
	if !stranger {
		list = append(list, n.bucketLocked(k, now, pairBurst, pairEvery))
	}
	if !stranger && n.proved[k.charger] == k.address {
		return list
	}
	list = append(list, n.bucketLocked(knocker{address: k.address}, now, addressBurst, addressEvery))
	if !stranger {
		list = append(list, n.bucketLocked(knocker{charger: k.charger}, now, identityBurst, identityEvery))
	}
	return list
}

func (n *knocks) bucketLocked(k knocker, now time.Time, burst int, every time.Duration) *bucket {
	b := n.buckets[k]
	if b == nil {
		if len(n.buckets) >= maxBuckets {
			n.sweepLocked(now)
		}
		b = new(bucket)
		if len(n.buckets) < maxBuckets {
			n.buckets[k] = b
		} else {
			b = &n.shared
		}
	}
	b.refill(now, burst, every)
	return b
}

// sweepLocked forgets whoever has not failed for so long that every bucket is
// full again.
func (n *knocks) sweepLocked(now time.Time) {
	if now.Sub(n.swept) < time.Second {
		return // a crowd of strangers must not cost more than it fills
	}
	n.swept = now
	const full = identityBurst * identityEvery // the slowest to fill up
	for k, b := range n.buckets {
		if now.Sub(b.at) > full {
			delete(n.buckets, k)
		}
	}
}

// allow reports whether k's password may be looked at.
func (n *knocks) allow(k knocker) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.ofLocked(k, time.Now()) {
		if b.left <= 0 {
			return false
		}
	}
	return true
}

// failed counts a refusal.
func (n *knocks) failed(k knocker) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.ofLocked(k, time.Now()) {
		b.left = max(0, b.left-1)
	}
}

// passed remembers that k proved its identity from its address.
func (n *knocks) passed(k knocker) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.proved[k.charger] = k.address // bounded by the configured chargers
}
