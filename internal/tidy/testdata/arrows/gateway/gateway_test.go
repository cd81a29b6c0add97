package gateway

import (
	_ "github.com/holdfast-ev/holdfast/cloud"         // want "meet on the wire"
	_ "github.com/holdfast-ev/holdfast/gateway/agent" // a test may look up within its own house
	_ "github.com/holdfast-ev/holdfast/internal/faultfs"
)
