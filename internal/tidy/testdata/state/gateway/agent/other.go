package agent

var other = 1
