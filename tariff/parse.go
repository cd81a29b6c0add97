package tariff

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-ev/holdfast"
)

// Parse reads an OCPI Tariff object. Every error is an [*Error] with a code and
// the JSON path. What Parse accepts can be priced; what would change a price
// and is not supported is refused.
func Parse(ocpiJSON []byte) (*Tariff, error) {
	// The explicit return keeps a nil *Error from becoming a non-nil error.
	t, err := parse(ocpiJSON)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func parse(b []byte) (*Tariff, *Error) {
	if len(b) > MaxBytes {
		return nil, fault(CodeJSON, "$", fmt.Sprintf("is %d bytes, at most %d", len(b), MaxBytes))
	}
	n, err := readJSON(b)
	if err != nil {
		return nil, err
	}
	if err := n.is("object"); err != nil {
		return nil, err
	}
	if err := checkFields(n, tariffField); err != nil {
		return nil, err
	}
	t := &Tariff{}
	if err := t.readNames(n); err != nil {
		return nil, err
	}
	if err := t.readValidity(n); err != nil {
		return nil, err
	}
	return t, t.readElements(n)
}

// A fieldRule says what to do with a field of OCPI's.
type fieldRule string

const (
	read   fieldRule = "read"   // means something here
	note   fieldRule = "note"   // for people; does not change a price
	refuse fieldRule = "refuse" // would change the price and is not supported
)

// The fields of OCPI 2.2.1, and those of 2.3.0 that differ. "" means that OCPI
// has no such field.

func tariffField(name string) fieldRule {
	switch name {
	case "country_code", "party_id", "id", "currency", "elements", "last_updated", "start_date_time", "end_date_time",
		"type", "tax_included":
		return read
	case "tariff_alt_text", "tariff_alt_url", "energy_mix":
		return note
	case "min_price", "max_price", "preauthorize_amount":
		return refuse
	}
	return ""
}

func elementField(name string) fieldRule {
	if name == "price_components" || name == "restrictions" {
		return read
	}
	return ""
}

func componentField(name string) fieldRule {
	switch name {
	case "type", "price", "vat", "step_size":
		return read
	}
	return ""
}

func checkFields(n *node, ruleOf func(string) fieldRule) *Error {
	for _, k := range n.keys {
		switch rule := ruleOf(k); {
		case rule == "":
			return fault(CodeUnknown, n.fields[k].path, "is not a field of OCPI's").
				hint("remove it, or check its spelling: a field that is ignored could be a price")
		case rule == refuse && n.get(k) != nil:
			return fault(CodeUnsupported, n.fields[k].path, "is not supported").
				hint("see docs/tariffs.md for what is")
		}
	}
	return nil
}

func (t *Tariff) readNames(n *node) (err *Error) {
	if t.ID, err = text(n, "id", 1, MaxIDLen); err != nil {
		return err
	}
	if t.Currency, err = text(n, "currency", 3, 3); err != nil {
		return err
	}
	for i := range len(t.Currency) {
		if c := t.Currency[i]; c < 'A' || c > 'Z' {
			return fault(CodeValue, "$.currency", fmt.Sprintf("is %q, want three capital letters (ISO 4217)", t.Currency))
		}
	}
	if n.get("country_code") != nil {
		if t.CountryCode, err = text(n, "country_code", 2, 2); err != nil {
			return err
		}
	}
	if n.get("party_id") != nil {
		if t.PartyID, err = text(n, "party_id", 3, 3); err != nil {
			return err
		}
	}
	if err := onlyWord(n, "type", "REGULAR"); err != nil {
		return err.hint("a tariff for one way of paying or one charging preference cannot be chosen yet")
	}
	if err := onlyWord(n, "tax_included", "NO"); err != nil {
		return err.hint("give prices without tax, with vat beside them")
	}
	return nil
}

// onlyWord refuses an optional field with any other value than the one that
// this package implements.
func onlyWord(n *node, key, word string) *Error {
	v := n.get(key)
	if v == nil {
		return nil
	}
	if err := v.is("string"); err != nil {
		return err
	}
	if v.text != word {
		return fault(CodeUnsupported, v.path, fmt.Sprintf("is %q, only %q is supported", clip(v.text), word))
	}
	return nil
}

func text(n *node, key string, least, most int) (string, *Error) {
	v, err := n.want(key, "string")
	if err != nil {
		return "", err
	}
	if len(v.text) < least || len(v.text) > most {
		return "", fault(CodeValue, v.path, fmt.Sprintf("has %d characters, want %d to %d", len(v.text), least, most))
	}
	for i := range len(v.text) {
		if c := v.text[i]; c <= ' ' || c > '~' {
			return "", fault(CodeValue, v.path, "has a character that is not printable ASCII")
		}
	}
	return v.text, nil
}

func (t *Tariff) readValidity(n *node) (err *Error) {
	if t.From, err = moment(n, "start_date_time"); err != nil {
		return err
	}
	if t.Until, err = moment(n, "end_date_time"); err != nil {
		return err
	}
	if t.LastUpdated, err = moment(n, "last_updated"); err != nil {
		return err
	}
	if t.From != 0 && t.Until != 0 && t.Until <= t.From {
		return fault(CodeValue, "$.end_date_time", "is not after start_date_time")
	}
	return nil
}

// moment reads an OCPI DateTime: RFC 3339, in UTC even when the Z is left out.
func moment(n *node, key string) (holdfast.UnixMilli, *Error) {
	v := n.get(key)
	if v == nil {
		return 0, nil
	}
	if err := v.is("string"); err != nil {
		return 0, err
	}
	at, err := time.Parse("2006-01-02T15:04:05.999999999Z", v.text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05.999999999", v.text)
	}
	u := holdfast.UnixMilli(at.UnixMilli())
	if err != nil || u <= 0 || u > holdfast.LatestPlausible {
		return 0, fault(CodeValue, v.path, fmt.Sprintf("is %q, want a UTC time like 2026-01-31T00:00:00Z", clip(v.text)))
	}
	return u, nil
}

func (t *Tariff) readElements(n *node) *Error {
	elements, err := n.want("elements", "array")
	if err != nil {
		return err
	}
	if len(elements.items) == 0 || len(elements.items) > MaxElements {
		return fault(CodeValue, elements.path, fmt.Sprintf("has %d elements, want 1 to %d", len(elements.items), MaxElements))
	}
	for _, e := range elements.items {
		if err := t.readElement(e); err != nil {
			return err
		}
	}
	order := Dimensions()
	slices.SortFunc(t.components, func(a, b Component) int {
		return slices.Index(order, a.Dimension) - slices.Index(order, b.Dimension)
	})
	return nil
}

func (t *Tariff) readElement(e *node) *Error {
	if err := e.is("object"); err != nil {
		return err
	}
	if err := checkFields(e, elementField); err != nil {
		return err
	}
	if err := checkUnrestricted(e); err != nil {
		return err
	}
	components, err := e.want("price_components", "array")
	if err != nil {
		return err
	}
	if len(components.items) == 0 {
		return fault(CodeValue, components.path, "is empty, want at least one price component")
	}
	for _, p := range components.items {
		c, err := readComponent(p)
		if err != nil {
			return err
		}
		if t.has(c.Dimension) {
			return fault(CodeAmbiguous, p.path, fmt.Sprintf("is a second price for %s", c.Dimension)).
				hint("without restrictions only the first could ever apply: remove one")
		}
		t.components = append(t.components, c)
	}
	return nil
}

// checkUnrestricted refuses an element with a restriction. An element whose
// restrictions are all null or empty has none.
func checkUnrestricted(e *node) *Error {
	r := e.get("restrictions")
	if r == nil {
		return nil
	}
	if err := r.is("object"); err != nil {
		return err
	}
	for _, k := range r.keys {
		if v := r.get(k); v != nil && !(v.kind == "array" && len(v.items) == 0) {
			return fault(CodeUnsupported, v.path, "restricts when the price applies, which is not supported").
				hint("use a tariff without restrictions: see docs/tariffs.md")
		}
	}
	return nil
}

func readComponent(p *node) (c Component, err *Error) {
	if err := p.is("object"); err != nil {
		return c, err
	}
	if err := checkFields(p, componentField); err != nil {
		return c, err
	}
	kind, err := p.want("type", "string")
	if err != nil {
		return c, err
	}
	c.Dimension = Dimension(kind.text)
	if !slices.Contains(Dimensions(), c.Dimension) {
		return c, fault(CodeValue, kind.path, fmt.Sprintf("is %q, want one of %v", clip(kind.text), Dimensions()))
	}
	if c.Price, err = price(p); err != nil {
		return c, err
	}
	if v := p.get("vat"); v != nil {
		c.Taxed = true
		if c.VATppm, err = number(v, 4, MaxVATppm); err != nil { // percent with 4 decimals = ppm
			return c, err
		}
	}
	c.Step, err = step(p, c.Dimension)
	return c, err
}

func price(p *node) (holdfast.Micros, *Error) {
	v, err := p.want("price", "number")
	if err != nil {
		return 0, err
	}
	n, err := number(v, 6, int64(MaxPrice))
	return holdfast.Micros(n), err
}

// step reads step_size. A FLAT fee has no unit to step by (OCPI's own free
// tariff says 0 there); for the others 0 says nothing that could be applied.
func step(p *node, d Dimension) (int64, *Error) {
	v, err := p.want("step_size", "number")
	if err != nil {
		return 0, err
	}
	n, err := number(v, 0, MaxStep)
	if err != nil || d == Flat {
		return 1, err
	}
	if n == 0 {
		return 0, fault(CodeValue, v.path, "is 0").hint("say 1 to bill every Wh or second")
	}
	return n, nil
}

// number reads v as an integer of 10^-places, between 0 and most.
func number(v *node, places int, most int64) (int64, *Error) {
	if err := v.is("number"); err != nil {
		return 0, err
	}
	n, why := scaled(v.text, places)
	if why == decimalOK && n > most {
		why = decimalLarge
	}
	switch why {
	case decimalOK:
		return n, nil
	case decimalPrecise:
		return 0, fault(CodeValue, v.path, fmt.Sprintf("is %s, which %s: at most %d decimals", clip(v.text), why, places))
	case decimalLarge:
		return 0, fault(CodeValue, v.path, fmt.Sprintf("is %s, which %s: at most %s", clip(v.text), why, unscale(most, places)))
	}
	return 0, fault(CodeValue, v.path, fmt.Sprintf("is %s, which %s", clip(v.text), why))
}

func unscale(n int64, places int) string {
	for range places {
		n /= 10
	}
	return strconv.FormatInt(n, 10)
}
