package journal

import (
	_ "github.com/holdfast-ev/holdfast"
	_ "github.com/holdfast-ev/holdfast/record" // want "stores bytes and knows no records"
)
