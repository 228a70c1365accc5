package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// activeAt says whether the exception is in force.
func activeAt(x *v1alpha1.BaselineException, now time.Time) bool {
	from, expires := x.Spec.From, x.Spec.Expires
	return from != nil && expires != nil && !now.Before(from.Time) && now.Before(expires.Time)
}

// nextTurn is when the exception next begins or ends; zero when it never does again.
func nextTurn(x *v1alpha1.BaselineException, now time.Time) time.Time {
	for _, at := range []*metav1.Time{x.Spec.From, x.Spec.Expires} {
		if at != nil && at.After(now) {
			return at.Time
		}
	}
	return time.Time{}
}

// excusesIn says whether the exception concerns the control in the account, whatever the time.
func excusesIn(x *v1alpha1.BaselineException, controlID string, a *v1alpha1.AWSAccount) bool {
	if !slices.Contains(x.Spec.Controls, controlID) {
		return false
	}
	if x.Spec.Accounts == nil && len(x.Spec.OrganizationalUnits) == 0 {
		return true // narrowed by resources, as validation demands
	}
	included := x.Spec.Accounts != nil && slices.Contains(x.Spec.Accounts.Include, v1alpha1.AccountID(a.Name))
	return included || inOUs(x.Spec.OrganizationalUnits, a)
}

// excuse makes the function that names the exception that excuses a resource, out of those active for a control in an
// account. The one that expires last is named. Nil when there is none.
func excuse(active []*v1alpha1.BaselineException, b *control.Meta, region string, a *v1alpha1.AWSAccount) func(string) string {
	if b.NotExcusable {
		return nil
	}
	var mine []*v1alpha1.BaselineException
	for _, x := range active {
		if excusesIn(x, b.ID, a) && (len(x.Spec.Regions) == 0 || slices.Contains(x.Spec.Regions, v1alpha1.Region(region))) {
			mine = append(mine, x)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	slices.SortFunc(mine, func(p, q *v1alpha1.BaselineException) int {
		return cmp.Or(q.Spec.Expires.Compare(p.Spec.Expires.Time), strings.Compare(p.Name, q.Name))
	})
	return func(resource string) string {
		for _, x := range mine {
			if len(x.Spec.Resources) == 0 || slices.ContainsFunc(x.Spec.Resources, func(g string) bool { return control.Glob(g, resource) }) {
				return x.Name
			}
		}
		return ""
	}
}

// exceptionsHash identifies the exceptions that are in force for a set of controls in an account: another hash means that
// the checks must be looked at again. Empty when there are none.
func exceptionsHash(active []*v1alpha1.BaselineException, controls []string, a *v1alpha1.AWSAccount) string {
	var lines []string
	for _, x := range active {
		if slices.ContainsFunc(controls, func(id string) bool { return excusesIn(x, id, a) }) {
			lines = append(lines, fmt.Sprintf("%s/%s/%d", x.Name, x.UID, x.Generation))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	return digestOf([]byte(strings.Join(lines, "\n")))[:12]
}
