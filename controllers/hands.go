package controllers

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// Hands says what one process does of the work. Where hands are separate, an observer looks, reports, proposes and decides what is
// to be changed, and an enforcer, which another identity in AWS lets in, makes the changes: whoever takes over the observer can
// change nothing in AWS by itself. What is to be made stands in a Remediation, and nothing else passes between the two. The admission
// policy plumbline-remediation keeps the observer from saying that anything was made.
type Hands string

// The hands that a process may have.
const (
	// BothHands observes and changes. The default.
	BothHands Hands = "all"
	// ObservingHand observes, and hands over what is to be changed.
	ObservingHand Hands = "observer"
	// EnforcingHand makes what was handed over.
	EnforcingHand Hands = "enforcer"
)

// The leases that say which of several replicas works. The enforcer is no replica of the observer.
const (
	Lease         = "plumbline.dev"
	EnforcerLease = "enforcer.plumbline.dev"
)

// observes says whether another process makes the changes, enforces whether this one is that process.
func (s *Remediations) observes() bool { return s != nil && s.Hands == ObservingHand }
func (s *Remediations) enforces() bool { return s != nil && s.Hands == EnforcingHand }

// toEnforcer says what is said of a change that was handed over and that nothing keeps the enforcer from.
const toEnforcer = "handed over to the enforcer, which observes it afresh and makes it"

// isHanded says whether a Remediation is for the enforcer.
func isHanded(r *v1alpha1.Remediation) bool {
	return findCondition(r.Status.Conditions, v1alpha1.ConditionHandedOver) != nil
}

// isBeingMade says whether a Remediation may be made, or is.
func isBeingMade(r *v1alpha1.Remediation) bool {
	return r.Status.Phase == v1alpha1.RemediationApproved || r.Status.Phase == v1alpha1.RemediationApplying
}

// handOver hands a Remediation over that is to be made or taken back, unless it was already, or this process hands nothing over.
func (s *Remediations) handOver(r *v1alpha1.Remediation, now time.Time) {
	if !s.observes() || !s.AllowWrites || isHanded(r) || !isUndoing(r) && !isBeingMade(r) {
		return
	}
	conditions{&r.Status.Conditions, r.Generation, now}.set(
		v1alpha1.ConditionHandedOver, metav1.ConditionTrue, v1alpha1.ReasonWaitsForEnforcer, toEnforcer)
}

// handedOf names a control of a baseline.
type handedOf struct{ baseline, control string }

// handedState is how something that was handed over stood, in one word, and what it is of.
type handedState struct {
	handedOf
	state string
}

// handedStates has, per account, how what was handed over stood when the account was last looked at. What stands otherwise by now is
// looked at again, whatever the clocks of two processes say. The zero value is ready.
type handedStates struct {
	mu  sync.Mutex
	all map[string]map[string]handedState
}

// stirred are the controls of which something that was handed over stands otherwise than when they were last looked at.
func (h *handedStates) stirred(account string, records []*v1alpha1.Remediation) map[handedOf]bool {
	now := statesOf(records)
	h.mu.Lock()
	defer h.mu.Unlock()
	var of map[handedOf]bool
	for name, was := range h.all[account] {
		if now[name] != was {
			if of == nil {
				of = map[handedOf]bool{}
			}
			of[was.handedOf] = true
		}
	}
	return of
}

// keep notes how things stood in a pass that has looked at some of the controls that something was stirred of.
func (h *handedStates) keep(account string, records []*v1alpha1.Remediation, unlooked func(handedOf) bool) {
	now := statesOf(records)
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, was := range h.all[account] {
		if unlooked(was.handedOf) {
			now[name] = was
		}
	}
	if len(now) == 0 {
		delete(h.all, account)
		return
	}
	if h.all == nil {
		h.all = map[string]map[string]handedState{}
	}
	h.all[account] = now
}

func (h *handedStates) forget(account string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, account)
}

// statesOf is how what is handed over and not over stands.
func statesOf(records []*v1alpha1.Remediation) map[string]handedState {
	states := map[string]handedState{}
	for _, r := range records {
		if is := findCondition(r.Status.Conditions, v1alpha1.ConditionHandedOver); is != nil && (isBeingMade(r) || isUndoing(r)) {
			states[r.Name] = handedState{handedOf{r.Status.Baseline, r.Status.Control}, is.Reason}
		}
	}
	return states
}

// enforcerAround is how long before a Remediation was made and after it has ended a call may be the enforcer's: clocks differ, and it
// looks once more at what it has written.
const enforcerAround = 2 * time.Minute

// madeByEnforcer says whether the enforcer may have been at work on a Remediation at a time: then a call by one of Plumbline's roles is
// not known to be somebody else's, although this process knows nothing of it.
func madeByEnforcer(r *v1alpha1.Remediation, at time.Time) bool {
	if r.Status.Decided == nil || at.Before(r.CreationTimestamp.Add(-enforcerAround)) {
		return false
	}
	ended := r.Status.FinishedAt
	return ended == nil || isUndoing(r) || !at.After(ended.Add(enforcerAround))
}

// enforcerDid says whether the enforcer has ended a Remediation, or says otherwise what keeps it from it.
func enforcerDid(was, is *v1alpha1.Remediation) bool {
	before, now := findCondition(was.Status.Conditions, v1alpha1.ConditionHandedOver), findCondition(is.Status.Conditions, v1alpha1.ConditionHandedOver)
	switch {
	case before == nil:
		return false
	case now == nil:
		return !is.Status.Phase.Open()
	}
	return before.Reason != now.Reason
}

// endUndoing takes the note away that a Remediation is being taken back, and that the enforcer does it.
func endUndoing(c conditions) {
	c.only(false, v1alpha1.ConditionUndoing, "", "")
	c.only(false, v1alpha1.ConditionHandedOver, "", "")
}
