package iam

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// why says what speaks against attaching the guard to a user without MFA, what is known without asking first.
func (l *guardLook) why(ctx context.Context, u guardUser) (hold, error) {
	if why := excluded(l.users, u.user); why.reason != "" {
		return why, nil
	}
	if end := u.passwordMade.Add(l.grace); l.Now.Before(end) {
		return hold{ReasonGracePeriod, "the password is young; the guard is due on " + end.UTC().Format(time.DateTime) + " UTC"}, nil
	}
	for _, ask := range []func(context.Context, guardUser) (hold, error){l.ownIdentity, l.room, l.policy, l.keys, l.wayOut} {
		if why, err := ask(ctx, u); err != nil || why.reason != "" {
			return why, err
		}
	}
	return hold{}, nil
}

func (l *guardLook) ownIdentity(ctx context.Context, u guardUser) (hold, error) {
	return ownIdentity(ctx, l.Target, u.user)
}

func (l *guardLook) policy(ctx context.Context, _ guardUser) (hold, error) { return l.intact(ctx) }

// leastPolicyQuota is how many managed policies a user can have unless AWS has raised it ("IAM and STS quotas").
const leastPolicyQuota = 10

// room holds the guard back where the user has as many managed policies as AWS lets it.
func (l *guardLook) room(ctx context.Context, u guardUser) (hold, error) {
	if len(u.attached) < leastPolicyQuota {
		return hold{}, nil
	}
	summary, err := accountSummary.From(ctx, l.Target)
	if err != nil {
		return hold{}, err
	}
	if len(u.attached) < int(summary[string(types.SummaryKeyTypeAttachedPoliciesPerUserQuota)]) {
		return hold{}, nil
	}
	return hold{ReasonPolicyQuota, fmt.Sprintf("the user has %d managed policies, as many as the account's quota lets it", len(u.attached))}, nil
}

// guardKeyDays is in how many days a use of a key speaks against the guard that denies keys.
const guardKeyDays = 90

// keys holds the guard that denies keys back where a key does work.
func (l *guardLook) keys(ctx context.Context, u guardUser) (hold, error) {
	if l.guard != v1alpha1.MFAGuardConsoleAndKeys {
		return hold{}, nil
	}
	keys, err := readKeys(ctx, l.Target, u.name)
	if err != nil {
		return hold{}, err
	}
	for _, k := range keys {
		if !k.active() {
			continue
		}
		if why, err := usedWithin(ctx, l.Target, k, guardKeyDays); err != nil || why.reason != "" {
			return why, err
		}
	}
	return hold{}, nil
}

// wayOut holds the guard back where the user could then not enrol a device: a permissions boundary, a service control policy
// or another deny stands in the way. The simulator looks at all of them (SimulatePrincipalPolicy, IAM API reference). Each
// action is asked for with the one resource it is to be allowed on, so that the decision is of just that.
func (l *guardLook) wayOut(ctx context.Context, u guardUser) (hold, error) {
	for _, step := range []struct{ action, resource string }{
		{"iam:CreateVirtualMFADevice", l.GlobalARN("iam", "mfa/"+u.name)},
		{"iam:EnableMFADevice", u.arn},
	} {
		out, err := iam.NewFromConfig(l.AWS).SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: &u.arn, ActionNames: []string{step.action}, ResourceArns: []string{step.resource},
			PolicyInputList: []string{GuardDocument(l.guard, l.Partition)},
			ContextEntries: []types.ContextEntry{
				contextEntry("aws:MultiFactorAuthPresent", types.ContextKeyTypeEnumBoolean, "false"),
				contextEntry("aws:ViaAWSService", types.ContextKeyTypeEnumBoolean, "false"),
				contextEntry("aws:username", types.ContextKeyTypeEnumString, u.name),
			},
		})
		if err != nil {
			return hold{}, fmt.Errorf("simulating %s of %s: %w", step.action, u.name, err)
		}
		if len(out.EvaluationResults) == 0 {
			return hold{}, control.Unexpected("SimulatePrincipalPolicy", "a result")
		}
		for _, r := range out.EvaluationResults {
			if !allowed(r) {
				return hold{ReasonWouldLockOut, "with the guard the user could not enrol a device: " + step.action + " is denied (" +
					string(r.EvalDecision) + ") by a permissions boundary, a service control policy or another policy"}, nil
			}
		}
	}
	return hold{}, nil
}

func contextEntry(key string, kind types.ContextKeyTypeEnum, value string) types.ContextEntry {
	return types.ContextEntry{ContextKeyName: aws.String(key), ContextKeyType: kind, ContextKeyValues: []string{value}}
}

func allowed(r types.EvaluationResult) bool {
	for _, on := range r.ResourceSpecificResults {
		if on.EvalResourceDecision != types.PolicyEvaluationDecisionTypeAllowed {
			return false
		}
	}
	return r.EvalDecision == types.PolicyEvaluationDecisionTypeAllowed
}
