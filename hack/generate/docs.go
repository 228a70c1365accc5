package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

const docsIntroduction = `<!-- Written by hack/generate (make generate) from the controls themselves. Do not edit. -->
# Controls

A control is one thing that must hold. Each is a section of a baseline: absent it is unmanaged and untouched.

| Column | Meaning |
|---|---|
| Section | the field of the baseline's ` + "`spec`" + ` that declares it |
| Scope | what one check covers: a Region of an account, an Account, or the whole Organization, decided in one account |
| Severity | of a departure |
| Risk | the highest risk that a change of it may carry. Safe changes are applied in Enforce; Disruptive and Irreversible ones wait for what ` +
	"`approval`" + ` says; ReportOnly is never changed |
| Reversible | whether Plumbline can take its changes back |
| Per resource | observed at ` + "`resourceInterval`" + `, not ` + "`interval`" + ` |

`

// controlsDoc is docs/controls.md.
func controlsDoc(kinds []control.Kind) []byte {
	var out bytes.Buffer
	out.WriteString(docsIntroduction)
	for _, k := range kinds {
		writeKind(&out, k)
	}
	writeFrameworks(&out, kinds)
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n')
}

func writeKind(out *bytes.Buffer, k control.Kind) {
	name := strings.ToLower(base(k.Name))
	fmt.Fprintf(out, "## %s\n\n", k.Name)
	out.WriteString("| Control | Section | What must hold | Scope | Severity | Risk | Reversible | Per resource |\n|---|---|---|---|---|---|---|---|\n")
	sections := k.Sections()
	for _, c := range k.Catalogue() {
		fmt.Fprintf(out, "| [%s](#%s) | %s | %s | %s | %s | %s | %s | %s |\n", c.ID, c.ID, code(sections[c.ID]), cell(c.Title), c.Scope,
			c.Severity, c.Risk, reversible(c), yes(c.PerResource))
	}
	fmt.Fprintf(out, "\nPolicies: `config/iam/policies/audit-%s.json` and, to change anything, those beside it whose names begin with "+
		"`enforce-%s`.\n\n", name, name)
	for _, c := range k.Catalogue() {
		writeControl(out, c)
	}
}

func writeControl(out *bytes.Buffer, c control.Bound) {
	fmt.Fprintf(out, "### %s\n\n**%s.** %s\n\n", c.ID, strings.TrimSuffix(c.Title, "."), c.Doc)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(out, "- %s: %s\n", name, text)
		}
	}
	line("Decided in", decidedIn(c.Meta))
	if c.NotExcusable {
		line("Exceptions", "none excuses it")
	}
	line("Cost", c.Cost)
	line("Reads with", codes(c.Reads))
	line("Writes with", codes(c.Writes))
	line("AWS demands besides", codes(c.Grants))
	line("Events that may change the answer", eventsOf(c.Meta))
	line("Frameworks", frameworksOf(c.Meta))
	out.WriteByte('\n')
}

func decidedIn(m *control.Meta) string {
	switch {
	case m.Scope != control.Organization:
		return ""
	case m.Administrator == "":
		return "the management account"
	}
	return "the delegated administrator of " + m.Administrator + ", else the management account"
}

// eventsOf lists a control's events by where they appear.
func eventsOf(m *control.Meta) string {
	where := map[string][]string{}
	var order []string
	for _, e := range m.Events {
		at := e.Source + " " + e.Seen.Where()
		if where[at] == nil {
			order = append(order, at)
		}
		where[at] = append(where[at], e.Name)
	}
	var parts []string
	for _, at := range order {
		parts = append(parts, at+": "+codes(where[at]))
	}
	return strings.Join(parts, "; ")
}

func frameworksOf(m *control.Meta) string {
	var parts []string
	for _, framework := range slices.Sorted(maps.Keys(m.Frameworks)) {
		parts = append(parts, framework+" "+strings.Join(slices.SortedFunc(slices.Values(m.Frameworks[framework]), control.NaturalOrder), ", "))
	}
	return strings.Join(parts, "; ")
}

// writeFrameworks writes a table per framework: which controls speak to a requirement.
func writeFrameworks(out *bytes.Buffer, kinds []control.Kind) {
	var all []control.Bound
	for _, k := range kinds {
		all = append(all, k.Catalogue()...)
	}
	out.WriteString("## Frameworks\n\nWhich controls speak to a requirement. That a control holds does not by itself meet a requirement.\n\n")
	for _, framework := range control.Frameworks(all) {
		fmt.Fprintf(out, "### %s\n\n| Requirement | Controls |\n|---|---|\n", framework.Name)
		for _, r := range framework.Requirements {
			var links []string
			for _, id := range r.Controls {
				links = append(links, "["+id+"](#"+id+")")
			}
			fmt.Fprintf(out, "| %s | %s |\n", cell(r.ID), strings.Join(links, ", "))
		}
		out.WriteByte('\n')
	}
}

func reversible(c control.Bound) string {
	switch {
	case c.Risk == control.ReportOnly:
		return "–"
	case c.Risk == control.Irreversible && c.Reversible():
		return "in part"
	}
	return yes(c.Reversible())
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func code(s string) string {
	if s == "" {
		return "–"
	}
	return "`" + s + "`"
}

func codes(list []string) string {
	var all []string
	for _, s := range list {
		all = append(all, code(s))
	}
	return strings.Join(all, ", ")
}

// cell keeps text from ending a table's cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
