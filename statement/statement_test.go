package statement_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/vector"
	"github.com/holdfast-ev/holdfast/statement"
)

var clockTime = statement.Time{Nonce: "000102030405060708090a0b0c0d0e0f", Now: 1_790_000_000_123}

func typs() []string {
	return []string{statement.TypList, statement.TypGrant, statement.TypTariff, statement.TypReceipt, statement.TypTime}
}

func TestSignVerifyEveryTyp(t *testing.T) {
	key := vector.Key(t)
	for _, typ := range typs() {
		b, err := statement.Sign(key, rand.Reader, typ, []byte("payload of "+typ))
		if err != nil {
			t.Fatal(err)
		}
		got, err := statement.Verify(&key.PublicKey, typ, b)
		if err != nil || string(got) != "payload of "+typ {
			t.Fatalf("verify %s: %q, %v", typ, got, err)
		}
		for _, other := range typs() {
			if other == typ {
				continue
			}
			if _, err := statement.Verify(&key.PublicKey, other, b); !errors.Is(err, statement.ErrType) {
				t.Errorf("a %s verified as %s: %v", typ, other, err)
			}
		}
	}
}

// The typ is in the external_aad as well: changing the header alone, with a
// signature that would fit a verifier without aad, does not help.
func TestTypIsBoundTwice(t *testing.T) {
	key := vector.Key(t)
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		t.Fatal(err)
	}
	kid := mustHex(t, statement.KeyID(&key.PublicKey))
	m := cose.Sign1Message{
		Headers: cose.Headers{Protected: cose.ProtectedHeader{
			cose.HeaderLabelAlgorithm: cose.AlgorithmES256, cose.HeaderLabelKeyID: kid, cose.HeaderLabelType: statement.TypGrant,
		}},
		Payload: []byte("x"),
	}
	if err := m.Sign(rand.Reader, []byte(statement.TypReceipt), signer); err != nil {
		t.Fatal(err)
	}
	b, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statement.Verify(&key.PublicKey, statement.TypGrant, b); !errors.Is(err, statement.ErrSignature) {
		t.Fatalf("another external_aad verified: %v", err)
	}
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	var h vector.Hex
	if err := h.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	key := vector.Key(t)
	b, err := statement.Sign(key, nil, statement.TypTime, []byte("twenty bytes of time"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(b) * 8 {
		bad := slices.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := statement.Verify(&key.PublicKey, statement.TypTime, bad); err == nil {
			t.Fatalf("bit %d flipped and still valid", i)
		}
	}
	for n := range len(b) {
		if _, err := statement.Verify(&key.PublicKey, statement.TypTime, b[:n]); !errors.Is(err, statement.ErrMalformed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := statement.Verify(&key.PublicKey, statement.TypTime, append(slices.Clone(b), 0)); !errors.Is(err, statement.ErrMalformed) {
		t.Fatalf("a trailing byte: %v", err)
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	key := vector.Key(t)
	b, err := statement.Sign(key, nil, statement.TypTime, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, pub := range map[string]*ecdsa.PublicKey{"another": &other.PublicKey, "none": nil} {
		if _, err := statement.Verify(pub, statement.TypTime, b); !errors.Is(err, statement.ErrSignature) {
			t.Errorf("%s key: %v", name, err)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statement.Sign(p384, rand.Reader, statement.TypTime, []byte("x")); err == nil {
		t.Error("a P-384 key signed")
	}
}

// Forms that a lenient COSE library accepts and that give one statement two
// encodings, or carry what nobody signed.
func TestForeignFormsAreRefused(t *testing.T) {
	key := vector.Key(t)
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	if err != nil {
		t.Fatal(err)
	}
	kid := mustHex(t, statement.KeyID(&key.PublicKey))
	good := func() cose.Sign1Message {
		return cose.Sign1Message{
			Headers: cose.Headers{
				Protected: cose.ProtectedHeader{
					cose.HeaderLabelAlgorithm: cose.AlgorithmES256, cose.HeaderLabelKeyID: kid, cose.HeaderLabelType: statement.TypTime,
				},
				Unprotected: cose.UnprotectedHeader{},
			},
			Payload: []byte("x"),
		}
	}
	cases := map[string]func(*cose.Sign1Message){
		"unprotected header": func(m *cose.Sign1Message) { m.Headers.Unprotected[cose.HeaderLabelContentType] = "a/b" },
		"extra header":       func(m *cose.Sign1Message) { m.Headers.Protected[cose.HeaderLabelContentType] = "a/b" },
		"no kid":             func(m *cose.Sign1Message) { delete(m.Headers.Protected, cose.HeaderLabelKeyID) },
		"short kid":          func(m *cose.Sign1Message) { m.Headers.Protected[cose.HeaderLabelKeyID] = kid[:4] },
		"no typ":             func(m *cose.Sign1Message) { delete(m.Headers.Protected, cose.HeaderLabelType) },
		"numeric typ":        func(m *cose.Sign1Message) { m.Headers.Protected[cose.HeaderLabelType] = uint64(61) },
	}
	for name, change := range cases {
		m := good()
		change(&m)
		if err := m.Sign(rand.Reader, []byte(statement.TypTime), signer); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := m.MarshalCBOR()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := statement.Verify(&key.PublicKey, statement.TypTime, b); !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := good()
	if err := m.Sign(rand.Reader, []byte(statement.TypTime), signer); err != nil {
		t.Fatal(err)
	}
	b, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statement.Verify(&key.PublicKey, statement.TypTime, b); err != nil {
		t.Fatalf("the unchanged form must verify: %v", err)
	}
	if _, err := statement.Verify(&key.PublicKey, statement.TypTime, b[1:]); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("untagged: %v", err)
	}
	if _, err := statement.Verify(&key.PublicKey, statement.TypTime, make([]byte, statement.MaxBytes+1)); !errors.Is(err, statement.ErrMalformed) {
		t.Errorf("too large: %v", err)
	}
}

func TestSignBounds(t *testing.T) {
	key := vector.Key(t)
	if _, err := statement.Sign(key, nil, statement.TypList, nil); err == nil {
		t.Error("an empty payload was signed")
	}
	if _, err := statement.Sign(key, nil, statement.TypList, make([]byte, statement.MaxBytes)); err == nil {
		t.Error("an oversized statement was signed")
	}
}

// A signature is not an identity: two of one payload differ, unless the source
// of randomness is nil.
func TestSignaturesDifferPayloadsDoNot(t *testing.T) {
	key := vector.Key(t)
	a, errA := statement.Sign(key, rand.Reader, statement.TypTime, []byte("x"))
	b, errB := statement.Sign(key, rand.Reader, statement.TypTime, []byte("x"))
	c, errC := statement.Sign(key, nil, statement.TypTime, []byte("x"))
	d, errD := statement.Sign(key, nil, statement.TypTime, []byte("x"))
	if err := errors.Join(errA, errB, errC, errD); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a, b) {
		t.Error("two random signatures are equal")
	}
	if !bytes.Equal(c, d) {
		t.Error("two deterministic signatures differ")
	}
}

func TestPayloadHasOneEncoding(t *testing.T) {
	good, err := statement.EncodeTime(clockTime)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := statement.DecodeTime(good); err != nil || got != clockTime {
		t.Fatalf("%+v, %v", got, err)
	}
	encode := func(v any) []byte {
		b, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	nonce := encode(clockTime.Nonce)
	now := encode(int64(clockTime.Now))
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for name, b := range map[string][]byte{
		"nothing":         {},
		"another order":   join([]byte{0xa2, 2}, now, []byte{1}, nonce),
		"a key twice":     join([]byte{0xa3, 1}, nonce, []byte{1}, nonce, []byte{2}, now),
		"an unknown key":  join([]byte{0xa3, 1}, nonce, []byte{2}, now, []byte{3, 0}),
		"a missing key":   join([]byte{0xa1, 1}, nonce),
		"a long integer":  join([]byte{0xa2, 0x18, 1}, nonce, []byte{2}, now),
		"indefinite map":  join([]byte{0xbf, 1}, nonce, []byte{2}, now, []byte{0xff}),
		"a float":         join([]byte{0xa2, 1}, nonce, []byte{2}, encode(1.79e12)),
		"a tag":           join([]byte{0xc1}, good),
		"a trailing byte": join(good, []byte{0}),
		"a short nonce":   encode(map[int]any{1: "00", 2: int64(clockTime.Now)}),
		"1970":            encode(map[int]any{1: clockTime.Nonce, 2: 1}),
	} {
		if got, err := statement.DecodeTime(b); !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestTariffRoundTrip(t *testing.T) {
	want := statement.Tariff{ID: "ac-2026", Version: 3, Site: "depot-1", Issued: 1_790_000_000_000, OCPI: []byte(`{"id":"ac-2026"}`)}
	b, err := statement.EncodeTariff(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := statement.DecodeTariff(b)
	if err != nil || got.ID != want.ID || got.Version != 3 || got.Site != want.Site || got.Issued != want.Issued || !bytes.Equal(got.OCPI, want.OCPI) {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, change := range map[string]func(*statement.Tariff){
		"no id":     func(t *statement.Tariff) { t.ID = "" },
		"long id":   func(t *statement.Tariff) { t.ID = string(make([]byte, statement.MaxTariffIDLen+1)) },
		"version 0": func(t *statement.Tariff) { t.Version = 0 },
		"no site":   func(t *statement.Tariff) { t.Site = "" },
		"1970":      func(t *statement.Tariff) { t.Issued = 1 },
		"no tariff": func(t *statement.Tariff) { t.OCPI = nil },
	} {
		bad := want
		change(&bad)
		if _, err := statement.EncodeTariff(bad); !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVectors(t *testing.T) {
	type file struct {
		About      string     `json:"about"`
		PrivateKey string     `json:"private_key"`
		PublicKey  vector.Hex `json:"public_key"` // uncompressed point
		KeyID      string     `json:"key_id"`
		Typ        string     `json:"typ"`
		Value      any        `json:"value"`
		Payload    vector.Hex `json:"payload"`
		Statement  vector.Hex `json:"statement"`
	}
	key := vector.Key(t)
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	payload, err := statement.EncodeTime(clockTime)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := statement.Sign(key, nil, statement.TypTime, payload)
	if err != nil {
		t.Fatal(err)
	}
	vector.Check(t, "time.json", file{
		"The cloud's time; signed with RFC 6979, so that the bytes repeat.", vector.PrivateKey, point,
		statement.KeyID(&key.PublicKey), statement.TypTime,
		map[string]any{"nonce": clockTime.Nonce, "now": clockTime.Now}, payload, signed,
	})
	tariff := statement.Tariff{ID: "ac-2026", Version: 3, Site: "depot-1", Issued: 1_790_000_000_000, OCPI: []byte(`{"id":"ac-2026"}`)}
	if payload, err = statement.EncodeTariff(tariff); err != nil {
		t.Fatal(err)
	}
	if signed, err = statement.Sign(key, nil, statement.TypTariff, payload); err != nil {
		t.Fatal(err)
	}
	vector.Check(t, "tariff.json", file{
		"A tariff version around an OCPI object (shortened).", vector.PrivateKey, point,
		statement.KeyID(&key.PublicKey), statement.TypTariff,
		map[string]any{"id": tariff.ID, "version": tariff.Version, "site": tariff.Site, "issued": tariff.Issued, "ocpi": string(tariff.OCPI)},
		payload, signed,
	})
}

func FuzzVerify(f *testing.F) {
	key := vector.Key(f)
	payload, err := statement.EncodeTime(clockTime)
	if err != nil {
		f.Fatal(err)
	}
	good, err := statement.Sign(key, nil, statement.TypTime, payload)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0xd2, 0x84, 0x40, 0xa0, 0x41, 0x00, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := statement.Verify(&key.PublicKey, statement.TypTime, b)
		if err == nil && !bytes.Equal(got, payload) {
			t.Fatalf("a payload that nobody signed verified: %x", got)
		}
		if u, err := statement.Peek(b); err == nil && (u.Typ == "" || len(u.KeyID) != 16 || len(u.Payload) == 0) {
			t.Fatalf("peek: %+v", u)
		}
	})
}

func FuzzDecodePayloads(f *testing.F) {
	b, err := statement.EncodeTime(clockTime)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	if b, err = statement.EncodeTariff(statement.Tariff{ID: "a", Version: 1, Site: "s", Issued: holdfast.EarliestPlausible, OCPI: []byte("{}")}); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := statement.DecodeTime(b); err == nil {
			if again, err := statement.EncodeTime(v); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("time %+v has two encodings: %x and %x (%v)", v, b, again, err)
			}
		}
		if v, err := statement.DecodeTariff(b); err == nil {
			if again, err := statement.EncodeTariff(v); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("tariff %+v has two encodings: %x and %x (%v)", v, b, again, err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	key := vector.Key(b)
	s, err := statement.Sign(key, nil, statement.TypGrant, make([]byte, 130))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := statement.Verify(&key.PublicKey, statement.TypGrant, s); err != nil {
			b.Fatal(err)
		}
	}
}
