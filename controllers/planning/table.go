package planning

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// renderers are the formats of -o. all has every resource listed, however many there are.
var renderers = map[string]func(p *plan, to io.Writer, all bool) error{
	"table":    func(p *plan, to io.Writer, all bool) error { return text(to, p.table(false, shown(all))) },
	"wide":     func(p *plan, to io.Writer, all bool) error { return text(to, p.table(true, shown(all))) },
	"markdown": func(p *plan, to io.Writer, all bool) error { return text(to, p.fittingMarkdown(all)) },
	"json":     func(p *plan, to io.Writer, _ bool) error { return p.json(to) },
}

func text(to io.Writer, s string) error {
	_, err := io.WriteString(to, s)
	return err
}

// shown is how many resources of a control and account a table lists.
func shown(all bool) int {
	if all {
		return everything
	}
	return shownRows
}

// maxCell is how much of a value a table shows.
const maxCell = 120

// columns are lines in columns. What stands in them may have been chosen by somebody else in AWS: it cannot move the cursor or
// draw lines of its own.
func columns(lines [][]string) string {
	var aligned, out strings.Builder
	w := tabwriter.NewWriter(&aligned, 0, 0, 3, ' ', 0)
	for _, line := range lines {
		cells := make([]string, len(line))
		for i, cell := range line {
			cells[i] = control.Bounded(cell, maxCell)
			if i == len(line)-1 {
				cells[i] = control.Bounded(cell, maxMessage)
			}
		}
		_, _ = w.Write([]byte("  " + strings.Join(cells, "\t") + "\n")) // memory takes everything
	}
	_ = w.Flush()
	for line := range strings.Lines(aligned.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}

// table lists n resources of each control and account.
func (p *plan) table(wide bool, n int) string {
	var out strings.Builder
	left := 0
	list := func(lines [][]string, more int) string {
		left += more
		return columns(lines)
	}
	out.WriteString(p.Summary.text() + "\n")
	for _, b := range p.Baselines {
		out.WriteString("\n" + b.title() + "\n")
		if len(b.Changes) > 0 {
			out.WriteString(list(b.lines(wide, n)))
		}
		for _, c := range b.Costs {
			out.WriteString("  cost of " + c.Control + ": " + c.Cost + "\n")
		}
	}
	if lines := p.unreachableLines(); len(lines) > 1 {
		out.WriteString("\nAccounts that cannot be entered\n" + columns(lines))
	}
	if len(p.Unknown) > 0 {
		out.WriteString("\nWhat could not be told\n" + list(untoldLines(p.Unknown, n)))
	}
	if len(p.Waiting) > 0 {
		out.WriteString("\nWhat follows something else, and can be told only then\n" + list(untoldLines(p.Waiting, n)))
	}
	if len(p.Notes) > 0 {
		out.WriteString("\nNotes\n")
	}
	for _, n := range p.Notes {
		out.WriteString("  " + n + "\n")
	}
	if left > 0 {
		out.WriteString("\n" + leftOut(left) + "\n")
	}
	return out.String()
}

// text is the summary in one line.
func (s summary) text() string {
	text := fmt.Sprintf("%s, %s: ", plural(s.Accounts, "account"), plural(s.Checks, "check"))
	var parts []string
	for _, n := range s.counts() {
		if n.n == 1 {
			n.what = strings.Replace(n.what, "accounts", "account", 1)
		}
		if n.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	switch {
	case s.Checks == 0:
		parts = append(parts, "nothing was looked at")
	case len(parts) == 0:
		parts = append(parts, "nothing departs")
	}
	return text + strings.Join(parts, ", ")
}

type counted struct {
	n    int
	what string
}

func (s summary) counts() []counted {
	return []counted{
		{s.Changed, "changed at once"}, {s.AwaitingApproval, "changed after an approval"}, {s.Held, "held back"},
		{s.Reported, "only reported"}, {s.Excepted, "excused by an exception"}, {s.Waiting, "that follow something else"},
		{s.Unknown, "that could not be told"},
		{s.Unreachable, "accounts that cannot be entered"},
	}
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// title is the baseline's line, with the order in which its accounts are changed.
func (b baseline) title() string {
	t := b.Baseline + ": " + plural(b.Accounts, "account") + ", " + plural(b.Checks, "check")
	switch n := len(b.Changes) + b.departures; {
	case n > 0:
		t += ", " + plural(n, "departure")
	case b.Checks > 0:
		t += ", nothing seen that departs"
	}
	if len(b.Waves) > 0 {
		t += "; waves: " + strings.Join(b.Waves, ", ")
	}
	if b.Invalid != "" {
		t += "; INVALID: " + b.Invalid
	}
	return t
}

// lines are the baseline's departures, a line per field; n of each control and account, and one line for the others, of which it says
// how many they are.
func (b baseline) lines(wide bool, n int) (lines [][]string, left int) {
	head := []string{"ACCOUNT", "CONTROL", "REGION", "RESOURCE", "FIELD", "FROM", "TO", "RISK", "UNDO", "EFFECT"}
	if len(b.Waves) > 0 {
		head = append(head, "WAVE")
	}
	if wide {
		head = append(head, "REASON")
	}
	lines = [][]string{head}
	add := func(line []string, wave, reason string) {
		if len(b.Waves) > 0 {
			line = append(line, orNone(wave))
		}
		if wide {
			line = append(line, orNone(reason))
		}
		lines = append(lines, line)
	}
	left = grouped(b.Changes, n, func(x, y change) bool { return x.Account == y.Account && x.Control == y.Control }, func(c change) {
		fields := c.Fields
		if len(fields) == 0 {
			fields = []fieldChange{{}}
		}
		for _, f := range fields {
			add([]string{
				c.who(), c.Control, c.Region, orNone(c.Resource), orNone(f.Path), orNone(f.From), orNone(f.To), c.risk(), c.undo(), c.effect(),
			}, c.Wave, c.Message)
		}
	}, func(rest []change) {
		c := rest[0]
		add([]string{
			c.who(), c.Control, "…", more(len(rest)), "…", "…", "…", each(rest, change.risk), each(rest, change.undo), each(rest, change.effect),
		}, c.Wave, "")
	})
	return lines, left
}

func (c change) who() string { return strings.TrimSpace(c.Account + " " + c.AccountName) }

func (c change) risk() string {
	if c.Weakens {
		return c.Risk + ", weakens security"
	}
	return c.Risk
}

func (c change) undo() string {
	switch {
	case c.Risk == control.ReportOnly.String():
		return "–"
	case c.Reversible:
		return "yes"
	}
	return "no"
}

// effect is what becomes of it, in words.
func (c change) effect() string {
	switch c.Effect {
	case controllers.EffectChanged:
		return "at once"
	case controllers.EffectApproval:
		return "after approval"
	case controllers.EffectHeld:
		return "held back: " + c.Reason
	case controllers.EffectExcepted:
		return "excused by " + c.Exception
	}
	return "reported"
}

func orNone(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func (p *plan) unreachableLines() [][]string {
	lines := [][]string{{"ACCOUNT", "ROLE", "REASON", "MESSAGE"}}
	for _, u := range p.Unreachable {
		lines = append(lines, []string{strings.TrimSpace(u.Account + " " + u.AccountName), orNone(u.Role), u.Reason, u.Message})
	}
	return lines
}

// untoldLines are n of each control and account for the same reason, and one line for the others.
func untoldLines(all []unknown, n int) (lines [][]string, left int) {
	lines = [][]string{{"ACCOUNT", "BASELINE", "CONTROL", "REGION", "RESOURCE", "REASON", "MESSAGE"}}
	alike := func(x, y unknown) bool {
		return x.Account == y.Account && x.Baseline == y.Baseline && x.Control == y.Control && x.Reason == y.Reason
	}
	left = grouped(all, n, alike, func(u unknown) {
		lines = append(lines, []string{u.Account, u.Baseline, orNone(u.Control), orNone(u.Region), orNone(u.Resource), u.Reason, u.Message})
	}, func(rest []unknown) {
		u := rest[0]
		lines = append(lines, []string{u.Account, u.Baseline, orNone(u.Control), "…", more(len(rest)), u.Reason, "…"})
	})
	return lines, left
}
