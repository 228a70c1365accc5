package planning

import (
	"fmt"
	"strings"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// openRows is the number of rows of a table that a pull request shows unasked; longer tables are folded.
const openRows = 20

// markdown is the plan for a pull request.
func (p *plan) markdown() string {
	var out strings.Builder
	out.WriteString("## Plumbline plan\n\n**" + escape(p.Summary.text()) + "**\n\n")
	out.WriteString("| | |\n|---|---:|\n")
	for _, n := range append([]counted{{p.Summary.Accounts, "accounts"}, {p.Summary.Checks, "checks"}}, p.Summary.counts()...) {
		fmt.Fprintf(&out, "| %s | %d |\n", n.what, n.n)
	}
	for _, b := range p.Baselines {
		out.WriteString("\n### " + escape(b.Baseline) + "\n\n" + escape(strings.TrimPrefix(b.title(), b.Baseline+": ")) + "\n")
		if len(b.Changes) > 0 {
			out.WriteString("\n" + folded(b.lines(true), "departures"))
		}
		if len(b.Costs) > 0 {
			out.WriteString("\nCosts:\n\n")
		}
		for _, c := range b.Costs {
			out.WriteString("- " + escape(c.Control+": "+c.Cost) + "\n")
		}
	}
	if lines := p.unreachableLines(); len(lines) > 1 {
		out.WriteString("\n### Accounts that cannot be entered\n\n" + folded(lines, "accounts"))
	}
	if len(p.Unknown) > 0 {
		out.WriteString("\n### What could not be told\n\n" + folded(untoldLines(p.Unknown), "checks"))
	}
	if len(p.Waiting) > 0 {
		out.WriteString("\n### What follows something else, and can be told only then\n\n" + folded(untoldLines(p.Waiting), "checks"))
	}
	if len(p.Notes) > 0 {
		out.WriteString("\n### Notes\n\n")
	}
	for _, n := range p.Notes {
		out.WriteString("- " + escape(n) + "\n")
	}
	return out.String()
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
