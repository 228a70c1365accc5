package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

const (
	rootOU      = "r-ab12"
	workloadsOU = "ou-ab12-11111111"
	prodOU      = "ou-ab12-22222222"
)

func memberOf(id string, ous ...string) cloud.Member {
	return cloud.Member{ID: id, Name: "name of " + id, Email: id + "@example.com", State: "ACTIVE", OUs: append([]string{rootOU}, ous...), Path: "Root/Workloads"}
}

func (c *cluster) organizationOf(all ...cloud.Member) {
	c.read = &cloud.Organization{ID: "o-example", ManagementAccount: management, Members: append(all, memberOf(management))}
}

// discover is one discovery; it returns Ready's reason and message, and when it comes back.
func (c *cluster) discover() (reason, message string, again time.Duration) {
	c.Helper()
	r, err := c.organizations.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: "acme"}})
	if err != nil {
		c.Fatal(err)
	}
	ready := findCondition(reload(c, "acme", &v1alpha1.AWSOrganization{}).Status.Conditions, v1alpha1.ConditionReady)
	return ready.Reason, ready.Message, r.RequeueAfter
}

func (c *cluster) discovered(want string) {
	c.Helper()
	if reason, message, _ := c.discover(); reason != want {
		c.Errorf("Ready is %s (%s), want %s", reason, message, want)
	}
}

func (c *cluster) conflict() string {
	c.Helper()
	if x := findCondition(reload(c, "acme", &v1alpha1.AWSOrganization{}).Status.Conditions, v1alpha1.ConditionLabelConflict); x != nil {
		return x.Message
	}
	return ""
}

func (c *cluster) ids() []string {
	c.Helper()
	var all v1alpha1.AWSAccountList
	if err := c.List(c.ctx, &all); err != nil {
		c.Fatal(err)
	}
	var ids []string
	for _, a := range all.Items {
		ids = append(ids, a.Name)
	}
	return sorted(ids)
}

func TestDiscoveryWritesMetadataOnlyAndOnlyOnce(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	one := memberOf(member, workloadsOU, prodOU)
	one.JoinedAt = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	c.organizationOf(one)
	c.discovered(v1alpha1.ReasonSucceeded)
	a := c.account(member)
	same(t, "labels", map[string]string{
		v1alpha1.LabelOrganization: "acme", v1alpha1.LabelOUPrefix + rootOU: "", v1alpha1.LabelOUPrefix + workloadsOU: "", v1alpha1.LabelOUPrefix + prodOU: "",
	}, a.Labels)
	same(t, "annotations", map[string]string{
		v1alpha1.AnnotationName: "name of " + member, v1alpha1.AnnotationOUPath: "Root/Workloads", v1alpha1.AnnotationState: "ACTIVE",
		v1alpha1.AnnotationJoinedAt: "2025-01-01T00:00:00Z",
	}, a.Annotations)
	same(t, "spec", v1alpha1.AWSAccountSpec{}, a.Spec)
	same(t, "the e-mail address is in memory only", member+"@example.com", c.organizations.Directory.member(member).Email)
	same(t, "status", v1alpha1.AWSOrganizationStatus{ObservedGeneration: 1, OrganizationID: "o-example", Accounts: 2},
		withoutConditions(reload(c, "acme", &v1alpha1.AWSOrganization{}).Status))

	c.later(time.Minute)
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "a second discovery writes nothing", a.ResourceVersion, c.account(member).ResourceVersion)

	moved := memberOf(member, "ou-ab12-33333333")
	moved.JoinedAt = one.JoinedAt
	c.organizationOf(moved)
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "an account that was moved", []string{v1alpha1.LabelOUPrefix + "ou-ab12-33333333", v1alpha1.LabelOUPrefix + rootOU, v1alpha1.LabelOrganization},
		slices.Sorted(maps.Keys(c.account(member).Labels)))
	same(t, "events of three discoveries", 1, len(c.heard()))
}

func withoutConditions(s v1alpha1.AWSOrganizationStatus) v1alpha1.AWSOrganizationStatus {
	s.Conditions, s.LastDiscoveredTime = nil, nil
	return s
}

func TestWhatAPersonDeclaresStaysTheirs(t *testing.T) {
	c := newCluster(t)
	org := organization()
	org.Spec.TagLabels = []string{"tier"}
	byHand := anAccount(member)
	byHand.Labels = map[string]string{"frontend.tier": "web", "tier": "mine", v1alpha1.LabelOUPrefix + prodOU: "mine", "team": "pay"}
	byHand.Annotations = map[string]string{v1alpha1.AnnotationName: "our name"}
	byHand.Spec.Regions = &v1alpha1.RegionSelector{Include: []v1alpha1.Region{ireland}}
	c.create(org, byHand, anAccount(otherOne))
	c.organizations.Tags = func(context.Context, cloud.Account, string) (map[string]string, error) {
		return map[string]string{"tier": "prod"}, nil
	}
	c.organizationOf(memberOf(member, prodOU))
	c.discovered(v1alpha1.ReasonSucceeded)
	a := c.account(member)
	same(t, "labels", map[string]string{
		"frontend.tier": "web", "tier": "mine", v1alpha1.LabelOUPrefix + prodOU: "mine", "team": "pay",
		v1alpha1.LabelOrganization: "acme", v1alpha1.LabelOUPrefix + rootOU: "",
	}, a.Labels)
	same(t, "name and state", []string{"our name", "ACTIVE"}, []string{a.Annotations[v1alpha1.AnnotationName], a.Annotations[v1alpha1.AnnotationState]})
	same(t, "spec", byHand.Spec, a.Spec)
	message := c.conflict()
	for _, part := range []string{member + ": tier", member + ": " + v1alpha1.LabelOUPrefix + prodOU, member + ": " + v1alpha1.AnnotationName} {
		if !strings.Contains(message, part) {
			t.Errorf("%q does not name %s", message, part)
		}
	}
	if strings.Contains(message, "frontend") {
		t.Errorf("%q names what is not discovery's", message)
	}
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "the next discovery says the same", message, c.conflict())
	same(t, "and writes nothing", a.ResourceVersion, c.account(member).ResourceVersion)
	same(t, "an account that is no member and was made by hand is left alone", map[string]string(nil), c.account(otherOne).Labels)

	change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) {
		delete(a.Labels, "tier")
		delete(a.Labels, v1alpha1.LabelOUPrefix+prodOU)
		delete(a.Annotations, v1alpha1.AnnotationName)
	})
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "what they give up is discovery's", []string{"prod", "name of " + member},
		[]string{c.account(member).Labels["tier"], c.account(member).Annotations[v1alpha1.AnnotationName]})
	same(t, "conflict", "", c.conflict())
}

func TestAListThatCannotBeRightIsNotActedOn(t *testing.T) {
	crowd := func(n int) []cloud.Member {
		var all []cloud.Member
		for i := range n {
			all = append(all, memberOf(fmt.Sprintf("30000000%04d", i)))
		}
		return all
	}
	for name, tc := range map[string]struct {
		before int
		read   func(c *cluster)
		reason string
		left   int
	}{
		"empty": {7, func(c *cluster) { c.read = &cloud.Organization{ID: "o-example", ManagementAccount: management} }, v1alpha1.ReasonDiscoveryRefused, 0},
		"of another organization": {7, func(c *cluster) {
			c.organizationOf(crowd(7)...)
			c.read.ManagementAccount = "999999999999"
		}, v1alpha1.ReasonDiscoveryRefused, 0},
		"of nobody knows which organization": {7, func(c *cluster) {
			c.organizationOf(crowd(7)...)
			c.read.ManagementAccount = ""
		}, v1alpha1.ReasonDiscoveryRefused, 0},
		"without the management account": {7, func(c *cluster) {
			c.organizationOf()
			c.read.Members = crowd(7)
		}, v1alpha1.ReasonDiscoveryRefused, 0},
		"that cannot be read":          {7, func(c *cluster) { c.readErr = errors.New("reset") }, v1alpha1.ReasonDiscoveryFailed, 0},
		"with six accounts less":       {7, func(c *cluster) { c.organizationOf(crowd(1)...) }, v1alpha1.ReasonDiscoveryRefused, 0},
		"five accounts may leave":      {7, func(c *cluster) { c.organizationOf(crowd(2)...) }, v1alpha1.ReasonSucceeded, 5},
		"six of 300, which are 2 %":    {299, func(c *cluster) { c.organizationOf(crowd(293)...) }, v1alpha1.ReasonSucceeded, 6},
		"seven of 300, which are more": {299, func(c *cluster) { c.organizationOf(crowd(292)...) }, v1alpha1.ReasonDiscoveryRefused, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.create(organization())
			c.organizationOf(crowd(tc.before)...)
			c.discovered(v1alpha1.ReasonSucceeded)
			c.later(time.Minute)
			tc.read(c)
			c.discovered(tc.reason)
			var all v1alpha1.AWSAccountList
			if err := c.List(c.ctx, &all); err != nil {
				t.Fatal(err)
			}
			left := 0
			for _, a := range all.Items {
				if a.Annotations[v1alpha1.AnnotationState] == stateLeft {
					left++
				}
			}
			same(t, "accounts", tc.before+1, len(all.Items))
			same(t, "left", tc.left, left)
			if tc.reason != v1alpha1.ReasonSucceeded {
				same(t, "what is known of members", crowd(1)[0].Email, c.organizations.Directory.member(crowd(1)[0].ID).Email)
			}
		})
	}
}

// Accounts that left long ago do not make a loss look small.
func TestOnlyAccountsThatAreThereCountAgainstALoss(t *testing.T) {
	d := &discovery{org: organization(), read: &cloud.Organization{ManagementAccount: management, Members: []cloud.Member{memberOf(management)}}, known: map[string]*metav1.PartialObjectMetadata{}}
	for i := range 400 {
		a := &metav1.PartialObjectMetadata{}
		a.Name, a.Labels, a.Annotations = fmt.Sprint(i), map[string]string{v1alpha1.LabelOrganization: "acme"}, map[string]string{v1alpha1.AnnotationState: "ACTIVE"}
		if i >= 200 {
			a.Annotations[v1alpha1.AnnotationState] = stateLeft
		}
		d.known[a.Name] = a
		if i < 6 || i >= 200 {
			d.vanished = append(d.vanished, a)
		}
	}
	if why := d.refuse(); !strings.HasPrefix(why, "6 of 200 accounts would have left at once") {
		t.Errorf("why: %q", why)
	}
}

func TestAnAccountThatLeftAndComesBack(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	joined := memberOf(member, prodOU)
	joined.JoinedAt = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	c.organizationOf(joined)
	c.discovered(v1alpha1.ReasonSucceeded)
	c.organizationOf()
	c.discovered(v1alpha1.ReasonSucceeded)
	a := c.account(member)
	same(t, "labels of one that left", map[string]string{v1alpha1.LabelOrganization: "acme"}, a.Labels)
	same(t, "annotations of one that left", map[string]string{
		v1alpha1.AnnotationState: stateLeft, v1alpha1.AnnotationName: "name of " + member, v1alpha1.AnnotationJoinedAt: "2025-01-01T00:00:00Z",
	}, a.Annotations)
	same(t, "left", int32(1), reload(c, "acme", &v1alpha1.AWSOrganization{}).Status.Left)
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "nothing is written again", a.ResourceVersion, c.account(member).ResourceVersion)
	c.organizationOf(joined)
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "back", "ACTIVE", c.account(member).Annotations[v1alpha1.AnnotationState])
	same(t, "left", int32(0), reload(c, "acme", &v1alpha1.AWSOrganization{}).Status.Left)
}

func TestIncludeAndExclude(t *testing.T) {
	c := newCluster(t)
	org := organization()
	org.Spec.Discovery = v1alpha1.Discovery{Include: []v1alpha1.AccountID{member, otherOne}, Exclude: []v1alpha1.AccountID{otherOne}}
	c.create(org)
	c.organizationOf(memberOf(member), memberOf(otherOne), memberOf(admin))
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "taken in", []string{member}, c.ids())
	change(c, "acme", &v1alpha1.AWSOrganization{}, func(o *v1alpha1.AWSOrganization) {
		o.Spec.Discovery = v1alpha1.Discovery{Exclude: []v1alpha1.AccountID{member}}
	})
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "taken in", []string{member, management, admin, otherOne}, c.ids())
	same(t, "one that is excluded later is worked on no more", stateExcluded, c.account(member).Annotations[v1alpha1.AnnotationState])
	c.organizationOf(memberOf(otherOne), memberOf(admin))
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "one that is excluded and leaves has", stateLeft, c.account(member).Annotations[v1alpha1.AnnotationState])
	if err := c.Delete(c.ctx, anAccount(member)); err != nil {
		t.Fatal(err)
	}
	c.organizationOf(memberOf(member), memberOf(otherOne), memberOf(admin))
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "one that was deleted and is excluded stays away", []string{management, admin, otherOne}, c.ids())
}

func TestGarbageInAListKeepsNobodyOut(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	odd := memberOf(otherOne, "ou with spaces")
	odd.Name, odd.State = "a\nname\u202e", "SOMETHING_NEW"
	c.organizationOf(memberOf("no id"), memberOf(""), odd, memberOf(member))
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "accounts", []string{member, management, otherOne}, c.ids())
	same(t, "the name", "a name ", c.account(otherOne).Annotations[v1alpha1.AnnotationName])
	message := c.conflict()
	for _, part := range []string{"no id (no account id)", otherOne + ": OU ou with spaces"} {
		if !strings.Contains(message, part) {
			t.Errorf("%q does not name %s", message, part)
		}
	}
	status := reload(c, "acme", &v1alpha1.AWSOrganization{}).Status
	same(t, "counts", []int32{2, 1, 0}, []int32{status.Accounts, status.Suspended, status.Left})
}

func TestAnAccountWhosePlaceIsNotFoundStaysWhereItWas(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	c.organizationOf(memberOf(member, prodOU))
	c.discovered(v1alpha1.ReasonSucceeded)
	lost := memberOf(member)
	lost.OUs, lost.Path = nil, ""
	c.organizationOf(lost)
	c.discovered(v1alpha1.ReasonSucceeded)
	a := c.account(member)
	if _, in := a.Labels[v1alpha1.LabelOUPrefix+prodOU]; !in || a.Annotations[v1alpha1.AnnotationOUPath] != "Root/Workloads" {
		t.Errorf("labels %v, path %q", a.Labels, a.Annotations[v1alpha1.AnnotationOUPath])
	}
	if m := c.conflict(); !strings.Contains(m, member+": its OU was not found") {
		t.Errorf("conflict: %q", m)
	}
}

func TestTags(t *testing.T) {
	c := newCluster(t)
	org := organization()
	org.Spec.TagLabels = []string{"tier", "team"}
	c.create(org)
	c.organizationOf(memberOf(member))
	tags, asked, failing := map[string]string{"tier": "prod", "team": "pay & web", "other": "x"}, 0, error(nil)
	c.organizations.Tags = func(_ context.Context, _ cloud.Account, id string) (map[string]string, error) {
		if id == member {
			asked++
		}
		return maps.Clone(tags), failing
	}
	tier := func(want string) {
		t.Helper()
		c.discovered(v1alpha1.ReasonSucceeded)
		same(t, "tier", want, c.account(member).Labels["tier"])
	}
	tier("prod")
	if m := c.conflict(); !strings.Contains(m, member+": tag team") {
		t.Errorf("a tag that is no label: %q", m)
	}
	tags["tier"] = "dev"
	c.later(23 * time.Hour)
	tier("prod")
	same(t, "asked within a day", 1, asked)
	c.later(time.Hour)
	tier("dev")
	same(t, "asked after a day", 2, asked)

	failing = &control.CallError{Action: "organizations:ListTagsForResource", Role: "the role", Err: apiError{"TooManyRequestsException", "slow down"}}
	c.later(24 * time.Hour)
	tier("dev")
	c.organizations.tags = tagCache{} // a restart
	tier("dev")
	if m := c.conflict(); !strings.Contains(m, member+": tags: TooManyRequestsException") {
		t.Errorf("tags that cannot be read: %q", m)
	}
	failing = nil
	delete(tags, "tier")
	tier("")
	if _, there := c.account(member).Labels["tier"]; there {
		t.Error("a tag that is gone is still a label")
	}
}

func TestASecondOrganizationWaitsForTheFirstToGo(t *testing.T) {
	c := newCluster(t)
	second := organization()
	second.Name = "second"
	c.create(organization())
	time.Sleep(1100 * time.Millisecond) // creation times have seconds
	c.create(second)
	c.organizationOf(memberOf(member))
	c.discovered(v1alpha1.ReasonSucceeded)
	of := func() (string, time.Duration) {
		t.Helper()
		r, err := c.organizations.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: "second"}})
		if err != nil {
			t.Fatal(err)
		}
		return findCondition(reload(c, "second", &v1alpha1.AWSOrganization{}).Status.Conditions, v1alpha1.ConditionReady).Reason, r.RequeueAfter
	}
	reason, again := of()
	same(t, "reason", v1alpha1.ReasonOneOrganizationOnly, reason)
	same(t, "it looks again", discoveryRetry, again)
	done := 0
	c.organizations.hear(func() { done++ }, &cloud.Event{Source: "organizations", Name: "MoveAccount"})
	of()
	same(t, "events that end with it", 0, done)
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "events that end with the first", 1, done)
	if err := c.Delete(c.ctx, organization()); err != nil {
		t.Fatal(err)
	}
	reason, _ = of()
	same(t, "reason once it is alone", v1alpha1.ReasonSucceeded, reason)
	same(t, "whose the account is", "second", c.account(member).Labels[v1alpha1.LabelOrganization])
}

func TestADiscoveryIsNotMadeTwiceForAConflict(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	c.organizationOf(memberOf(member))
	reads, conflicts := 0, 0
	read := c.organizations.Read
	c.organizations.Read = func(ctx context.Context, from cloud.Account) (*cloud.Organization, error) {
		reads++
		return read(ctx, from)
	}
	c.before = func(client.Object) error {
		if conflicts++; conflicts == 1 {
			change(c, "acme", &v1alpha1.AWSOrganization{}, func(o *v1alpha1.AWSOrganization) { metav1.SetMetaDataAnnotation(&o.ObjectMeta, "someone", "x") })
		}
		return nil
	}
	c.discovered(v1alpha1.ReasonSucceeded)
	same(t, "reads", 1, reads)
	same(t, "writes", 2, conflicts)
}

func TestWhyADiscoveryFailed(t *testing.T) {
	c := newCluster(t)
	c.create(organization())
	c.readErr = fmt.Errorf("listing accounts: %w", &control.CallError{
		Service: "Organizations", Operation: "ListAccounts", Action: "organizations:ListAccounts", Role: roleIn(management, "Audit"), Err: apiError{"AccessDeniedException", "no"},
	})
	reason, message, again := c.discover()
	same(t, "reason", v1alpha1.ReasonDiscoveryFailed, reason)
	same(t, "message", "the organization cannot be read: AccessDeniedException: no — allow organizations:ListAccounts to "+roleIn(management, "Audit")+
		" (config/iam), and see whether the resource's own policy refuses it", message)
	same(t, "it is tried again", discoveryRetry, again)
	same(t, "events", 1, len(c.heard()))
	c.later(time.Minute)
	c.discover()
	same(t, "events of a second failure", 0, len(c.heard()))
}
