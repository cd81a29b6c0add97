package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"

	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
	"github.com/holdfast-ev/holdfast/internal/durable"
	"github.com/holdfast-ev/holdfast/seal"
	"github.com/holdfast-ev/holdfast/uplink"
)

// A bookKeeper has the copy of the token book on the disk: JSON under the
// gateway's seal key. It may be deleted at any time, and is fetched again. No
// error that it returns or logs names a token.
type bookKeeper struct {
	log  *slog.Logger
	path string
	key  [32]byte

	writing sync.Mutex // held while the file is replaced
	mu      sync.Mutex
	next    *gateway.KeepBook // to be written; nil: nothing
}

// A bookFileForm is what the file holds.
type bookFileForm struct {
	Version uint64             `json:"version"`
	Tokens  []uplink.BookToken `json:"tokens"`
}

// read returns the copy on the disk. Version 0: there is none.
func (k *bookKeeper) read() (form bookFileForm, err error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	f, err := os.Open(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return form, nil
	}
	if err != nil {
		return form, fmt.Errorf("token book: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, seal.MaxBox+1024))
	if err != nil {
		return form, fmt.Errorf("token book: %w", err)
	}
	plain, err := seal.OpenBox(k.key, b)
	if err != nil {
		return form, fmt.Errorf("token book: %w", err)
	}
	if err := json.Unmarshal(plain, &form); err != nil {
		return bookFileForm{}, errors.New("token book: not the form of this version")
	}
	return form, nil
}

// keep notes what is to be written. What was to be written before and was not
// yet is never written.
func (k *bookKeeper) keep(b gateway.KeepBook) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next = &b
}

// write replaces the file by what was noted last. When that fails the file
// goes: it may hold a token that must not be there any more.
func (k *bookKeeper) write() {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	b := k.next
	k.next = nil
	k.mu.Unlock()
	if b == nil {
		return
	}
	err := k.replace(bookFileForm{b.Version, b.Tokens})
	if err == nil {
		return
	}
	k.log.Error("the token book cannot be written; it is removed and fetched again after the next start", "err", err.Error())
	if err := durable.Remove(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.log.Error("the token book cannot be removed either: delete it by hand", "file", k.path, "err", err.Error())
	}
}

func (k *bookKeeper) replace(form bookFileForm) error {
	plain, err := json.Marshal(form)
	if err != nil {
		return err
	}
	if len(plain) > seal.MaxBox {
		return fmt.Errorf("%d bytes, at most %d", len(plain), seal.MaxBox)
	}
	var nonce [12]byte
	rand.Read(nonce[:]) // crypto/rand never fails
	return durable.WriteFile(k.path, seal.SealBox(k.key, nonce, plain), 0o600)
}

// keepBook writes the book on a goroutine of its own.
func (l *cloudLink) keepBook(f *feed, k *bookKeeper, b gateway.KeepBook) {
	k.keep(b)
	l.start(f, func(context.Context) { k.write() })
}

// book answers with the copy on the disk, or with what the cloud has. That it
// fails says nothing about the link: the core asks again later.
func (l *cloudLink) book(f *feed, k *bookKeeper, want gateway.BookRequest) {
	at := l.route()
	l.start(f, func(ctx context.Context) {
		if want.Stored {
			form, err := k.read()
			if err != nil {
				k.log.Warn("no use of the stored token book; it comes again from the cloud", "err", err.Error())
				f.put(gateway.Book{Stored: true, Err: err.Error()})
				return
			}
			f.put(gateway.Book{Stored: true, Version: form.Version, Tokens: form.Tokens})
			return
		}
		tokens, err := at.client.book(ctx, want.Version)
		got := gateway.Book{Version: want.Version, Tokens: tokens}
		if err != nil {
			l.noteBusy(at, err)
			got.Err = err.Error()
			l.log.Warn("no tokens for the chargers' lists", "list", want.Version, "err", err.Error())
		}
		f.put(got)
	})
}

// book gets the tokens of a version of the site's list, page by page.
func (c *client) book(ctx context.Context, version uint64) (tokens []uplink.BookToken, err error) {
	for after := uint64(0); ; {
		b, err := c.bookPage(ctx, version, after)
		if err != nil {
			return nil, err
		}
		if tokens = append(tokens, b.Tokens...); len(tokens) > access.MaxEntries || b.Version != version {
			return nil, fmt.Errorf("tokens: version %d with %d tokens, asked for version %d and at most %d", b.Version, len(tokens), version, access.MaxEntries)
		}
		if b.Next == 0 {
			return tokens, nil
		}
		if b.Next <= after {
			return nil, errors.New("tokens: pages that go backwards")
		}
		after = b.Next
	}
}

func (c *client) bookPage(ctx context.Context, version, after uint64) (b uplink.TokenBook, err error) {
	ctx, cancel := context.WithTimeout(ctx, UploadTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, nil, "tokens")
	if err != nil {
		return b, err
	}
	q := url.Values{"version": {strconv.FormatUint(version, 10)}}
	if after > 0 {
		q.Set("after", strconv.FormatUint(after, 10))
	}
	req.URL.RawQuery = q.Encode()
	resp, err := c.http.Do(req)
	if err != nil {
		return b, fmt.Errorf("tokens: %w", err)
	}
	defer drainClose(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return b, problemOf("tokens", resp)
	}
	return b, decodeAnswer("tokens", resp, &b)
}
