package agent

import (
	_ "github.com/holdfast-ev/holdfast/cloud" // want "meet on the wire"
	_ "github.com/holdfast-ev/holdfast/gateway"
	_ "github.com/holdfast-ev/holdfast/internal/durable"
)
