package kubectl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

func newExplain(c *cluster) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain CONTROL",
		Short: "What a control asks, what it changes and what it costs",
		Long: `Explain a control from the catalogue in this binary: why it matters, what enforcing it changes and breaks, what it costs, which
IAM actions it needs, which framework requirements it speaks to. No cluster is needed; where one is reached, it is also said in
how many accounts the control drifts.`,
		Example:           "  kubectl plumbline explain s3-secure-transport",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: first(c.completeControls),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.explain(cmd.Context(), args[0])
		},
	}
	return cmd
}

func (c *cluster) explain(ctx context.Context, id string) error {
	b, err := c.control(id)
	if err != nil {
		return err
	}
	kind, section := c.declaredBy(id)
	if err := c.print(describe(b, kind, section)); err != nil {
		return err
	}
	if line := c.standingOf(ctx, id); line != "" {
		return c.print("\n" + line + "\n")
	}
	return nil
}

// declaredBy is the kind and the section of its spec that declare the control.
func (c *cluster) declaredBy(id string) (kind, section string) {
	for _, k := range c.Kinds {
		if name := k.Sections()[id]; name != "" {
			return k.Name, name
		}
	}
	return "", ""
}

func describe(b control.Bound, kind, section string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s\n\n%s\n\n", b.ID, b.Title, wrap(b.Doc, lineLength))
	var t table
	for _, line := range [][2]string{
		{"Declared by", kind + ", spec." + section},
		{"Scope", scopeOf(b.Meta)},
		{"Severity", string(b.Severity)},
		{"Risk", riskOf(b)},
		{"Reversible", reversible(b)},
		{"Cost", b.Cost},
		{"Exceptions", excusable(b)},
		{"Frameworks", frameworksOf(b.Meta)},
	} {
		t.addWrapped(line[0], line[1])
	}
	out.WriteString(t.String())
	for _, list := range []struct {
		head  string
		items []string
	}{
		{"Reads with", b.Reads}, {"Writes with", b.Writes}, {"AWS demands besides", b.Grants}, {"Events that may change the answer", eventsOf(b.Meta)},
	} {
		if len(list.items) > 0 {
			fmt.Fprintf(&out, "\n%s:\n  %s\n", list.head, strings.Join(list.items, "\n  "))
		}
	}
	return out.String()
}

// lineLength is how long lines of running text are.
const lineLength = 100

// addWrapped adds a name and a text, which goes on in further lines where it is long. Nothing is added for no text.
func (t *table) addWrapped(name, text string) {
	for i, part := range strings.Split(wrap(text, lineLength), "\n") {
		if text == "" {
			return
		}
		if i > 0 {
			name = ""
		}
		t.add(name, part)
	}
}

// wrap breaks text between words.
func wrap(text string, at int) string {
	var out strings.Builder
	length := 0
	for word := range strings.FieldsSeq(text) {
		n := len([]rune(word))
		switch {
		case length == 0:
		case length+1+n > at:
			out.WriteByte('\n')
			length = 0
		default:
			out.WriteByte(' ')
			length++
		}
		out.WriteString(word)
		length += n
	}
	return out.String()
}

func scopeOf(m *control.Meta) string {
	switch {
	case m.Scope == control.Region:
		return "each region of an account"
	case m.Scope == control.Account:
		return "an account"
	case m.Administrator == "":
		return "the organization, decided in the management account"
	}
	return "the organization, decided in the delegated administrator of " + m.Administrator + ", else in the management account"
}

func riskOf(b control.Bound) string {
	switch b.Risk {
	case control.Safe:
		return "Safe: breaks nothing that worked; applied in Enforce"
	case control.Disruptive:
		return "Disruptive: some of its changes may break something or cost money; these wait for an approval unless approval is Irreversible"
	case control.Irreversible:
		return "Irreversible: some of its changes cannot be had back; these wait for an approval in every setting"
	}
	return "ReportOnly: never changed; a person must"
}

func reversible(b control.Bound) string {
	switch {
	case b.Risk == control.ReportOnly:
		return "nothing is changed"
	case !b.Reversible():
		return "no"
	case b.Risk == control.Irreversible:
		return "in part: kubectl plumbline undo"
	}
	return "yes: kubectl plumbline undo"
}

func excusable(b control.Bound) string {
	if b.NotExcusable {
		return "none excuses it"
	}
	return ""
}

func frameworksOf(m *control.Meta) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m.Frameworks)) {
		parts = append(parts, name+" "+strings.Join(slices.SortedFunc(slices.Values(m.Frameworks[name]), control.NaturalOrder), ", "))
	}
	return strings.Join(parts, "; ")
}

func eventsOf(m *control.Meta) (lines []string) {
	for _, e := range m.Events {
		lines = append(lines, e.Source+" "+e.Name+", "+e.Seen.Where())
	}
	return lines
}

// reachWithin is how long is waited for a cluster that is not needed.
const reachWithin = 5 * time.Second

// standingOf says how the control stands in the cluster; nothing where no cluster is reached.
func (c *cluster) standingOf(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	s, err := c.look(ctx)
	if err != nil {
		return ""
	}
	declared, drifted, unknown := 0, 0, 0
	for _, a := range s.accounts {
		n, is := stateOfControl(a, id)
		if !is {
			continue
		}
		declared++
		switch {
		case n.Drifted > 0:
			drifted++
		case n.Unknown > 0:
			unknown++
		}
	}
	if declared == 0 {
		return "In this cluster no baseline declares it for any account."
	}
	return fmt.Sprintf("In this cluster it is declared for %s: drifted in %d, unknown in %d.", plural(declared, "account"), drifted, unknown)
}
