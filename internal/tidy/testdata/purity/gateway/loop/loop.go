package loop

import "os" // want "gateway/loop is PURE"

var _ = os.Args
