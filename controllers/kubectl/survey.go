package kubectl

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
)

// severities are worst first.
var severities = []v1alpha1.Severity{v1alpha1.SeverityCritical, v1alpha1.SeverityHigh, v1alpha1.SeverityMedium, v1alpha1.SeverityLow}

func severityRank(s v1alpha1.Severity) int { return slices.Index(severities, s) }

// survey is what is declared in a cluster and how every account stands to it.
type survey struct {
	*controllers.Posture
	accounts []surveyed
}

// surveyed is one account with the checks of today's baselines as its status knows them, which may be fewer than it counts:
// what was not looked at with today's settings is unknown.
type surveyed struct {
	*v1alpha1.AWSAccount
	standings []controllers.Standing
	checks    v1alpha1.CheckCounts
}

// look surveys the caller's cluster.
func (c *cluster) look(ctx context.Context) (*survey, error) {
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	return c.survey(ctx, api)
}

// survey reads everything that reports are made from.
func (c *cluster) survey(ctx context.Context, api client.Reader) (*survey, error) {
	posture, err := controllers.ReadPosture(ctx, api, c.Kinds, c.Clock())
	if err != nil {
		return nil, err
	}
	all, err := accounts(ctx, api)
	if err != nil {
		return nil, err
	}
	s := &survey{Posture: posture}
	for i := range all {
		s.accounts = append(s.accounts, s.look(&all[i]))
	}
	return s, nil
}

func (s *survey) look(a *v1alpha1.AWSAccount) surveyed {
	one := surveyed{AWSAccount: a, standings: s.Standings(a)}
	for _, standing := range one.standings {
		one.checks.Add(standing.Checks)
	}
	return one
}

// state is the account's state in one word. One that is compliant with yesterday's settings waits to be looked at.
func (a surveyed) state() v1alpha1.AccountState {
	switch written := cmp.Or(a.Status.State, v1alpha1.AccountPending); {
	case written != v1alpha1.AccountCompliant:
		return written
	case a.checks.Drifted > 0:
		return v1alpha1.AccountDrifted
	case a.checks.Unknown > 0 || a.checks.Total == 0:
		return v1alpha1.AccountPending
	default:
		return written
	}
}

// kept are the accounts that are worked on.
func (s *survey) kept() []surveyed {
	return slices.DeleteFunc(slices.Clone(s.accounts), func(a surveyed) bool { return !s.Keeps(a.AWSAccount) })
}

// stateOfControl counts the account's checks of one control over all baselines; false where none declares it there.
func stateOfControl(a surveyed, id string) (n v1alpha1.CheckCounts, declared bool) {
	for _, s := range a.standings {
		if s.Control == id {
			n.Add(s.Checks)
			declared = true
		}
	}
	return n, declared
}

// title names an account for people.
func title(a *v1alpha1.AWSAccount) string { return strings.TrimSpace(a.Name + " " + nameOf(a)) }
