package access

// The names of the rules, in their order. They are frozen: records carry them.
const (
	RuleNoToken         = "token.missing"
	RuleRevoked         = "list.revoked"
	RuleEntryExpired    = "list.expired"
	RuleSpace           = "space"
	RuleCutOut          = "site.cutout"
	RuleNoPower         = "site.power"
	RuleBusy            = "token.busy"
	RuleCloudRefused    = "cloud.refused"
	RuleCloudGranted    = "cloud.granted"
	RuleNeverAsk        = "list.never.ask"
	RuleNever           = "list.never"
	RuleGrant           = "grant.valid"
	RuleAlways          = "list.always"
	RuleAllowedAsk      = "list.allowed.ask"
	RuleAllowedStale    = "list.allowed.stale"
	RuleAllowed         = "list.allowed"
	RuleOfflineAsk      = "list.allowed_offline.ask"
	RuleAllowedOffline  = "list.allowed_offline"
	RuleUnknownAsk      = "unknown.ask"
	RuleGrantExpired    = "grant.expired"
	RuleGrantNotYet     = "grant.not_yet"
	RuleGrantStale      = "grant.stale"
	RuleNoList          = "list.none"
	RuleUnknownStale    = "unknown.stale"
	RuleUnknownAccepted = "unknown.accepted"
	RuleUnknown         = "unknown"
	RuleCapFull         = "cap.full"
	RuleCapToken        = "cap.token"
	RuleCapSite         = "cap.site"
)

// What a rule leads to.
const (
	thenAccept = "accept"
	thenRefuse = "refuse"
	thenAsk    = "ask"

	statusAsTold = "as told" // the cloud's own verdict
	reasonAsk    = "The cloud can be reached and has to be asked."
)

// Rules is the decision table: the first rule that applies decides. The last
// three have no test of their own; they bound what a rule above accepted.
// docs/access.md shows the same table, and a test holds them together.
func Rules() []Rule {
	rules := append(everyTokenRules(), listedRules()...)
	return append(append(rules, unlistedRules()...), capRules()...)
}

func everyTokenRules() []Rule {
	return []Rule{
		{RuleNoToken, "no token was read", thenRefuse, StatusInvalid,
			func(q *question) bool { return q.Token.IsZero() }, says("Nobody was identified."), SourceNone},
		{RuleRevoked, "the list says that the token is not valid", thenRefuse, StatusBlocked,
			func(q *question) bool { return q.listed && !q.entry.Valid }, says("The token is revoked."), SourceList},
		{RuleEntryExpired, "the list entry has expired at the judged time", thenRefuse, StatusExpired,
			func(q *question) bool { return q.listed && q.entry.Expires != 0 && q.entry.Expires <= q.now },
			func(q *question) string { return "The token expired at " + q.entry.Expires.String() + "." }, SourceList},
		{RuleSpace, "the evidence journal has no room to finish another session", thenRefuse, StatusBlocked,
			func(q *question) bool { return !q.Space }, says("The site's journal is full: running sessions finish, new ones wait."), SourceNone},
		{RuleCutOut, "the site's safety cut-out has tripped and was not released, or its input cannot be read", thenRefuse, StatusBlocked,
			func(q *question) bool { return q.CutOut }, says("The site's safety cut-out has tripped."), SourceNone},
		{RuleNoPower, "the charger holds no fail-safe power profile, and at its full power it would not fit below the site's limit", thenRefuse, StatusBlocked,
			func(q *question) bool { return q.NoPower }, says("The charger has not confirmed its power limit."), SourceNone},
		{RuleBusy, "as many sessions of the token run as the grant or the policy allows at once", thenRefuse, StatusConcurrent,
			func(q *question) bool { return q.LiveSessions >= q.most }, says("The token is charging already."), SourceNone},
		{RuleCloudRefused, "the cloud was asked and said no", thenRefuse, statusAsTold,
			func(q *question) bool { return q.Cloud.Refused != "" }, func(q *question) string { return q.Cloud.Reason }, SourceCloud},
		{RuleCloudGranted, "the cloud was asked and sent a grant for this token and site that is valid at the judged time", thenAccept, StatusAccepted,
			func(q *question) bool { return q.Cloud.Grant != "" && q.granted && validAt(q.grant, q.now) },
			says("The cloud granted it."), SourceCloud},
	}
}

func listedRules() []Rule {
	is := func(w Whitelist) func(*question) bool {
		return func(q *question) bool { return q.listed && q.entry.Whitelist == w }
	}
	ask := func(w Whitelist) func(*question) bool {
		return func(q *question) bool { return q.canAsk && is(w)(q) }
	}
	return []Rule{
		{RuleNeverAsk, "listed NEVER; the cloud can be asked", thenAsk, "", ask(Never), says(reasonAsk), SourceNone},
		{RuleNever, "listed NEVER", thenRefuse, StatusInvalid, is(Never),
			says("Only the cloud may accept this token, and it gave no answer."), SourceList},
		{RuleGrant, "a grant for this token and site is valid at the judged time; the list is not past its hard age", thenAccept, StatusAccepted,
			func(q *question) bool { return q.granted && validAt(q.grant, q.now) && q.stage != Hard },
			says("The token has a grant."), SourceGrant},
		{RuleAlways, "listed ALWAYS", thenAccept, StatusAccepted, is(Always), says("The token is always allowed."), SourceList},
		{RuleAllowedAsk, "listed ALLOWED; the cloud can be asked; the policy says so, or the list is past its hard age", thenAsk, "",
			func(q *question) bool { return ask(Allowed)(q) && (q.policy.AskAllowed || q.stage == Hard) }, says(reasonAsk), SourceNone},
		{RuleAllowedStale, "listed ALLOWED; the list is past its hard age", thenRefuse, StatusInvalid,
			func(q *question) bool { return is(Allowed)(q) && q.stage == Hard },
			says("The access list is too old to vouch for this token."), SourceList},
		{RuleAllowed, "listed ALLOWED", thenAccept, StatusAccepted, is(Allowed), says("The token is allowed."), SourceList},
		{RuleOfflineAsk, "listed ALLOWED_OFFLINE; the cloud can be asked", thenAsk, "", ask(AllowedOffline), says(reasonAsk), SourceNone},
		{RuleAllowedOffline, "listed ALLOWED_OFFLINE", thenAccept, StatusAccepted, is(AllowedOffline),
			says("The token is allowed while the cloud cannot be asked."), SourceList},
	}
}

func unlistedRules() []Rule {
	return []Rule{
		{RuleUnknownAsk, "not listed; the cloud can be asked", thenAsk, "",
			func(q *question) bool { return q.canAsk }, says(reasonAsk), SourceNone},
		{RuleGrantExpired, "not listed; its grant has expired at the judged time", thenRefuse, StatusExpired,
			func(q *question) bool { return q.granted && expired(q.grant, q.now) },
			func(q *question) string { return "The token's grant expired at " + q.grant.Expires.String() + "." }, SourceGrant},
		{RuleGrantNotYet, "not listed; its grant is not proven to have begun", thenRefuse, StatusInvalid,
			func(q *question) bool { return q.granted && !begun(q.grant, q.now) },
			func(q *question) string { return "The token's grant begins at " + q.grant.NotBefore.String() + "." }, SourceGrant},
		{RuleGrantStale, "not listed; its grant is valid; the list is past its hard age", thenRefuse, StatusInvalid,
			func(q *question) bool { return q.granted },
			says("The access list is too old to rely on grants."), SourceGrant},
		{RuleNoList, "no list was ever installed", thenRefuse, StatusInvalid,
			func(q *question) bool { return !q.list }, says("This site has no access list yet."), SourceNone},
		{RuleUnknownStale, "not listed; the policy accepts unknown tokens; the list is past its hard age", thenRefuse, StatusInvalid,
			func(q *question) bool { return q.policy.AcceptUnknown && q.stage == Hard },
			says("The access list is too old to accept unknown tokens."), SourceNone},
		{RuleUnknownAccepted, "not listed; the policy accepts unknown tokens", thenAccept, StatusAccepted,
			func(q *question) bool { return q.policy.AcceptUnknown }, says("Unknown tokens are accepted at this site."), SourceNone},
		{RuleUnknown, "anything else", thenRefuse, StatusInvalid,
			func(*question) bool { return true }, says("The token is not known here."), SourceNone},
	}
}

func capRules() []Rule {
	return []Rule{
		{Name: RuleCapFull, When: "accepted above, but as many reservations and spends are held as there may be", Then: thenRefuse, Status: StatusNoCredit},
		{Name: RuleCapToken, When: "accepted above, but the worst case exceeds what is left of the token's cap, and limiting the cost to that is switched off or not worth a session", Then: thenRefuse, Status: StatusNoCredit},
		{Name: RuleCapSite, When: "the same for the site's cap", Then: thenRefuse, Status: StatusNoCredit},
	}
}

func says(sentence string) func(*question) string {
	return func(*question) string { return sentence }
}
