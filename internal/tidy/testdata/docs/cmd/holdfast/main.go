// Holdfast is a command: nobody imports it.
package main

func Exported() {}

func main() {}
