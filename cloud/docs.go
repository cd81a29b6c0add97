package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-ev/holdfast"
)

// put stores v as the JSON of a document.
func put(tx Tx, k Kind, key string, f Fields, v any) (uint64, error) {
	d, err := asDoc(k, key, f, v)
	if err != nil {
		return 0, err
	}
	return tx.Put(d)
}

func asDoc(k Kind, key string, f Fields, v any) (Doc, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return Doc{}, fmt.Errorf("put %s %q: %w", k, key, err)
	}
	if f == nil {
		f = Fields{}
	}
	return Doc{Kind: k, Key: key, Fields: f, Body: b}, nil
}

// get reads a document's JSON.
func get[T any](tx Tx, k Kind, key string) (v T, err error) {
	d, err := tx.Get(k, key)
	if err != nil {
		return v, err
	}
	return decode[T](d)
}

func decode[T any](d Doc) (v T, err error) {
	if err := json.Unmarshal(d.Body, &v); err != nil {
		return v, fmt.Errorf("read %s %q: %w", d.Kind, d.Key, err)
	}
	return v, nil
}

// all lists the documents that q asks for, decoded.
func all[T any](tx Tx, k Kind, q Query) ([]T, error) {
	docs, err := tx.List(k, q)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(docs))
	for _, d := range docs {
		v, err := decode[T](d)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// paged answers a list: one page of documents, each made into what is shown.
func paged[T any](ctx context.Context, p *Plane, k Kind, where Fields, page Page, show func(Tx, Doc) (T, error)) (list []T, next string, err error) {
	q := Query{Where: Fields{}, Limit: page.Limit, Oldest: page.Oldest}
	for f, v := range where {
		if v != "" {
			q.Where[f] = v
		}
	}
	if q.Limit == 0 {
		q.Limit = DefaultPage
	}
	if q.Limit < 0 || q.Limit > MaxPage {
		return nil, "", invalid("list "+string(k), "limit %d, want 1 to %d", page.Limit, MaxPage)
	}
	if page.Cursor != "" {
		if q.Cursor, err = q.after(k, page.Cursor); err != nil {
			return nil, "", fmt.Errorf("list %s: %w", k, err)
		}
	}
	most := q.Limit
	q.Limit++ // one more tells whether there is a next page
	list = []T{}
	err = p.o.Store.View(ctx, func(tx Tx) error {
		docs, err := tx.List(k, q)
		if err != nil {
			return err
		}
		if len(docs) > most {
			docs = docs[:most]
			next = q.cursor(k, docs[most-1].N)
		}
		for _, d := range docs {
			v, err := show(tx, d)
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return list, next, nil
}

// asStored shows a document as it is stored.
func asStored[T any](_ Tx, d Doc) (T, error) { return decode[T](d) }

// note appends to the cloud's own journal.
func note(tx Tx, now holdfast.UnixMilli, by, kind string, body any) (uint64, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, fmt.Errorf("note %s: %w", kind, err)
	}
	return tx.AppendLog(LogEntry{At: now, By: by, Kind: kind, Body: b})
}

// The kinds of entry in the cloud's journal. Their bodies hold no secret.
const (
	logSite      = "site.added"
	logPolicy    = "site.policy"
	logCode      = "code.issued"
	logEnrolled  = "gateway.enrolled"
	logToken     = "token.put"
	logRevoked   = "token.revoked"
	logErased    = "token.erased"
	logTariff    = "tariff.put"
	logLimits    = "limits.put"
	logGrant     = "grant.issued"
	logDirective = "directive.queued"
	logSlice     = "slice.received"
	logRefused   = "slice.refused"
	logSkipped   = "telemetry.skipped"
	logBook      = "tokens.disclosed"
)

// key joins the parts of a document's key.
func key(parts ...string) string { return strings.Join(parts, "/") }
