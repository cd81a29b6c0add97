package bench

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	ocpp16 "github.com/lorenzodonini/ocpp-go/ocpp1.6"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/core"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
)

// echoRole is a server that acknowledges every call with its own payload and
// does nothing else: what the WebSocket library and the kernel cost. It has a
// call of its own waiting at each charger, as the gateway has.
func echoRole(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("echo", flag.ContinueOnError)
	listen := f.String("listen", "", "address")
	if err := f.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: answerWithin}
	context.AfterFunc(ctx, func() { srv.Close() })
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

func echo(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"ocpp1.6"}, CompressionMode: websocket.CompressionNoContextTakeover})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	ctx := context.Background() // the request's is cancelled in ways that differ for hijacked connections
	own := []byte(`[2,"own","TriggerMessage",{"requestedMessage":"MeterValues"}]`)
	if ws.Write(ctx, websocket.MessageText, own) != nil {
		return
	}
	for {
		_, raw, err := ws.Read(ctx)
		if err != nil {
			return
		}
		answer := own // the former one was answered
		if bytes.HasPrefix(raw, []byte("[2,")) {
			answer = acknowledge(raw)
		}
		if ws.Write(ctx, websocket.MessageText, answer) != nil {
			return
		}
	}
}

// acknowledge makes [3,ID,PAYLOAD] of [2,ID,ACTION,PAYLOAD], with a transaction
// id and a status before what the payload has, since the load looks for them.
func acknowledge(raw []byte) []byte {
	parts := bytes.SplitN(raw[1:], []byte(","), 4)
	if len(parts) < 4 || len(parts[3]) < 3 {
		return []byte(`[4,"-1","ProtocolError","",{}]`)
	}
	out := make([]byte, 0, len(raw)+64)
	out = append(append(append(out, "[3,"...), parts[1]...), `,{"status":"Accepted","transactionId":1,`...)
	return append(out, parts[3][1:]...)
}

// ocppgoRole is a central system of stateless handlers on ocpp-go: every call is
// decoded, validated and answered, nothing is kept. It sends no calls: with 50
// and more chargers its stock server then locks up (lorenzodonini/ocpp-go#358).
func ocppgoRole(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("ocppgo", flag.ContinueOnError)
	listen := f.String("listen", "", "address")
	if err := f.Parse(args); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(*listen)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("port %q: %w", port, err)
	}
	cs := ocpp16.NewCentralSystem(nil, nil)
	cs.SetCoreHandler(&stateless{})
	context.AfterFunc(ctx, cs.Stop)
	cs.Start(n, "/ocpp/{ws}")
	return nil
}

// stateless answers every call of the core profile.
type stateless struct{ transactions atomic.Int64 }

func (*stateless) OnAuthorize(string, *core.AuthorizeRequest) (*core.AuthorizeConfirmation, error) {
	return core.NewAuthorizationConfirmation(types.NewIdTagInfo(types.AuthorizationStatusAccepted)), nil
}

func (*stateless) OnBootNotification(string, *core.BootNotificationRequest) (*core.BootNotificationConfirmation, error) {
	return core.NewBootNotificationConfirmation(types.NewDateTime(time.Now()), 300, core.RegistrationStatusAccepted), nil
}

func (*stateless) OnDataTransfer(string, *core.DataTransferRequest) (*core.DataTransferConfirmation, error) {
	return core.NewDataTransferConfirmation(core.DataTransferStatusAccepted), nil
}

func (*stateless) OnHeartbeat(string, *core.HeartbeatRequest) (*core.HeartbeatConfirmation, error) {
	return core.NewHeartbeatConfirmation(types.NewDateTime(time.Now())), nil
}

func (*stateless) OnMeterValues(string, *core.MeterValuesRequest) (*core.MeterValuesConfirmation, error) {
	return core.NewMeterValuesConfirmation(), nil
}

func (*stateless) OnStatusNotification(string, *core.StatusNotificationRequest) (*core.StatusNotificationConfirmation, error) {
	return core.NewStatusNotificationConfirmation(), nil
}

func (s *stateless) OnStartTransaction(string, *core.StartTransactionRequest) (*core.StartTransactionConfirmation, error) {
	return core.NewStartTransactionConfirmation(types.NewIdTagInfo(types.AuthorizationStatusAccepted), int(s.transactions.Add(1))), nil
}

func (*stateless) OnStopTransaction(string, *core.StopTransactionRequest) (*core.StopTransactionConfirmation, error) {
	return core.NewStopTransactionConfirmation(), nil
}
