package controllers

import (
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

func planned(resource, owner, unread string) engine.Planned {
	return engine.Planned{
		Region: ireland, Owner: owner, OwnerUnread: unread,
		Drift: control.Drift{Resource: resource, Risk: control.Safe, Before: control.JSON(1), After: control.JSON(2)},
	}
}

// bookOf is a ledger of nothing yet, and aPlan a plan of it.
func bookOf() *ledger {
	return newLedger(nil, world{account: &v1alpha1.AWSAccount{}, now: noon}, "")
}

func aPlan(changes ...engine.Planned) engine.Plan {
	return engine.Plan{Control: control.Bound{Meta: &control.Meta{ID: volumes}}, Changes: changes}
}

func TestAProposalNamesWhoElseManagesWhatItChanges(t *testing.T) {
	for name, tc := range map[string]struct {
		changes     []engine.Planned
		by, message string
	}{
		"nobody":         {[]engine.Planned{planned("a", "", "")}, "", "waits for an approval: "},
		"the first does": {[]engine.Planned{planned("a", "", ""), planned("b", "CloudFormation stack web", ""), planned("c", "AWS Control Tower", "")}, "CloudFormation stack web", "managed by CloudFormation stack web: the next update of the stack reverts a change or fails over it; better changed in its template; waits"},
		"unread":         {[]engine.Planned{planned("a", "", ""), planned("b", "", "AccessDenied: no")}, "unknown", "who manages a resource could not be read, see status.changes; waits"},
		"unread, and one that is known": {[]engine.Planned{planned("a", "", "AccessDenied: no"), planned("b", "AWS Control Tower", "")},
			"AWS Control Tower", "managed by AWS Control Tower: it takes a change for drift"},
	} {
		t.Run(name, func(t *testing.T) {
			l := bookOf()
			changes, err := l.proposable(t.Context(), nil, aPlan(tc.changes...))
			if err != nil {
				t.Fatal(err)
			}
			s := l.statusOf("", control.Bound{Meta: &control.Meta{ID: volumes}}, changes)
			same(t, "managed by", tc.by, s.ManagedBy)
			same(t, "message", tc.message, s.Message[:min(len(s.Message), len(tc.message))])
			for i, c := range s.Changes {
				want := tc.changes[i].Owner
				if tc.changes[i].OwnerUnread != "" {
					want = v1alpha1.ManagedByUnknown
					same(t, "why", "who manages it could not be read: AccessDenied: no", c.Message)
				}
				same(t, "managed by, of the change", want, c.ManagedBy)
			}
		})
	}
}

// An owner that appears makes what was approved another change; one that cannot be read once does not.
func TestWhoManagesAResourceIsPartOfWhatIsApproved(t *testing.T) {
	l := bookOf()
	digest := func(open *v1alpha1.Remediation, c engine.Planned) string {
		p := aPlan(c)
		p.Saw = func(string, string) bool { return true }
		changes, err := l.proposable(t.Context(), open, p)
		if err != nil {
			t.Fatal(err)
		}
		return l.statusOf("", p.Control, changes).PlanDigest
	}
	nobodys, webs := planned("a", "", ""), planned("a", "CloudFormation stack web", "")
	if digest(nil, nobodys) == digest(nil, webs) || digest(nil, webs) == digest(nil, planned("a", "CloudFormation stack shop", "")) {
		t.Error("another owner makes no other digest")
	}
	for _, c := range []engine.Planned{nobodys, webs} {
		open := &v1alpha1.Remediation{Status: l.statusOf("", aPlan().Control, changesOf(aPlan(c)))}
		l.now = l.now.Add(time.Minute)
		same(t, "the digest while the owner cannot be read", digest(nil, c), digest(open, planned("a", "", "Throttled: slow down")))
	}
	if digest(nil, nobodys) == digest(nil, planned("a", "", "AccessDenied: no")) {
		t.Error("nobody and nobody knows make the same digest")
	}
}
