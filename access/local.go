package access

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/holdfast-ev/holdfast"
)

// A Local is what a charger may be told about one token, for the time when it
// has to decide alone.
type Local struct {
	Token   holdfast.TokenHash
	Rank    LocalRank
	Group   string
	Expires holdfast.UnixMilli // 0: never
}

// A LocalRank orders tokens by how much it matters that a charger knows them.
type LocalRank uint8

// The ranks, the most useful first.
const (
	LocalAlways  LocalRank = iota // listed ALWAYS
	LocalOffline                  // listed ALLOWED_OFFLINE
	LocalAllowed                  // listed ALLOWED; it ends by itself, see [State.Locals]
	LocalBlocked                  // revoked: a charger that never heard of the token refuses it as well
)

// A LocalKey changes whenever [State.Locals] may say something else, but for
// entries that expire one by one.
type LocalKey struct {
	Version uint64             // of the list
	Stage   Stage              //
	Ends    holdfast.UnixMilli // when ALLOWED entries end; 0: they do not
}

// LocalKey returns the key at now.
func (s *State) LocalKey(now holdfast.Instant) LocalKey {
	c := s.clock
	c.advance(now)
	_, stage := freshness(&c, s.Policy())
	return LocalKey{Version: s.ListVersion(), Stage: stage, Ends: s.localEnd(now)}
}

// localEnd is when a charger must stop to rely on ALLOWED entries. A site's own
// rules stop to when its list passes its hard age; a charger that is alone has
// nobody who tells it the list's age, so its entries carry an end. The end moves
// in steps of a third of the hard age, so that a charger's list need not be
// written all the time: it lies between two thirds of the hard age and the whole
// after the last contact with the cloud.
func (s *State) localEnd(now holdfast.Instant) holdfast.UnixMilli {
	p := s.Policy()
	if p.Dark {
		return 0
	}
	c := s.clock
	c.advance(now)
	age := c.AgeMs
	if !c.AgeExact {
		age = max(age, p.DegradedAfterS*1000) // an unknown age is never better than degraded
	}
	step := max(p.HardAfterS*1000/3, 1)
	end := int64(c.judge(now)) - age + p.HardAfterS*1000
	return holdfast.UnixMilli(max(end-end%step, 1))
}

// Locals returns what chargers may be told at now, the most useful first, and
// when an entry expires next (0: none does). It holds the tokens of the list
// that the site itself would accept while the cloud is away: ALWAYS and
// ALLOWED_OFFLINE, and ALLOWED until the list passes its hard age; and those
// that are revoked. NEVER, what has expired, and grants are not in it.
func (s *State) Locals(now holdfast.Instant) (out []Local, next holdfast.UnixMilli) {
	if s.list == nil {
		return nil, 0
	}
	key, at := s.LocalKey(now), s.TimeAt(now)
	for token, e := range s.list.Entries {
		l := Local{Token: token, Group: e.Group, Expires: e.Expires}
		switch {
		case !e.Valid:
			out = append(out, Local{Token: token, Rank: LocalBlocked})
			continue
		case e.Expires != 0 && e.Expires <= at || e.Whitelist == Never:
			continue
		case e.Whitelist == Always:
			l.Rank = LocalAlways
		case e.Whitelist == AllowedOffline:
			l.Rank = LocalOffline
		default:
			if key.Stage == Hard || key.Ends != 0 && key.Ends <= at {
				continue
			}
			l.Rank = LocalAllowed
			if key.Ends != 0 && (l.Expires == 0 || key.Ends < l.Expires) {
				l.Expires = key.Ends
			}
		}
		if l.Expires != 0 && (next == 0 || l.Expires < next) {
			next = l.Expires
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Local) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), bytes.Compare(a.Token[:], b.Token[:]))
	})
	return out, next
}
