package server

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/cloud"
)

// schemas makes JSON Schemas (draft 2020-12) of Go types as encoding/json writes
// and decodeStrict reads them. Named types become components.
type schemas struct {
	words map[string]words
	types map[reflect.Type]object // see [vocabulary]
	bound map[string]object       // see [bounds]
	made  object                  // components by name
	names map[reflect.Type]string // of answers
	asked map[reflect.Type]string // of requests, which take no unknown keys
	// unknown is a type that this has no schema for; the document is not made.
	unknown reflect.Type
}

func newSchemas(w map[string]words) *schemas {
	return &schemas{
		words: w, types: vocabulary(), bound: bounds(),
		made: object{}, names: map[reflect.Type]string{}, asked: map[reflect.Type]string{},
	}
}

// of is the schema of an answer of type t.
func (g *schemas) of(t reflect.Type) object { return g.schema(t, false) }

// request is the schema of a body of type t.
func (g *schemas) request(t reflect.Type) object { return g.schema(t, true) }

func (g *schemas) schema(t reflect.Type, in bool) object {
	if t.Kind() == reflect.Pointer {
		return g.schema(t.Elem(), in)
	}
	if t == reflect.TypeFor[json.RawMessage]() {
		return object{}
	}
	if t.PkgPath() == "" {
		return g.plain(t, in)
	}
	names := g.names
	if in && t.Kind() == reflect.Struct {
		names = g.asked
	}
	if name, ok := names[t]; ok {
		return ref("schemas", name)
	}
	name := componentName(t)
	if _, taken := g.made[name]; taken {
		name += "Input"
	}
	names[t], g.made[name] = name, object{} // before its fields, which may name it
	g.made[name] = g.named(t, in)
	return ref("schemas", name)
}

// componentName is the name of a type, "ListOfSite" for List[cloud.Site].
func componentName(t reflect.Type) string {
	outer, inner, ok := strings.Cut(t.Name(), "[")
	outer = strings.ToUpper(outer[:1]) + outer[1:]
	if !ok {
		return outer
	}
	inner = strings.TrimSuffix(inner, "]")
	return outer + "Of" + inner[strings.LastIndexAny(inner, "./")+1:]
}

// typeName is how words.json and [bounds] name a type: "cloud.Site".
func typeName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.String(), "[")
	return name
}

// named is the schema of a type that has a name.
func (g *schemas) named(t reflect.Type, in bool) object {
	w := g.words[typeName(t)]
	var out object
	switch {
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		out = object{"type": "string"}
	case t.Kind() == reflect.Struct:
		out = g.structure(t, in)
	default:
		out = g.plain(t, in)
	}
	for k, v := range g.types[t] {
		out[k] = v
	}
	text := w.Doc
	var values []string
	for _, e := range w.Enum {
		values = append(values, e.Value)
		if e.Doc != "" {
			text += "\n* `" + e.Value + "`: " + e.Doc
		}
	}
	if values != nil {
		out["enum"] = values
	}
	if text != "" {
		out["description"] = text
	}
	return out
}

// plain is the schema of a type by its kind alone.
func (g *schemas) plain(t reflect.Type, in bool) object {
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Int32:
		return object{"type": "integer", "format": "int32"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "format": "int64", "minimum": 0}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": g.schema(t.Elem(), in)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.schema(t.Elem(), in)}
	case reflect.Struct:
		return g.structure(t, in)
	}
	g.unknown = t
	return object{}
}

// structure is the schema of a struct. A field without omitempty is always in an
// answer; in a request it has to be given, unless it is a struct of fields that
// may each be left out.
func (g *schemas) structure(t reflect.Type, in bool) object {
	props, required := object{}, []string{}
	g.fields(t, in, props, &required)
	out := object{"type": "object", "properties": props}
	if len(required) > 0 {
		out["required"] = required
	}
	if in {
		out["additionalProperties"] = false
	}
	return out
}

func (g *schemas) fields(t reflect.Type, in bool, props object, required *[]string) {
	for _, f := range jsonFields(t) {
		schema := g.schema(f.Type, in)
		if text := g.words[typeName(f.owner)].Fields[f.Name]; text != "" {
			schema["description"] = text
		}
		for k, v := range g.bound[typeName(f.owner)+"."+f.Name] {
			schema[k] = v
		}
		props[f.key] = schema
		if f.required(in) {
			*required = append(*required, f.key)
		}
	}
}

// A jsonField is a field as encoding/json sees it.
type jsonField struct {
	reflect.StructField
	owner    reflect.Type // of which it is a field, which may be embedded
	key      string
	optional bool // omitempty, omitzero
}

// required reports whether the key is always there. In a request that is not
// asked of a struct, whose own keys may each be left out.
func (f jsonField) required(in bool) bool {
	return !f.optional && !(in && f.Type.Kind() == reflect.Struct)
}

// jsonFields are the fields of a struct, those of embedded ones among them.
func jsonFields(t reflect.Type) (out []jsonField) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && key == "":
			out = append(out, jsonFields(f.Type)...)
		case f.IsExported() && key != "-":
			out = append(out, jsonField{f, t, key, strings.Contains(options, "omit")})
		}
	}
	return out
}

// vocabulary says of named types what their kind does not.
func vocabulary() map[reflect.Type]object {
	hexDigits := func(n string, example string) object {
		return object{"pattern": "^[0-9a-f]{" + n + "}$", "examples": []string{example}}
	}
	slug := func(most int, example string) object {
		return object{"pattern": fmt.Sprintf("^[a-z0-9][a-z0-9-]{0,%d}$", most-1), "examples": []string{example}}
	}
	return map[reflect.Type]object{
		reflect.TypeFor[holdfast.SiteID]():    slug(holdfast.MaxSiteIDLen, "north"),
		reflect.TypeFor[holdfast.GatewayID](): slug(holdfast.MaxGatewayIDLen, "gw-north"),
		reflect.TypeFor[holdfast.ChargerID](): {
			"pattern": fmt.Sprintf("^[!-$&-.0-9;-~]{1,%d}$", holdfast.MaxChargerIDLen), "examples": []string{"CP-1"},
		},
		reflect.TypeFor[holdfast.Epoch]():     hexDigits("32", strings.Repeat("0a", 16)),
		reflect.TypeFor[holdfast.Hash]():      hexDigits("64", strings.Repeat("0a", 32)),
		reflect.TypeFor[holdfast.SessionID](): hexDigits("64", strings.Repeat("0a", 32)),
		reflect.TypeFor[holdfast.TokenHash](): hexDigits("32", strings.Repeat("0a", 16)),
		reflect.TypeFor[holdfast.UnixMilli](): {"examples": []int64{1_800_000_000_000}},
		reflect.TypeFor[pageLimit]():          {"minimum": 1, "maximum": cloud.MaxPage, "default": cloud.DefaultPage},
		reflect.TypeFor[tariffID]():           {"examples": []string{"standard"}},
		reflect.TypeFor[directiveID]():        {"examples": []string{"d-0123456789abcdef01234567"}},
		reflect.TypeFor[exceptionState]():     {"enum": []string{cloud.StateOpen, cloud.StateResolved}},
	}
}

// bounds are those of fields of requests, by type and field. A test sends what
// lies just outside and wants a refusal.
func bounds() map[string]object {
	token := object{"minLength": 1, "maxLength": holdfast.MaxTokenLen}
	return map[string]object{
		"cloud.AddSite.Name":         {"maxLength": cloud.MaxName},
		"cloud.PutToken.Value":       token,
		"cloud.PutToken.Label":       {"maxLength": cloud.MaxName},
		"cloud.PutToken.Expires":     {"minimum": 0},
		"cloud.PutToken.Group":       {"maxLength": access.MaxName},
		"cloud.IssueGrant.Token":     token,
		"cloud.IssueGrant.Expires":   {"minimum": 1},
		"server.TokenName.Token":     token,
		"uplink.StartBody.Token":     token,
		"uplink.StartBody.EVSE":      {"minimum": 0},
		"uplink.StartBody.TokenType": {"maxLength": 20},
		"uplink.TriggerBody.EVSE":    {"minimum": 0},
		"uplink.TriggerBody.Message": {"minLength": 1, "maxLength": 50},
		"uplink.ReserveBody.Token":   token,
		"uplink.UnlockBody.EVSE":     {"minimum": 1},
		"uplink.CallBody.Action":     {"minLength": 1, "maxLength": 50},
		"uplink.DataBody.Vendor":     {"minLength": 1, "maxLength": 255},
		"uplink.DataBody.MessageID":  {"maxLength": 50},
	}
}

// pathParams are the wildcards of addresses.
func pathParams() map[string]param {
	return map[string]param{
		"site":      query[holdfast.SiteID]("site", "the site"),
		"id":        query[holdfast.GatewayID]("id", "the gateway"),
		"session":   query[holdfast.SessionID]("session", "the session"),
		"directive": query[directiveID]("directive", "the directive"),
		"tariff":    query[tariffID]("tariff", "the tariff"),
		"journal":   query[holdfast.Journal]("journal", "which of the gateway's journals"),
		"epoch":     query[holdfast.Epoch]("epoch", "the journal's epoch"),
		"first":     query[holdfast.Seq]("first", "position of the first record"),
	}
}

// tariffID is a tariff's id in an address, as OCPI has it.
type tariffID string

// directiveID is a directive's id in an address.
type directiveID string
