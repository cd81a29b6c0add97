package charger

import (
	"strings"
	"time"
)

// A localList is the charger's local authorisation list (OCPP 1.6 section 3.5.2,
// 2.0.1 D01 and C13). It survives a power cut, as it does in flash.
type localList struct {
	version int64
	entries map[string]listEntry // by token in upper case: both standards compare without case
}

// A listEntry is what the list says of a token.
type listEntry struct {
	status string
	until  time.Time // zero: for ever
}

// A listItem is an entry as it comes, of either version.
type listItem struct {
	token string
	info  *listInfo // nil: take the token off
}

// A listInfo is idTagInfo or idTokenInfo, as both versions spell it.
type listInfo struct {
	Status  string    `json:"status"`
	Until16 time.Time `json:"expiryDate"`
	Until2  time.Time `json:"cacheExpiryDateTime"`
}

// until is the end of an entry; zero: for ever.
func (i *listInfo) until() time.Time {
	if i.Until16.IsZero() {
		return i.Until2
	}
	return i.Until16
}

// LocalList returns the version of the charger's list, and the status of each
// token on it.
func (c *Charger) LocalList() (version int64, tokens map[string]string) {
	c.mu.Lock()
	defer c.unlock()
	tokens = map[string]string{}
	for t, e := range c.list.entries {
		tokens[t] = e.status
	}
	return c.list.version, tokens
}

// listVersionLocked is the answer to GetLocalListVersion: none where there is no
// list, or where it is off.
func (c *Charger) listVersionLocked(none int64) int64 {
	if c.o.LocalList == 0 || !c.set.on(listOn) {
		return none
	}
	return c.list.version
}

// updateLocked carries out SendLocalList and returns the status, which is one
// that both versions have.
func (c *Charger) updateLocked(version int64, full bool, items []listItem) string {
	if len(items) > c.o.ListChunk {
		return "Failed"
	}
	if !full && version <= c.list.version {
		return "VersionMismatch" // 1.6 section 7.45, 2.0.1 D01.FR.12
	}
	next := map[string]listEntry{}
	if !full {
		for t, e := range c.list.entries {
			next[t] = e
		}
	}
	for _, i := range items {
		t := strings.ToUpper(i.token)
		if i.info == nil {
			delete(next, t)
			continue
		}
		next[t] = listEntry{i.info.Status, i.info.until()}
	}
	if len(next) > c.o.LocalList {
		return "Failed"
	}
	c.list = localList{version, next}
	c.set.value[listCount] = int64(len(next))
	c.changedLocked()
	return "Accepted"
}

// onListLocked looks a token up: listed is false when the list says nothing of
// it, or is off, or its entry has ended by the charger's clock.
func (c *Charger) onListLocked(token string) (good, listed bool) {
	e, ok := c.list.entries[strings.ToUpper(token)]
	if !ok || !c.set.on(listOn) || !e.until.IsZero() && !c.o.Now().Add(c.clock).Before(e.until) {
		return false, false
	}
	return e.status == "Accepted", true
}

// preAuthorized reports whether the charger starts for a token without asking
// (LocalPreAuthorize).
func (c *Charger) preAuthorized(token string) bool {
	c.mu.Lock()
	defer c.unlock()
	good, _ := c.onListLocked(token)
	return good && c.set.on(preAuth)
}

// aloneLocked decides without a link and returns why not: first the list, then
// the cache, then what is set for the unknown (1.6 section 3.5.4, 2.0.1 C13 and
// C15).
func (c *Charger) aloneLocked(token string) (why string) {
	good, seen := c.onListLocked(token)
	if !seen && c.set.on(cacheOn) {
		good, seen = c.known[token]
	}
	switch {
	case seen && good && c.set.on(offlineKnown), !seen && c.set.on(offlineUnknown):
		return ""
	case seen && !good:
		return "the charger is offline and knows that this token is not valid"
	case seen:
		return "the charger is offline and may not decide alone"
	}
	return "the charger is offline and does not know this token"
}

// rememberLocked puts a verdict into the cache.
func (c *Charger) rememberLocked(token string, good bool) {
	if c.set.on(cacheOn) {
		c.known[token] = good
	}
}
