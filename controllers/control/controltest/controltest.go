// Package controltest is the harness that every control is tested with. A control's own test is only its cases: AWS as it
// is, what is wanted, what departs. Everything the contract promises of any control is asserted here, unasked.
package controltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// The account and regions that cases play in, unless a case's Target says otherwise.
const (
	Account    = "111122223333"
	Management = "123456789012"
	Admin      = "222233334444"
	Region     = "eu-central-1"
)

// Now is the time of every case.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Case is one situation.
type Case[S control.Settings] struct {
	// Name says in a sentence what the case shows.
	Name string
	// Want are the section's settings.
	Want S
	// AWS sets the stage: it registers handlers over fresh state. It is called once per step.
	AWS func(c *cloudtest.Cloud)
	// Target changes the default target. Nil: as it is.
	Target func(t *control.Target)
	// Findings is what Observe must report, in any order. Before and After are not compared.
	Findings []control.Finding
	// Err is the code or text that Observe's error must hold; empty: no error.
	Err string
	// Remains is what Observe must report after every departure was put right; nil: the findings that are ReportOnly or no
	// departures.
	Remains []control.Finding
	// AfterUndo is what Observe must report after Undo where it is not what it reported before: what was created is turned
	// off, never deleted. Nil: the findings of before.
	AfterUndo []control.Finding
	// Owner is what the control's Owner must say of every resource that it would change; empty: nobody.
	Owner string
	// Refused is true when Remediate must refuse the change for reasons of its own, leaving everything as it is.
	Refused bool
	// Tolerates are read actions without which the answer still stands.
	Tolerates []string
}

// Run asserts the contract of c over all cases: Audit reports exactly the findings and writes nothing; a denied read is
// never an answer, and an empty one no crash; enforcement with every approval leaves only what cannot be put right and is
// idempotent; Undo brings back what was, also when the section is gone, and refuses what has changed; weakening is never
// Safe; who else manages a resource is told, and a read that was denied never means nobody; the actions used are the actions
// declared, both ways.
func Run[S control.Settings](t *testing.T, c control.Control[S], cases []Case[S]) {
	t.Helper()
	if err := control.Validate([]control.Bound{c.With(nil)}); err != nil {
		t.Fatalf("the control is not consistent: %v", err)
	}
	used := map[string]bool{}
	for _, tc := range cases {
		t.Run(tc.Name, func(t *testing.T) {
			h := &harness[S]{t: t, control: c, Case: tc, used: used}
			before := h.audit()
			h.deniedReads()
			h.emptyAnswers()
			h.owners(before)
			h.enforce(before)
		})
	}
	owned := slices.ContainsFunc(cases, func(tc Case[S]) bool { return tc.Owner != "" })
	if (c.Owner != nil) != owned {
		t.Error("a control that can tell who manages a resource needs a case with an owner, and no other has one")
	}
	if t.Failed() {
		return
	}
	for _, a := range c.Actions() {
		if !used[a] {
			t.Errorf("%s is declared and no case uses it", a)
		}
	}
}

type harness[S control.Settings] struct {
	Case[S]
	t       *testing.T
	control control.Control[S]
	used    map[string]bool
}

// stage sets AWS up anew.
func (h *harness[S]) stage() *cloudtest.Cloud {
	c := &cloudtest.Cloud{Admins: map[string]string{}}
	h.AWS(c)
	return c
}

// target is a target on the stage with the given actions; without a memo, so that every read is made afresh.
func (h *harness[S]) target(c *cloudtest.Cloud, actions []string) *control.Target {
	t := control.Target{
		Account: Account, Partition: "aws", Region: Region, Now: Now,
		Regions: []string{Region, "eu-west-1", "us-east-1"},
		Facts: control.Facts{
			OrganizationID: "o-exampleorg", ManagementAccount: Management, Administrators: map[string]string{},
			AuditRole:   "arn:aws:iam::" + Account + ":role/plumbline/PlumblineAudit",
			EnforceRole: "arn:aws:iam::" + Account + ":role/plumbline/PlumblineEnforce",
			ExternalID:  "example", Email: "account@example.com",
		},
	}
	if h.control.Scope != control.Region {
		t.Region = control.HomeRegion(t.Partition)
	}
	if h.Target != nil {
		h.Target(&t)
	}
	for service, id := range t.Facts.Administrators {
		c.Admins[service] = id
	}
	return control.NewTarget(t, c.Connector(t.Account), actions, nil, nil)
}

// observe looks with the section, with the permissions of the audit role.
func (h *harness[S]) observe(c *cloudtest.Cloud) ([]control.Finding, error) {
	h.t.Helper()
	found, err := h.control.With(&h.Want).Observe(context.Background(), h.target(c, h.control.Reads))
	for _, f := range found {
		h.checkFinding(f)
	}
	return found, err
}

func (h *harness[S]) audit() []control.Finding {
	h.t.Helper()
	c := h.stage()
	found, err := h.observe(c)
	switch {
	case h.Err == "" && err != nil:
		h.t.Fatalf("Observe: %v", err)
	case h.Err != "" && (err == nil || !contains(err, h.Err)):
		h.t.Fatalf("Observe: error %v, want one with %q", err, h.Err)
	}
	h.compare("Audit", h.Findings, found)
	for _, call := range c.Calls() {
		h.used[call.Action] = true
		if slices.Contains(h.control.Writes, call.Action) {
			h.t.Errorf("Audit called %s, which writes", call.Action)
		}
	}
	return found
}

func contains(err error, text string) bool {
	return control.IsCode(err, text) || strings.Contains(err.Error(), text)
}

func (h *harness[S]) checkFinding(f control.Finding) {
	h.t.Helper()
	bound := h.control.With(&h.Want)
	if f.Outcome != control.Departs {
		if f.Reason == "" || f.Message == "" {
			h.t.Errorf("finding %s of %q needs a reason and a message", f.Outcome, f.Resource)
		}
		return
	}
	risk := bound.RiskOf(f.Drift)
	if f.Resource == "" || len(f.Fields) == 0 {
		h.t.Errorf("a departure needs a resource and fields: %+v", f)
	}
	if risk == control.ReportOnly {
		return
	}
	if len(f.Before) == 0 || len(f.After) == 0 {
		h.t.Errorf("the drift of %s needs before and after", f.Resource)
	}
	if risk > h.control.Risk {
		h.t.Errorf("the drift of %s is %s, above the control's %s", f.Resource, risk, h.control.Risk)
	}
	if bound.Weakens(f.Drift) && risk < control.Disruptive {
		h.t.Errorf("the change of %s weakens security and is %s", f.Resource, risk)
	}
	if h.control.Undo == nil && risk < control.Irreversible {
		h.t.Errorf("the change of %s is %s and cannot be undone", f.Resource, risk)
	}
}

// deniedReads refuses each action the observation used, one at a time: the answer must not become "compliant".
func (h *harness[S]) deniedReads() {
	h.t.Helper()
	c := h.stage()
	plain, _ := h.observe(c)
	for _, action := range actionsOf(c.Calls()) {
		if slices.Contains(h.Tolerates, action) {
			continue
		}
		c := h.stage()
		c.Deny(action, nil)
		found, err := h.observe(c)
		if err == nil && len(found) == 0 {
			h.t.Errorf("with %s denied Observe answers \"compliant\"", action)
		}
		if err == nil && cmp.Equal(plain, found) && !slices.ContainsFunc(found, isDeparture) {
			h.t.Errorf("with %s denied Observe answers as if it had been allowed", action)
		}
	}
}

func isDeparture(f control.Finding) bool { return f.Outcome == control.Departs }

// emptyAnswers makes AWS answer each action with nothing in it: no panic may follow.
func (h *harness[S]) emptyAnswers() {
	h.t.Helper()
	c := h.stage()
	_, _ = h.observe(c)
	for _, action := range actionsOf(c.Calls()) {
		func() {
			defer func() {
				if p := recover(); p != nil {
					h.t.Errorf("an empty answer to %s makes Observe panic: %v", action, p)
				}
			}()
			c := h.stage()
			c.Blank(action)
			_, _ = h.control.With(&h.Want).Observe(context.Background(), h.target(c, h.control.Reads))
		}()
	}
}

func actionsOf(calls []cloudtest.Call) []string {
	var all []string
	for _, c := range calls {
		all = append(all, c.Action)
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// enforce puts every departure right with every approval given, and then undoes it all.
func (h *harness[S]) enforce(before []control.Finding) {
	h.t.Helper()
	c := h.stage()
	found, _ := h.observe(c)
	changes := h.changes(found)
	if len(changes) == 0 {
		return
	}
	if h.Refused {
		h.refused(c, changes, before)
		return
	}
	for range 2 { // the second time shows that it is idempotent
		for _, d := range changes {
			if err := h.remediate(c, d); err != nil {
				h.t.Fatalf("Remediate %s: %v", d.Resource, err)
			}
		}
	}
	after, err := h.observe(c)
	if err != nil {
		h.t.Fatalf("Observe after Remediate: %v", err)
	}
	h.compare("after enforcement", h.remains(), after)
	h.undo(c, changes, before)
	for _, call := range c.Calls() {
		h.used[call.Action] = true
	}
}

func (h *harness[S]) changes(found []control.Finding) []control.Drift {
	var all []control.Drift
	for _, f := range found {
		if isDeparture(f) && h.control.With(&h.Want).RiskOf(f.Drift) != control.ReportOnly {
			all = append(all, f.Drift)
		}
	}
	return all
}

func (h *harness[S]) remains() []control.Finding {
	if h.Remains != nil {
		return h.Remains
	}
	return slices.DeleteFunc(slices.Clone(h.Findings), func(f control.Finding) bool {
		return isDeparture(f) && h.control.With(&h.Want).RiskOf(f.Drift) != control.ReportOnly
	})
}

func (h *harness[S]) remediate(c *cloudtest.Cloud, d control.Drift) error {
	return h.control.With(&h.Want).Remediate(context.Background(), h.target(c, h.control.Actions()), d)
}

func (h *harness[S]) refused(c *cloudtest.Cloud, changes []control.Drift, before []control.Finding) {
	h.t.Helper()
	for _, d := range changes {
		if err := h.remediate(c, d); err == nil {
			h.t.Errorf("Remediate %s must refuse", d.Resource)
		}
	}
	after, _ := h.observe(c)
	h.compare("after the refusal", before, after)
	for _, call := range c.Calls() {
		h.used[call.Action] = true
	}
}

// undo takes the changes back, newest first, without the section.
func (h *harness[S]) undo(c *cloudtest.Cloud, changes []control.Drift, before []control.Finding) {
	h.t.Helper()
	if h.control.Undo == nil {
		return
	}
	unmanaged := h.control.With(nil)
	for _, d := range slices.Backward(changes) {
		if h.irreversible(d) {
			return
		}
		if err := unmanaged.Undo(context.Background(), h.target(c, h.control.Actions()), d); err != nil {
			h.t.Fatalf("Undo %s: %v", d.Resource, err)
		}
	}
	back, err := h.observe(c)
	if err != nil {
		h.t.Fatalf("Observe after Undo: %v", err)
	}
	if h.AfterUndo != nil {
		before = h.AfterUndo
	}
	h.compare("after Undo", before, back)
	for _, d := range changes {
		err := unmanaged.Undo(context.Background(), h.target(c, h.control.Actions()), d)
		if !errors.Is(err, control.ErrChanged) {
			h.t.Errorf("Undo of %s, which is no longer as it was left: got %v, want ErrChanged", d.Resource, err)
		}
	}
}

func (h *harness[S]) irreversible(d control.Drift) bool {
	return h.control.With(&h.Want).RiskOf(d) == control.Irreversible
}

func (h *harness[S]) compare(when string, want, got []control.Finding) {
	h.t.Helper()
	diff := cmp.Diff(want, got,
		cmpopts.EquateEmpty(),
		cmpopts.IgnoreFields(control.Drift{}, "Before", "After"),
		// A message is compared only where the case gives one.
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Message" },
			cmp.Comparer(func(a, b string) bool { return a == b || a == "" || b == "" })),
		cmpopts.SortSlices(func(a, b control.Finding) bool { return order(a) < order(b) }),
	)
	if diff != "" {
		h.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func order(f control.Finding) string {
	return fmt.Sprint(f.Resource, f.Outcome, f.Reason, f.Risk, f.Fields)
}
