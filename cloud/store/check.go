package store

import (
	"fmt"
	"path"
	"strings"

	"github.com/holdfast-ev/holdfast/cloud"
)

// checkFields: a document has exactly the fields of its kind, and all keys fit
// an index.
func checkFields(d cloud.Doc) error {
	if d.Key == "" {
		return fmt.Errorf("put %s without a key: %w", d.Kind, cloud.ErrInvalid)
	}
	if len(d.Key) > cloud.MaxKey {
		return fmt.Errorf("put %s: key of %d bytes, at most %d: %w", d.Kind, len(d.Key), cloud.MaxKey, cloud.ErrInvalid)
	}
	names := d.Kind.Fields()
	for _, f := range names {
		v, ok := d.Fields[f]
		if !ok {
			return fmt.Errorf("put %s %q: field %s is missing: %w", d.Kind, d.Key, f, cloud.ErrInvalid)
		}
		if len(v) > cloud.MaxKey {
			return fmt.Errorf("put %s %q: field %s has %d bytes, at most %d: %w", d.Kind, d.Key, f, len(v), cloud.MaxKey, cloud.ErrInvalid)
		}
	}
	if len(d.Fields) != len(names) {
		return fmt.Errorf("put %s %q: %d fields, the kind has %d: %w", d.Kind, d.Key, len(d.Fields), len(names), cloud.ErrInvalid)
	}
	return nil
}

// checkWhere: a query asks for fields that the kind has.
func checkWhere(k cloud.Kind, where cloud.Fields) error {
	known := 0
	for _, f := range k.Fields() {
		if _, ok := where[f]; ok {
			known++
		}
	}
	if known != len(where) {
		return fmt.Errorf("query %s by %v, its fields are %v: %w", k, where, k.Fields(), cloud.ErrInvalid)
	}
	return nil
}

// maxName bounds an archive name, in bytes.
const maxName = 512

// checkName: a name stays inside the archive.
func checkName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("archive name of %d bytes, at most %d: %w", len(name), maxName, cloud.ErrInvalid)
	}
	if name == "" || name == "." || path.Clean(name) != name || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "..") ||
		strings.ContainsAny(name, "\\\x00") {
		return fmt.Errorf("archive name %q: %w", name, cloud.ErrInvalid)
	}
	return nil
}
