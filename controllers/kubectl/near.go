package kubectl

import (
	"cmp"
	"slices"
	"strings"
)

// didYouMean names what is nearest to something that does not exist.
func didYouMean(wrong string, there []string) string {
	const most = 3
	var near []string
	for _, name := range there {
		if strings.Contains(name, wrong) && wrong != "" || distance(wrong, name) <= max(2, len(name)/3) {
			near = append(near, name)
		}
	}
	if len(near) == 0 {
		return "there are: " + strings.Join(there, ", ")
	}
	slices.SortStableFunc(near, func(a, b string) int { return cmp.Compare(distance(wrong, a), distance(wrong, b)) })
	return "did you mean " + strings.Join(near[:min(len(near), most)], ", ") + "?"
}

// distance is the number of letters to add, leave out or replace to make one of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for i := range row {
		row[i] = i
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for k := range len(b) {
			replaced := diagonal
			if a[i] != b[k] {
				replaced++
			}
			diagonal = row[k+1]
			row[k+1] = min(replaced, diagonal+1, row[k]+1)
		}
	}
	return row[len(b)]
}
