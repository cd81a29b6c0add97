package gateway

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/holdfast-ev/holdfast/ocpp"
	"github.com/holdfast-ev/holdfast/record"
)

// A nativeRow is one line of the tables in docs/native.md: a setting that
// decides how a charger copes alone.
type nativeRow struct {
	key  string
	need nativeNeed
	want func(have string, w wanted) string // what it should be; have itself when that is good. nil: only looked at
}

// wanted is what the tables depend on.
type wanted struct {
	NativeConfig
	listed bool // the charger holds its list
}

// cache is off where a list says who may charge. A charger without one keeps its
// cache as it is: what it remembers is then all that it has.
func cache(have string, w wanted) string {
	switch {
	case w.Cache:
		return asIs(have, "true")
	case w.listed:
		return asIs(have, "false")
	}
	return have
}

// A nativeNeed says what it means when a setting is not as wanted.
type nativeNeed int

const (
	useful   nativeNeed = iota // shown; the charger may be ready all the same
	required                   // not ready
	unlessNo                   // not ready, unless the charger does not have the setting at all
)

func always(value string) func(string, wanted) string {
	return func(have string, _ wanted) string { return asIs(have, value) }
}

// asIs keeps the charger's own spelling of a value that is the wanted one.
func asIs(have, want string) string {
	if strings.EqualFold(have, want) {
		return have
	}
	return want
}

func flag(of func(wanted) bool) func(string, wanted) string {
	return func(have string, w wanted) string { return asIs(have, strconv.FormatBool(of(w))) }
}

// within keeps a number between least and most, and sets it otherwise.
func within(least, most, set func(wanted) int) func(string, wanted) string {
	return func(have string, w wanted) string {
		if n, err := strconv.Atoi(have); err == nil && n >= least(w) && n <= most(w) {
			return have
		}
		return strconv.Itoa(set(w))
	}
}

func number(n int) func(wanted) int { return func(wanted) int { return n } }

const anyInt = math.MaxInt32 // the most that OCPP's integers hold

// The settings that the core itself looks at.
const (
	keyListMax16   = "LocalAuthListMaxLength"
	keyChunk16     = "SendLocalListMaxLength"
	keyCache16     = "AuthorizationCacheEnabled"
	keyAvailable2  = "LocalAuthListCtrlr.Available"
	keyChunk2      = "LocalAuthListCtrlr.ItemsPerMessage"
	keyChunkBytes2 = "LocalAuthListCtrlr.BytesPerMessage"
	keyCache2      = "AuthCacheCtrlr.Enabled"
)

// nativeRows is the table of a version. OCPP 1.6 section 9; 2.0.1 part 2,
// appendix "Referenced Components and Variables".
func nativeRows(v ocpp.Version) []nativeRow {
	unknown := flag(func(w wanted) bool { return w.UnknownOffline })
	attempts := func(w wanted) int { return w.Attempts }
	retry := func(w wanted) int { return w.RetryS }
	tries, pause := within(attempts, number(anyInt), attempts), within(number(1), retry, retry)
	if v == ocpp.V16 {
		return []nativeRow{
			{"LocalAuthorizeOffline", required, always("true")},
			{"AllowOfflineTxForUnknownId", unlessNo, unknown},
			{"LocalAuthListEnabled", unlessNo, always("true")},
			{"LocalPreAuthorize", useful, always("false")},
			{keyCache16, useful, cache},
			{"StopTransactionOnInvalidId", unlessNo, always("true")},
			{"MaxEnergyOnInvalidId", useful, always("0")},
			{"TransactionMessageAttempts", useful, tries},
			{"TransactionMessageRetryInterval", useful, pause},
			{keyListMax16, useful, nil},
			{keyChunk16, useful, nil},
			{"SupportedFeatureProfiles", useful, nil},
		}
	}
	return []nativeRow{
		{"AuthCtrlr.LocalAuthorizeOffline", required, always("true")},
		{"AuthCtrlr.OfflineTxForUnknownIdEnabled", unlessNo, unknown},
		{"LocalAuthListCtrlr.Enabled", unlessNo, always("true")},
		{"AuthCtrlr.LocalPreAuthorize", useful, always("false")},
		{keyCache2, useful, cache},
		{"TxCtrlr.StopTxOnInvalidId", unlessNo, always("true")},
		{"TxCtrlr.MaxEnergyOnInvalidId", useful, always("0")},
		{"OCPPCommCtrlr.QueueAllMessages", useful, always("true")},
		{"OCPPCommCtrlr.MessageAttempts[TransactionEvent]", useful, tries},
		{"OCPPCommCtrlr.MessageAttemptInterval[TransactionEvent]", useful, pause},
		{"OCPPCommCtrlr.OfflineThreshold", useful, within(number(1), number(300), number(60))},
		{"OCPPCommCtrlr.RetryBackOffWaitMinimum", useful, within(number(1), number(60), number(30))},
		{"OCPPCommCtrlr.RetryBackOffRandomRange", useful, within(number(0), number(60), number(10))},
		{"OCPPCommCtrlr.RetryBackOffRepeatTimes", useful, within(number(0), number(5), number(3))},
		{keyAvailable2, useful, nil},
		{keyChunk2, useful, nil},
		{keyChunkBytes2, useful, nil},
		{"SampledDataCtrlr.SignReadings", useful, nil},
		{"ISO15118Ctrlr.ContractValidationOffline", useful, nil},
		{"SmartChargingCtrlr.SupportsMaxOfflineDuration", useful, nil},
	}
}

// NativeVariable is a row of the tables in docs/native.md.
type NativeVariable struct {
	Key      string
	Want     string // by the defaults; "" when it is only looked at
	Required bool
}

// NativeVariables lists what is read, and by default set, in a version of OCPP.
func NativeVariables(v ocpp.Version) (out []NativeVariable) {
	for _, r := range nativeRows(v) {
		n := NativeVariable{Key: r.key, Required: r.need != useful}
		if r.want != nil {
			n.Want = r.want("", wanted{NativeConfig{}.withDefaults(), true})
		}
		out = append(out, n)
	}
	return out
}

// maxNativeValue bounds a value in a record, in bytes.
const maxNativeValue = 100

func shorten(s string) string { return s[:min(len(s), maxNativeValue)] }

// readiness judges what was read. It reports only; what is to be set is the same
// table's business in [native.differing].
func (n *native) readiness(v ocpp.Version, w wanted, list *record.ChargerList) *record.ChargerReadiness {
	b := &record.ChargerReadiness{}
	for _, r := range nativeRows(v) {
		have, known := n.have[r.key]
		if !known && (r.need == useful || r.need == unlessNo) {
			continue
		}
		nv := record.NativeVariable{Key: r.key, Have: shorten(have), OK: r.want == nil, Answer: shorten(n.answers[r.key])}
		if r.want != nil {
			nv.Want = r.want(have, w)
			nv.OK = known && nv.Want == have
		}
		if n.restart[r.key] {
			b.Restart = append(b.Restart, r.key)
		}
		b.Variables = append(b.Variables, nv)
		if nv.OK || r.need == useful {
			continue
		}
		b.Missing = append(b.Missing, missing(nv, known, n.restart[r.key]))
	}
	if why := listMissing(list); why != "" {
		b.Missing = append(b.Missing, why)
	}
	b.Ready = len(b.Missing) == 0
	return b
}

func missing(v record.NativeVariable, known, restart bool) string {
	switch {
	case !known:
		return "the charger does not say " + v.Key
	case restart:
		return fmt.Sprintf("%s becomes %s when the charger restarts", v.Key, v.Want)
	case v.Answer != "":
		return fmt.Sprintf("%s is %s, want %s; the charger answered %s", v.Key, v.Have, v.Want, v.Answer)
	}
	return fmt.Sprintf("%s is %s, want %s", v.Key, v.Have, v.Want)
}

func listMissing(l *record.ChargerList) string {
	switch {
	case l == nil:
		return "its local list was not written yet"
	case l.Outcome == record.ListUnsupported:
		return "the charger has no local list"
	case l.Outcome == record.ListInstalled || l.Outcome == record.ListPartial:
		return ""
	case l.Outcome == record.ListSending:
		return "its local list is being written"
	}
	return "its local list could not be written: " + l.Detail
}
