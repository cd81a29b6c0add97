package attic // want "no place in the house"
