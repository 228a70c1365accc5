package kubectl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// level is how grave a finding is.
type level int

// The levels, worst first.
const (
	fails level = iota
	warns
	skipped
	fine
)

func (l level) String() string { return [...]string{"FAIL", "WARN", "SKIP", "OK"}[l] }

// finding is what one check found.
type finding struct {
	level level
	// check is what was looked at, account where; empty: not in one account.
	check, account string
	// text is what was found, next what to do about it.
	text, next string
}

type findings []finding

func (f *findings) add(l level, check, text, next string) {
	*f = append(*f, finding{level: l, check: check, text: text, next: next})
}

func (f *findings) ok(check, text string)         { f.add(fine, check, text, "") }
func (f *findings) warn(check, text, next string) { f.add(warns, check, text, next) }
func (f *findings) fail(check, text, next string) { f.add(fails, check, text, next) }
func (f *findings) skip(check, text, next string) { f.add(skipped, check, text, next) }

const (
	// maxText is how much of a text is shown, which may hold what somebody else chose in AWS.
	maxText = 600
	// namedAccounts is how many accounts are named that have the same finding.
	namedAccounts = 3
)

// section prints the findings, one a line, and what to do below.
func (f findings) section(title string) string {
	if len(f) == 0 {
		return ""
	}
	var out strings.Builder
	out.WriteString(title + "\n")
	lines, width := f.grouped(), 0
	for _, l := range lines {
		width = max(width, len(l.check))
	}
	for _, l := range lines {
		fmt.Fprintf(&out, "  %-4s   %-*s   %s\n", l.level, width, l.check, control.Bounded(l.text, maxText))
		if l.next != "" {
			fmt.Fprintf(&out, "         %-*s   next: %s\n", width, "", control.Bounded(l.next, maxText))
		}
	}
	return out.String() + "\n"
}

// grouped makes one finding of those that differ in nothing but the account, in the order in which the checks are made, the
// worst of a check first.
func (f findings) grouped() findings {
	type group struct {
		first, general finding
		accounts       []string
	}
	var groups []*group
	at, order := map[finding]*group{}, map[string]int{}
	for i, check := range accountChecks {
		order[check] = i
	}
	for _, one := range f {
		general := one.general()
		if at[general] == nil {
			at[general] = &group{first: one, general: general}
			groups = append(groups, at[general])
		}
		at[general].accounts = append(at[general].accounts, one.account)
		if _, known := order[one.check]; !known {
			order[one.check] = len(order)
		}
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Or(order[a.first.check]-order[b.first.check], int(a.first.level-b.first.level))
	})
	var all findings
	for _, g := range groups {
		line := g.first
		if len(g.accounts) > 1 {
			line = g.general
		}
		if line.account != "" || g.first.account != "" {
			line.text = those(g.accounts) + ": " + line.text
		}
		all = append(all, line)
	}
	return all
}

// general is the finding as it stands for several accounts.
func (f finding) general() finding {
	if f.account == "" {
		return f
	}
	f.text, f.next = strings.ReplaceAll(f.text, f.account, "ACCOUNT"), strings.ReplaceAll(f.next, f.account, "ACCOUNT")
	f.account = ""
	return f
}

// those names accounts, and counts them where they are many.
func those(ids []string) string {
	if len(ids) <= namedAccounts {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:namedAccounts-1], ", "), len(ids)-namedAccounts+1)
}

// failure is an error of AWS as a finding: what happened, and the next step.
func failure(err error) (text, next string) {
	_, message := control.Explain(err)
	const between = " — "
	if i := strings.LastIndex(message, between); i >= 0 {
		return message[:i], message[i+len(between):]
	}
	return message, "see config/iam/README.md"
}
