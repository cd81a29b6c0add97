package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/cloud"
)

// anyBytes: keys, fields and names are bytes: any, compared as bytes, up to
// [cloud.MaxKey]. A text column would refuse the byte 0 and what is no UTF-8,
// and a database's collation would put "a" before "B".
func anyBytes(t *testing.T, open Open) {
	s, _, _ := open(t)
	long := strings.Repeat("k", cloud.MaxKey)
	values := []string{"\x00", "\x00a", "A", "B", "a", "a\x00", "a\x00b", "a b", "ab", "b", "\x7f", "é", "€", "\xff", "\xff\xfe", long}
	slices.Sort(values) // bytewise
	for i, v := range values {
		mustPut(t, s, doc(cloud.KindPlace, fmt.Sprint("key ", i), fmt.Sprint(i), "row", v), doc(cloud.KindSlice, v, fmt.Sprint(i), long, v))
	}
	view(t, s, func(tx cloud.Tx) error {
		for i, v := range values {
			before, after, err := tx.Beside(cloud.KindPlace, cloud.Fields{"row": "row"}, "at", v)
			if err != nil {
				return err
			}
			if got := fieldOf(before, "at"); i > 0 && got != values[i-1] || i == 0 && before != nil {
				t.Errorf("before %q comes %q", v, got)
			}
			if got := fieldOf(after, "at"); i < len(values)-1 && got != values[i+1] || i == len(values)-1 && after != nil {
				t.Errorf("after %q comes %q", v, got)
			}
			if d, err := tx.Get(cloud.KindSlice, v); err != nil || string(d.Body) != fmt.Sprint(i) || d.Key != v {
				t.Errorf("key %q: %q %q, %v", v, d.Key, d.Body, err)
			}
			if n, err := tx.Count(cloud.KindSlice, cloud.Fields{"stream": long, "at": v}); n != 1 || err != nil {
				t.Errorf("count by %q: %d, %v", v, n, err)
			}
		}
		return nil
	})
	update(t, s, func(tx cloud.Tx) error {
		_, err := tx.AppendLog(cloud.LogEntry{By: "a\x00b\xff", Kind: "k\x00", Body: []byte{0, 0xff}})
		return err
	})
	view(t, s, func(tx cloud.Tx) error {
		es, err := tx.ReadLog(0, 1)
		if err != nil || len(es) != 1 || es[0].By != "a\x00b\xff" || es[0].Kind != "k\x00" || string(es[0].Body) != "\x00\xff" {
			t.Errorf("log: %+v, %v", es, err)
		}
		return nil
	})
	for name, d := range map[string]cloud.Doc{
		"a key that is too long": doc(cloud.KindSlice, long+"k", "{}"), "a field that is too long": doc(cloud.KindSlice, "k", "{}", "", long+"k"),
	} {
		err := s.Update(t.Context(), func(tx cloud.Tx) error { _, err := tx.Put(d); return err })
		if !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	err := s.Update(t.Context(), func(tx cloud.Tx) error {
		return tx.AddRecords(1, []cloud.Row{{Seq: 1 << 63, Leaf: holdfast.Hash{1}, Body: []byte("x")}})
	})
	if !errors.Is(err, cloud.ErrInvalid) {
		t.Errorf("a sequence number beyond 63 bits: %v, want ErrInvalid", err)
	}
}

func fieldOf(d *cloud.Doc, field string) string {
	if d == nil {
		return ""
	}
	return d.Fields[field]
}
