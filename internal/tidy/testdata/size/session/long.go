package session // want "47 lines"

func long(a int) int { // want "long has 13 lines"
	a++
	a++
	a++
	a++
	a++
	a++
	a++
	a++
	a++
	a++
	return a
}

func flat(a int) int {
	switch a {
	case 1:
		return 2
	case 2:
		return 3
	case 3:
		return 4
	case 4:
		return 5
	case 5:
		return 6
	}
	return 0
}

func deep(a int) int { // want "deep has 13 lines"
	switch a {
	case 1:
		a++
		a++
		a++
		a++
		a++
		a++
		a++
	}
	return a
}

func many(a, b, c int, d, e, f string) {} // want "many has 6 parameters"
