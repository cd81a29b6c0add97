package gateway

import (
	"fmt"

	"github.com/holdfast-ev/holdfast"
	"github.com/holdfast-ev/holdfast/record"
)

// securityProfile is the highest OCPP security profile that a charger has used
// over TLS, 0 for none.
func (g *Gateway) securityProfile(id holdfast.ChargerID) int {
	if c := g.state.Chargers[id]; c != nil {
		return c.Security
	}
	return 0
}

// downgraded turns a charger away that has proved itself over TLS before and
// comes without: whoever can reach its port may know its password by now (2.0.1
// A05, B09). The way back is a person's, by configuration.
func (g *Gateway) downgraded(in Connected) bool {
	was := g.securityProfile(in.Charger)
	if g.cfg.AllowWeaker || in.Profile >= was {
		return false
	}
	g.security(in.Charger, "profile_downgrade", in.Remote)
	g.close(in.Conn, 1008, fmt.Sprintf("security profile %d was used before", was))
	return true
}

// secured notes the first connection under a higher profile.
func (g *Gateway) secured(id holdfast.ChargerID, profile int) {
	if profile >= 2 && profile > g.securityProfile(id) {
		g.emit(record.Record{Charger: id, Body: &record.ChargerSecured{Profile: profile}})
	}
}
