package session

func impossible() { panic("a core may") }
