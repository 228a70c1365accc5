package controllers

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// lastKnown is who manages the resource of a change. Where that could not be read this time, it is as it was proposed: a read that
// fails once is no reason to ask again for what somebody has approved.
func lastKnown(c v1alpha1.RemediationChange, open *v1alpha1.Remediation) string {
	if c.ManagedBy == v1alpha1.ManagedByUnknown && open != nil {
		for _, in := range open.Status.Changes {
			if isOf(in, c) {
				return in.ManagedBy
			}
		}
	}
	return c.ManagedBy
}

// managedBy is the first owner among the changes; unknown where none is known and some could not be read.
func managedBy(changes []v1alpha1.RemediationChange) string {
	by := ""
	for _, c := range changes {
		switch c.ManagedBy {
		case "":
		case v1alpha1.ManagedByUnknown:
			by = c.ManagedBy
		default:
			return c.ManagedBy
		}
	}
	return by
}

// ofOwner is what the message of a proposal says of the owner, before the rest.
func ofOwner(by string) string {
	switch by {
	case "":
		return ""
	case v1alpha1.ManagedByUnknown:
		return "who manages a resource could not be read, see status.changes; "
	}
	return "managed by " + by + ": " + control.OwnerEffect(by) + "; "
}
