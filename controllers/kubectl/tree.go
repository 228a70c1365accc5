package kubectl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

func newTree(c *cluster) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use:   "tree",
		Short: "The organization's units and accounts, and how they stand",
		Long: `Show the organizational units with their accounts. Accounts that are wholly compliant are counted, and listed with --all.

CHECKS are compliant of all; what was not looked at with today's settings is unknown.`,
		Example: "  kubectl plumbline tree\n  kubectl plumbline tree --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explained(c.tree(cmd.Context(), all))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "List compliant accounts too.")
	return cmd
}

func (c *cluster) tree(ctx context.Context, all bool) error {
	s, err := c.look(ctx)
	if err != nil {
		return err
	}
	if len(s.accounts) == 0 {
		return c.print("No accounts. kubectl plumbline status says what to do next.\n")
	}
	root := &unit{}
	for _, a := range s.accounts {
		in := root.at(strings.Split(strings.Trim(pathOf(a.AWSAccount), "/"), "/"))
		in.accounts = append(in.accounts, a)
	}
	name := "no AWSOrganization"
	if s.Organization != nil {
		name = s.Organization.Name
	}
	var out strings.Builder
	out.WriteString(name + "\n")
	root.draw(&out, "", all)
	return c.print(out.String())
}

// unit is an organizational unit with what is in it.
type unit struct {
	units    map[string]*unit
	accounts []surveyed
}

// at is the unit at a path of names, made where it is not there yet.
func (u *unit) at(path []string) *unit {
	if len(path) == 0 || path[0] == "" {
		return u
	}
	if u.units == nil {
		u.units = map[string]*unit{}
	}
	if u.units[path[0]] == nil {
		u.units[path[0]] = &unit{}
	}
	return u.units[path[0]].at(path[1:])
}

// count counts the accounts of the unit and below, by state.
func (u *unit) count() (accounts int, states map[v1alpha1.AccountState]int) {
	states = map[v1alpha1.AccountState]int{}
	for _, a := range u.accounts {
		accounts++
		states[a.state()]++
	}
	for _, below := range u.units {
		n, more := below.count()
		accounts += n
		for state, k := range more {
			states[state] += k
		}
	}
	return accounts, states
}

// line is one entry below a unit.
type line struct {
	text string
	unit *unit
}

// draw draws what is in the unit.
func (u *unit) draw(out *strings.Builder, indent string, all bool) {
	lines := u.lines(all)
	for i, l := range lines {
		branch, below := "├── ", "│   "
		if i == len(lines)-1 {
			branch, below = "└── ", "    "
		}
		out.WriteString(indent + branch + l.text + "\n")
		if l.unit != nil {
			l.unit.draw(out, indent+below, all)
		}
	}
}

func (u *unit) lines(all bool) (lines []line) {
	compliant := 0
	slices.SortFunc(u.accounts, func(a, b surveyed) int { return strings.Compare(a.Name, b.Name) })
	wide := 0
	for _, a := range u.accounts {
		wide = max(wide, len([]rune(title(a.AWSAccount))))
	}
	for _, a := range u.accounts {
		if a.state() == v1alpha1.AccountCompliant && !all {
			compliant++
			continue
		}
		lines = append(lines, line{text: fmt.Sprintf("%-*s   %-11s   %s", wide, control.Bounded(title(a.AWSAccount), maxCell), a.state(), checks(a.checks))})
	}
	if compliant > 0 {
		lines = append(lines, line{text: plural(compliant, "compliant account")})
	}
	for _, name := range slices.Sorted(maps.Keys(u.units)) {
		below := u.units[name]
		n, states := below.count()
		lines = append(lines, line{control.Bounded(name, maxCell) + ": " + plural(n, "account") + notCompliant(states), below})
	}
	return lines
}

// notCompliant counts the accounts that are not compliant.
func notCompliant(states map[v1alpha1.AccountState]int) string {
	line := counted([]v1alpha1.AccountState{
		v1alpha1.AccountDrifted, v1alpha1.AccountUnknown, v1alpha1.AccountPending, v1alpha1.AccountUnreachable, v1alpha1.AccountLeft, v1alpha1.AccountSuspended,
	}, states)
	if line == "" {
		return ""
	}
	return ", " + line
}

// checks are counts in a few words.
func checks(n v1alpha1.CheckCounts) string {
	text := fmt.Sprintf("%d/%d", n.Compliant, n.Total)
	for _, part := range []struct {
		n    int32
		what string
	}{{n.Drifted, "drifted"}, {n.Excepted, "excepted"}, {n.Unknown, "unknown"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text
}
