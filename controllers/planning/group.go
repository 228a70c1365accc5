package planning

import (
	"fmt"
	"slices"
	"strings"
)

// An account may have tens of thousands of buckets, and a table of them is of no use to a person and of too many bytes for a pull
// request. So a table lists the first resources of each control in each account, and counts the others; JSON has them all.

// everything lists every resource.
const everything = int(^uint(0) >> 1)

// shownRows is how many resources of a control a table lists of one account.
const shownRows = 20

// grouped calls one for the first n of each run of things that are alike, in order, and rest for the others of the run together. It
// says how many were left to rest.
func grouped[T any](all []T, n int, alike func(a, b T) bool, one func(T), rest func([]T)) (left int) {
	for len(all) > 0 {
		end := 1
		for end < len(all) && alike(all[0], all[end]) {
			end++
		}
		shown := min(n, end)
		if end-shown == 1 { // a line that counts one resource might as well name it
			shown = end
		}
		for _, t := range all[:shown] {
			one(t)
		}
		if shown < end {
			rest(all[shown:end])
		}
		left, all = left+end-shown, all[end:]
	}
	return left
}

// each are what the values of all have, each once, in the order in which they come.
func each[T any](all []T, value func(T) string) string {
	var once []string
	for _, t := range all {
		if v := value(t); !slices.Contains(once, v) {
			once = append(once, v)
		}
	}
	return strings.Join(once, ", ")
}

func more(n int) string { return fmt.Sprintf("%d more", n) }

// leftOut says where what was only counted can be read.
func leftOut(n int) string {
	return fmt.Sprintf("%d resources are counted and not listed: -o json has each, as has --all", n)
}
