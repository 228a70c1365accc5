package controllers

import (
	"unique"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// SlimAccount is the informer's transform for AWSAccounts: the cached copy keeps what selecting and summing need, and strings
// that thousands of accounts have in common once. Nothing is ever written back from it.
func SlimAccount(o any) (any, error) {
	a, ok := o.(*v1alpha1.AWSAccount)
	if !ok {
		return o, nil
	}
	a.ManagedFields = nil
	s := &a.Status
	s.Drift, s.Conditions, s.DeniedRegions = nil, nil, nil
	shareAll(s.Regions)
	for i := range s.Baselines {
		b := &s.Baselines[i]
		b.Regions = nil
		share(&b.Kind, &b.Name, &b.Revision, &b.Covered, &b.HandledReconcileAt, &b.Exceptions, &b.OverriddenBy)
	}
	for i := range s.Controls {
		c := &s.Controls[i]
		c.Message, c.NotApplicable, c.Failed = "", nil, nil
		share(&c.Control, &c.Baseline, &c.Reason)
		c.Severity = unique.Make(c.Severity).Value()
		for _, counts := range []*map[string]int32{&c.Drifted, &c.Unknown, &c.Excepted} {
			if len(*counts) > 0 {
				*counts = someDepart
			}
		}
	}
	return a, nil
}

// someDepart stands in the cache for any counts but none: a roll-up asks for no more. It is never changed, as nothing in the
// cache is.
var someDepart = map[string]int32{everyRegion: 1}

// share makes equal strings of all objects one.
func share(strings ...*string) {
	for _, s := range strings {
		*s = unique.Make(*s).Value()
	}
}

func shareAll(strings []string) {
	for i := range strings {
		share(&strings[i])
	}
}
