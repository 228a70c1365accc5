package controllers

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

func accountWith(labels ...string) *v1alpha1.AWSAccount {
	a := &v1alpha1.AWSAccount{ObjectMeta: metav1.ObjectMeta{Name: member, Labels: map[string]string{}}}
	for _, l := range labels {
		a.Labels[l] = ""
	}
	return a
}

func TestSelects(t *testing.T) {
	const ou = "ou-ab12-11111111"
	ids := func(all ...v1alpha1.AccountID) []v1alpha1.AccountID { return all }
	labelled := accountWith()
	labelled.Labels["tier"], labelled.Labels["team"] = "prod", "pay"
	for name, tc := range map[string]struct {
		selector *v1alpha1.AccountSelector
		account  *v1alpha1.AWSAccount
		want     bool
	}{
		"absent selects everybody":            {nil, accountWith(), true},
		"all":                                 {&v1alpha1.AccountSelector{All: true}, accountWith(), true},
		"the account's id":                    {&v1alpha1.AccountSelector{Include: ids(member)}, accountWith(), true},
		"another id":                          {&v1alpha1.AccountSelector{Include: ids(otherOne)}, accountWith(), false},
		"its OU or one above":                 {&v1alpha1.AccountSelector{OrganizationalUnits: []string{ou}}, accountWith(v1alpha1.LabelOUPrefix + ou), true},
		"another OU":                          {&v1alpha1.AccountSelector{OrganizationalUnits: []string{"ou-ab12-2222"}}, accountWith(v1alpha1.LabelOUPrefix + ou), false},
		"labels, all of them":                 {&v1alpha1.AccountSelector{MatchLabels: map[string]string{"tier": "prod", "team": "pay"}}, labelled, true},
		"labels, not all":                     {&v1alpha1.AccountSelector{MatchLabels: map[string]string{"tier": "prod", "team": "web"}}, labelled, false},
		"a label that is not there":           {&v1alpha1.AccountSelector{MatchLabels: map[string]string{"x": ""}}, labelled, false},
		"the ways are united":                 {&v1alpha1.AccountSelector{Include: ids(otherOne), MatchLabels: map[string]string{"tier": "prod"}}, labelled, true},
		"exclude wins over all":               {&v1alpha1.AccountSelector{All: true, Exclude: ids(member)}, accountWith(), false},
		"exclude wins over include":           {&v1alpha1.AccountSelector{Include: ids(member), Exclude: ids(member)}, accountWith(), false},
		"exclude alone selects the others":    {&v1alpha1.AccountSelector{Exclude: ids(otherOne)}, accountWith(), true},
		"exclude with another way selects it": {&v1alpha1.AccountSelector{Exclude: ids(admin), Include: ids(otherOne)}, accountWith(), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := selects(tc.selector, tc.account); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestGovernedRegions(t *testing.T) {
	regions := func(all ...v1alpha1.Region) *v1alpha1.RegionSelector { return &v1alpha1.RegionSelector{Include: all} }
	but := func(all ...v1alpha1.Region) *v1alpha1.RegionSelector { return &v1alpha1.RegionSelector{Exclude: all} }
	type got struct{ Regions, Unknown []string }
	for name, tc := range map[string]struct {
		organization      []v1alpha1.Region
		baseline, account *v1alpha1.RegionSelector
		want              got
	}{
		"every enabled region":                                {nil, nil, nil, got{[]string{frankfurt, ireland, virginia}, nil}},
		"the organization's, as far as they are enabled":      {[]v1alpha1.Region{ireland, "ap-east-1"}, nil, nil, got{[]string{ireland}, nil}},
		"the organization's, of which none is enabled":        {[]v1alpha1.Region{"eu-wst-1"}, nil, nil, got{nil, []string{"eu-wst-1"}}},
		"a baseline's own come before the organization's":     {[]v1alpha1.Region{ireland}, regions(virginia), nil, got{[]string{virginia}, nil}},
		"a baseline's that are not enabled are named":         {nil, regions(ireland, "ap-east-1"), nil, got{[]string{ireland}, []string{"ap-east-1"}}},
		"a baseline leaves some out":                          {nil, but(ireland), nil, got{[]string{frankfurt, virginia}, nil}},
		"an account leaves some out":                          {nil, nil, but(ireland), got{[]string{frankfurt, virginia}, nil}},
		"an account narrows after the baseline":               {nil, regions(ireland, virginia), regions(virginia, frankfurt), got{[]string{virginia}, nil}},
		"an account's that are not enabled are named":         {nil, nil, regions(ireland, "ap-east-1"), got{[]string{ireland}, []string{"ap-east-1"}}},
		"what is left out need not be enabled":                {nil, but("ap-east-1"), but("ap-east-2"), got{[]string{frankfurt, ireland, virginia}, nil}},
		"one that both name and nobody has is named but once": {nil, regions("ap-east-1"), regions("ap-east-1"), got{nil, []string{"ap-east-1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			a := accountWith()
			a.Spec.Regions = tc.account
			var g got
			g.Regions, g.Unknown = governedRegions(&v1alpha1.AWSOrganizationSpec{Regions: tc.organization}, &v1alpha1.BaselineSpec{Regions: tc.baseline}, a,
				[]string{frankfurt, ireland, virginia})
			same(t, "regions", tc.want, g)
		})
	}
}

func TestConcerns(t *testing.T) {
	s := newScene(t)
	spec := &v1alpha1.BaselineSpec{Accounts: &v1alpha1.AccountSelector{Include: []v1alpha1.AccountID{member}}}
	org := &v1alpha1.AWSOrganizationSpec{ManagementAccount: management, DelegatedAdministrators: v1alpha1.DelegatedAdministrators{GuardDuty: admin}}
	ofAdmin := s.control(trail, control.Organization, &on, false)
	ofAdmin.Administrator = "guardduty"
	ofNobody := s.control(trail, control.Organization, &on, false)
	ofNobody.Administrator = "cloudtrail"
	for name, tc := range map[string]struct {
		bound control.Bound
		want  []string
	}{
		"a control of the account: those selected":             {s.control(policy, control.Account, &on, false), []string{member}},
		"of the organization: the management account":          {s.control(trail, control.Organization, &on, false), []string{management}},
		"of the organization: the declared administrator":      {ofAdmin, []string{admin}},
		"of the organization: nobody is declared":              {ofNobody, []string{management}},
		"a control that the baseline does not declare: nobody": {s.control(flag, control.Region, nil, false), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, id := range []string{member, admin, management, otherOne} {
				a := accountWith()
				a.Name = id
				if concerns(org, spec, tc.bound, a) {
					got = append(got, id)
				}
			}
			same(t, "accounts", tc.want, got)
		})
	}
}

func TestAbsent(t *testing.T) {
	for state, want := range map[string]bool{"": false, "ACTIVE": false, stateLeft: true, "SUSPENDED": true, "PENDING_CLOSURE": true, "SOMETHING_NEW": true} {
		a := accountWith()
		a.Annotations = map[string]string{v1alpha1.AnnotationState: state}
		if got := absent(a); got != want {
			t.Errorf("an account that is %q is absent: %v", state, got)
		}
	}
}

func TestJoinedAt(t *testing.T) {
	a := accountWith()
	a.CreationTimestamp = metav1.NewTime(noon)
	a.Annotations = map[string]string{v1alpha1.AnnotationJoinedAt: "2025-01-01T00:00:00Z"}
	same(t, "as discovery wrote it", time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), joinedAt(a))
	a.Annotations[v1alpha1.AnnotationJoinedAt] = "last week"
	same(t, "what cannot be read", noon, joinedAt(a))
}

func TestPrecedence(t *testing.T) {
	s := newScene(t)
	var names []string
	all := []control.Baseline{}
	for name, priority := range map[string]int32{"b": 0, "a": 0, "z": 5, "y": -5, "min": -1000, "max": 1000} {
		all = append(all, s.baseline(name, func(b *v1alpha1.EncryptionBaselineSpec) { b.Priority = priority }))
	}
	slices.SortFunc(all, precedence)
	for _, b := range all {
		names = append(names, b.GetName())
	}
	same(t, "order", []string{"max", "z", "a", "b", "y", "min"}, names)
}

func TestARevisionIsAlsoOfTheControlsThatAreBound(t *testing.T) {
	s := newScene(t)
	before := revisionOf(s.kind(), s.baselines[0])
	s.version = 2
	if before == revisionOf(s.kind(), s.baselines[0]) {
		t.Error("a version that binds another control to a section has the same revision")
	}
}

// Every kind has a revision, whatever its controls make of its sections.
func TestRevisionsOfAllKinds(t *testing.T) {
	seen := map[string]string{}
	for _, k := range controls.Kinds() {
		r := revisionOf(k, k.New())
		if len(r) != 12 || r != revisionOf(k, k.New()) {
			t.Errorf("%s has the revision %q", k.Name, r)
		}
		seen[r] = k.Name
	}
	b := &v1alpha1.S3Baseline{}
	b.Spec.DefaultEncryption = &v1alpha1.DefaultEncryption{ControlSpec: on}
	for _, k := range controls.Kinds() {
		if k.Name != "S3Baseline" {
			continue
		}
		before := revisionOf(k, b)
		b.Spec.Buckets = &v1alpha1.BucketSelector{Include: []string{"logs-*"}}
		if before == revisionOf(k, b) {
			t.Error("a resource selector does not change the revision")
		}
	}
}

// What is made of a spec is made once, and again when the spec changes; what is not of the spec is always today's.
func TestWhatIsMadeOfASpecIsMadeOnce(t *testing.T) {
	s := newScene(t)
	made, k := 0, s.kind()
	controls := k.Controls
	k.Controls = func(b control.Baseline) []control.Bound { made++; return controls(b) }
	one := declare(k, s.baselines[0])
	each := made
	made = 0
	var kept declarations
	b := s.baselines[0].DeepCopyObject().(control.Baseline)
	b.SetUID("1")
	same(t, "revision", one.revision, kept.of(k, b).revision)
	b = b.DeepCopyObject().(control.Baseline)
	b.SetAnnotations(map[string]string{"a": "b"})
	same(t, "the object is the newer one", "b", kept.of(k, b).object.GetAnnotations()["a"])
	same(t, "made", each, made)
	b.SetGeneration(7)
	kept.of(k, b)
	same(t, "made after a change", 2*each, made)
	other := b.DeepCopyObject().(control.Baseline)
	other.SetUID("2")
	kept.of(k, other)
	kept.keepOnly([]declared{{object: other}})
	same(t, "kept", 1, len(kept.all))
}
