package cloud

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-ev/holdfast"
)

// Bounds of requests with a key that is kept: see [Plane.Once].
const (
	MaxRequestKey    = 255            // bytes of a key
	AnswerLifeMillis = 72 * 3600_000  // how long a key stands for its first answer; then it is a new key
	MaxAnswers       = 200_000        // answers that are kept; at the bound a new key is refused ([ErrFull])
	MaxAnswerBytes   = 1 << 20        // of one answer; what would answer more is not done ([ErrFull])
	answersPerSweep  = 8              // expired answers that are removed with each new one
	answerPurpose    = "answer"       // of the key that answers are sealed with
	requestPurpose   = "request-hash" // of the key that names and requests are hashed with
)

// What a key that was used before can mean, beside the first answer.
var (
	ErrKeyReused = errors.New("the key was used for another request")
	ErrGone      = errors.New("the answer was erased") // with the driver that it was about
)

// A Request is one that its sender may repeat, because it cannot know whether
// the first one was done.
type Request struct {
	By   string // who asks; keys of different callers are different keys
	Key  string // of the caller's choice, 1 to [MaxRequestKey] bytes
	What []byte // the request itself; the same key with other bytes is refused
}

// An Answer is what the first request with a key was answered.
type Answer struct {
	Status int    // HTTP status
	Body   []byte // byte for byte
	Token  string // id of the token that it tells of, "" for none: erasing that erases this
}

// An answerDoc is what is stored of an answer, under a keyed hash of who asked
// and their key. The request is there as a keyed hash, because it may hold a
// card's number; the answer is sealed, because it may hold an enrolment code. One
// that was erased has neither.
type answerDoc struct {
	At      holdfast.UnixMilli `json:"at"`
	Request []byte             `json:"request,omitempty"`
	Status  int                `json:"status"`
	Sealed  []byte             `json:"sealed,omitempty"`
	Scrub   bool               `json:"scrub,omitempty"` // the effect ended with a scrub of the store
	Erased  holdfast.UnixMilli `json:"erased,omitempty"`
}

// Once does a request at most once within [AnswerLifeMillis]. All that do
// changes with the context that it is given, and its answer, are one
// transaction: after a crash either both are there or neither. A repetition gets
// the first answer, byte for byte (again is true), and do is not called. When do
// fails, nothing is kept and the key is free.
//
// [ErrKeyReused] for another request under the key, [ErrGone] when the answer
// was erased with its driver, [ErrFull] at [MaxAnswers].
func (p *Plane) Once(ctx context.Context, now holdfast.UnixMilli, r Request, do func(context.Context) (Answer, error)) (a Answer, again bool, err error) {
	if n := len(r.Key); n == 0 || n > MaxRequestKey {
		return Answer{}, false, invalid("request", "key of %d bytes, want 1 to %d", n, MaxRequestKey)
	}
	name, sum, err := p.requestNames(r)
	if err != nil {
		return Answer{}, false, err
	}
	scrub := false
	err = p.Atomic(ctx, func(ctx context.Context) error {
		j := joinedIn(ctx)
		old, err := get[answerDoc](j.tx, KindAnswer, name)
		switch {
		case err == nil && now-old.At <= AnswerLifeMillis:
			again, scrub = true, old.Scrub
			a, err = p.repeat(name, sum, old)
			return err
		case err == nil: // expired: a new key, in a new place behind those that are swept first
			if err := j.tx.Delete(KindAnswer, name); err != nil {
				return err
			}
		case !isNotFound(err):
			return err
		}
		if a, err = do(ctx); err != nil {
			return err
		}
		return p.keep(j, now, name, sum, a)
	})
	if err != nil {
		return Answer{}, false, err
	}
	if scrub {
		err = p.o.Store.Scrub(ctx) // the first attempt may have ended before it
	}
	return a, again, err
}

// requestNames hashes who asks for what.
func (p *Plane) requestNames(r Request) (name string, sum []byte, err error) {
	k, err := p.derive(requestPurpose, r.By)
	if err != nil {
		return "", nil, err
	}
	mac := func(b []byte) []byte {
		m := hmac.New(sha256.New, k[:])
		m.Write(b)
		return m.Sum(nil)
	}
	return hex.EncodeToString(mac([]byte("key\x00" + r.Key))), mac(append([]byte("what\x00"), r.What...)), nil
}

// repeat opens a kept answer for the same request.
func (p *Plane) repeat(name string, sum []byte, old answerDoc) (Answer, error) {
	if old.Erased != 0 {
		return Answer{}, fmt.Errorf("at %s: %w", old.Erased, ErrGone)
	}
	if !hmac.Equal(old.Request, sum) {
		return Answer{}, fmt.Errorf("first used at %s: %w", old.At, ErrKeyReused)
	}
	aead, err := p.answerCipher()
	if err != nil {
		return Answer{}, err
	}
	if len(old.Sealed) < aead.NonceSize() {
		return Answer{}, fmt.Errorf("kept answer %s is cut short", name)
	}
	nonce, sealed := old.Sealed[:aead.NonceSize()], old.Sealed[aead.NonceSize():]
	body, err := aead.Open(nil, nonce, sealed, []byte(name))
	if err != nil {
		return Answer{}, fmt.Errorf("open kept answer %s: %w", name, err)
	}
	return Answer{Status: old.Status, Body: body}, nil
}

// keep stores an answer in the transaction of its effect.
func (p *Plane) keep(j *joined, now holdfast.UnixMilli, name string, sum []byte, a Answer) error {
	if len(a.Body) > MaxAnswerBytes {
		return fmt.Errorf("keep an answer of %d bytes, at most %d: %w", len(a.Body), MaxAnswerBytes, ErrFull)
	}
	if err := sweepAnswers(j.tx, now); err != nil {
		return err
	}
	aead, err := p.answerCipher()
	if err != nil {
		return err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(p.o.Rand, nonce); err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	doc := answerDoc{
		At: now, Request: sum, Status: a.Status, Sealed: aead.Seal(nonce, nonce, a.Body, []byte(name)), Scrub: j.scrub,
	}
	_, err = put(j.tx, KindAnswer, name, Fields{"token": a.Token}, doc)
	return err
}

// sweepAnswers removes some that have expired, and says when there is no room.
// Documents are numbered in the order of their insertion, so that the span from
// the oldest to the newest bounds how many there are.
func sweepAnswers(tx Tx, now holdfast.UnixMilli) error {
	oldest, err := tx.List(KindAnswer, Query{Limit: answersPerSweep, Oldest: true})
	if err != nil || len(oldest) == 0 {
		return err
	}
	first := oldest[0].N
	for _, d := range oldest {
		a, err := decode[answerDoc](d)
		if err != nil {
			return err
		}
		if now-a.At <= AnswerLifeMillis {
			break
		}
		if err := tx.Delete(KindAnswer, d.Key); err != nil {
			return err
		}
		first = d.N + 1
	}
	newest, err := tx.List(KindAnswer, Query{Limit: 1})
	if err == nil && len(newest) > 0 && newest[0].N+1 >= first+MaxAnswers {
		err = fmt.Errorf("%d answers to requests with a key are kept for %d h: send none, or come back later: %w",
			MaxAnswers, AnswerLifeMillis/3600_000, ErrFull)
	}
	return err
}

// eraseAnswers makes the kept answers that tell of a token unreadable. The key
// stays used, so that a late repetition does not bring the driver back.
func eraseAnswers(tx Tx, now holdfast.UnixMilli, token string) error {
	docs, err := tx.List(KindAnswer, Query{Where: Fields{"token": token}})
	if err != nil {
		return err
	}
	for _, d := range docs {
		a, err := decode[answerDoc](d)
		if err != nil {
			return err
		}
		if _, err := put(tx, KindAnswer, d.Key, Fields{"token": ""}, answerDoc{At: a.At, Status: a.Status, Erased: now}); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plane) answerCipher() (cipher.AEAD, error) {
	k, err := p.derive(answerPurpose, "")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
