package kubectl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// decision is one call of approve, reject or undo.
type decision struct {
	*cluster
	verb

	names, accounts, controls, baselines []string

	reason, digest string
	yes, wait      bool
	timeout        time.Duration
}

func newApprove(c *cluster) *cobra.Command {
	return newDecision(c, approving, `Show what the proposed changes are, ask, and approve them in your own name.

What is approved is exactly what is shown: the approval names the digest of the proposal, and fails where it has changed
meanwhile. The change is made once AWS is found as it was proposed; otherwise the proposal is superseded and made anew.`,
		`  kubectl plumbline approve 111122223333-s3-secure-transport-5f0c7be2-0
  kubectl plumbline approve --control ebs-default-encryption --reason "agreed in CHG-1234"
  kubectl plumbline approve 111122223333-s3-secure-transport-5f0c7be2-0 --digest 5f0c7be2d1a94c3f8e6b7a1d2c3e4f50 --yes --wait`)
}

func newReject(c *cluster) *cobra.Command {
	return newDecision(c, rejecting, `Show what the proposed changes are, ask, and refuse them in your own name, with a reason.

A change that was rejected is not proposed again until what is there or what is wanted changes. To have it proposed again,
delete the Remediation.`,
		`  kubectl plumbline reject 111122223333-s3-secure-transport-5f0c7be2-0 --reason "the old client speaks plain HTTP until June"`)
}

func newUndo(c *cluster) *cobra.Command {
	return newDecision(c, undoing, `Show which changes were made, ask, and have them taken back.

What was there before is written again where AWS is still as Plumbline left it; what somebody has changed since is left. What
was undone is not made again without an approval.`,
		`  kubectl plumbline undo 111122223333-s3-secure-transport-5f0c7be2-0 --reason "breaks the importer"`)
}

func newDecision(c *cluster, v verb, long, example string) *cobra.Command {
	d := &decision{cluster: c, verb: v}
	cmd := &cobra.Command{
		Use: v.name + " NAME...", Short: v.short, Long: long, Example: example,
		ValidArgsFunction: c.fromCluster(c.decidable(v)),
		RunE: func(cmd *cobra.Command, args []string) error {
			d.names = args
			return explained(d.run(cmd.Context()))
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&d.accounts, "account", nil, "Every change that can be "+v.past+" in these accounts.")
	flags.StringSliceVar(&d.controls, "control", nil, "Every change that can be "+v.past+" of these controls.")
	flags.StringSliceVar(&d.baselines, "baseline", nil, "Every change that can be "+v.past+" of these baselines. Example: S3Baseline/organization")
	flags.StringVar(&d.reason, "reason", "", "Why. It stands in the Remediation for everybody to read.")
	flags.StringVar(&d.digest, "digest", "", "Only if status.digest of the one named is this.")
	flags.BoolVarP(&d.yes, "yes", "y", false, "Do not ask.")
	flags.BoolVar(&d.wait, "wait", false, "Wait until it is over.")
	flags.DurationVar(&d.timeout, "timeout", 5*time.Minute, "How long to wait with --wait.")
	c.complete(cmd, "account", c.fromCluster(accountNames))
	c.complete(cmd, "control", c.completeControls)
	c.complete(cmd, "baseline", c.fromCluster(c.baselineNames))
	return cmd
}

// errNothingSelected asks for what a command is about.
var errNothingSelected = errors.New("nothing is named")

// check says what is wrong with the call itself.
func (d *decision) check() error {
	selected := len(d.accounts)+len(d.controls)+len(d.baselines) > 0
	switch {
	case len(d.names) > 0 && selected:
		return errors.New("name Remediations, or select them with --account, --control and --baseline, not both")
	case len(d.names) == 0 && !selected:
		return fmt.Errorf("%w; name Remediations (kubectl get rem), or select them with --account, --control or --baseline", errNothingSelected)
	case d.digest != "" && len(d.names) != 1:
		return errors.New("--digest is that of one Remediation; name just that one")
	case d.mustExplain && strings.TrimSpace(d.reason) == "":
		return fmt.Errorf("%s needs --reason: whoever reads it later wants to know why", d.name)
	}
	return d.checkNames(d.controls, d.baselines)
}

func (d *decision) run(ctx context.Context) error {
	if err := d.check(); err != nil {
		return err
	}
	api, err := d.connect()
	if err != nil {
		return err
	}
	chosen, err := d.choose(ctx, api)
	if err != nil {
		return err
	}
	who, err := whoAmI(ctx, api)
	if err != nil {
		return err
	}
	if err := d.print(d.show(chosen)); err != nil {
		return err
	}
	if !d.yes {
		if err := d.ask(ctx, chosen, who); err != nil {
			return err
		}
	}
	if err := d.decide(ctx, api, chosen, who); err != nil {
		return err
	}
	if !d.wait {
		return nil
	}
	return d.await(ctx, api, chosen)
}

// choose reads the Remediations that are named or selected, and refuses those that cannot be decided so.
func (d *decision) choose(ctx context.Context, api client.Client) ([]*v1alpha1.Remediation, error) {
	if len(d.names) == 0 {
		return d.selection(ctx, api)
	}
	var chosen []*v1alpha1.Remediation
	var problems []error
	for _, name := range slices.Compact(slices.Sorted(slices.Values(d.names))) {
		r := &v1alpha1.Remediation{}
		err := read(ctx, api, name, r, fmt.Sprintf("there is no Remediation %s; kubectl get rem lists them", name))
		if err == nil {
			err = d.refusal(r, d.Clock())
		}
		if err == nil && d.digest != "" && d.digest != r.Status.Digest {
			err = fmt.Errorf("%s has digest %s, not %s: it is another proposal now; look at it again", name, r.Status.Digest, d.digest)
		}
		problems = append(problems, err)
		chosen = append(chosen, r)
	}
	return chosen, errors.Join(problems...)
}

// selection are those of the accounts, controls and baselines that can be decided so.
func (d *decision) selection(ctx context.Context, api client.Client) ([]*v1alpha1.Remediation, error) {
	all, err := remediations(ctx, api)
	if err != nil {
		return nil, err
	}
	var chosen []*v1alpha1.Remediation
	for i := range all {
		s := &all[i].Status
		if lets(d.accounts, s.Account) && lets(d.controls, s.Control) && lets(d.baselines, s.Baseline) && d.refusal(&all[i], d.Clock()) == nil {
			chosen = append(chosen, &all[i])
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no Remediation of that selection can be %s; kubectl get rem lists all", d.past)
	}
	return chosen, nil
}

// whoAmI is the caller's name, as the API server knows it: the admission policy lets nobody decide in another's.
func whoAmI(ctx context.Context, api client.Client) (string, error) {
	var review authenticationv1.SelfSubjectReview
	if err := api.Create(ctx, &review); err != nil {
		return "", fmt.Errorf("asking the API server for your name: %w", err)
	}
	if review.Status.UserInfo.Username == "" {
		return "", errors.New("asking the API server for your name: it did not say; decide with kubectl edit rem")
	}
	return review.Status.UserInfo.Username, nil
}

// decide writes the decision into each, as long as it is still what was shown.
func (d *decision) decide(ctx context.Context, api client.Client, chosen []*v1alpha1.Remediation, who string) error {
	var problems []error
	for _, r := range chosen {
		before := r.DeepCopy()
		d.set(&r.Spec, &v1alpha1.Decision{Digest: r.Status.Digest, By: who, Reason: d.reason})
		err := api.Patch(ctx, r, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		switch {
		case apierrors.IsConflict(err):
			err = fmt.Errorf("%s has changed since it was shown, and was not %s; look at it again", r.Name, d.past)
		case apierrors.IsNotFound(err):
			err = fmt.Errorf("%s is gone since it was shown", r.Name)
		case err != nil:
			err = fmt.Errorf("writing %s: %w", r.Name, explained(err))
		default:
			err = d.print(fmt.Sprintf("%s: %s by %s\n", r.Name, d.noted, who))
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
