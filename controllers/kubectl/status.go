package kubectl

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// endsSoon is how long before its end an exception stands in the status.
const endsSoon = 14 * 24 * time.Hour

// mostNamed is how many accounts are named where there may be thousands.
const mostNamed = 10

func newStatus(c *cluster) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "The organization at a glance",
		Long: `Show the organization, its accounts by state, what the baselines find, which changes are open, and what needs
somebody: exceptions that end within 14 days, accounts that were not looked at for too long.

What was not looked at with today's settings counts as unknown, never as compliant.`,
		Example: "  kubectl plumbline status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explained(c.status(cmd.Context()))
		},
	}
}

// overview is everything that status shows.
type overview struct {
	*survey
	now          time.Time
	baselines    []baseline
	exceptions   []v1alpha1.BaselineException
	remediations []v1alpha1.Remediation
}

func (c *cluster) status(ctx context.Context) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	o := overview{now: c.Clock()}
	if o.survey, err = c.survey(ctx, api); err != nil {
		return err
	}
	if o.baselines, err = c.baselines(ctx, api); err != nil {
		return err
	}
	var exceptions v1alpha1.BaselineExceptionList
	if err := api.List(ctx, &exceptions); err != nil {
		return fmt.Errorf("listing exceptions: %w", err)
	}
	o.exceptions = exceptions.Items
	if o.remediations, err = remediations(ctx, api); err != nil {
		return err
	}
	return c.print(o.summary() + o.baselineTable() + o.endingExceptions() + o.stale() + o.next())
}

func (o *overview) summary() string {
	var t table
	t.add("Organization", o.organizationLine())
	if o.Organization != nil {
		t.add("Ready", conditionLine(o.Organization.Status.Conditions, v1alpha1.ConditionReady, "not looked at yet"))
		t.add("Writes", o.writesLine())
		t.add("Events", conditionLine(o.Organization.Status.Conditions, v1alpha1.ConditionEventsFlowing, "not received; the manager runs without --event-queue-url"))
	}
	t.add("Accounts", o.accountsLine())
	t.add("Checks", o.checksLine())
	t.add("Drifted", o.severityLine())
	t.add("Remediations", o.remediationsLine())
	return t.String()
}

func (o *overview) organizationLine() string {
	if o.Organization == nil {
		return "none"
	}
	name := o.Organization.Name
	if id := o.Organization.Status.OrganizationID; id != "" {
		name += " (" + id + ")"
	}
	return name + ", management account " + string(o.Organization.Spec.ManagementAccount)
}

// conditionLine is a condition in words: its status and, unless all is well, why.
func conditionLine(all []metav1.Condition, conditionType, absent string) string {
	switch c := meta.FindStatusCondition(all, conditionType); {
	case c == nil:
		return absent
	case c.Status == metav1.ConditionTrue:
		return "True"
	default:
		return fmt.Sprintf("%s, %s: %s", c.Status, c.Reason, c.Message)
	}
}

func (o *overview) writesLine() string {
	if o.Organization.Spec.Writes == v1alpha1.WritesStopped {
		return "Stopped: spec.writes of the AWSOrganization; nothing is changed in any account"
	}
	for _, b := range o.baselines {
		_, status := b.Common()
		if c := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionEnforcing); c != nil && c.Reason == v1alpha1.ReasonWritesDisabled {
			return "Allowed by the AWSOrganization, but the manager runs without --allow-writes"
		}
	}
	return "Allowed"
}

func (o *overview) accountsLine() string {
	n := map[v1alpha1.AccountState]int{}
	for _, a := range o.accounts {
		n[a.state()]++
	}
	return total(len(o.accounts), counted([]v1alpha1.AccountState{
		v1alpha1.AccountCompliant, v1alpha1.AccountDrifted, v1alpha1.AccountUnknown, v1alpha1.AccountPending,
		v1alpha1.AccountUnreachable, v1alpha1.AccountLeft, v1alpha1.AccountSuspended,
	}, n))
}

// counted lists what there is at least one of, in order.
func counted[K ~string](order []K, n map[K]int) string {
	var parts []string
	for _, k := range order {
		if n[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[k], k))
		}
	}
	return strings.Join(parts, ", ")
}

func total(n int, parts string) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %s", n, parts)
}

func (o *overview) checksLine() string {
	var n v1alpha1.CheckCounts
	for _, a := range o.accounts {
		n.Add(a.checks)
	}
	for _, s := range o.Undecided(objects(o.accounts)) {
		n.Add(s.Checks)
	}
	return fmt.Sprintf("%d: %d compliant, %d drifted, %d excepted, %d unknown", n.Total, n.Compliant, n.Drifted, n.Excepted, n.Unknown)
}

func objects(all []surveyed) []v1alpha1.AWSAccount {
	var plain []v1alpha1.AWSAccount
	for _, a := range all {
		plain = append(plain, *a.AWSAccount)
	}
	return plain
}

func (o *overview) severityLine() string {
	n := map[v1alpha1.Severity]int{}
	for _, a := range o.accounts {
		for _, s := range a.standings {
			n[s.Severity] += int(s.Checks.Drifted)
		}
	}
	if line := counted(severities, n); line != "" {
		return line
	}
	return "nothing"
}

func (o *overview) remediationsLine() string {
	n, expired := map[v1alpha1.RemediationPhase]int{}, 0
	for i := range o.remediations {
		r := &o.remediations[i]
		if !r.Status.Phase.Open() {
			continue
		}
		n[r.Status.Phase]++
		if r.Expired(o.now) {
			expired++
		}
	}
	line := counted([]v1alpha1.RemediationPhase{v1alpha1.RemediationProposed, v1alpha1.RemediationApproved, v1alpha1.RemediationApplying}, n)
	switch {
	case line == "":
		return "none open"
	case expired > 0:
		return fmt.Sprintf("%s (%d of them expired)", line, expired)
	}
	return line
}

func (o *overview) baselineTable() string {
	if len(o.baselines) == 0 {
		return ""
	}
	t := table{head: []string{"BASELINE", "MODE", "ACCOUNTS", "COMPLIANT", "DRIFTED", "UNKNOWN", "ENFORCING"}}
	for _, b := range o.baselines {
		_, s := b.Common()
		n := func(v int32) string { return fmt.Sprint(v) }
		t.add(b.key(), orNone(string(s.Mode)), n(s.Accounts), n(s.Compliant), n(s.Drifted), n(s.Unknown), o.enforcing(b))
	}
	return "\n" + t.String()
}

// enforcing says whether the baseline puts departures right, or why not.
func (o *overview) enforcing(b baseline) string {
	_, s := b.Common()
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionEnforcing)
	switch {
	case s.ObservedGeneration != b.GetGeneration():
		return "not known: the spec is newer than these numbers"
	case c == nil:
		return "no: Audit"
	case c.Status != metav1.ConditionTrue:
		return "no: " + c.Reason
	case o.Organization != nil && o.Organization.Spec.Writes == v1alpha1.WritesStopped:
		return "no: " + v1alpha1.ReasonWritesStopped
	}
	return "yes"
}

func (o *overview) endingExceptions() string {
	soon := slices.DeleteFunc(slices.Clone(o.exceptions), func(x v1alpha1.BaselineException) bool { return !endsWithin(&x, o.now, endsSoon) })
	if len(soon) == 0 {
		return ""
	}
	return "\nExceptions that end within 14 days\n" + exceptionTable(soon, o.now).String()
}

// stale names accounts that were not looked at for too long.
func (o *overview) stale() string {
	var t table
	for _, a := range o.accounts {
		if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionStale); c != nil && c.Status == metav1.ConditionTrue {
			t.add(a.Name, orNone(nameOf(a.AWSAccount)), c.Message)
		}
	}
	n := len(t.rows)
	if n == 0 {
		return ""
	}
	if t.rows = t.rows[:min(n, mostNamed)]; n > mostNamed {
		t.add(fmt.Sprintf("and %d more", n-mostNamed))
	}
	return "\nNot looked at for too long: " + plural(n, "account") + "\n" + t.String()
}

// next says what to do about what is not there yet, or waits for somebody.
func (o *overview) next() string {
	var steps []string
	is := func(state v1alpha1.AccountState) func(surveyed) bool {
		return func(a surveyed) bool { return a.state() == state }
	}
	proposed := slices.ContainsFunc(o.remediations, func(r v1alpha1.Remediation) bool {
		return r.Status.Phase == v1alpha1.RemediationProposed && !r.Expired(o.now)
	})
	for _, s := range []struct {
		when bool
		step string
	}{
		{o.Organization == nil, "Say which organization to read: kubectl apply -f config/samples/awsorganization.yaml, with your own ids in it"},
		{o.Organization != nil && len(o.accounts) == 0, "No account was discovered yet; the line Ready above and the manager's log say why"},
		{len(o.baselines) == 0, "Say what must hold, in Audit first: kubectl apply -f config/samples/s3baseline.yaml"},
		{slices.ContainsFunc(o.accounts, is(v1alpha1.AccountUnreachable)),
			"Some accounts cannot be entered; what to do stands in the condition Reachable: kubectl describe awsacct ID"},
		{proposed, "Changes wait for a decision: kubectl get rem, then kubectl plumbline approve NAME"},
		{slices.ContainsFunc(o.accounts, is(v1alpha1.AccountDrifted)), "See what departs: kubectl plumbline drift"},
	} {
		if s.when {
			steps = append(steps, "  "+s.step)
		}
	}
	if len(steps) == 0 {
		return ""
	}
	return "\nNext:\n" + strings.Join(steps, "\n") + "\n"
}
