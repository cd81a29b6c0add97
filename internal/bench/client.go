package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// answerWithin bounds the wait for an answer.
const answerWithin = 30 * time.Second

// A point is an OCPP 1.6 charger as the load has it: it does one call after the
// other and spends as little as it can, since it shares the processors with what
// is measured. It belongs to one goroutine.
type point struct {
	i      int
	ws     *websocket.Conn
	nextID int
	wh     int // the register of connector 1

	hold time.Duration // a server's call is answered this long after it came
	held []byte        // id of the server's call that waits for its answer, nil for none
	came time.Time
	seen int // calls of the server
}

// dial connects the i-th charger. conf is nil for ws://.
func dial(ctx context.Context, url string, i int, conf *tls.Config) (*point, error) {
	auth := base64.StdEncoding.EncodeToString([]byte(chargerID(i) + ":" + password))
	ws, _, err := websocket.Dial(ctx, url+"/"+chargerID(i), &websocket.DialOptions{
		Subprotocols: []string{"ocpp1.6"}, HTTPHeader: http.Header{"Authorization": {"Basic " + auth}},
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}},
	})
	if err != nil {
		return nil, fmt.Errorf("charger %d: %w", i, err)
	}
	ws.SetReadLimit(1 << 20)
	return &point{i: i, ws: ws, wh: 1000}, nil
}

// call does one call and returns the answer's payload.
func (p *point) call(ctx context.Context, action string, payload []byte) ([]byte, error) {
	p.nextID++
	frame := make([]byte, 0, len(payload)+64)
	frame = append(frame, `[2,"`...)
	frame = strconv.AppendInt(frame, int64(p.nextID), 10)
	frame = append(frame, `","`...)
	frame = append(frame, action...)
	frame = append(frame, `",`...)
	frame = append(frame, payload...)
	frame = append(frame, ']')
	if err := p.ws.Write(ctx, websocket.MessageText, frame); err != nil {
		return nil, fmt.Errorf("charger %d: %s: %w", p.i, action, err)
	}
	want := strconv.AppendInt([]byte(`[3,"`), int64(p.nextID), 10)
	want = append(want, `",`...)
	for {
		_, raw, err := p.ws.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("charger %d: %s: %w", p.i, action, err)
		}
		if err := p.answer(ctx); err != nil {
			return nil, err
		}
		if rest, ok := bytes.CutPrefix(raw, want); ok {
			return rest[:len(rest)-1], nil
		}
		if !bytes.HasPrefix(raw, []byte("[2,")) {
			return nil, fmt.Errorf("charger %d: %s was answered with %.200s", p.i, action, raw)
		}
		_, id, _ := bytes.Cut(raw, []byte(`"`))
		id, _, _ = bytes.Cut(id, []byte(`"`))
		p.held, p.came = bytes.Clone(id), time.Now()
		p.seen++
	}
}

// answer answers the server's call when it has been held long enough.
func (p *point) answer(ctx context.Context) error {
	if p.held == nil || time.Since(p.came) < p.hold {
		return nil
	}
	frame := fmt.Appendf(nil, `[3,"%s",{"status":"Accepted"}]`, p.held)
	p.held = nil
	return p.ws.Write(ctx, websocket.MessageText, frame)
}

func (p *point) boot(ctx context.Context) error {
	_, err := p.call(ctx, "BootNotification", []byte(`{"chargePointVendor":"Bench","chargePointModel":"Load"}`))
	return err
}

func (p *point) authorize(ctx context.Context) error {
	answer, err := p.call(ctx, "Authorize", fmt.Appendf(nil, `{"idTag":"%s"}`, card(p.i)))
	if err != nil {
		return fmt.Errorf("charger %d: Authorize: %w", p.i, err)
	}
	if !bytes.Contains(answer, []byte(`"Accepted"`)) {
		return fmt.Errorf("charger %d: Authorize was answered with %.200s", p.i, answer)
	}
	return nil
}

// startTx starts a transaction on a connector and returns its id.
func (p *point) startTx(ctx context.Context, connector int) (string, error) {
	tag := card(p.i)
	if connector == 2 {
		tag = card2(p.i)
	}
	answer, err := p.call(ctx, "StartTransaction", fmt.Appendf(nil, `{"connectorId":%d,"idTag":"%s","meterStart":%d,"timestamp":"%s"}`,
		connector, tag, p.wh, stamp()))
	if err != nil {
		return "", err
	}
	_, id, ok := bytes.Cut(answer, []byte(`"transactionId":`))
	end := bytes.IndexAny(id, ",}")
	if !ok || end < 0 {
		return "", fmt.Errorf("charger %d: StartTransaction was answered with %.200s", p.i, answer)
	}
	return string(bytes.TrimSpace(id[:end])), nil
}

func (p *point) meter(ctx context.Context, tx string) error {
	p.wh++
	_, err := p.call(ctx, "MeterValues", fmt.Appendf(nil, `{"connectorId":1,"transactionId":%s,"meterValue":[{"timestamp":"%s","sampledValue":[`+
		`{"value":"%d","measurand":"Energy.Active.Import.Register","unit":"Wh"},`+
		`{"value":"11040.0","measurand":"Power.Active.Import","unit":"W"},`+
		`{"value":"16.0","measurand":"Current.Import","phase":"L1","unit":"A"}]}]}`, tx, stamp(), p.wh))
	return err
}

func (p *point) stopTx(ctx context.Context, tx string) error {
	_, err := p.call(ctx, "StopTransaction", fmt.Appendf(nil, `{"transactionId":%s,"idTag":"%s","meterStop":%d,"timestamp":"%s","reason":"Local"}`,
		tx, card(p.i), p.wh, stamp()))
	return err
}

func (p *point) hangUp() { p.ws.CloseNow() } //nolint:errcheck // there is nobody left to tell

func stamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }
