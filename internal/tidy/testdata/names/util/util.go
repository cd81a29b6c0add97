package util // want "holds anything"
