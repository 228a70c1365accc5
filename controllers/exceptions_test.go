package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestAnExceptionIsInForceFromItsBeginningUntilBeforeItsEnd(t *testing.T) {
	x := exception("x", noon, noon.Add(time.Hour), flag)
	endless := exception("x", noon, noon, flag)
	endless.Spec.Expires = nil
	type is struct {
		Active bool
		Turns  time.Time
	}
	for name, tc := range map[string]struct {
		x    *v1alpha1.BaselineException
		at   time.Time
		want is
	}{
		"a moment before it begins": {x, noon.Add(-1), is{false, noon}},
		"when it begins":            {x, noon, is{true, noon.Add(time.Hour)}},
		"a moment before it ends":   {x, noon.Add(time.Hour - 1), is{true, noon.Add(time.Hour)}},
		"when it ends":              {x, noon.Add(time.Hour), is{false, time.Time{}}},
		"one without an end":        {endless, noon.Add(time.Hour), is{false, time.Time{}}},
	} {
		t.Run(name, func(t *testing.T) {
			same(t, "the exception", tc.want, is{activeAt(tc.x, tc.at), nextTurn(tc.x, tc.at)})
		})
	}
}

func TestExcuse(t *testing.T) {
	const bucket = "arn:aws:s3:::acme-public-site"
	const ou = "ou-ab12-11111111"
	change := func(f func(*v1alpha1.BaselineExceptionSpec)) *v1alpha1.BaselineException {
		x := exception("x", noon, noon.Add(time.Hour), flag)
		f(&x.Spec)
		return x
	}
	later := exception("later", noon, noon.Add(2*time.Hour), flag)
	for name, tc := range map[string]struct {
		all          []*v1alpha1.BaselineException
		control      string
		notExcusable bool
		region       string
		want         string
	}{
		"the account":                 {[]*v1alpha1.BaselineException{change(func(*v1alpha1.BaselineExceptionSpec) {})}, flag, false, ireland, "x"},
		"another control":             {[]*v1alpha1.BaselineException{change(func(*v1alpha1.BaselineExceptionSpec) {})}, policy, false, ireland, ""},
		"another account":             {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Accounts.Include = []v1alpha1.AccountID{otherOne} })}, flag, false, ireland, ""},
		"its OU":                      {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Accounts = nil; s.OrganizationalUnits = []string{ou} })}, flag, false, ireland, "x"},
		"another OU":                  {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Accounts = nil; s.OrganizationalUnits = []string{"ou-x"} })}, flag, false, ireland, ""},
		"the region":                  {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Regions = []v1alpha1.Region{ireland} })}, flag, false, ireland, "x"},
		"another region":              {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Regions = []v1alpha1.Region{frankfurt} })}, flag, false, ireland, ""},
		"regions and a global check":  {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Regions = []v1alpha1.Region{ireland} })}, flag, false, global, ""},
		"the resource, by a glob":     {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Resources = []string{"arn:aws:s3:::acme-public-*"} })}, flag, false, ireland, "x"},
		"another resource":            {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Resources = []string{"arn:aws:s3:::acme-private-*"} })}, flag, false, ireland, ""},
		"resources of every account":  {[]*v1alpha1.BaselineException{change(func(s *v1alpha1.BaselineExceptionSpec) { s.Accounts = nil; s.Resources = []string{"arn:*"} })}, flag, false, ireland, "x"},
		"what cannot be excused":      {[]*v1alpha1.BaselineException{change(func(*v1alpha1.BaselineExceptionSpec) {})}, flag, true, ireland, ""},
		"the one that lasts longest":  {[]*v1alpha1.BaselineException{change(func(*v1alpha1.BaselineExceptionSpec) {}), later}, flag, false, ireland, "later"},
		"of two that last as long, a": {[]*v1alpha1.BaselineException{exception("b", noon, noon.Add(time.Hour), flag), exception("a", noon, noon.Add(time.Hour), flag)}, flag, false, ireland, "a"},
		"of two that last as long, b": {[]*v1alpha1.BaselineException{exception("a", noon, noon.Add(time.Hour), flag), exception("b", noon, noon.Add(time.Hour), flag)}, flag, false, ireland, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			by := ""
			if f := excuse(tc.all, &control.Meta{ID: tc.control, NotExcusable: tc.notExcusable}, tc.region, accountWith(v1alpha1.LabelOUPrefix+ou)); f != nil {
				by = f(bucket)
			}
			same(t, "excused by", tc.want, by)
		})
	}
}

func TestExceptionsHash(t *testing.T) {
	x, y := exception("x", noon, noon.Add(time.Hour), flag), exception("y", noon, noon.Add(time.Hour), policy)
	hash := func(all ...*v1alpha1.BaselineException) string {
		return exceptionsHash(all, []string{flag, policy}, accountWith())
	}
	edited, renewed := x.DeepCopy(), x.DeepCopy()
	edited.Generation++
	renewed.UID = "another"
	elsewhere := x.DeepCopy()
	elsewhere.Spec.Accounts.Include = []v1alpha1.AccountID{otherOne}
	same(t, "none", "", hash())
	same(t, "none that concerns the account", "", hash(elsewhere))
	same(t, "their order says nothing", hash(x, y), hash(y, x))
	for name, other := range map[string]string{"one more": hash(x, y), "edited": hash(edited), "made anew": hash(renewed), "none": hash()} {
		if other == hash(x) {
			t.Errorf("%s has the same hash", name)
		}
	}
}

func TestTheExceptionsOwnStatus(t *testing.T) {
	s := newScene(t)
	r := &ExceptionReconciler{Kinds: []control.Kind{s.kind()}}
	type said struct{ Active, Reason, Names string }
	guarded := &ExceptionReconciler{Kinds: []control.Kind{{Name: "K", New: s.kind().New, Controls: func(control.Baseline) []control.Bound {
		b := s.control(flag, control.Region, nil, false)
		b.NotExcusable = true
		return []control.Bound{b}
	}}}}
	x := exception("x", noon, noon.Add(time.Hour), flag)
	for name, tc := range map[string]struct {
		r       *ExceptionReconciler
		x       *v1alpha1.BaselineException
		regions []string
		at      time.Time
		want    said
	}{
		"before it begins":       {r, x, nil, noon.Add(-time.Hour), said{"False", v1alpha1.ReasonNotYetActive, ""}},
		"while it lasts":         {r, x, nil, noon, said{"True", v1alpha1.ReasonActive, ""}},
		"when it is over":        {r, x, nil, noon.Add(time.Hour), said{"False", v1alpha1.ReasonExpired, ""}},
		"a control nobody knows": {r, exception("x", noon, noon.Add(time.Hour), flag, "ebs-flagg"), nil, noon, said{"True", v1alpha1.ReasonActive, v1alpha1.ReasonUnknownControl}},
		"a region nobody has":    {r, x, []string{"eu-wst-1"}, noon, said{"True", v1alpha1.ReasonActive, v1alpha1.ReasonUnknownRegion}},
		"what cannot be excused": {guarded, x, nil, noon, said{"True", v1alpha1.ReasonActive, v1alpha1.ReasonNotExcusable}},
	} {
		t.Run(name, func(t *testing.T) {
			x := tc.x.DeepCopy()
			tc.r.judge(x, tc.regions, tc.at)
			active := findCondition(x.Status.Conditions, v1alpha1.ConditionActive)
			got := said{string(active.Status), active.Reason, ""}
			if n := findCondition(x.Status.Conditions, v1alpha1.ConditionUnknownNames); n != nil && n.Status == metav1.ConditionTrue {
				got.Names = n.Reason
			}
			same(t, "status", tc.want, got)
			tc.r.judge(x, nil, tc.at)
			again := findCondition(x.Status.Conditions, v1alpha1.ConditionUnknownNames)
			if tc.want.Names == v1alpha1.ReasonUnknownRegion && again != nil {
				t.Errorf("a region that is known by now is still %s", again.Message)
			}
		})
	}
	x.Spec.Regions = []v1alpha1.Region{ireland, "eu-wst-1"}
	known := []v1alpha1.AWSAccount{{Status: v1alpha1.AWSAccountStatus{Regions: []string{ireland}}}, {}}
	same(t, "unknown regions", []string{"eu-wst-1"}, unknownRegions(x, known))
	same(t, "before any account was looked at", []string(nil), unknownRegions(x, known[1:]))
}
