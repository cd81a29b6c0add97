package charger

import (
	_ "github.com/holdfast-ev/holdfast/ocpp"
	_ "github.com/holdfast-ev/holdfast/ocpp/v16" // want "foreign side"
)
