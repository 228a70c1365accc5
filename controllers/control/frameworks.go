package control

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Framework is one version of a framework with its requirements that a control speaks to.
type Framework struct {
	// Name is the framework and its version: "CIS-5.0".
	Name string
	// Requirements are in natural order.
	Requirements []Requirement
}

// Requirement is one requirement of a framework. That a control holds does not by itself meet it.
type Requirement struct {
	// ID is the framework's own: "2.1.4".
	ID string
	// Controls are the ids of the controls that speak to it, sorted.
	Controls []string
}

// Frameworks are the frameworks that the controls name, by name.
func Frameworks(all []Bound) []Framework {
	tables := map[string]map[string][]string{}
	for _, c := range all {
		for framework, requirements := range c.Frameworks {
			if tables[framework] == nil {
				tables[framework] = map[string][]string{}
			}
			for _, r := range requirements {
				tables[framework][r] = append(tables[framework][r], c.ID)
			}
		}
	}
	var frameworks []Framework
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		f := Framework{Name: name}
		for _, id := range slices.SortedFunc(maps.Keys(tables[name]), NaturalOrder) {
			f.Requirements = append(f.Requirements, Requirement{id, slices.Compact(slices.Sorted(slices.Values(tables[name][id])))})
		}
		frameworks = append(frameworks, f)
	}
	return frameworks
}

// NaturalOrder compares ids as people do: numbers in them by value, so that 1.9 stands before 1.10.
func NaturalOrder(a, b string) int {
	for restA, restB := a, b; restA != "" && restB != ""; {
		var x, y string
		x, restA = chunk(restA)
		y, restB = chunk(restB)
		if order := compareChunks(x, y); order != 0 {
			return order
		}
	}
	// One begins as the other does, or they differ in leading zeros.
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func compareChunks(x, y string) int {
	if !isNumber(x) || !isNumber(y) {
		return strings.Compare(x, y)
	}
	x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
}

// chunk cuts the digits, or what is not digits, off the front.
func chunk(s string) (first, rest string) {
	digits := isNumber(s[:1])
	end := strings.IndexFunc(s, func(r rune) bool { return unicode.IsDigit(r) != digits })
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func isNumber(s string) bool { return s != "" && unicode.IsDigit(rune(s[0])) }
