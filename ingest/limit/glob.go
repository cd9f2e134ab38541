package limit

// matches reports whether name matches a pattern in which * stands for any
// text and ? for one byte. An empty pattern matches everything. It takes time
// in proportion to the product of the lengths at most.
func matches(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	p, n := 0, 0
	star, resume := -1, 0 // the last *, and where what follows it was tried
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
