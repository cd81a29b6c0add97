package ocpp

import "math"

// Payloads that both versions write in the same words: CancelReservation, and the
// messages that the security white paper took over into 1.6.

// Payload is CancelReservation of both versions.
func (c CancelReservation) Payload() ([]byte, error) {
	if c.ID < 0 || c.ID > math.MaxInt32 {
		return nil, Wrong("reservation %d", c.ID)
	}
	return Marshal(struct {
		ID int `json:"reservationId"`
	}{c.ID}), nil
}

// An upload is LogParametersType.
type upload struct {
	URL  string `json:"remoteLocation"`
	From string `json:"oldestTimestamp,omitempty"`
	To   string `json:"latestTimestamp,omitempty"`
}

// Payload is GetLog of 2.x and of the 1.6 security white paper.
func (c GetLog) Payload() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	kind := "DiagnosticsLog"
	if c.Security {
		kind = "SecurityLog"
	}
	return Marshal(struct {
		Kind    string `json:"logType"`
		Request int    `json:"requestId"`
		Retries int    `json:"retries,omitempty"`
		Wait    int    `json:"retryInterval,omitempty"`
		Log     upload `json:"log"`
	}{kind, c.Request, c.Retries, c.WaitS, upload{c.URL, Moment(c.From), Moment(c.To)}}), nil
}

// An image is FirmwareType; unsigned it is that of 2.x alone (L02).
type image struct {
	URL         string `json:"location"`
	RetrieveAt  string `json:"retrieveDateTime"`
	InstallAt   string `json:"installDateTime,omitempty"`
	Certificate string `json:"signingCertificate,omitempty"`
	Signature   string `json:"signature,omitempty"`
}

// Payload is UpdateFirmware of 2.x and SignedUpdateFirmware of the 1.6 security
// white paper.
func (c UpdateFirmware) Payload() ([]byte, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return Marshal(struct {
		Retries int   `json:"retries,omitempty"`
		Wait    int   `json:"retryInterval,omitempty"`
		Request int   `json:"requestId"`
		Image   image `json:"firmware"`
	}{c.Retries, c.WaitS, c.Request, image{c.URL, FormatTime(c.RetrieveAt), Moment(c.InstallAt), c.Certificate, c.Signature}}), nil
}

// UpdateType is a list's updateType in both versions' word.
func (c SendList) UpdateType() string {
	if c.Full {
		return "Full"
	}
	return "Differential"
}

// Word is the availability in both versions' word.
func (c SetAvailability) Word() string {
	if c.Operative {
		return "Operative"
	}
	return "Inoperative"
}
