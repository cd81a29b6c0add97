package record

import "github.com/holdfast-ev/holdfast"

// What chargers tell of themselves, and what is reserved on them.

// ChargerSecurity is a SecurityEventNotification of a charger. Coalesced like
// [ChargerLink], by kind; kinds that the standard does not list share a count.
type ChargerSecurity struct {
	Kind     string             `json:"kind"`     // SecurityEvent of the standard's list, or the charger's own
	Critical bool               `json:"critical"` // as the standard's list marks it (2.0.1 part 2, appendix 1)
	At       holdfast.UnixMilli `json:"at"`       // as the charger says; 0 unreadable
	Detail   string             `json:"detail,omitempty"`
	Count    int                `json:"count"`
}

// ChargerFirmware is the progress of a firmware update. Coalesced like
// [ChargerLink], by status.
type ChargerFirmware struct {
	Status  string `json:"status"` // FirmwareStatusEnumType
	Request *int   `json:"request,omitempty"`
	Count   int    `json:"count"`
}

// ChargerSecured is the first connection of a charger under a higher OCPP security
// profile than any before. From then on a lower one is refused.
type ChargerSecured struct {
	Profile int `json:"profile"` // 2: password over TLS
}

// ChargerReserved is a change of a reservation: made or cancelled by a
// directive, or ended by the charger. What a charger says is coalesced like
// [ChargerLink].
type ChargerReserved struct {
	ID      int                `json:"id"`
	Status  string             `json:"status"` // "Reserved", "Cancelled"; of the charger "Expired", "Removed", "NoTransaction"
	EVSE    int                `json:"evse,omitempty"`
	Token   holdfast.TokenHash `json:"token"` // zero when the charger ended it
	Expires holdfast.UnixMilli `json:"expires,omitempty"`
	Count   int                `json:"count"`
}

// Type implements [Body] for each kind.
func (*ChargerSecurity) Type() Type { return "charger.security" }
func (*ChargerFirmware) Type() Type { return "charger.firmware" }
func (*ChargerSecured) Type() Type  { return "charger.secured" }
func (*ChargerReserved) Type() Type { return "charger.reserved" }
