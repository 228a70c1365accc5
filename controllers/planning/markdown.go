package planning

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// openRows is the number of rows of a table that a pull request shows unasked; longer tables are folded.
const openRows = 20

// maxMarkdown is how long a plan for a pull request may be: GitHub takes comments of 65,536 characters.
const maxMarkdown = 60_000

// fittingMarkdown is the plan for a pull request, with as much of it as one takes unless all is asked for: fewer and fewer resources of
// each control and account, and at last the numbers alone.
func (p *plan) fittingMarkdown(all bool) string {
	if all {
		return p.markdown(everything)
	}
	for _, n := range []int{shownRows, 5, 1, 0} {
		if text := p.markdown(n); utf8.RuneCountInString(text) <= maxMarkdown {
			return text
		}
	}
	return p.numbers()
}

// numbers is what of the plan has the same length however much departs.
func (p *plan) numbers() string {
	short := plan{Summary: p.Summary}
	const most = 100
	for i, b := range p.Baselines {
		if i == most {
			short.Notes = append(short.Notes, more(len(p.Baselines)-most)+" baselines")
			break
		}
		b.Changes, b.departures = nil, len(b.Changes)
		short.Baselines = append(short.Baselines, b)
	}
	short.Notes = append(short.Notes, "the tables and notes are left out, for they are longer than a pull request takes; -o json has them, as has --all")
	return short.markdown(0)
}

// markdown is the plan in Markdown, with n resources of each control and account.
func (p *plan) markdown(n int) string {
	var out strings.Builder
	left := 0
	list := func(what string) func([][]string, int) string {
		return func(lines [][]string, more int) string {
			left += more
			return folded(lines, what)
		}
	}
	out.WriteString("## Plumbline plan\n\n**" + escape(p.Summary.text()) + "**\n\n")
	out.WriteString("| | |\n|---|---:|\n")
	for _, c := range append([]counted{{p.Summary.Accounts, "accounts"}, {p.Summary.Checks, "checks"}}, p.Summary.counts()...) {
		fmt.Fprintf(&out, "| %s | %d |\n", c.what, c.n)
	}
	for _, b := range p.Baselines {
		out.WriteString("\n### " + escape(b.Baseline) + "\n\n" + escape(strings.TrimPrefix(b.title(), b.Baseline+": ")) + "\n")
		if len(b.Changes) > 0 {
			out.WriteString("\n" + list("departures")(b.lines(true, n)))
		}
		var costs []string
		for _, c := range b.Costs {
			costs = append(costs, c.Control+": "+c.Cost)
		}
		out.WriteString(bullets("Costs:", costs))
	}
	if lines := p.unreachableLines(); len(lines) > 1 {
		out.WriteString("\n### Accounts that cannot be entered\n\n" + folded(lines, "accounts"))
	}
	if len(p.Unknown) > 0 {
		out.WriteString("\n### What could not be told\n\n" + list("checks")(untoldLines(p.Unknown, n)))
	}
	if len(p.Waiting) > 0 {
		out.WriteString("\n### What follows something else, and can be told only then\n\n" + list("checks")(untoldLines(p.Waiting, n)))
	}
	out.WriteString(bullets("### Notes", p.Notes))
	if left > 0 {
		out.WriteString("\n" + leftOut(left) + "\n")
	}
	return out.String()
}

// bullets is a list below its title; nothing where there is nothing to list.
func bullets(title string, items []string) string {
	if len(items) == 0 {
		return ""
	}
	text := "\n" + title + "\n\n"
	for _, item := range items {
		text += "- " + escape(item) + "\n"
	}
	return text
}

// folded is a table, folded where it is long.
func folded(lines [][]string, what string) string {
	rows := len(lines) - 1
	if rows <= openRows {
		return tableOf(lines)
	}
	return fmt.Sprintf("<details><summary>%d lines of %s</summary>\n\n%s\n</details>\n", rows, what, tableOf(lines))
}

func tableOf(lines [][]string) string {
	var out strings.Builder
	for i, line := range lines {
		cells := make([]string, len(line))
		for k, cell := range line {
			cells[k] = escape(cell)
		}
		out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
		if i == 0 {
			out.WriteString(strings.Repeat("|---", len(line)) + "|\n")
		}
	}
	return out.String()
}

// plain are the signs that mean nothing in Markdown.
const plain = " ,;.:/-=()%+?'\""

// escape makes text stand as it is, whatever somebody chose: no markup, no HTML, no link, no mention of people or issues.
func escape(text string) string {
	var out strings.Builder
	for _, r := range control.Bounded(text, 2*maxMessage) {
		switch {
		case r == '@' || r == '#':
			fmt.Fprintf(&out, "&#%d;<!-- -->", r) // which also keeps it from being a mention
		case r >= 0x80, r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', strings.ContainsRune(plain, r):
			out.WriteRune(r)
		default:
			fmt.Fprintf(&out, "&#%d;", r)
		}
	}
	s := strings.ReplaceAll(out.String(), "://", "&#58;//")
	return strings.ReplaceAll(s, "www.", "www&#46;")
}
