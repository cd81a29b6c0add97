package cloud

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strings"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/uplink"
)

// Commands about a charger itself. Each is queued for the site's gateway and
// answered by a record; the gateway refuses what would interrupt a running
// session unless Force is set.

// Bounds of these commands; the gateway and the charger's OCPP version have
// narrower ones of their own.
const (
	maxURL      = 512  // characters
	maxSigned   = 800  // characters of a signature, base64
	maxPEM      = 5500 // characters of a certificate
	maxAction   = 50   // characters of a message's name
	maxSchedule = 7 * 24 * 3600
)

// checkDevice refuses a charger, an EVSE or a connector that is none.
func checkDevice(op string, id holdfast.ChargerID, numbers ...int) error {
	if _, err := holdfast.ParseChargerID(string(id)); err != nil {
		return fmt.Errorf("%s: %w: %w", op, err, ErrInvalid)
	}
	for _, n := range numbers {
		if n < 0 || n > math.MaxInt32 {
			return invalid(op, "%d: want 0 to %d", n, math.MaxInt32)
		}
	}
	return nil
}

// Reset restarts a charger.
func (p *Plane) Reset(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.ResetBody, by string) (string, error) {
	if err := checkDevice("reset", b.Charger, b.EVSE); err != nil {
		return "", err
	}
	return p.command(ctx, now, site, uplink.ResetCharger, b, by)
}

// Unlock releases a connector.
func (p *Plane) Unlock(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.UnlockBody, by string) (string, error) {
	if err := checkDevice("unlock", b.Charger, b.EVSE, b.Connector); err != nil {
		return "", err
	}
	if b.EVSE == 0 {
		return "", invalid("unlock", "an EVSE is wanted")
	}
	return p.command(ctx, now, site, uplink.UnlockConnector, b, by)
}

// Availability takes a charger, an EVSE or a connector out of service, or back.
func (p *Plane) Availability(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.AvailabilityBody, by string) (string, error) {
	if err := checkDevice("availability", b.Charger, b.EVSE, b.Connector); err != nil {
		return "", err
	}
	return p.command(ctx, now, site, uplink.SetAvailability, b, by)
}

// ClearCache makes a charger forget the verdicts that it remembers.
func (p *Plane) ClearCache(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.ChargerBody, by string) (string, error) {
	if err := checkDevice("clear cache", b.Charger); err != nil {
		return "", err
	}
	return p.command(ctx, now, site, uplink.ClearCache, b, by)
}

// Reserve reserves an EVSE for a driver. The token is sealed while it waits.
func (p *Plane) Reserve(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.ReserveBody, by string) (string, error) {
	const op = "reserve"
	if err := checkDevice(op, b.Charger, b.EVSE, b.ID); err != nil {
		return "", err
	}
	if err := checkToken(op, b.Token); err != nil {
		return "", err
	}
	if b.Expires <= now || len(b.TokenType) > 20 || len(b.Group) > holdfast.MaxTokenLen {
		return "", invalid(op, "until %s, token type %q", b.Expires, clip(b.TokenType))
	}
	value := b.Token
	b.Token = ""
	return p.ask(ctx, now, command{site, uplink.Reserve, b, value}, by)
}

// CancelReservation ends a reservation.
func (p *Plane) CancelReservation(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.CancelBody, by string) (string, error) {
	if err := checkDevice("cancel reservation", b.Charger, b.ID); err != nil {
		return "", err
	}
	return p.command(ctx, now, site, uplink.CancelReservation, b, by)
}

// checkURL refuses an address that no charger can use, and one that carries a
// password: it would lie in the journals.
func checkURL(op, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || len(text) > maxURL {
		return invalid(op, "an address of at most %d characters such as https://files.example/x is wanted", maxURL)
	}
	if _, has := u.User.Password(); has {
		return invalid(op, "the address carries a password, which would lie in the journals: use a signed address that ends soon")
	}
	return nil
}

// FetchLog asks a charger to upload a log.
func (p *Plane) FetchLog(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.LogBody, by string) (string, error) {
	const op = "log"
	if err := checkDevice(op, b.Charger, b.Retries, b.WaitS); err != nil {
		return "", err
	}
	if err := checkURL(op, b.URL); err != nil {
		return "", err
	}
	if b.From < 0 || b.To < 0 || b.To != 0 && b.To < b.From {
		return "", invalid(op, "from %s to %s", b.From, b.To)
	}
	return p.command(ctx, now, site, uplink.FetchLog, b, by)
}

// Firmware asks a charger to install an image.
func (p *Plane) Firmware(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.FirmwareBody, by string) (string, error) {
	const op = "firmware"
	if err := checkDevice(op, b.Charger, b.Retries, b.WaitS); err != nil {
		return "", err
	}
	if err := checkURL(op, b.URL); err != nil {
		return "", err
	}
	if b.RetrieveAt < 0 || b.InstallAt < 0 || b.InstallAt != 0 && b.InstallAt < b.RetrieveAt {
		return "", invalid(op, "fetched at %s, installed at %s", b.RetrieveAt, b.InstallAt)
	}
	if len(b.Signature) > maxSigned || len(b.Certificate) > maxPEM || (b.Signature == "") != (b.Certificate == "") {
		return "", invalid(op, "a signature of at most %d characters goes with a certificate of at most %d", maxSigned, maxPEM)
	}
	return p.command(ctx, now, site, uplink.UpdateFirmware, b, by)
}

// Report asks for a charger's variables.
func (p *Plane) Report(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.ReportBody, by string) (string, error) {
	if err := checkDevice("report", b.Charger); err != nil {
		return "", err
	}
	switch b.Base {
	case "ConfigurationInventory", "FullInventory", "SummaryInventory":
		return p.command(ctx, now, site, uplink.GetReport, b, by)
	}
	return "", invalid("report", "base %q: want ConfigurationInventory, FullInventory or SummaryInventory", clip(b.Base))
}

// Profiles asks for the charging profiles that a charger holds.
func (p *Plane) Profiles(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.ProfilesBody, by string) (string, error) {
	evse := 0
	if b.EVSE != nil {
		evse = *b.EVSE
	}
	if err := checkDevice("profiles", b.Charger, evse); err != nil {
		return "", err
	}
	return p.command(ctx, now, site, uplink.GetProfiles, b, by)
}

// Composite asks for the schedule that a charger follows.
func (p *Plane) Composite(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.CompositeBody, by string) (string, error) {
	const op = "schedule"
	if err := checkDevice(op, b.Charger, b.EVSE); err != nil {
		return "", err
	}
	if b.DurationS < 1 || b.DurationS > maxSchedule || b.Unit != "" && b.Unit != "A" && b.Unit != "W" {
		return "", invalid(op, "%d s in %q: want 1 to %d s, in A or W", b.DurationS, clip(b.Unit), maxSchedule)
	}
	return p.command(ctx, now, site, uplink.GetComposite, b, by)
}

// Call sends a charger any message of its OCPP version that no rule of the
// gateway owns.
func (p *Plane) Call(ctx context.Context, now holdfast.UnixMilli, site holdfast.SiteID, b uplink.CallBody, by string) (string, error) {
	const op = "call"
	if err := checkDevice(op, b.Charger); err != nil {
		return "", err
	}
	if b.Action == "" || len(b.Action) > maxAction || !strings.HasPrefix(strings.TrimSpace(string(b.Payload)), "{") {
		return "", invalid(op, "message %q: want an OCPP message name and an object as its payload", clip(b.Action))
	}
	return p.command(ctx, now, site, uplink.CallCharger, b, by)
}

// TransactionStatus asks a session's charger whether it still runs there.
func (p *Plane) TransactionStatus(ctx context.Context, now holdfast.UnixMilli, session holdfast.SessionID, by string) (string, error) {
	return p.ofSession(ctx, now, session, uplink.TransactionStatus, by)
}
