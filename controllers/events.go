package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// EventSource hands out what comes out of a queue of CloudTrail events until ctx ends. *cloud.Queue is one.
type EventSource interface {
	// Run delivers until ctx ends.
	Run(ctx context.Context, deliver func(context.Context, cloud.Delivery)) error
	// Health is the last error of the queue and since when nothing but errors came; a nil error while it works.
	Health() (since time.Time, err error)
}

// OwnCalls knows which calls this manager has made. *cloud.Cloud does.
type OwnCalls interface {
	// Own says whether the request is one of its own, of the last hour.
	Own(requestID string) bool
	// OwnSince is since when that is known.
	OwnSince() time.Time
	// MayBeOwn says whether a call at the time may be one of its own that never got an answer, and with it no id.
	MayBeOwn(account, source string, at time.Time) bool
	// ReadsKnown says whether Own knows of reads, too.
	ReadsKnown() bool
}

// DiscoveryEvents are the events, of AWS Organizations, after which the organization is read again.
var DiscoveryEvents = []string{
	"CreateAccountResult", "MoveAccount", "CloseAccount", "RemoveAccountFromOrganization", "InviteAccountToOrganization",
	"AcceptHandshake", "LeaveOrganization", "TagResource", "UntagResource",
}

// discoverySource is whose events these are.
const discoverySource = "organizations"

// EventReceiver makes what events tell of due: an event is a reason to look again at the checks whose controls declare it, in
// the account and region it names, and never more than that. It works only while the manager leads.
type EventReceiver struct {
	Client       client.Client
	Source       EventSource
	Accounts     *AccountReconciler
	Organization *OrganizationReconciler
	Record       *Record
	Own          OwnCalls
	Flow         *Flow
	Clock        func() time.Time

	// declared are the controls by the events they declare, "source:name".
	declared map[string][]*control.Meta
}

// declaredEvents are the catalogue's controls by the events they declare.
func declaredEvents(kinds []control.Kind) map[string][]*control.Meta {
	all := map[string][]*control.Meta{}
	for _, k := range kinds {
		for _, b := range k.Controls(k.New()) {
			for _, e := range b.Events {
				key := e.Source + ":" + e.Name
				if !slices.ContainsFunc(all[key], func(m *control.Meta) bool { return m.ID == b.ID }) {
					all[key] = append(all[key], b.Meta)
				}
			}
		}
	}
	return all
}

// Wanted says whether anything is done about an event.
func Wanted(kinds []control.Kind) func(source, name string) bool {
	declared := declaredEvents(kinds)
	return func(source, name string) bool {
		return declared[source+":"+name] != nil || ofDiscovery(source, name)
	}
}

// ofDiscovery says whether the organization is read again after an event.
func ofDiscovery(source, name string) bool {
	return source == discoverySource && slices.Contains(DiscoveryEvents, name)
}

// Start receives until ctx ends.
func (r *EventReceiver) Start(ctx context.Context) error {
	r.declared = declaredEvents(r.Accounts.Kinds)
	go r.Flow.watch(ctx, r.Source.Health)
	return r.Source.Run(ctx, r.deliver)
}

// deliver marks what a message tells of. The message is done when all of it was looked into; at once when it tells of nothing.
func (r *EventReceiver) deliver(ctx context.Context, d cloud.Delivery) {
	org, err := theOrganization(ctx, r.Client)
	if err != nil && !errors.Is(err, errNoOrganization) {
		ctrl.LoggerFrom(ctx).Error(err, "receiving events") // the message comes back
		return
	}
	var told []task
	for i := range d.Events {
		if org != nil {
			told = append(told, r.tasks(ctx, org, &d.Events[i])...)
		}
	}
	if len(told) == 0 {
		d.Done()
		return
	}
	done := shared(len(told), d.Done)
	for _, t := range told {
		if t.account == "" {
			r.Organization.hear(done, t.event)
			continue
		}
		r.Accounts.hear(t.account, &mark{Event: *t.event, received: r.Clock(), done: done})
	}
}

// task is an account in which an event makes something due; without an account, the organization is to be read again.
type task struct {
	account string
	event   *cloud.Event
}

// tasks is what is to be done about an event.
func (r *EventReceiver) tasks(ctx context.Context, org *v1alpha1.AWSOrganization, e *cloud.Event) []task {
	if r.mine(ctx, org, e) || e.ErrorCode != "" || e.ReadOnly {
		return nil
	}
	var all []task
	if ofDiscovery(e.Source, e.Name) {
		all = append(all, task{event: e})
	}
	controls := r.declared[e.Source+":"+e.Name]
	if len(controls) == 0 {
		return all
	}
	m := &mark{Event: *e}
	for _, account := range concernedAccounts(&org.Spec, e) {
		concerned := slices.DeleteFunc(slices.Clone(controls), func(c *control.Meta) bool { return !m.concerns(account, c, e.Region) })
		if len(concerned) == 0 || !r.there(ctx, account) {
			continue
		}
		r.Flow.announce(account, concerned, e)
		all = append(all, task{account, e})
	}
	return all
}

// concernedAccounts are the accounts in which an event may have changed something: where it appears and, where that is an
// account that decides for the organization, all of those and the accounts it names. Any other account may name whom it likes,
// and changes nothing there: the owner of a bucket that it changed has an event of its own.
func concernedAccounts(org *v1alpha1.AWSOrganizationSpec, e *cloud.Event) []string {
	all := []string{e.Account}
	if decides(org, e.Account) {
		all = slices.Concat(all, e.Accounts, deciders(org))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// deciders are the accounts that decide something for the organization.
func deciders(org *v1alpha1.AWSOrganizationSpec) []string {
	all := []string{string(org.ManagementAccount)}
	for _, id := range administrators(org) {
		all = append(all, id)
	}
	return all
}

func decides(org *v1alpha1.AWSOrganizationSpec, account string) bool {
	return slices.Contains(deciders(org), account)
}

// there says whether the account is one of ours.
func (r *EventReceiver) there(ctx context.Context, account string) bool {
	var a v1alpha1.AWSAccount
	return r.Client.Get(ctx, client.ObjectKey{Name: account}, &a) == nil
}

// forgottenAfter is how old an event may be to be judged: request ids are kept for an hour.
const forgottenAfter = 55 * time.Minute

// mine says whether an event tells of a call of this manager's own. A call by its roles that is not raises an alarm, and is
// looked into like any other.
func (r *EventReceiver) mine(ctx context.Context, org *v1alpha1.AWSOrganization, e *cloud.Event) bool {
	if e.Role == "" {
		return false
	}
	if r.Own.Own(e.RequestID) {
		return true
	}
	a, role := r.ownRole(ctx, org, e.Role)
	if a == nil {
		return false
	}
	if r.byEnforcer(ctx, org, e, role) {
		r.Record.UnjudgedUseOfRole()
		return false
	}
	if !r.judges(e, role) {
		return false
	}
	r.Record.UnexpectedUseOfRole(a, e)
	return false
}

// judges says whether it is known of an event by one of Plumbline's roles that it is not the manager's own.
func (r *EventReceiver) judges(e *cloud.Event, role string) bool {
	switch {
	case e.Through != "":
		return false // a service did it for a call that has an event of its own, and a request id
	case e.Time.Before(r.Own.OwnSince()), r.Clock().Sub(e.Time) > forgottenAfter:
		r.Record.UnjudgedUseOfRole()
		return false
	case e.ReadOnly && role == roleAudit && !r.Own.ReadsKnown():
		r.Record.UnjudgedUseOfRole()
		return false
	}
	return !r.Own.MayBeOwn(e.Account, e.Source, e.Time)
}

// byEnforcer says whether a call may be the enforcer's: where hands are separate, this process knows nothing of its requests, but of
// what was handed over to it. It writes in that account or in one that administers a service, and reads in others as well.
func (r *EventReceiver) byEnforcer(ctx context.Context, org *v1alpha1.AWSOrganization, e *cloud.Event, role string) bool {
	if !r.Accounts.Remediations.observes() {
		return false
	}
	var all v1alpha1.RemediationList
	options := []client.ListOption{client.UnsafeDisableDeepCopy}
	if role == roleEnforce && !decides(&org.Spec, e.Account) {
		options = append(options, client.MatchingFields{accountIndex: e.Account})
	}
	if err := r.Client.List(ctx, &all, options...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing remediations")
		return true // it is not known
	}
	return slices.ContainsFunc(all.Items, func(rem v1alpha1.Remediation) bool { return madeByEnforcer(&rem, e.Time) })
}

const (
	roleAudit   = "audit"
	roleEnforce = "enforce"
)

// ownRole is the account whose audit or enforce role an ARN is, and which of the two; nil when it is neither. A role that is
// taken from ACK is used by others as well.
func (r *EventReceiver) ownRole(ctx context.Context, org *v1alpha1.AWSOrganization, arn string) (*v1alpha1.AWSAccount, string) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return nil, ""
	}
	var a v1alpha1.AWSAccount
	if err := r.Client.Get(ctx, client.ObjectKey{Name: parts[4]}, &a); err != nil {
		if !apierrors.IsNotFound(err) {
			ctrl.LoggerFrom(ctx).Error(err, "looking up the account of an event")
		}
		return nil, ""
	}
	entry, err := r.Accounts.Entry(org, a.Name, a.Spec.Roles)
	switch {
	case err != nil:
		return nil, ""
	case arn == entry.EnforceRole:
		return &a, roleEnforce
	case arn == entry.AuditRole && !a.Spec.Roles.AuditFromACK:
		return &a, roleAudit
	}
	return nil, ""
}

// mayBeOwnRole says whether an ARN may be that of one of Plumbline's roles, before more is asked.
func (r *EventReceiver) mayBeOwnRole(arn string) bool {
	ctx := context.Background() // the cache answers
	org, err := theOrganization(ctx, r.Client)
	if err != nil {
		return true // whoever is asked next knows more
	}
	a, _ := r.ownRole(ctx, org, arn)
	return a != nil
}

// hear marks an account and queues it.
func (r *AccountReconciler) hear(account string, m *mark) {
	r.begin()
	r.marks.add(account, m)
	r.urgency.ask(byEvent, account)
}
