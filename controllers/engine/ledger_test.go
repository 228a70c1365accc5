package engine

import (
	"strings"
	"testing"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestWhatIsHandedOverIsNotWrittenAndTheEnforceRoleIsNotAssumed(t *testing.T) {
	l := newLake(t, Limits{AccountsAtOnce: 1})
	l.leave(member, ireland, "v")
	l.leave(admin, ireland, "w")
	b := &book{handsOver: "the enforcer makes it"}
	got := l.kept(b, enforced(l.encrypted(), ireland))
	compare(t, "findings", []string{"eu-west-1 v HandedOver"}, reasons(got))
	compare(t, "record and message", []string{"rem-2", "the enforcer makes it"}, []string{got[0].Findings[0].Record, got[0].Findings[0].Message})
	compare(t, "heard", []string(nil), l.heard)
	for _, call := range l.Calls() {
		if strings.Contains(call.Role, "Enforce") {
			t.Errorf("%s was called with %s", call.Operation, call.Role)
		}
	}
	if l.places.take(admin) {
		t.Error("another account may be changed although one is being changed")
	}
	b.handsOver = ""
	l.kept(b, enforced(l.encrypted(func(c *control.Control[section]) { c.Protects = true }), ireland))
	if !l.places.take(admin) {
		t.Error("once it was changed, another account may not be")
	}
}
