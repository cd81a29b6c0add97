package helpers_test // want "holds anything"
