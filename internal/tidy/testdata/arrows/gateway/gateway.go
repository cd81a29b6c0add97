package gateway

import (
	_ "github.com/holdfast-ev/holdfast/cloud"            // want "meet on the wire"
	_ "github.com/holdfast-ev/holdfast/internal/durable" // want "higher floor"
	_ "github.com/holdfast-ev/holdfast/uplink"
)
