package tariff

// A Code says what kind of thing is wrong with a tariff. docs/tariffs.md has a
// line for each.
type Code string

// The codes.
const (
	CodeJSON        Code = "TARIFF_JSON"        // not one JSON object within the bounds, or a key twice
	CodeMissing     Code = "TARIFF_MISSING"     // a required field is absent
	CodeType        Code = "TARIFF_TYPE"        // a field has another JSON type than OCPI gives it
	CodeValue       Code = "TARIFF_VALUE"       // a value that OCPI or a bound of ours does not allow
	CodeUnsupported Code = "TARIFF_UNSUPPORTED" // valid OCPI that would change the price and is not supported
	CodeUnknown     Code = "TARIFF_UNKNOWN"     // a field that is not OCPI's: it might change the price
	CodeAmbiguous   Code = "TARIFF_AMBIGUOUS"   // two prices for one dimension
)

// Codes lists every code in the order of docs/tariffs.md.
func Codes() []Code {
	return []Code{CodeJSON, CodeMissing, CodeType, CodeValue, CodeUnsupported, CodeUnknown, CodeAmbiguous}
}

// An Error says why a tariff was refused, and where.
type Error struct {
	Code   Code
	Path   string // JSON path of the offending value, e.g. "$.elements[0].price_components[1].price"
	Detail string // continues "the value at Path ..."
	Hint   string // what an operator can do; "" when the detail says it
}

func (e *Error) Error() string {
	s := string(e.Code) + ": tariff: " + e.Path + " " + e.Detail
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func fault(c Code, path, detail string) *Error { return &Error{Code: c, Path: path, Detail: detail} }

func (e *Error) hint(h string) *Error { e.Hint = h; return e }
