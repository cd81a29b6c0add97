package ocpp

import (
	_ "embed" // the official schemas
	"encoding/json"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// The official schemas, unmodified; see schemas/NOTICE.
var (
	//go:embed schemas/ocpp1_6.json
	bundle16 string
	//go:embed schemas/ocpp2_0_1.json
	bundle201 string
	//go:embed schemas/ocpp2_1.json
	bundle21 string
)

// Schemas gives the verdict of the official JSON schemas. A version's are read,
// and each is compiled, when it is first asked for: a site without a 2.1 charger
// does not pay for the megabyte. Formats are not asserted: real 1.6 chargers send times
// without a zone, and where a rule needs a time [Dialect.Event] refuses what is
// none. It has no locks: use it from one goroutine.
type Schemas struct {
	bundles map[Version]*bundle
}

// A bundle is the schemas of one version.
type bundle struct {
	documents map[string]json.RawMessage // by $id
	compiler  *jsonschema.Compiler
	compiled  map[string]*jsonschema.Schema
	shapes    map[string]*shape // of those that were asked for
}

// NewSchemas returns the schemas of every version.
func NewSchemas() *Schemas { return &Schemas{bundles: map[Version]*bundle{}} }

// of returns a version's schemas, nil for a version that there is not.
func (s *Schemas) of(v Version) *bundle {
	if b := s.bundles[v]; b != nil {
		return b
	}
	switch v {
	case V16:
		s.bundles[v] = newBundle(bundle16)
	case V201:
		s.bundles[v] = newBundle(bundle201)
	case V21:
		s.bundles[v] = newBundle(bundle21)
	}
	return s.bundles[v]
}

// names returns the ids of the schemas of an action's request and response. 2.1
// names them otherwise than the two before; what is sent has only the first.
func names(v Version, action string) (request, response string) {
	switch {
	case v != V21:
		return "urn:" + action + ".req", "urn:" + action + ".conf"
	case Unconfirmed(action):
		return "urn:" + action, ""
	}
	return "urn:" + action + "Request", "urn:" + action + "Response"
}

func newBundle(text string) *bundle {
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		panic("ocpp: embedded schemas: " + err.Error())
	}
	b := &bundle{
		documents: make(map[string]json.RawMessage, len(list)),
		compiler:  jsonschema.NewCompiler(),
		compiled:  map[string]*jsonschema.Schema{},
		shapes:    map[string]*shape{},
	}
	b.compiler.UseLoader(jsonschema.SchemeURLLoader{}) // nothing is ever loaded from outside
	for _, name := range [...]string{"date-time", "uri"} {
		b.compiler.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(any) error { return nil }})
	}
	for _, doc := range list {
		var head struct {
			ID string `json:"$id"`
		}
		if err := json.Unmarshal(doc, &head); err != nil {
			panic("ocpp: embedded schemas: " + err.Error())
		}
		b.documents[head.ID] = doc
	}
	return b
}

// schema returns the compiled schema, nil when there is none of that name.
func (b *bundle) schema(id string) *jsonschema.Schema {
	if s := b.compiled[id]; s != nil {
		return s
	}
	text, ok := b.documents[id]
	if !ok {
		return nil
	}
	doc, serr := decode(text)
	if serr != nil {
		panic("ocpp: schema " + id + ": " + serr.Error())
	}
	if err := b.compiler.AddResource(id, doc); err != nil {
		panic("ocpp: schema " + id + ": " + err.Error())
	}
	s, err := b.compiler.Compile(id)
	if err != nil {
		panic("ocpp: schema " + id + ": " + err.Error())
	}
	b.compiled[id] = s
	delete(b.documents, id)
	return s
}

// shape returns the shape of a schema, nil when there is none of that name. It is
// made before the schema is compiled, which most are never.
func (b *bundle) shape(id string) *shape {
	if s := b.shapes[id]; s != nil {
		return s
	}
	text, ok := b.documents[id]
	if !ok {
		return nil
	}
	doc, err := Decode(text)
	if err != nil {
		panic("ocpp: schema " + id + ": " + err.Error())
	}
	b.shapes[id] = shapeOf(doc, doc, map[string]*shape{})
	return b.shapes[id]
}

// Actions lists the actions that version v has a schema for, sorted.
func (s *Schemas) Actions(v Version) []string {
	b := s.of(v)
	if b == nil {
		return nil
	}
	var out []string
	for id := range b.documents {
		out = append(out, id)
	}
	for id := range b.compiled {
		out = append(out, id)
	}
	out = slices.DeleteFunc(out, func(id string) bool { return strings.HasSuffix(id, ".conf") || strings.HasSuffix(id, "Response") })
	for i, id := range out {
		id = strings.TrimPrefix(id, "urn:")
		out[i] = strings.TrimSuffix(strings.TrimSuffix(id, ".req"), "Request")
	}
	slices.Sort(out)
	return out
}

// CheckCall gives the verdict on the payload of a CALL from a charger. An
// unknown action is NotImplemented. An action that only a CSMS sends is
// NotSupported as soon as its payload has a fault, and otherwise left to
// [Dialect.Event], which says the same.
func (s *Schemas) CheckCall(v Version, action string, payload []byte) *Error {
	if v == V21 && Unconfirmed(action) {
		return &Error{Code: NotSupported, Description: "action " + action + " is sent, not called"}
	}
	err := s.CheckCommand(v, action, payload)
	if err != nil && err.Code != NotImplemented && !chargerSends(v, action) {
		return NotFromCharger(action)
	}
	return err
}

// CheckSend gives the verdict on the payload of a SEND from a charger (2.1). What
// is called cannot be sent.
func (s *Schemas) CheckSend(v Version, action string, payload []byte) *Error {
	if v != V21 || !Unconfirmed(action) {
		return Unknown(action)
	}
	return s.CheckCommand(v, action, payload)
}

// CheckCommand gives the verdict on the payload of a CALL of ours.
func (s *Schemas) CheckCommand(v Version, action string, payload []byte) *Error {
	id, _ := names(v, action)
	return s.check(v, action, id, payload)
}

// CheckResult gives the verdict on the payload of a CALLRESULT, whoever sends
// it.
func (s *Schemas) CheckResult(v Version, action string, payload []byte) *Error {
	_, id := names(v, action)
	return s.check(v, action, id, payload)
}

func (s *Schemas) check(v Version, action, id string, payload []byte) *Error {
	b := s.of(v)
	if b == nil {
		return Unknown(action)
	}
	if sh := b.shape(id); sh != nil && sh.accepts(payload) {
		return nil
	}
	schema := b.schema(id)
	if schema == nil {
		return Unknown(action)
	}
	o, err := Decode(payload)
	if err != nil {
		return err
	}
	if verr := schema.Validate(map[string]any(o)); verr != nil {
		return verdict(v, verr)
	}
	return nil
}

// Unknown is the error for an action that the version does not have.
func Unknown(action string) *Error {
	return &Error{Code: NotImplemented, Description: "action " + clip(action, maxActionText) + " is not known"}
}

// NotFromCharger is the error for an action that only a CSMS sends.
func NotFromCharger(action string) *Error {
	return &Error{Code: NotSupported, Description: "action " + action + " is not sent by a charger"}
}

// A fault is one violation of a schema.
type fault struct {
	rank      int // the gravest first: type, occurrence, structure, property
	code      ErrorCode
	at        string // pointer
	what      string
	tolerable bool
}

// verdict picks the gravest fault, and among equals the first by its place: the
// library walks maps, and a verdict must not change from one run to the next.
func verdict(v Version, err error) *Error {
	root, ok := err.(*jsonschema.ValidationError)
	if !ok {
		return &Error{Code: InternalError, Description: "the payload could not be checked"}
	}
	faults := leaves(v, root, nil)
	if len(faults) == 0 {
		return nil // only deviations that the standard's errata allow
	}
	slices.SortFunc(faults, func(a, b fault) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return strings.Compare(a.at+"\x00"+a.what, b.at+"\x00"+b.what)
	})
	out := &Error{Code: faults[0].code, Pointer: faults[0].at, Description: faults[0].what, Tolerable: true}
	for _, f := range faults {
		out.Tolerable = out.Tolerable && f.tolerable
	}
	return out
}

func leaves(v Version, e *jsonschema.ValidationError, out []fault) []fault {
	for _, c := range e.Causes {
		out = leaves(v, c, out)
	}
	if len(e.Causes) > 0 || allowedByErrata(v, e) {
		return out
	}
	f := classify(v, e.ErrorKind)
	f.at = pointer(e.InstanceLocation)
	return append(out, f)
}

// classify maps a violated keyword to the code that the version's table of
// error codes describes (OCPP-J 1.6 table 7, 2.0.1 part 4 table 8).
func classify(v Version, k jsonschema.ErrorKind) fault {
	property := fault{rank: 4, code: PropertyConstraintViolation, tolerable: true}
	switch k := k.(type) {
	case *kind.Type:
		return fault{rank: 1, code: TypeConstraintViolation, what: "is " + k.Got + ", want " + strings.Join(k.Want, " or ")}
	case *kind.Required:
		return fault{rank: 2, code: OccurrenceConstraintViolation, what: "lacks " + strings.Join(k.Missing, ", ")}
	case *kind.MinItems:
		return fault{rank: 2, code: OccurrenceConstraintViolation, what: "has too few elements", tolerable: true}
	case *kind.MaxItems:
		return fault{rank: 2, code: OccurrenceConstraintViolation, what: "has too many elements", tolerable: true}
	case *kind.AdditionalProperties:
		names := slices.Sorted(slices.Values(k.Properties))
		return fault{rank: 3, code: malformed(v), what: "has the unknown member " + clip(names[0], maxActionText), tolerable: true}
	case *kind.Enum:
		property.what = "is not one of the allowed values"
	case *kind.MaxLength:
		property.what = "is too long"
	case *kind.Minimum, *kind.Maximum, *kind.MultipleOf:
		property.what = "is out of range"
	default:
		property.what, property.tolerable = "is not valid", false
	}
	return property
}

// allowedByErrata reports whether a fault is one of the schema's own: the
// current official schema of 1.6 lists the unit Hertz, the bundle that is
// embedded here does not.
func allowedByErrata(v Version, e *jsonschema.ValidationError) bool {
	k, ok := e.ErrorKind.(*kind.Enum)
	if !ok || v != V16 || k.Got != "Hertz" || len(e.InstanceLocation) == 0 {
		return false
	}
	return e.InstanceLocation[len(e.InstanceLocation)-1] == "unit"
}

// pointer writes a location as an RFC 6901 pointer, clipped: the names in it
// may be the charger's own.
func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return clip(b.String(), 128)
}

// chargerSends reports whether a charger may send the action.
func chargerSends(v Version, action string) bool {
	list := chargerActions201
	switch v {
	case V16:
		list = chargerActions16
	case V21:
		list += chargerActions21
	}
	return strings.Contains(list, " "+action+" ")
}

// What a charger may send: 1.6 (edition 2, section 4, and the security
// whitepaper, section 5); 2.0.1 (part 2, section 1); what 2.1 added to that. The dialects' tables are
// tested against these.
const (
	chargerActions16 = " Authorize BootNotification DataTransfer DiagnosticsStatusNotification FirmwareStatusNotification" +
		" Heartbeat LogStatusNotification MeterValues SecurityEventNotification SignCertificate" +
		" SignedFirmwareStatusNotification StartTransaction StatusNotification StopTransaction "
	chargerActions201 = " Authorize BootNotification ClearedChargingLimit DataTransfer FirmwareStatusNotification" +
		" Get15118EVCertificate GetCertificateStatus Heartbeat LogStatusNotification MeterValues NotifyChargingLimit" +
		" NotifyCustomerInformation NotifyDisplayMessages NotifyEVChargingNeeds NotifyEVChargingSchedule NotifyEvent" +
		" NotifyMonitoringReport NotifyReport PublishFirmwareStatusNotification ReportChargingProfiles" +
		" ReservationStatusUpdate SecurityEventNotification SignCertificate StatusNotification TransactionEvent "
	chargerActions21 = " BatterySwap ClosePeriodicEventStream GetCertificateChainStatus NotifyDERAlarm NotifyDERStartStop" +
		" NotifyPeriodicEventStream NotifyPriorityCharging NotifySettlement OpenPeriodicEventStream" +
		" PullDynamicScheduleUpdate ReportDERControl VatNumberValidation "
)
