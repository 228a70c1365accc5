package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

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
	sections := sectionsOf(k)
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

var places = map[control.Seen]string{
	control.SeenInRegion:        "in the account and region concerned",
	control.SeenInHomeRegion:    "in the account, in the partition's home region",
	control.SeenInAdministrator: "in the delegated administrator's account",
	control.SeenInManagement:    "in the management account",
}

// eventsOf lists a control's events by where they appear.
func eventsOf(m *control.Meta) string {
	where := map[string][]string{}
	var order []string
	for _, e := range m.Events {
		at := e.Source + " " + places[e.Seen]
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
		parts = append(parts, framework+" "+strings.Join(slices.SortedFunc(slices.Values(m.Frameworks[framework]), natural), ", "))
	}
	return strings.Join(parts, "; ")
}

// writeFrameworks writes a table per framework: which controls speak to a requirement.
func writeFrameworks(out *bytes.Buffer, kinds []control.Kind) {
	tables := map[string]map[string][]string{}
	for _, k := range kinds {
		for _, c := range k.Catalogue() {
			for framework, requirements := range c.Frameworks {
				if tables[framework] == nil {
					tables[framework] = map[string][]string{}
				}
				for _, r := range requirements {
					tables[framework][r] = append(tables[framework][r], c.ID)
				}
			}
		}
	}
	out.WriteString("## Frameworks\n\nWhich controls speak to a requirement. That a control holds does not by itself meet a requirement.\n\n")
	for _, framework := range slices.Sorted(maps.Keys(tables)) {
		fmt.Fprintf(out, "### %s\n\n| Requirement | Controls |\n|---|---|\n", framework)
		for _, r := range slices.SortedFunc(maps.Keys(tables[framework]), natural) {
			var links []string
			for _, id := range slices.Compact(slices.Sorted(slices.Values(tables[framework][r]))) {
				links = append(links, "["+id+"](#"+id+")")
			}
			fmt.Fprintf(out, "| %s | %s |\n", cell(r), strings.Join(links, ", "))
		}
		out.WriteByte('\n')
	}
}

// sectionsOf finds the section that declares each control: it makes them one by one and looks which control is then managed.
func sectionsOf(k control.Kind) map[string]string {
	found := map[string]string{}
	spec := reflect.ValueOf(k.New()).Elem().FieldByName("Spec").Type()
	for i := range spec.NumField() {
		f := spec.Field(i)
		if f.Type.Kind() != reflect.Pointer || !f.Type.Elem().Implements(reflect.TypeFor[control.Settings]()) {
			continue
		}
		b := k.New()
		reflect.ValueOf(b).Elem().FieldByName("Spec").Field(i).Set(reflect.New(f.Type.Elem()))
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		for _, c := range k.Controls(b) {
			if c.Managed() && found[c.ID] == "" {
				found[c.ID] = name
			}
		}
	}
	return found
}

// natural sorts ids as people do: numbers in them by value, so that 1.9 stands before 1.10.
func natural(a, b string) int {
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
