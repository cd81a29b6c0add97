package sessions // want "lives in session"

func init() {} // want "init runs behind"

type t struct{}

func (t) init() {}
