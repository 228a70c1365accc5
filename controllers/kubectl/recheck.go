package kubectl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// recheck is one call of the command.
type recheck struct {
	*cluster
	all, wait bool
	timeout   time.Duration
}

func newRecheck(c *cluster) *cobra.Command {
	r := &recheck{cluster: c}
	cmd := &cobra.Command{
		Use:   "recheck ACCOUNT... | KIND/NAME... | --all",
		Short: "Look again at once",
		Long: `Ask for a new look at once: at everything in an account, at what a baseline declares in all of its accounts, or with --all at the
list of accounts and at every baseline. An organization (awsorg/NAME) reads its list of accounts anew.

With --wait the command ends when everything that was asked for has been looked at.`,
		Example: `  kubectl plumbline recheck 111122223333 --wait
  kubectl plumbline recheck S3Baseline/organization
  kubectl plumbline recheck --all --wait --timeout 30m`,
		ValidArgsFunction: c.fromCluster(c.recheckable),
		RunE: func(cmd *cobra.Command, args []string) error {
			return explained(r.run(cmd.Context(), args))
		},
	}
	cmd.Flags().BoolVar(&r.all, "all", false, "The list of accounts and every baseline.")
	cmd.Flags().BoolVar(&r.wait, "wait", false, "Wait until it was looked at.")
	cmd.Flags().DurationVar(&r.timeout, "timeout", 10*time.Minute, "How long to wait with --wait.")
	return cmd
}

// asked is an object that is to be looked at again.
type asked struct {
	name string
	client.Object
	// handled is the token that was answered last.
	handled func() string
}

func (r *recheck) run(ctx context.Context, args []string) error {
	switch {
	case r.all && len(args) > 0:
		return errors.New("--all is everything; name nothing beside it")
	case !r.all && len(args) == 0:
		return fmt.Errorf("%w; name accounts by id, baselines as KIND/NAME, or say --all", errNothingSelected)
	}
	api, err := r.connect()
	if err != nil {
		return err
	}
	targets, err := r.targets(ctx, api, args)
	if err != nil {
		return err
	}
	token := r.Clock().UTC().Format(time.RFC3339Nano)
	if err := r.request(ctx, api, targets, token); err != nil || !r.wait {
		return err
	}
	return r.await(ctx, api, targets, token)
}

// request asks for a new look at each.
func (r *recheck) request(ctx context.Context, api client.Client, targets []asked, token string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.AnnotationReconcileRequestedAt: token}}})
	if err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	for _, t := range targets {
		if err := api.Patch(ctx, t.Object, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return fmt.Errorf("asking for %s: %w", t.name, err)
		}
		if err := r.print(t.name + ": asked for\n"); err != nil {
			return err
		}
	}
	return nil
}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// targets reads what is to be looked at again.
func (r *recheck) targets(ctx context.Context, api client.Client, args []string) (all []asked, err error) {
	if r.all {
		return r.everything(ctx, api)
	}
	for _, arg := range args {
		var one asked
		kind, name, _ := strings.Cut(arg, "/")
		switch {
		case accountID.MatchString(arg):
			one, err = r.account(ctx, api, arg)
		case strings.EqualFold(kind, "awsorg"), strings.EqualFold(kind, "awsorganization"):
			org := &v1alpha1.AWSOrganization{}
			err = read(ctx, api, name, org, "there is no AWSOrganization "+name+"; kubectl get awsorg")
			one = ofOrganization(org)
		default:
			one, err = r.baseline(ctx, api, arg)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (r *recheck) account(ctx context.Context, api client.Client, id string) (asked, error) {
	a := &v1alpha1.AWSAccount{}
	if err := read(ctx, api, id, a, fmt.Sprintf("there is no account %s; kubectl plumbline tree --all lists them", id)); err != nil {
		return asked{}, err
	}
	if s := a.Status.State; s == v1alpha1.AccountLeft || s == v1alpha1.AccountSuspended {
		return asked{}, fmt.Errorf("account %s is %s and is not looked at; kubectl describe awsacct %s says why", id, s, id)
	}
	return asked{id, a, func() string { return a.Status.LastHandledReconcileAt }}, nil
}

func ofOrganization(org *v1alpha1.AWSOrganization) asked {
	return asked{"AWSOrganization/" + org.Name, org, func() string { return org.Status.LastHandledReconcileAt }}
}

func ofBaseline(key string, b control.Baseline) (asked, error) {
	object, ok := b.(client.Object)
	if !ok {
		return asked{}, fmt.Errorf("%T is no object", b)
	}
	_, status := b.Common()
	return asked{key, object, func() string { return status.LastHandledReconcileAt }}, nil
}

func (r *recheck) baseline(ctx context.Context, api client.Client, arg string) (asked, error) {
	key, err := r.baselineKey(arg)
	if err != nil {
		return asked{}, fmt.Errorf("%w; an account is named by its twelve digits", err)
	}
	kind, name, _ := strings.Cut(key, "/")
	for _, k := range r.Kinds {
		if k.Name == kind {
			b := k.New()
			one, err := ofBaseline(key, b)
			if err == nil {
				err = read(ctx, api, name, one.Object, "there is no "+key+"; kubectl get baselines lists them")
			}
			return one, err
		}
	}
	return asked{}, fmt.Errorf("there is no kind %s", kind)
}

// everything is the organization and every baseline, and thereby every check of every account.
func (r *recheck) everything(ctx context.Context, api client.Client) (all []asked, err error) {
	var orgs v1alpha1.AWSOrganizationList
	if err := api.List(ctx, &orgs); err != nil {
		return nil, fmt.Errorf("listing organizations: %w", err)
	}
	for i := range orgs.Items {
		all = append(all, ofOrganization(&orgs.Items[i]))
	}
	baselines, err := r.baselines(ctx, api)
	if err != nil {
		return nil, err
	}
	for _, b := range baselines {
		one, err := ofBaseline(b.key(), b.Baseline)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errors.New("there is nothing to look at; kubectl plumbline status says what to do next")
	}
	return all, nil
}

// await waits until every request was answered.
func (r *recheck) await(ctx context.Context, api client.Client, targets []asked, token string) error {
	return r.waiting(ctx, r.timeout, func(ctx context.Context) (int, int, string, error) {
		var left []string
		for _, t := range targets {
			if t.handled() == token {
				continue
			}
			if err := read(ctx, api, t.GetName(), t.Object, t.name+" was deleted meanwhile"); err != nil {
				return 0, 0, "", fmt.Errorf("looking at %s: %w", t.name, err)
			}
			if now := t.GetAnnotations()[v1alpha1.AnnotationReconcileRequestedAt]; now != token {
				return 0, 0, "", fmt.Errorf("somebody else has asked for %s meanwhile, so that this request is not answered any more", t.name)
			}
			if t.handled() != token {
				left = append(left, t.name+t.why())
			}
		}
		return len(targets) - len(left), len(targets), "not looked at yet: " + strings.Join(left, ", "), nil
	})
}

// why says what may keep it from being looked at.
func (t asked) why() string {
	a, is := t.Object.(*v1alpha1.AWSAccount)
	if !is {
		return ""
	}
	if c := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReachable); c != nil && c.Status == metav1.ConditionFalse {
		return " (" + c.Message + ")"
	}
	return ""
}
