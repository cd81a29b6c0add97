package uplink

import (
	"encoding/json"

	"github.com/holdfast-ev/holdfast"
)

// Bounds of the wire. Both sides enforce them; docs/uplink.md says what happens
// at each.
const (
	MaxSliceBytes      = 4 << 20  // decoded bytes of one upload; the gateway cuts, the cloud refuses with 413
	MaxWireBytes       = 4 << 20  // zstd-compressed bytes of one upload
	MaxMessageBytes    = 1 << 20  // JSON of a hello, an answer, a directive
	MaxDirectives      = 64       // directives in one answer; the rest come with the next
	MaxAskWaitMillis   = 3_000    // how long a charger's Authorize waits for the cloud's word
	MaxLaterMillis     = 3600_000 // the latest "later" that a busy cloud may name
	DirectivePathLimit = 256      // bytes of a directive id
)

// A Head is what a gateway holds of one (journal, epoch).
type Head struct {
	Journal    holdfast.Journal `json:"journal"`
	Epoch      holdfast.Epoch   `json:"epoch"`
	Parent     holdfast.Epoch   `json:"parent"` // zero for the first
	ParentSize uint64           `json:"parent_size"`
	ParentRoot holdfast.Hash    `json:"parent_root"`
	First      uint64           `json:"first"` // lowest Seq still on the disk; of telemetry, the cloud goes on from there
	Size       uint64           `json:"size"`  // next Seq
}

// A Hello opens every contact: POST /v1/gateways/{id}/hello.
type Hello struct {
	Gateway  holdfast.GatewayID `json:"gateway"`
	Boot     uint32             `json:"boot"`
	Software string             `json:"software"`
	Now      holdfast.Instant   `json:"now"`
	Nonce    string             `json:"nonce"` // 32 hex digits; the signed time answers it
	Heads    []Head             `json:"heads"` // every epoch not yet reconciled whole, oldest first
}

// A Cursor is how far the cloud has come in one (journal, epoch). Received is
// the Seq it expects next; Reconciled <= Received is covered by a verified
// checkpoint and folded into the books: only that may be pruned.
type Cursor struct {
	Journal    holdfast.Journal `json:"journal"`
	Epoch      holdfast.Epoch   `json:"epoch"`
	Received   uint64           `json:"received"`
	Reconciled uint64           `json:"reconciled"`
}

// A Welcome answers a [Hello].
type Welcome struct {
	Cursors     []Cursor    `json:"cursors"`        // one for each head, in its order
	Time        []byte      `json:"time,omitempty"` // statement: the cloud's time, bound to the nonce
	Directives  []Directive `json:"directives"`
	LaterMillis int64       `json:"later_ms,omitempty"` // > 0: come back for uploads then; live traffic is welcome
}

// An Ack answers an upload: PUT /v1/gateways/{id}/journals/{journal}/{epoch}/{firstSeq}.
// A position mismatch is answered with 409 and [Mismatch] instead.
type Ack struct {
	Received    uint64      `json:"received"`
	Reconciled  uint64      `json:"reconciled"`
	Directives  []Directive `json:"directives"`
	LaterMillis int64       `json:"later_ms,omitempty"`
}

// ProblemPositionMismatch is the RFC 9457 type of a [Mismatch].
const ProblemPositionMismatch = "https://holdfast-ev.github.io/problems/position-mismatch"

// A Mismatch is the RFC 9457 problem that says where to go on.
type Mismatch struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Expected uint64 `json:"expected"`
}

// A Directive is something the cloud wants done. It is idempotent under its id,
// useless after it expires, and its outcome is a journal record.
type Directive struct {
	ID        string             `json:"id"`
	Kind      DirectiveKind      `json:"kind"`
	Expires   holdfast.UnixMilli `json:"expires"`             // 0: never (installs)
	Statement []byte             `json:"statement,omitempty"` // for the install kinds: COSE_Sign1
	Body      json.RawMessage    `json:"body,omitempty"`      // for the others: one of the types below
}

// DirectiveKind says what a directive asks.
type DirectiveKind string

// The kinds of directive.
const (
	InstallList    DirectiveKind = "list.install"
	InstallTariff  DirectiveKind = "tariff.install"
	InstallGrant   DirectiveKind = "grant.install"
	InstallLimits  DirectiveKind = "limits.install"
	StartSession   DirectiveKind = "session.start"   // StartBody
	StopSession    DirectiveKind = "session.stop"    // StopBody
	TriggerCharger DirectiveKind = "charger.trigger" // TriggerBody
	GetConfig      DirectiveKind = "charger.get"     // ConfigBody
	SetConfig      DirectiveKind = "charger.set"     // ConfigBody
	SendData       DirectiveKind = "charger.data"    // DataBody
)

// StartBody asks for a remote start. The token is in clear on the mutually
// authenticated link and sealed in every record.
type StartBody struct {
	Charger   holdfast.ChargerID `json:"charger"`
	EVSE      int                `json:"evse"`
	Token     string             `json:"token"`
	TokenType string             `json:"token_type,omitempty"`
}

// StopBody asks for a remote stop.
type StopBody struct {
	Session holdfast.SessionID `json:"session"`
}

// TriggerBody asks a charger for a message.
type TriggerBody struct {
	Charger holdfast.ChargerID `json:"charger"`
	EVSE    int                `json:"evse,omitempty"`
	Message string             `json:"message"`
}

// ConfigBody reads (Keys) or writes (Key, Value) a charger's configuration.
type ConfigBody struct {
	Charger holdfast.ChargerID `json:"charger"`
	Keys    []string           `json:"keys,omitempty"`
	Key     string             `json:"key,omitempty"`
	Value   string             `json:"value,omitempty"`
}

// DataBody is a DataTransfer to a charger.
type DataBody struct {
	Charger   holdfast.ChargerID `json:"charger"`
	Vendor    string             `json:"vendor"`
	MessageID string             `json:"message_id,omitempty"`
	Data      json.RawMessage    `json:"data,omitempty"`
}

// An Ask is an online authorisation: POST /v1/gateways/{id}/authorize. The
// answer is a grant statement or a refusal.
type Ask struct {
	Token   holdfast.TokenHash `json:"token"`
	Charger holdfast.ChargerID `json:"charger"`
	EVSE    int                `json:"evse,omitempty"`
}

// A Told answers an [Ask].
type Told struct {
	Accepted bool   `json:"accepted"`
	Status   string `json:"status"`          // OCPP verdict when refused: "Blocked", "Expired", "Invalid"
	Reason   string `json:"reason"`          // plain sentence
	Grant    []byte `json:"grant,omitempty"` // statement, when accepted
}

// Enrolment: POST /v1/enrol, the only call without a client certificate.

// An Enrol redeems a one-time code. The CSR proves the key.
type Enrol struct {
	Code string `json:"code"`
	CSR  []byte `json:"csr"` // PKCS #10, DER, P-256
}

// Enrolled is what a gateway needs to live.
type Enrolled struct {
	Gateway      holdfast.GatewayID `json:"gateway"`
	Site         holdfast.SiteID    `json:"site"`
	Certificate  []byte             `json:"certificate"`         // DER, client auth, CN = gateway id
	CA           []byte             `json:"ca"`                  // DER, the cloud's own authority
	StatementKey []byte             `json:"statement_key"`       // PKIX DER, P-256: verifies statements
	TokenKey     []byte             `json:"token_key"`           // 32 bytes: the site's token hash key
	SealKey      []byte             `json:"seal_key"`            // 32 bytes: wraps the keys of sealed fields
	Endpoint     string             `json:"endpoint"`            // https URL of the gateway endpoint
	Endpoints    []string           `json:"endpoints,omitempty"` // https URLs of further ones, best first; at most MaxEndpoints-1
}

// A Knock goes down the WebSocket GET /v1/gateways/{id}/link: either a doorbell
// (no directives: come and say hello) or directives.
type Knock struct {
	Directives []Directive `json:"directives,omitempty"`
}
