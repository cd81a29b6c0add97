package access

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
)

// A Request is a question about one token, with all that the answer may depend
// on beside the [State].
type Request struct {
	Now          holdfast.Instant
	Link         holdfast.LinkState // of the site; anything unknown reads as OFFLINE
	Token        holdfast.TokenHash // zero: nobody was identified
	Charger      holdfast.ChargerID
	EVSE         int   // 0: not said
	Space        bool  // the evidence journal has room to finish one more session
	CutOut       bool  // the site's safety cut-out has tripped, or cannot be read
	NoPower      bool  // the charger holds no fail-safe profile, and at full power it would not fit below the site's limit
	LiveSessions int64 // sessions of this token that run, or are accepted and may start

	// Worst is the most that a session within the given limits can cost,
	// overshoot included, in the currency of the site's tariffs. It must be
	// pure. A negative result, or no function, says that no bound is known:
	// the session then gets a cost limit or is refused.
	Worst func(holdfast.Limits) holdfast.Micros

	Cloud Told
}

// Told is the cloud's answer about this very request. The zero value: it was
// not asked.
type Told struct {
	Asked   bool   // asked; with Refused and Grant both empty: no answer came in time
	Grant   string // the cloud says yes: the id of the grant that it sent, already installed
	Refused string // the cloud says no: the verdict (Status*)
	Reason  string // its reason, one plain sentence
}

// A Decision answers a [Request]. Exactly one of Accepted, Ask and a refusal
// (neither) holds.
type Decision struct {
	Accepted    bool
	Ask         bool               // ask the cloud, then decide again with Request.Cloud; not a verdict
	Status      string             // the verdict in OCPP's word; "" while Ask
	Rule        string             // the name of the rule that decided: [Rules]
	Reason      string             // one plain sentence without the token
	Source      string             // Source*
	GrantID     string             // the grant that it rests on
	Tariff      string             // tariff id that the grant names; "": the site's
	Group       string             // OCPI group of the token, when the list says
	Expires     holdfast.UnixMilli // when what it rests on expires; 0: not said
	ListVersion uint64
	ListAgeS    int64 // -1: unknown
	Stage       Stage
	Limits      holdfast.Limits // of an accepted session
	Reserve     holdfast.Micros // exposure to reserve before anybody is answered
	LapsesIn    int64           // ms in which a session must begin, else the reservation is released
}

// A Rule is one row of the decision table.
type Rule struct {
	Name   string // record.AccessDecided, rule
	When   string // all of it must hold, and no rule above may have applied
	Then   string // "accept", "refuse" or "ask"
	Status string // the verdict; "" for ask, "as told" for the cloud's own

	applies func(*question) bool
	reason  func(*question) string
	source  string
}

// question is a request with everything looked up.
type question struct {
	Request
	policy    Policy
	list      bool // there is one
	entry     Entry
	listed    bool
	grant     Grant // the best one for the token and site, whatever its dates
	granted   bool
	now       holdfast.UnixMilli // judged time
	ageS      int64
	stage     Stage
	live      bool // ONLINE or SYNCED: no offline limits
	canAsk    bool // contact, and not asked yet
	most      int64
	versionOf uint64
}

// Decide answers r for site. It changes nothing; what an accepted decision
// reserves is reserved when its record is applied.
func (s *State) Decide(site holdfast.SiteID, r Request) Decision {
	q := s.question(site, r)
	for _, rule := range Rules() {
		if rule.applies == nil || !rule.applies(q) {
			continue
		}
		d := q.decision(rule)
		if d.Accepted {
			return s.bound(q, d)
		}
		return d
	}
	panic("access: no rule applies, though the last one always does")
}

func (s *State) question(site holdfast.SiteID, r Request) *question {
	c := s.clock
	c.advance(r.Now)
	q := &question{Request: r, policy: s.Policy(), list: s.list != nil, now: c.judge(r.Now), versionOf: s.ListVersion()}
	q.ageS, q.stage = freshness(&c, q.policy)
	if !q.list {
		q.ageS = -1
	}
	q.live = r.Link == holdfast.Online || r.Link == holdfast.Synced
	q.canAsk = (q.live || r.Link == holdfast.Syncing) && !r.Cloud.Asked
	q.entry, q.listed = s.Entry(r.Token)
	q.grant, q.granted = s.bestGrant(site, r, q.now)
	q.most = q.policy.MaxSessions
	if q.granted && q.grant.MaxSessions > 0 {
		q.most = q.grant.MaxSessions
	}
	return q
}

// bestGrant is the one that the cloud has just sent; else, of the token's
// grants, a valid one before others, then the one that expires last.
func (s *State) bestGrant(site holdfast.SiteID, r Request, now holdfast.UnixMilli) (best Grant, ok bool) {
	if r.Cloud.Grant != "" {
		g, ok := s.grants[r.Cloud.Grant]
		return g, ok && g.Token == r.Token && g.Site == site
	}
	better := func(a, b Grant) bool {
		if va, vb := validAt(a, now), validAt(b, now); va != vb {
			return va
		}
		if a.Expires != b.Expires {
			return a.Expires > b.Expires
		}
		return a.ID < b.ID
	}
	for _, g := range s.grants {
		if g.Token == r.Token && g.Site == site && (!ok || better(g, best)) {
			best, ok = g, true
		}
	}
	return best, ok
}

func begun(g Grant, now holdfast.UnixMilli) bool   { return g.NotBefore <= now+NotBeforeLeeway }
func expired(g Grant, now holdfast.UnixMilli) bool { return g.Expires <= now }
func validAt(g Grant, now holdfast.UnixMilli) bool { return begun(g, now) && !expired(g, now) }

// decision fills in what the rule says.
func (q *question) decision(rule Rule) Decision {
	d := Decision{
		Accepted: rule.Then == thenAccept, Ask: rule.Then == thenAsk, Status: rule.Status, Rule: rule.Name,
		Reason: rule.reason(q), Source: rule.source,
		ListVersion: q.versionOf, ListAgeS: q.ageS, Stage: q.stage, Group: q.entry.Group,
	}
	if rule.Name == RuleCloudRefused {
		d.Status = q.Cloud.Refused
	}
	if !d.Accepted {
		return d
	}
	d.LapsesIn = q.policy.LapseS * 1000
	switch rule.source {
	case SourceGrant, SourceCloud:
		d.GrantID, d.Tariff, d.Expires, d.Limits = q.grant.ID, q.grant.Tariff, q.grant.Expires, q.grant.Limits
	case SourceList:
		d.Expires, d.Limits = q.entry.Expires, q.entry.Limits
	case SourceNone:
		d.Limits = q.policy.Unknown
	}
	return d
}

// bound tightens an acceptance by link and freshness and fits it into the caps
// that are left, or turns it into a refusal.
func (s *State) bound(q *question, d Decision) Decision {
	if !q.live {
		d.Limits = d.Limits.Tighten(q.policy.Offline)
	}
	if q.stage != Fresh && d.Source != SourceCloud { // the cloud's own word is never stale
		d.Limits = d.Limits.Tighten(q.policy.Degraded)
		if q.stage == Hard {
			d.Limits = d.Limits.Tighten(q.policy.Hard)
		}
	}
	if len(s.money.held) >= MaxHeld {
		return d.refuse(RuleCapFull, "This site holds as many unreconciled sessions as it can account for.")
	}
	room, rule, whose := q.policy.TokenCap-s.money.tokens[q.Token], RuleCapToken, "this token"
	if r := q.policy.SiteCap - s.money.site; r < room {
		room, rule, whose = r, RuleCapSite, "this site"
	}
	d.Reserve = q.worst(d.Limits)
	if d.Reserve <= room {
		return d
	}
	if q.policy.NoShrink || room < q.policy.MinSession {
		return d.refuse(rule, fmt.Sprintf("The worst case of the session would exceed what may be at risk for %s.", whose))
	}
	// With a cost limit the session is stopped before it costs more: the
	// caller counts the overshoot into what it compares with the limit.
	d.Limits.Cost, d.Reserve = room, room
	d.Reason += fmt.Sprintf(" Its cost is limited to what may still be at risk for %s.", whose)
	return d
}

// worst is the worst case under l; MaxAmount + 1, which exceeds every cap, when
// no bound is known.
func (q *question) worst(l holdfast.Limits) holdfast.Micros {
	w := holdfast.Micros(-1)
	if q.Worst != nil {
		w = q.Worst(l)
	}
	if w < 0 || w > MaxAmount {
		w = MaxAmount + 1
	}
	if l.Cost > 0 {
		w = min(w, l.Cost)
	}
	return w
}

// refuse turns an acceptance into a refusal for want of room.
func (d Decision) refuse(rule, reason string) Decision {
	d.Accepted, d.Status, d.Rule, d.Reason = false, StatusNoCredit, rule, reason
	d.Limits, d.Reserve, d.LapsesIn, d.Expires, d.Tariff = holdfast.Limits{}, 0, 0, 0, ""
	return d
}
