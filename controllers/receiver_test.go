package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// ownCalls are what a test says the manager has called.
type ownCalls struct {
	ids        []string
	since      time.Time
	unanswered string
	noReads    bool
}

func (o *ownCalls) Own(id string) bool                          { return slices.Contains(o.ids, id) }
func (o *ownCalls) OwnSince() time.Time                         { return o.since }
func (o *ownCalls) MayBeOwn(a, source string, _ time.Time) bool { return o.unanswered == a+" "+source }
func (o *ownCalls) ReadsKnown() bool                            { return !o.noReads }

// silence is a source of nothing.
type silence struct{}

func (silence) Run(ctx context.Context, _ func(context.Context, cloud.Delivery)) error {
	<-ctx.Done()
	return nil
}
func (silence) Health() (time.Time, error) { return time.Time{}, nil }

// receiver is a receiver over the cluster's reconcilers, with what it is told to have called.
func (c *cluster) receiver() (*EventReceiver, *ownCalls) {
	own := &ownCalls{since: c.now.Add(-time.Hour)}
	flow := NewFlow(EventGrace, c.clock)
	c.accounts.Flow, c.organizations.Flow, flow.changed = flow, flow, c.organizations.flowChanged
	r := &EventReceiver{
		Client: c, Source: silence{}, Accounts: c.accounts, Organization: c.organizations, Record: c.accounts.Record, Own: own,
		Flow: flow, Clock: c.clock, declared: declaredEvents(c.accounts.Kinds),
	}
	c.accounts.begin()
	return r, own
}

// offEvent is the event of somebody who turned EBS encryption by default off.
func (c *cluster) offEvent(change ...func(*cloud.Event)) cloud.Event {
	e := cloud.Event{
		ID: "1", Source: "ec2", Name: "DisableEbsEncryptionByDefault", Account: member, Region: ireland, Time: c.now.Add(-time.Minute),
		Actor: "assumed-role/Admin/alice", RequestID: "r-1",
	}
	for _, f := range change {
		f(&e)
	}
	return e
}

func TestWhoseEventsAreLookedInto(t *testing.T) {
	enforce := "arn:aws:iam::" + member + ":role/plumbline/PlumblineEnforce"
	audit := "arn:aws:iam::" + member + ":role/plumbline/PlumblineAudit"
	with := func(role string, more ...func(*cloud.Event)) func(*cloud.Event) {
		return func(e *cloud.Event) {
			e.Role = role
			for _, f := range more {
				f(e)
			}
		}
	}
	type outcome struct {
		Marked, Alarm bool
	}
	for name, tc := range map[string]struct {
		event func(*cloud.Event)
		own   ownCalls
		want  outcome
	}{
		"somebody's":                     {func(*cloud.Event) {}, ownCalls{}, outcome{Marked: true}},
		"that failed":                    {func(e *cloud.Event) { e.ErrorCode = "AccessDenied" }, ownCalls{}, outcome{}},
		"that only reads":                {func(e *cloud.Event) { e.ReadOnly = true }, ownCalls{}, outcome{}},
		"of an account that is not ours": {func(e *cloud.Event) { e.Account = "999900001111" }, ownCalls{}, outcome{}},
		"its own":                        {with(enforce), ownCalls{ids: []string{"r-1"}}, outcome{}},
		"of its role, and not its own":   {with(enforce), ownCalls{ids: []string{"r-2"}}, outcome{Marked: true, Alarm: true}},
		"of its role, refused":           {with(enforce, func(e *cloud.Event) { e.ErrorCode = "AccessDenied" }), ownCalls{}, outcome{Alarm: true}},
		"of its audit role, that writes": {with(audit), ownCalls{}, outcome{Marked: true, Alarm: true}},
		"of its audit role, that reads":  {with(audit, func(e *cloud.Event) { e.ReadOnly = true }), ownCalls{}, outcome{Alarm: true}},
		"of its audit role, that reads, while too many reads are under way to know them": {
			with(audit, func(e *cloud.Event) { e.ReadOnly = true }), ownCalls{noReads: true}, outcome{},
		},
		"of its role, when a call had no answer": {with(enforce), ownCalls{unanswered: member + " ec2"}, outcome{Marked: true}},
		"of its role, before this manager led": {
			with(enforce, func(e *cloud.Event) { e.Time = e.Time.Add(-2 * time.Hour) }), ownCalls{}, outcome{Marked: true},
		},
		"of a role with the same name elsewhere": {with("arn:aws:iam::" + member + ":role/other/PlumblineEnforce"), ownCalls{}, outcome{Marked: true}},
		"with a role that is no ARN":             {with("::::"), ownCalls{}, outcome{Marked: true}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.create(organization(), anAccount(member))
			r, own := c.receiver()
			since := own.since
			*own = tc.own
			own.since = since
			done := 0
			r.deliver(c.ctx, cloud.Delivery{Events: []cloud.Event{c.offEvent(tc.event)}, Done: func() { done++ }})
			alarm := slices.ContainsFunc(c.heard(), func(e string) bool { return strings.Contains(e, "UnexpectedUseOfRole") })
			same(t, "what came of it", tc.want, outcome{Marked: c.accounts.marks.open() == 1, Alarm: alarm})
			same(t, "done at once", !tc.want.Marked, done == 1)
		})
	}
}

func TestAnEventOfTheAdministratorConcernsTheAccountsItNames(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), anAccount(member), anAccount(otherOne), anAccount(admin))
	r, _ := c.receiver()
	done := 0
	event := c.offEvent(func(e *cloud.Event) {
		e.Source, e.Name, e.Account, e.Accounts = "guardduty", "UpdateMemberDetectors", admin, []string{member, "999900001111"}
	})
	r.deliver(c.ctx, cloud.Delivery{Events: []cloud.Event{event}, Done: func() { done++ }})
	marked := func(id string) bool { open, _ := c.accounts.marks.of(id, c.now); return len(open) > 0 }
	same(t, "marked", []bool{true, false, true}, []bool{marked(member), marked(otherOne), marked(admin)})
	c.accounts.marks.forget(member)
	same(t, "done with the first", 0, done)
	c.accounts.marks.forget(admin)
	same(t, "done with the last", 1, done)
}

func TestAMemberMakesNoOtherAccountDueByNamingIt(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), anAccount(member), anAccount(otherOne))
	r, _ := c.receiver()
	event := c.offEvent(func(e *cloud.Event) { e.Source, e.Name, e.Accounts = "guardduty", "CreateMembers", []string{otherOne} })
	r.deliver(c.ctx, cloud.Delivery{Events: []cloud.Event{event}, Done: func() {}})
	open, _ := c.accounts.marks.of(otherOne, c.now)
	same(t, "marked", 0, len(open))
}

func TestAnAccountThatIsNotWorkedOnEndsItsEvents(t *testing.T) {
	for name, prepare := range map[string]func(*cluster){
		"without an organization": func(c *cluster) { c.create(anAccount(member)) },
		"deleted":                 func(c *cluster) { c.create(organization()) },
		"suspended": func(c *cluster) {
			a := anAccount(member)
			a.Annotations = map[string]string{v1alpha1.AnnotationState: "SUSPENDED"}
			c.create(organization(), a)
		},
		"not to be entered": func(c *cluster) {
			c.create(organization(), anAccount(member), encryptionBaseline(v1alpha1.ModeAudit))
			c.aws.DenyRole("arn:aws:iam::"+member+":role/plumbline/PlumblineAudit", errors.New("no"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			prepare(c)
			c.accounts.begin()
			done := 0
			c.accounts.hear(member, &mark{Event: c.offEvent(), received: c.now, done: func() { done++ }})
			c.pass(member)
			same(t, "events ended", 1, done)
		})
	}
}

func TestWhatHappenedWhileThereWasNoOrganizationIsFoundOnceThereIs(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), anAccount(member), encryptionBaseline(v1alpha1.ModeAudit))
	c.pass(member)
	c.later(time.Minute)
	if err := c.Delete(c.ctx, organization()); err != nil {
		t.Fatal(err)
	}
	c.off[member+" "+ireland] = true
	c.accounts.hear(member, &mark{Event: c.offEvent(), received: c.now, done: func() {}})
	c.pass(member)
	c.later(time.Minute)
	c.create(organization())
	c.pass(member)
	c.state(member, "Drifted 1/2")
}

func TestAnEventIsLookedIntoAndNothingElse(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), anAccount(member), encryptionBaseline(v1alpha1.ModeAudit))
	c.pass(member)
	c.calls()
	r, _ := c.receiver()
	done := 0
	c.off[member+" "+ireland] = true
	c.later(time.Minute)
	r.deliver(c.ctx, cloud.Delivery{Events: []cloud.Event{c.offEvent()}, Done: func() { done++ }})
	c.pass(member)
	same(t, "calls", []string{"GetEbsEncryptionByDefault " + ireland}, c.calls())
	row := c.account(member).Status.Drift[0]
	same(t, "the row", []string{"assumed-role/Admin/alice", "DisableEbsEncryptionByDefault"}, []string{row.By, row.Event})
	same(t, "events ended", 1, done)
}

func TestARequestForTheAccountAndNoneForABaselineEndsAContest(t *testing.T) {
	c := newCluster(t)
	c.create(organization(), anAccount(member), encryptionBaseline(v1alpha1.ModeEnforce))
	contested := func() bool {
		c.off[member+" "+ireland] = true
		c.accounts.hear(member, &mark{Event: c.offEvent(), received: c.now, done: func() {}})
		c.pass(member)
		rows := c.account(member).Status.Drift
		return len(rows) > 0 && rows[0].Reason == v1alpha1.RowContested
	}
	same(t, "four times", []bool{false, false, false, true}, []bool{contested(), contested(), contested(), contested()})
	change(c, "organization", &v1alpha1.EncryptionBaseline{}, func(b *v1alpha1.EncryptionBaseline) {
		metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationReconcileRequestedAt, "now")
	})
	same(t, "after a request for the baseline", true, contested())
	change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) {
		metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1alpha1.AnnotationReconcileRequestedAt, "now")
	})
	same(t, "after one for the account", []bool{false, false, false, true}, []bool{contested(), contested(), contested(), contested()})
}

func TestEventsOfTheOrganizationHaveItReadAgain(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	c.organizationOf(memberOf(member))
	c.discovered(v1alpha1.ReasonSucceeded)
	r, _ := c.receiver()
	done := 0
	moved := c.offEvent(func(e *cloud.Event) { e.Source, e.Name, e.Account = "organizations", "MoveAccount", management })
	r.deliver(c.ctx, cloud.Delivery{Events: []cloud.Event{moved}, Done: func() { done++ }})
	same(t, "done before the organization was read", 0, done)
	c.readErr = errors.New("no")
	c.discover()
	c.readErr = nil
	c.organizationOf(memberOf(member), memberOf(otherOne))
	r.deliver(c.ctx, cloud.Delivery{Events: []cloud.Event{moved}, Done: func() { done++ }})
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "accounts", []string{member, management, otherOne}, c.ids())
	same(t, "done", 2, done)
}

func TestTheOrganizationSaysWhetherEventsArriveWithoutBeingReadForIt(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	c.organizationOf(memberOf(member))
	r, _ := c.receiver()
	reads := 0
	read := c.organizations.Read
	c.organizations.Read = func(ctx context.Context, from cloud.Account) (*cloud.Organization, error) {
		reads++
		return read(ctx, from)
	}
	said := func() string {
		if _, err := c.organizations.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: "acme"}}); err != nil {
			t.Fatal(err)
		}
		is := findCondition(reload(c, "acme", &v1alpha1.AWSOrganization{}).Status.Conditions, v1alpha1.ConditionEventsFlowing)
		if is == nil {
			return ""
		}
		return string(is.Status) + " " + is.Reason
	}
	said()
	r.Flow.settle(nil)
	same(t, "the condition", "Unknown NoEventsYet", said())
	r.Flow.settle(errors.New("no such queue"))
	same(t, "the condition", "False QueueUnreadable", said())
	same(t, "how often the organization was read", 1, reads)
	c.organizations.Flow = nil
	same(t, "the condition of a manager without a queue", "", said())
}

func TestTheOrganizationAnswersWhoAsksForIt(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	c.organizationOf(memberOf(member))
	c.discover()
	change(c, "acme", &v1alpha1.AWSOrganization{}, func(o *v1alpha1.AWSOrganization) {
		o.Annotations = map[string]string{v1alpha1.AnnotationReconcileRequestedAt: "now"}
	})
	c.readErr = errors.New("no")
	c.discover()
	same(t, "answered though it could not be read", "", reload(c, "acme", &v1alpha1.AWSOrganization{}).Status.LastHandledReconcileAt)
	c.readErr = nil
	c.discover()
	same(t, "answered", "now", reload(c, "acme", &v1alpha1.AWSOrganization{}).Status.LastHandledReconcileAt)
}
