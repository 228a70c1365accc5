// Package iam holds the controls of IAMBaseline: root's credentials, MFA of console users, the password policy, access keys,
// and Plumbline's own roles. IAM is one service per partition, so each control runs once per account, in the home region.
//
// What concerns users is found in two steps. The credential report, one read for all users, is only an index: AWS makes a
// new one every four hours at most ("Generate credential reports for your AWS account", IAM User Guide), so it still lists
// the user that was deleted and the key that was rotated this morning. Users that look wrong in it, and those that an event names
// or that departed before, are then read live, one by one; only what the live reads say is a departure, is put right, and is
// verified. A check that an event has come for since the report was made is looked at again with the next report.
package iam

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Controls binds the controls to a baseline's sections, in the order in which they depend on each other. Over an empty
// baseline it is the catalogue of the kind.
func Controls(b *v1alpha1.IAMBaseline) []control.Bound {
	return []control.Bound{
		RootAccessKeys.With(b.Spec.RootAccessKeys),
		RootMFA.With(b.Spec.RootMFA),
		UserMFA.With(withUsers(b.Spec.UserMFA, b.Spec.Users)),
		PasswordPolicy.With(b.Spec.PasswordPolicy),
		AccessKeyAge.With(withUsers(b.Spec.AccessKeyAge, b.Spec.Users)),
		UnusedCredentials.With(withUsers(b.Spec.UnusedCredentials, b.Spec.Users)),
		SingleAccessKey.With(b.Spec.SingleAccessKey),
		PlumblineRoles.With(b.Spec.PlumblineRoles),
	}
}

// WithUsers is a section together with the users that the baseline protects from change.
type WithUsers[S control.Settings] struct {
	// Settings is the section.
	Settings S `json:"settings"`
	// Users are never changed; nil protects nobody.
	Users *v1alpha1.UserSelector `json:"users,omitempty"`
}

// Section is the section's state, mode and approval.
func (w WithUsers[S]) Section() v1alpha1.ControlSpec { return w.Settings.Section() }

func withUsers[S control.Settings](section *S, users *v1alpha1.UserSelector) *WithUsers[S] {
	if section == nil {
		return nil
	}
	return &WithUsers[S]{Settings: *section, Users: users}
}

// hold is why a change is not made; the zero value holds nothing back.
type hold struct{ reason, message string }

// Reasons why a departure is only reported although the baseline asks for a change.
const (
	// ReasonExcluded: users.exclude or users.excludePaths protects the user.
	ReasonExcluded = "Excluded"
	// ReasonOwnIdentity: the user is, or may be, the one that Plumbline's own credentials belong to.
	ReasonOwnIdentity = "OwnIdentity"
	// ReasonGracePeriod: the departure is younger than the grace the baseline gives.
	ReasonGracePeriod = "GracePeriod"
	// ReasonKeyInUse: an access key was used too recently.
	ReasonKeyInUse = "KeyInUse"
	// ReasonGuarded: the MFA guard is attached; the rest is the user's to do.
	ReasonGuarded = "Guarded"
	// ReasonGuardPolicyMissing: the account has no guard policy.
	ReasonGuardPolicyMissing = "GuardPolicyMissing"
	// ReasonGuardModified: the guard policy is not the one that Plumbline ships.
	ReasonGuardModified = "GuardModified"
	// ReasonPolicyQuota: the user cannot have one more managed policy.
	ReasonPolicyQuota = "PolicyQuota"
	// ReasonWouldLockOut: with the guard the user could not enrol a device.
	ReasonWouldLockOut = "WouldLockOut"
)

// reported is a departure that is only reported, and why where there is more to say than that.
func reported(resource string, fields []control.Field, why hold) control.Finding {
	return control.Finding{
		Drift: control.Drift{Resource: resource, Risk: control.ReportOnly, Fields: fields}, Reason: why.reason, Message: why.message,
	}
}

// homeEvents are events of IAM, which CloudTrail records in the partition's home region only.
func homeEvents(names ...string) []control.Event {
	all := make([]control.Event, len(names))
	for i, name := range names {
		all[i] = control.Event{Source: "iam", Name: name, Seen: control.SeenInHomeRegion}
	}
	return all
}

// maxPages bounds a list: IAM's quotas end every list far below it.
const maxPages = 1000

// pages reads every page of a list. page is handed the marker to go on from and says which comes next. A list that says it
// goes on and does not say where is an error, never an end.
func pages(operation string, page func(marker *string) (next *string, truncated bool, err error)) error {
	var marker *string
	for range maxPages {
		next, truncated, err := page(marker)
		if err != nil || !truncated {
			return err
		}
		if aws.ToString(next) == "" || aws.ToString(next) == aws.ToString(marker) {
			return control.Unexpected(operation, "a marker for the next page")
		}
		marker = next
	}
	return control.Unexpected(operation, "an end")
}

// isGone says whether IAM knows no such user, password, policy or role.
func isGone(err error) bool { return control.IsCode(err, "NoSuchEntity") }
