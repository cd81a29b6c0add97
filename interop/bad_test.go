package interop

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/gateway/agent"
	"github.com/holdfast-ev/holdfast/record"
)

// A socket is a bare WebSocket: it sends what no library would.
type socket struct {
	t  *testing.T
	ws *websocket.Conn
}

// A knock is an attempt to connect.
type knock struct {
	path      string // default: /ocpp/CP-1
	user      string // "": no Authorization header
	password  string
	protocols []string
}

// dial knocks and returns the connection, if there is one, and the answer.
func (s *site) dial(k knock) (*socket, *http.Response) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}, Subprotocols: k.protocols}
	if k.user != "" {
		o.HTTPHeader.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(k.user+":"+k.password)))
	}
	if k.path == "" {
		k.path = "/ocpp/CP-1"
	}
	ws, resp, err := websocket.Dial(ctx, "ws://"+s.ocpp+k.path, o)
	if resp == nil {
		s.t.Fatalf("dial %+v: %v", k, err)
	}
	if err != nil {
		return nil, resp
	}
	ws.SetReadLimit(-1)
	s.t.Cleanup(func() { ws.CloseNow() })
	return &socket{s.t, ws}, resp
}

// open connects as a charger of the site.
func (s *site) open(id, protocol string) *socket {
	s.t.Helper()
	c, resp := s.dial(knock{path: "/ocpp/" + id, user: id, password: password, protocols: []string{protocol}})
	if c == nil {
		s.t.Fatalf("%s is answered %s", id, resp.Status)
	}
	return c
}

func (c *socket) send(raw string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(raw)); err != nil {
		c.t.Fatalf("send %.80s: %v", raw, err)
	}
}

// read returns the gateway's next answer; its own calls are refused and passed
// over.
func (c *socket) read() (answer []any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		_, raw, err := c.ws.Read(ctx)
		if err != nil {
			c.t.Fatalf("read: %v", err)
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			c.t.Fatalf("the gateway sent %s: %v", raw, err)
		}
		if answer[0] != 2.0 {
			return answer
		}
		c.send(fmt.Sprintf(`[4,%q,"NotSupported","",{}]`, answer[1]))
	}
}

// closed reads until the connection ends and returns how.
func (c *socket) closed() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := c.ws.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// says sends a frame and expects a CALLERROR.
func (c *socket) says(raw, id, code string) {
	c.t.Helper()
	c.send(raw)
	got := c.read()
	if len(got) != 5 || got[0] != 4.0 || got[1] != id || got[2] != code {
		c.t.Errorf("%.100s\n  is answered %v, want [4 %s %s ...]", raw, got, id, code)
	}
	if text, _ := got[3].(string); text == "" || len(text) > 255 || strings.Contains(text, cardA) {
		c.t.Errorf("%.100s\n  is described as %q", raw, text)
	}
}

// silent sends a frame that the standard has no answer to: the next thing that
// comes is the answer to the heartbeat behind it.
func (c *socket) silent(raw string) {
	c.t.Helper()
	c.send(raw)
	c.send(`[2,"beat","Heartbeat",{}]`)
	if got := c.read(); got[0] != 3.0 || got[1] != "beat" {
		c.t.Errorf("%.100s\n  is answered %v", raw, got)
	}
}

// A mark is what a site's journals held at some moment.
type mark struct{ evidence, telemetry int }

func (s *site) mark() mark {
	s.t.Helper()
	return mark{len(s.records(holdfast.Evidence)), len(s.records(holdfast.Telemetry))}
}

// since returns the kinds of what was journaled after m, but for what a gateway
// writes of itself as time goes by.
func (s *site) since(m mark) (kinds []record.Type) {
	s.t.Helper()
	for _, r := range s.records(holdfast.Evidence)[m.evidence:] {
		switch r.Body.(type) {
		case *record.LinkChanged, *record.TimeFloorRaised, *record.SnapshotTaken, *record.ExposureSettled, *record.ClockChanged, *record.StatementInstalled, *record.DirectiveDone:
		default:
			kinds = append(kinds, r.Body.Type())
		}
	}
	for _, r := range s.records(holdfast.Telemetry)[m.telemetry:] {
		kinds = append(kinds, r.Body.Type())
	}
	return kinds
}

// The door of a site, to strangers and to a guesser.
func TestDoor(t *testing.T) {
	t.Parallel()
	s := newSite(t, "door", "CP-1", "CP-2", "CP-4")
	t.Run("Strangers", func(t *testing.T) { strangers(t, s.in(t)) })
	t.Run("Guesser", func(t *testing.T) { guesser(t, s.in(t)) })
}

// Who is not let in, and what it is told (OCPP-J 1.6 section 3.1 and security
// whitepaper, OCPP 2.0.1 part 4 section 3). Nothing changes but that a security
// event is noted.
func strangers(t *testing.T, s *site) {
	before := s.mark()
	v16, v201 := []string{"ocpp1.6"}, []string{"ocpp2.0.1"}
	for name, k := range map[string]struct {
		knock
		want int
	}{
		"nobody 1.6":                      {knock{protocols: v16}, http.StatusUnauthorized},
		"nobody 2.0.1":                    {knock{protocols: v201}, http.StatusUnauthorized},
		"wrong password":                  {knock{user: "CP-1", password: password[1:] + "x", protocols: v16}, http.StatusUnauthorized},
		"empty password":                  {knock{user: "CP-1", protocols: v201}, http.StatusUnauthorized},
		"another charger's name":          {knock{user: "CP-2", password: password, protocols: v201}, http.StatusUnauthorized},
		"unknown identity 2.0.1":          {knock{path: "/ocpp/CP-3", user: "CP-3", password: password, protocols: v201}, http.StatusNotFound},
		"unknown identity without a name": {knock{path: "/ocpp/CP-3", protocols: v201}, http.StatusNotFound},
		"identity that is none":           {knock{path: "/ocpp/a:b", protocols: v16}, http.StatusNotFound},
		"another path":                    {knock{path: "/CP-1", user: "CP-1", password: password, protocols: v16}, http.StatusNotFound},
	} {
		c, resp := s.dial(k.knock)
		if c != nil || resp.StatusCode != k.want {
			t.Errorf("%s: %s, want %d", name, resp.Status, k.want)
		}
		if asks := strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic "); asks != (k.want == http.StatusUnauthorized) {
			t.Errorf("%s: WWW-Authenticate %q", name, resp.Header.Get("WWW-Authenticate"))
		}
	}
	for name, protocols := range map[string][]string{"none": nil, "older": {"ocpp1.5"}, "foreign": {"chat", "ocpp2.2"}} {
		c, resp := s.dial(knock{user: "CP-1", password: password, protocols: protocols})
		if c == nil || resp.Header.Get("Sec-WebSocket-Protocol") != "" {
			t.Errorf("subprotocol %s: %s with protocol %q, want a handshake without one", name, resp.Status, resp.Header.Get("Sec-WebSocket-Protocol"))
			continue
		}
		if code := c.closed(); code != websocket.StatusProtocolError {
			t.Errorf("subprotocol %s: closed with %d", name, code)
		}
	}
	r := s.until("the end of all connections", func(r *agent.Report) bool { return r.Sockets == 0 })
	for _, c := range r.Chargers {
		if c.Connected || c.Version != "" {
			t.Errorf("after refused handshakes: %+v", c)
		}
	}
	for _, kind := range s.since(before) {
		if kind != "security.event" {
			t.Errorf("refused handshakes wrote a %s", kind)
		}
	}
	// The right charger is let in all the same, also with the hex form of its key.
	for _, key := range []string{password, fmt.Sprintf("%x", password)} {
		if c, resp := s.dial(knock{user: "CP-1", password: key, protocols: []string{"ocpp2.2", "ocpp1.6"}}); c == nil || resp.Header.Get("Sec-WebSocket-Protocol") != "ocpp1.6" {
			t.Errorf("the right charger: %s", resp.Status)
		}
	}
}

// A guesser is stopped by rate, before a password is looked at, and does not
// lock out a charger at the same address that has proved itself before.
func guesser(t *testing.T, s *site) {
	before, refused := s.mark(), 0
	for range 40 {
		_, resp := s.dial(knock{path: "/ocpp/CP-4", user: "CP-4", password: "guess", protocols: []string{"ocpp1.6"}})
		if resp.StatusCode == http.StatusTooManyRequests {
			refused++
			if resp.Header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
		}
	}
	if refused < 20 {
		t.Errorf("%d of 40 guesses were refused for their rate", refused)
	}
	eventually(t, "one event for the guessing and one for its rate", func() (bool, any) {
		kinds := slices.DeleteFunc(s.since(before), func(k record.Type) bool { return k == "charger.link" }) // of the test before
		if len(kinds) > 2 {
			t.Fatalf("40 guesses wrote %v", kinds)
		}
		return slices.Equal(kinds, []record.Type{"security.event", "security.event"}), kinds
	})
	s.open("CP-1", "ocpp1.6").silent(`[3,"nobody",{}]`)
}

// Bad input over real sockets, on one site and one after the other, because each
// test looks at everything that is journaled.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := newSite(t, "bad", "CP-1", "CS-1", "CP-2")
	t.Run("Frames16", func(t *testing.T) { badFrames16(t, s.in(t)) })
	t.Run("Frames201", func(t *testing.T) { badFrames201(t, s.in(t)) })
	t.Run("Messages", func(t *testing.T) { impossibleMessages(t, s.in(t)) })
}

// nested returns a payload of so many objects in each other.
func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
}

// Frames that are not OCPP 1.6, in a transaction: the CALLERROR that the standard
// names (OCPP-J 1.6 table 7 with its errata), nothing in the journal, and the
// transaction goes on.
func badFrames16(t *testing.T, s *site) {
	c := s.open("CP-1", "ocpp1.6")
	c.send(`[2,"b","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]`)
	c.read()
	at, still := seconds(time.Now()), s.mark()
	c.send(fmt.Sprintf(`[2,"s","StartTransaction",{"connectorId":1,"idTag":%q,"meterStart":100,"timestamp":%q}]`, cardA, at.Format(time.RFC3339)))
	tx := int(c.read()[2].(map[string]any)["transactionId"].(float64))
	s.sampled(still)
	before := s.mark()
	running := s.until("the session", func(r *agent.Report) bool { return len(r.Sessions) == 1 })

	for _, bad := range []struct{ raw, id, code string }{
		{`hello`, "-1", "FormationViolation"},
		{`{"a":1}`, "-1", "FormationViolation"},
		{"[2,\"u\",\"Heartbeat\",{\"a\":\"\xff\"}]", "-1", "FormationViolation"},
		{`[2,"t","Heartbeat",{}`, "t", "FormationViolation"},
		{`[2,"t","Heartbeat",{}] [2]`, "t", "FormationViolation"},
		{`[2,17,"Heartbeat",{}]`, "-1", "FormationViolation"},
		{`["2","m","Heartbeat",{}]`, "m", "FormationViolation"},
		{`[2,"m",5,{}]`, "m", "FormationViolation"},
		{`[2,"m","Heartbeat"]`, "m", "FormationViolation"},
		{`[2,"m","Heartbeat",{},{}]`, "m", "FormationViolation"},
		{`[2,"m","Heartbeat",[]]`, "m", "FormationViolation"},
		{`[2,"m","Heartbeat","x"]`, "m", "FormationViolation"},
		{`[2,"` + strings.Repeat("i", 37) + `","Heartbeat",{}]`, strings.Repeat("i", 37), "FormationViolation"},
		{`[2,"d","StopTransaction",{"transactionId":` + decimal(int64(tx)) + `,"transactionId":7,"meterStop":200,"timestamp":"2026-01-01T00:00:00Z"}]`, "d", "FormationViolation"},
		{`[2,"d","DataTransfer",{"vendorId":"x","data":"y","data":"z"}]`, "d", "FormationViolation"},
		{`[2,"n","DataTransfer",` + nested(40) + `]`, "n", "FormationViolation"},
		{`[2,"n","Heartbeat",` + strings.Repeat("[", 100_000), "n", "FormationViolation"},
		{`[2,"x","Heartbeat",{"surprise":1}]`, "x", "FormationViolation"},
		{`[2,"y","StopTransaction",{"transactionId":"` + decimal(int64(tx)) + `","meterStop":200,"timestamp":"2026-01-01T00:00:00Z"}]`, "y", "TypeConstraintViolation"},
		{`[2,"y","StopTransaction",{"transactionId":` + decimal(int64(tx)) + `,"meterStop":200.5,"timestamp":"2026-01-01T00:00:00Z"}]`, "y", "TypeConstraintViolation"},
		{`[2,"o","StopTransaction",{"transactionId":` + decimal(int64(tx)) + `,"meterStop":200}]`, "o", "OccurenceConstraintViolation"},
		{`[2,"o","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"2026-01-01T00:00:00Z"}]}]`, "o", "OccurenceConstraintViolation"},
		{`[2,"p","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Sleepy"}]`, "p", "PropertyConstraintViolation"},
		{`[2,"p","Authorize",{"idTag":"` + strings.Repeat("7", 21) + `"}]`, "p", "PropertyConstraintViolation"},
		{`[2,"p","StopTransaction",{"transactionId":` + decimal(int64(tx)) + `,"meterStop":200,"timestamp":"yesterday"}]`, "p", "PropertyConstraintViolation"},
		{`[2,"k","MakeCoffee",{}]`, "k", "NotImplemented"},
		{`[2,"k","TransactionEvent",{}]`, "k", "NotImplemented"},
		{`[2,"k","RemoteStopTransaction",{"transactionId":` + decimal(int64(tx)) + `}]`, "k", "NotSupported"},
		{`[2,"l","DataTransfer",{"vendorId":"x","data":"` + strings.Repeat("d", 300<<10) + `"}]`, "l", "FormationViolation"},
	} {
		c.says(bad.raw, bad.id, bad.code)
	}
	for _, raw := range []string{
		`[3,"nobody",{}]`, `[4,"nobody","GenericError","",{}]`, // results for nothing
		`[3,"nobody",{"a":1,"a":2}]`, `[3]`, `[3,5,{}]`, `[4,"x"]`, `[3,"x",[]]`, // malformed results
		`[7,"x","Heartbeat",{}]`, `[1,"x"]`, // section 4.1.3: ignore unknown message types
	} {
		c.silent(raw)
	}
	s.unchanged("CP-1", before, running)
	c.send(fmt.Sprintf(`[2,"e","StopTransaction",{"transactionId":%d,"meterStop":250,"timestamp":%q}]`, tx, at.Add(20*time.Second).Format(time.RFC3339)))
	if got := c.read(); got[0] != 3.0 {
		t.Errorf("the stop is answered %v", got)
	}
	s.balanced(metered{charger: "CP-1", start: 100, stop: 250})
}

// sampled waits for the sample of a start: it is telemetry, and written with the
// next tick.
func (s *site) sampled(m mark) {
	s.t.Helper()
	eventually(s.t, "the sample of the start", func() (bool, any) {
		kinds := s.since(m)
		return slices.Contains(kinds, "meter.noted"), kinds
	})
}

// unchanged fails when something was journaled since m, or the charger or its
// running session is not as it was.
func (s *site) unchanged(id string, m mark, before *agent.Report) {
	s.t.Helper()
	if kinds := s.since(m); len(kinds) > 0 {
		s.t.Errorf("bad frames were journaled as %v", kinds)
	}
	charger, running := look(before, id)
	nowCharger, nowRunning := look(s.until("a report", func(r *agent.Report) bool { return true }), id)
	if len(running) != 1 || len(nowRunning) != 1 || nowRunning[0].ID != running[0].ID || nowRunning[0].Energy != running[0].Energy {
		s.t.Errorf("bad frames changed the session: %+v, was %+v", nowRunning, running)
	}
	if !reflect.DeepEqual(charger, nowCharger) {
		s.t.Errorf("bad frames changed the charger: %+v, was %+v", nowCharger, charger)
	}
}

// The same for 2.0.1 (part 4, table 8).
func badFrames201(t *testing.T, s *site) {
	c := s.open("CS-1", "ocpp2.0.1")
	c.send(`[2,"b","BootNotification",{"reason":"PowerUp","chargingStation":{"vendorName":"V","model":"M"}}]`)
	c.read()
	at, still := seconds(time.Now()), s.mark()
	event := func(id, kind string, seq int, wh int, extra string) string {
		return fmt.Sprintf(`[2,%q,"TransactionEvent",{"eventType":%q,"timestamp":%q,"triggerReason":"Authorized","seqNo":%d,"transactionInfo":{"transactionId":"a"},"evse":{"id":1},`+
			`"meterValue":[{"timestamp":%q,"sampledValue":[{"value":%d,"context":"Transaction.%s"}]}]%s}]`,
			id, kind, at.Format(time.RFC3339), seq, at.Format(time.RFC3339), wh, map[string]string{"Started": "Begin", "Ended": "End"}[kind], extra)
	}
	c.send(event("s", "Started", 0, 100, `,"idToken":{"idToken":"`+cardA+`","type":"ISO14443"}`))
	if got := c.read(); got[0] != 3.0 {
		t.Fatalf("the start is answered %v", got)
	}
	s.sampled(still)
	before := s.mark()
	running := s.until("the session", func(r *agent.Report) bool { return len(r.Sessions) == 1 })

	for _, bad := range []struct{ raw, id, code string }{
		{`hello`, "-1", "RpcFrameworkError"},
		{"[2,\"u\",\"Heartbeat\",{\"a\":\"\xff\"}]", "-1", "RpcFrameworkError"},
		{`[2,"t","Heartbeat",{}`, "t", "RpcFrameworkError"},
		{`[2,17,"Heartbeat",{}]`, "-1", "RpcFrameworkError"},
		{`["2","m","Heartbeat",{}]`, "m", "RpcFrameworkError"},
		{`[2,"m",5,{}]`, "m", "RpcFrameworkError"},
		{`[2,"m","Heartbeat"]`, "m", "RpcFrameworkError"},
		{`[2,"` + strings.Repeat("i", 37) + `","Heartbeat",{}]`, strings.Repeat("i", 37), "RpcFrameworkError"},
		{`[2,"m","Heartbeat",[]]`, "m", "ProtocolError"},
		{`[2,"x","Heartbeat",{"surprise":1}]`, "x", "ProtocolError"},
		{`[2,"d","Heartbeat",{"a":1,"a":2}]`, "d", "FormatViolation"},
		{event("d", "Ended", 1, 200, `,"seqNo":9`), "d", "FormatViolation"},
		{`[2,"n","DataTransfer",{"vendorId":"x","data":` + nested(40) + `}]`, "n", "FormatViolation"},
		{`[2,"t","Heartbeat",{"a":`, "t", "FormatViolation"},
		{strings.Replace(event("y", "Ended", 1, 200, ""), `"seqNo":1`, `"seqNo":"1"`, 1), "y", "TypeConstraintViolation"},
		{strings.Replace(event("o", "Ended", 1, 200, ""), `"triggerReason":"Authorized",`, ``, 1), "o", "OccurrenceConstraintViolation"},
		{strings.Replace(event("p", "Ended", 1, 200, ""), `"Authorized"`, `"Bored"`, 1), "p", "PropertyConstraintViolation"},
		{`[2,"p","Authorize",{"idToken":{"idToken":"` + strings.Repeat("7", 37) + `","type":"ISO14443"}}]`, "p", "PropertyConstraintViolation"},
		{`[2,"k","MakeCoffee",{}]`, "k", "NotImplemented"},
		{`[2,"k","StopTransaction",{}]`, "k", "NotImplemented"},
		{`[2,"k","RequestStopTransaction",{"transactionId":"a"}]`, "k", "NotSupported"},
		{`[7,"x","Heartbeat",{}]`, "x", "MessageTypeNotSupported"},
		{`[2,"l","DataTransfer",{"vendorId":"x","data":"` + strings.Repeat("d", 300<<10) + `"}]`, "l", "FormatViolation"},
	} {
		c.says(bad.raw, bad.id, bad.code)
	}
	for _, raw := range []string{`[3,"nobody",{}]`, `[4,"nobody","GenericError","",{}]`, `[3]`, `[3,5,{}]`, `[4,"x"]`, `[3,"x",[]]`} {
		c.silent(raw)
	}
	s.unchanged("CS-1", before, running)
	c.send(event("e", "Ended", 1, 250, ""))
	if got := c.read(); got[0] != 3.0 {
		t.Errorf("the end is answered %v", got)
	}
	s.balanced(metered{charger: "CS-1", start: 100, stop: 250})
}

// Messages that no frame can hold end the connection with the code that RFC 6455
// section 7.4.1 has for them, and the session goes on with the next connection.
func impossibleMessages(t *testing.T, s *site) {
	s.until("the sockets of others to be gone", func(r *agent.Report) bool { return r.Sockets == 0 })
	c := s.open("CP-2", "ocpp1.6")
	at, still := seconds(time.Now()), s.mark()
	c.send(fmt.Sprintf(`[2,"s","StartTransaction",{"connectorId":1,"idTag":%q,"meterStart":100,"timestamp":%q}]`, cardA, at.Format(time.RFC3339)))
	tx := int(c.read()[2].(map[string]any)["transactionId"].(float64))
	c.ws.CloseNow()
	s.sampled(still)
	before := s.mark()

	for name, m := range map[string]struct {
		kind websocket.MessageType
		raw  []byte
		want websocket.StatusCode
	}{
		"oversized": {websocket.MessageText, bytes.Repeat([]byte(" "), agent.MaxFrameBytes+1), websocket.StatusMessageTooBig},
		"binary":    {websocket.MessageBinary, []byte(`[2,"x","Heartbeat",{}]`), websocket.StatusUnsupportedData},
	} {
		c := s.open("CP-2", "ocpp1.6")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c.ws.Write(ctx, m.kind, m.raw) // the gateway may have hung up before the end of it
		cancel()
		if got := c.closed(); got != m.want {
			t.Errorf("%s: closed with %d, want %d", name, got, m.want)
		}
	}
	s.until("the connections to be gone", func(r *agent.Report) bool { return r.Sockets == 0 && len(r.Sessions) == 1 })
	for _, kind := range s.since(before) {
		if kind != "charger.link" && kind != "security.event" && kind != "command.sent" && kind != "command.answered" {
			t.Errorf("impossible messages wrote a %s", kind)
		}
	}
	c = s.open("CP-2", "ocpp1.6")
	c.send(fmt.Sprintf(`[2,"e","StopTransaction",{"transactionId":%d,"meterStop":250,"timestamp":%q}]`, tx, at.Add(20*time.Second).Format(time.RFC3339)))
	if got := c.read(); got[0] != 3.0 {
		t.Errorf("the stop is answered %v", got)
	}
	s.balanced(metered{charger: "CP-2", start: 100, stop: 250})
}
