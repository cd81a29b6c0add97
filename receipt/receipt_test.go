package receipt_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/internal/vector"
	"github.com/holdfast-ev/holdfast/receipt"
	"github.com/holdfast-ev/holdfast/statement"
)

const t0 = holdfast.UnixMilli(1_790_000_000_000)

func wh(n holdfast.WattHours) *holdfast.WattHours { return &n }

func sample() receipt.Receipt {
	r := receipt.Receipt{
		Session: holdfast.SessionID(holdfast.LeafHash([]byte("opened"))), Gateway: "gw-1", Site: "depot-1", Charger: "CP-7", EVSE: 2,
		Epoch: holdfast.Epoch{1, 2, 3}, Seq: 1234, Provisional: true,
		Issued:  receipt.Moment{At: t0 + 5_400_500, Quality: holdfast.Synchronised},
		Started: receipt.Moment{At: t0, Quality: holdfast.Informative},
		Stopped: receipt.Moment{At: t0 + 5_400_000, Quality: holdfast.Synchronised},
		Start:   wh(910_031), Stop: wh(922_376), Energy: 12_345,
		Tariff: &receipt.Tariff{ID: "ac-2026", Version: 3, Hash: holdfast.LeafHash([]byte("tariff"))}, Currency: "EUR",
		Lines: []receipt.Line{
			{Kind: "FLAT", Quantity: 1, UnitPrice: 500_000, VATppm: 190_000, Net: 500_000, VAT: 95_000, Gross: 595_000},
			{Kind: "ENERGY", Quantity: 12_345, UnitPrice: 450_000, VATppm: 190_000, Net: 5_555_250, VAT: 1_055_498, Gross: 6_610_748},
			{Kind: "PARKING_TIME", Quantity: 900, UnitPrice: 2_000_000, VATppm: 190_000, Net: 500_000, VAT: 95_000, Gross: 595_000},
		},
	}
	return total(r)
}

func total(r receipt.Receipt) receipt.Receipt {
	r.Net, r.VAT, r.Gross = 0, 0, 0
	for _, l := range r.Lines {
		r.Net, r.VAT, r.Gross = r.Net+l.Net, r.VAT+l.VAT, r.Gross+l.Gross
	}
	return r
}

// unpriced is a receipt of a site that knew no tariff, with clocks and
// registers that nobody knows.
func unpriced() receipt.Receipt {
	r := sample()
	r.Tariff, r.Currency, r.Lines = nil, "", nil
	r.Start, r.Started = nil, receipt.Moment{Quality: holdfast.Unknown}
	r.Energy = 0
	return total(r)
}

func sign(t testing.TB, r receipt.Receipt) []byte {
	t.Helper()
	payload, err := receipt.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := statement.Sign(vector.Key(t), nil, statement.TypReceipt, payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerify(t *testing.T) {
	key := vector.Key(t)
	for _, r := range []receipt.Receipt{sample(), unpriced()} {
		got, err := receipt.Verify(&key.PublicKey, sign(t, r))
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != r.String() || got.Session != r.Session || got.Epoch != r.Epoch || got.Seq != r.Seq || got.Gross != r.Gross {
			t.Errorf("%+v, want %+v", got, r)
		}
		if (got.Start == nil) != (r.Start == nil) || (got.Tariff == nil) != (r.Tariff == nil) {
			t.Errorf("what was absent did not stay absent: %+v", got)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	key := vector.Key(t)
	good := sign(t, sample())
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := receipt.Verify(&key.PublicKey, bad); err == nil {
			t.Fatalf("byte %d changed and still valid", i)
		}
	}
	// A grant that happens to hold a receipt's payload is no receipt.
	payload, err := receipt.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	other, err := statement.Sign(key, rand.Reader, statement.TypGrant, payload)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Verify(&key.PublicKey, other); !errors.Is(err, statement.ErrType) {
		t.Errorf("another typ: %v", err)
	}
}

func TestReceiptThatDoesNotAddUpIsNotSigned(t *testing.T) {
	for name, change := range map[string]func(*receipt.Receipt){
		"no session":         func(r *receipt.Receipt) { r.Session = holdfast.SessionID{} },
		"bad gateway":        func(r *receipt.Receipt) { r.Gateway = "GW 1" },
		"bad site":           func(r *receipt.Receipt) { r.Site = "" },
		"bad charger":        func(r *receipt.Receipt) { r.Charger = "a/b" },
		"negative evse":      func(r *receipt.Receipt) { r.EVSE = -1 },
		"no clock quality":   func(r *receipt.Receipt) { r.Issued.Quality = "" },
		"stopped in 1970":    func(r *receipt.Receipt) { r.Stopped.At = 17 },
		"negative energy":    func(r *receipt.Receipt) { r.Energy = -1 },
		"total net":          func(r *receipt.Receipt) { r.Net++ },
		"total VAT":          func(r *receipt.Receipt) { r.VAT-- },
		"total gross":        func(r *receipt.Receipt) { r.Gross = 0 },
		"line gross":         func(r *receipt.Receipt) { r.Lines[0].Gross++; r.Gross++ },
		"negative line":      func(r *receipt.Receipt) { r.Lines[0].Net = -1 },
		"huge line":          func(r *receipt.Receipt) { r.Lines[0].Net, r.Lines[0].Gross = math.MaxInt64, math.MinInt64+94_999 },
		"negative quantity":  func(r *receipt.Receipt) { r.Lines[0].Quantity = -1 },
		"line without kind":  func(r *receipt.Receipt) { r.Lines[0].Kind = "" },
		"escape in a kind":   func(r *receipt.Receipt) { r.Lines[0].Kind = "\x1b[2J" },
		"escape in a tariff": func(r *receipt.Receipt) { r.Tariff = &receipt.Tariff{ID: "a\nTotal 0.00"} },
		"no currency":        func(r *receipt.Receipt) { r.Currency = "" },
		"currency of four":   func(r *receipt.Receipt) { r.Currency = "EURO" },
		"lines, no tariff":   func(r *receipt.Receipt) { r.Tariff, r.Currency = nil, "" },
		"too many lines":     func(r *receipt.Receipt) { r.Lines = make([]receipt.Line, receipt.MaxLines+1) },
	} {
		r := sample()
		change(&r)
		if _, err := receipt.Encode(r); !errors.Is(err, receipt.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestText(t *testing.T) {
	const want = `CHARGING RECEIPT (provisional)

Site        depot-1
Charger     CP-7, EVSE 2
Started     2026-09-21 14:13:20 UTC (clock not verified)
Stopped     2026-09-21 15:43:20 UTC
Duration    1h30m0s
Meter       910.031 kWh to 922.376 kWh
Energy      12.345 kWh

Flat fee                                       0.50
Energy 12.345 kWh x 0.4500                     5.56
Parking time 0:15:00 x 2.0000/h                0.50
Net                                            6.56
VAT                                            1.25
Total                                          7.80 EUR

Tariff      ac-2026, version 3

Session     SESSION
Position    gw-1/evidence/01020300../1234
Issued      2026-09-21 15:43:20 UTC

The invoice may differ where the evidence says otherwise.
`
	r := sample()
	if got := strings.Replace(r.String(), r.Session.Short(), "SESSION", 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	text := unpriced().String()
	for _, line := range []string{"Started     not known", "Meter       (no reading) to 922.376 kWh", "No tariff was known on the site: the price follows."} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
	for line := range strings.Lines(r.String() + text) {
		if utf8.RuneCountInString(line) > 65 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

func TestVectors(t *testing.T) {
	key := vector.Key(t)
	for name, r := range map[string]receipt.Receipt{"receipt.json": sample(), "receipt_unpriced.json": unpriced()} {
		payload, err := receipt.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		signed := sign(t, r)
		vector.Check(t, name, struct {
			About     string          `json:"about"`
			KeyID     string          `json:"key_id"`
			Typ       string          `json:"typ"`
			Value     receipt.Receipt `json:"value"`
			Payload   vector.Hex      `json:"payload"`
			Statement vector.Hex      `json:"statement"`
		}{"A receipt; the private key is in statement/testdata.", statement.KeyID(&key.PublicKey), statement.TypReceipt, r, payload, signed})
		t.Logf("%s: %d bytes signed", name, len(signed))
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []receipt.Receipt{sample(), unpriced()} {
		b, err := receipt.Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := receipt.Decode(b)
		if err != nil {
			return
		}
		if again, err := receipt.Encode(r); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("one receipt, two encodings: %x, %x (%v)", b, again, err)
		}
		if strings.ContainsAny(r.String(), "\x1b\x00\r") {
			t.Fatalf("control characters in %q", r.String())
		}
	})
}
