package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// enter opens a session for the account. Nothing is called yet.
func (r *AccountReconciler) enter(ctx context.Context, org *v1alpha1.AWSOrganization, a *v1alpha1.AWSAccount) (*cloud.Session, error) {
	return enter(r.Cloud, org, a, r.Entry, func(id string) v1alpha1.AccountRoles {
		var own v1alpha1.AWSAccount
		if err := r.Client.Get(ctx, client.ObjectKey{Name: id}, &own); err != nil {
			return v1alpha1.AccountRoles{}
		}
		return own.Spec.Roles
	})
}

// howToEnter says how an account is entered.
type howToEnter func(org *v1alpha1.AWSOrganization, id string, own v1alpha1.AccountRoles) (cloud.Account, error)

// enter opens a session for the account; roles are those that an account itself names. That an administrator cannot be entered
// keeps nobody from entering the account: it is the answer of whatever asks for the administrator.
func enter(c *cloud.Cloud, org *v1alpha1.AWSOrganization, a *v1alpha1.AWSAccount, how howToEnter, roles func(id string) v1alpha1.AccountRoles) (*cloud.Session, error) {
	entry, err := how(org, a.Name, a.Spec.Roles)
	if err != nil {
		return nil, err
	}
	admins := map[string]cloud.Account{}
	known := administrators(&org.Spec)
	known["management"] = string(org.Spec.ManagementAccount)
	for service, id := range known {
		// An administrator's own AWSAccount may name other roles than the organization's.
		if admins[service], err = how(org, id, roles(id)); err != nil {
			admins[service] = cloud.Account{ID: id, Problem: err.Error()}
		}
	}
	return c.Session(entry, admins), nil
}

// Entry says how an account is entered: its own roles, else the organization's.
func (r *AccountReconciler) Entry(org *v1alpha1.AWSOrganization, id string, own v1alpha1.AccountRoles) (cloud.Account, error) {
	return Entry(org, id, own, r.ACKRole)
}

// Entry says how an account is entered: its own roles, else the organization's. ackRole is the role that ACK's map has for an
// account; nil where the map is not followed.
func Entry(org *v1alpha1.AWSOrganization, id string, own v1alpha1.AccountRoles, ackRole func(account string) (string, error)) (cloud.Account, error) {
	partition := org.Spec.PartitionOrDefault()
	arn := func(name string) string { return "arn:" + partition + ":iam::" + id + ":role/" + name }
	a := cloud.Account{
		ID: id, Partition: partition, ExternalID: org.Spec.Roles.ExternalID,
		AuditRole: own.Audit, EnforceRole: own.Enforce,
	}
	if a.EnforceRole == "" {
		a.EnforceRole = arn(org.Spec.Roles.EnforceOrDefault())
	}
	switch {
	case own.AuditFromACK && ackRole == nil:
		return a, errors.New("spec.roles.auditFromACK is set and the manager runs without --ack-role-account-map")
	case own.AuditFromACK:
		role, err := ackRole(id)
		if err != nil {
			return a, fmt.Errorf("looking up the account in ack-role-account-map: %w", err)
		}
		a.AuditRole = role
	case a.AuditRole == "":
		a.AuditRole = arn(org.Spec.Roles.AuditOrDefault())
	}
	return a, nil
}

// mustCall says whether this pass has to call AWS: when something is due, or when it is not known whether the account can be
// entered and which regions it has. p is the plan that it was made out from, with the regions that were read last; nil when none
// was needed.
func (r *AccountReconciler) mustCall(w world, org *v1alpha1.AWSOrganization) (call bool, p *plan) {
	if entry, err := r.Entry(org, w.account.Name, w.account.Spec.Roles); err != nil || w.memory.entry != (cloud.Account{}) && entry != w.memory.entry {
		return true, nil // the roles or the external id of the organization were changed
	}
	reachable := findCondition(w.account.Status.Conditions, v1alpha1.ConditionReachable)
	ready := findCondition(w.account.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case reachable == nil, reachable.Status != "True", reachable.ObservedGeneration != w.account.Generation, w.memory.unreachable > 0:
		return true, nil
	case ready == nil, ready.Reason == v1alpha1.ReasonRegionsUnreadable, len(w.account.Status.Regions) == 0 && w.concerned():
		return true, nil
	}
	w.enabled = w.account.Status.Regions
	p = new(makePlan(w))
	due, _ := p.due(w)
	return len(due) > 0 || !w.handsOver && slices.ContainsFunc(w.records, isUndoing), p
}

// unreachable writes that the account could not be entered, and tries again after a while that doubles up to 15 minutes.
func (r *AccountReconciler) unreachable(ctx context.Context, w world, err error) (ctrl.Result, error) {
	r.Engine.Release(w.account.Name)
	r.Cloud.Forget(w.account.Name)
	wait := min(time.Minute<<min(w.memory.unreachable, 10), 15*time.Minute)
	w.memory.unreachable++
	w.enabled = w.account.Status.Regions
	if len(w.enabled) == 0 {
		w.enabled = regionNames(w.organization.Regions)
	}
	p := makePlan(w)
	w.handled = w.open // once it can be entered, everything is looked at anew
	return r.finish(ctx, w, w.now.Add(wait), func(w world) v1alpha1.AWSAccountStatus { return unreachableStatus(w, p, err) })
}

// regions are the account's enabled regions. Where they cannot be read, those read last stand in, or the organization's.
func (r *AccountReconciler) regions(ctx context.Context, s *cloud.Session, w world, org *v1alpha1.AWSOrganization) ([]string, error) {
	if !w.concerned() {
		return w.account.Status.Regions, nil // nothing asks for them
	}
	enabled, _, err := r.Cloud.Regions(ctx, s, w.now)
	if err == nil {
		w.memory.unread = 0
		return enabled, nil
	}
	w.memory.unread++
	if len(w.account.Status.Regions) > 0 {
		return w.account.Status.Regions, err
	}
	return regionNames(org.Spec.Regions), err
}

func regionNames(regions []v1alpha1.Region) []string {
	var names []string
	for _, r := range regions {
		names = append(names, string(r))
	}
	slices.Sort(names)
	return names
}

// sharedAgain is when an account is looked at again that waits for what accounts share. Reading the members of thousands of
// accounts takes half a minute, in which those accounts would otherwise come back every second.
const sharedAgain = 5 * time.Second

// awaits says whether a pass skipped something, and nothing but what waits for an answer that accounts share.
func awaits(results []engine.Result) bool {
	late := false
	for _, r := range results {
		if r.Skipped && !r.Late {
			return false
		}
		late = late || r.Late
	}
	return late
}

// next is when the account is next to be looked at: when something is due, and soon where its regions could not be listed.
func (w world) next(p plan) time.Time {
	next := p.next(w.now)
	if soon := w.now.Add(sharedAgain); w.awaits && next.Before(soon) {
		next = soon
	}
	if again := w.undoAgain; !again.IsZero() && (next.IsZero() || again.Before(next)) {
		next = again
	}
	if w.regionsErr == nil {
		return next
	}
	retry := w.now.Add(min(retryFirst<<min(max(w.memory.unread-1, 0), 10), time.Hour))
	if next.IsZero() || retry.Before(next) {
		return retry
	}
	return next
}

func (r *AccountReconciler) facts(w world, org *v1alpha1.AWSOrganization) control.Facts {
	entry, err := r.Entry(org, w.account.Name, w.account.Spec.Roles)
	if err != nil {
		entry = cloud.Account{} // entering would have failed already
	}
	return factsOf(org, w.account, entry, r.Directory.member(w.account.Name).Email)
}

// factsOf is what controls may know of an account and its organization.
func factsOf(org *v1alpha1.AWSOrganization, a *v1alpha1.AWSAccount, entry cloud.Account, email string) control.Facts {
	return control.Facts{
		OrganizationID: org.Status.OrganizationID, ManagementAccount: string(org.Spec.ManagementAccount),
		Administrators: maps.Clone(administrators(&org.Spec)), Email: email, JoinedAt: joinedAt(a),
		AuditRole: entry.AuditRole, EnforceRole: entry.EnforceRole, ExternalID: entry.ExternalID,
		EnforcerPrincipal: org.Spec.Roles.EnforcerPrincipal,
	}
}
