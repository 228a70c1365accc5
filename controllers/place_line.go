package controllers

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// Where as much is proposed as may be, further plans wait in line, and whoever is first is looked at again as soon as a place is free:
// an account's resources are otherwise looked at once a day. The line is in memory; after a restart a plan that waits is proposed at its
// next look.

// ticket is a plan that waits for a place.
type ticket struct{ account, baseline, control string }

// placeLine is the plans that wait. The zero value is ready.
type placeLine struct {
	mu sync.Mutex
	// waits are those that wait, the first first; inAll has those that wait for a place among all proposals, and not among their
	// baseline's.
	waits []ticket
	inAll map[ticket]bool
	// invited are, by account, the plans for which a place may be free, and since when.
	invited map[string]map[ticket]time.Time
}

// join has a plan wait for a place.
func (l *placeLine) join(t ticket, inAll bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.invited[t.account], t)
	if _, waits := l.inAll[t]; !waits {
		l.waits = append(l.waits, t)
	}
	if l.inAll == nil {
		l.inAll = map[ticket]bool{}
	}
	l.inAll[t] = inAll
}

// leave is called for a plan that has a place.
func (l *placeLine) leave(t ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.invited[t.account], t)
	if _, waits := l.inAll[t]; waits {
		l.drop(slices.Index(l.waits, t))
	}
}

func (l *placeLine) drop(i int) {
	delete(l.inAll, l.waits[i])
	l.waits = slices.Delete(l.waits, i, i+1)
}

// invite has the first plan in line looked at again that may take the place which a proposal of the baseline has left, and returns its
// account; empty: none waits.
func (l *placeLine) invite(baseline string, now time.Time) (account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.waits, func(t ticket) bool { return t.baseline == baseline || l.inAll[t] })
	if i < 0 {
		return ""
	}
	t := l.waits[i]
	l.drop(i)
	if l.invited == nil {
		l.invited = map[string]map[ticket]time.Time{}
	}
	if l.invited[t.account] == nil {
		l.invited[t.account] = map[ticket]time.Time{}
	}
	l.invited[t.account][t] = now
	return t.account
}

// invitationLasts is how long a plan is looked at because a place was free.
const invitationLasts = time.Hour

// invitations are those of an account.
func (l *placeLine) invitations(account string, now time.Time) map[ticket]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.invited[account]
	maps.DeleteFunc(mine, func(_ ticket, at time.Time) bool { return now.Sub(at) > invitationLasts })
	if len(mine) == 0 {
		delete(l.invited, account)
	}
	return maps.Clone(mine)
}

// leavesPlace says whether a Remediation in the phase is one that was proposed a moment ago, or was deleted while it was.
func leavesPlace(p v1alpha1.RemediationPhase) bool {
	return slices.Contains([]v1alpha1.RemediationPhase{
		v1alpha1.RemediationProposed, v1alpha1.RemediationApproved, v1alpha1.RemediationRejected, v1alpha1.RemediationExpired,
		v1alpha1.RemediationSuperseded,
	}, p)
}

// concernedBy are the accounts that have something to do after a Remediation has changed: its own, and one that has waited for its
// place.
func (r *AccountReconciler) concernedBy(rem *v1alpha1.Remediation) (accounts []string) {
	if rem.Status.Phase != v1alpha1.RemediationSuperseded || r.Remediations.observes() { // else its account's own pass has superseded it
		accounts = append(accounts, rem.Labels[v1alpha1.LabelAccount])
	}
	if leavesPlace(rem.Status.Phase) && !isAutomatic(rem) { // what needs no approval had none
		if next := r.Remediations.line.invite(rem.Status.Baseline, r.Clock()); next != "" {
			accounts = append(accounts, next)
		}
	}
	return accounts
}
