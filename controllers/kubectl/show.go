package kubectl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// show prints what is to be decided: every Remediation with every field of every resource.
func (d *decision) show(chosen []*v1alpha1.Remediation) string {
	var out strings.Builder
	for _, r := range chosen {
		out.WriteString(d.showOne(r))
	}
	return out.String()
}

func (d *decision) showOne(r *v1alpha1.Remediation) string {
	s := &r.Status
	reversible := "no"
	if s.Reversible {
		reversible = "yes"
	}
	facts := table{indent: "  "}
	facts.add("Account", s.Account)
	facts.add("Control", s.Control+d.titleOf(s.Control))
	facts.add("Baseline", s.Baseline)
	facts.add("Risk", orNone(s.Risk))
	facts.add("Reversible", reversible)
	facts.add("Phase", d.phaseLine(r))
	facts.add("Digest", s.Digest)
	if s.Message != "" {
		facts.addWrapped("Message", s.Message)
	}
	changes := table{indent: "  ", head: []string{"REGION", "RESOURCE", "FIELD", "FROM", "TO", "RISK"}}
	if d.name == undoing.name {
		changes.head[3], changes.head[4], changes.head[5] = "BACK TO", "FROM", "OUTCOME"
	}
	for _, c := range s.Changes {
		addChange(&changes, c, d.name == undoing.name)
	}
	return r.Name + "\n" + facts.String() + changes.String() + "\n"
}

func (d *decision) titleOf(id string) string {
	if b, err := d.control(id); err == nil {
		return ": " + b.Title
	}
	return "" // a manager of another version may know controls that this binary does not
}

func (d *decision) phaseLine(r *v1alpha1.Remediation) string {
	line := string(r.Status.Phase)
	if r.Status.Decided != nil {
		line += " by " + r.Status.Decided.By
	}
	if r.Status.Expires != nil && r.Status.Phase.Open() {
		line += ", expires in " + age(r.Status.Expires.Sub(d.Clock()))
	}
	return line
}

// addChange adds a line per field. A change whose fields are not told is shown by the digests of what is there and what will
// be written, so that no change goes unseen.
func addChange(t *table, c v1alpha1.RemediationChange, undo bool) {
	last := c.Risk
	switch {
	case undo:
		last = orNone(string(c.Outcome))
	case c.Weakens:
		last += ", weakens security"
	}
	region, resource := c.Region, orNone(c.Resource)
	for _, f := range c.Fields {
		t.add(region, resource, orNone(f.Path), orNone(f.From), orNone(f.To), last)
		region, resource, last = "", "", ""
	}
	if len(c.Fields) == 0 {
		t.add(region, resource, "–", c.BeforeDigest, c.AfterDigest, last)
	}
}

// errNotDecided ends a command that somebody answered with no.
var errNotDecided = errors.New("nothing was decided")

// ask asks for a yes.
func (d *decision) ask(ctx context.Context, chosen []*v1alpha1.Remediation, who string) error {
	if !isTerminal(d.Streams.In) {
		return fmt.Errorf("%w: there is no terminal to ask on; add --yes once what is shown above is what you want", errNotDecided)
	}
	resources, weakening := 0, 0
	for _, r := range chosen {
		resources += len(r.Status.Changes)
		for _, c := range r.Status.Changes {
			if c.Weakens {
				weakening++
			}
		}
	}
	more := ""
	if weakening > 0 && d.name == approving.name {
		more = fmt.Sprintf(" Changes that weaken security: %d.", weakening)
	}
	d.note(fmt.Sprintf("%s %s (%s) as %s?%s [y/N] ", capital(d.name), plural(len(chosen), "Remediation"), plural(resources, "resource"),
		control.Bounded(who, maxCell), more))
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(d.Streams.In).ReadString('\n') // an end without an answer is no yes
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return errNotDecided
	case a := <-answer:
		if a != "y" && a != "yes" {
			return errNotDecided
		}
	}
	return nil
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// terminal is what a test puts in for one.
type terminal interface{ IsTerminal() bool }

func isTerminal(stream any) bool {
	switch s := stream.(type) {
	case terminal:
		return s.IsTerminal()
	case *os.File:
		return term.IsTerminal(int(s.Fd())) //nolint:gosec // a file descriptor is small
	}
	return false
}
