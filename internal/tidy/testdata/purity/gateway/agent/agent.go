package agent

import "os" // a shell may

func run(c chan int) { go func() { c <- len(os.Args) }() }
