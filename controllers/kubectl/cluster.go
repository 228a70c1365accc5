package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// cluster is the cluster of the kubeconfig, and what every command is made from. It is reached when a command first asks.
type cluster struct {
	Options
	flags *genericclioptions.ConfigFlags
}

// print writes to standard output.
func (c *cluster) print(text string) error {
	if _, err := io.WriteString(c.Streams.Out, text); err != nil {
		return fmt.Errorf("writing to standard output: %w", err)
	}
	return nil
}

// note says something to whoever looks on. That nobody does keeps no command from its work.
func (c *cluster) note(text string) { _, _ = io.WriteString(c.Streams.ErrOut, text) }

// wrapped makes a client that is a person's: it asks at once and does not print the API server's warnings into tables.
func wrapped(userAgent string) func(*rest.Config) *rest.Config {
	return func(config *rest.Config) *rest.Config {
		config.QPS, config.Burst = 50, 100
		config.UserAgent = userAgent
		config.WarningHandler = rest.NoWarnings{}
		return config
	}
}

// connect makes a client. Nothing is asked yet.
func (c *cluster) connect() (client.Client, error) {
	config, err := c.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return connectTo(config)
}

// connectTo makes a client that knows Plumbline's kinds, and those that are added.
func connectTo(config *rest.Config, more ...func(*runtime.Scheme) error) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range append(more, v1alpha1.AddToScheme, authenticationv1.AddToScheme) {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return api, nil
}

// explained adds what to do next to an error of the API server.
func explained(err error) error {
	var group *meta.NoKindMatchError
	switch {
	case err == nil:
		return nil
	case clientcmd.IsEmptyConfig(err):
		return fmt.Errorf("%w; set KUBECONFIG, or name a file with --kubeconfig", err)
	case errors.As(err, &group), meta.IsNoMatchError(err):
		return fmt.Errorf("%w; Plumbline's kinds are not installed in this cluster: apply config/default, or name another cluster with --context", err)
	case apierrors.IsForbidden(err) && !isPolicy(err):
		return fmt.Errorf("%w; ask for a ClusterRole of config/rbac/people.yaml: plumbline-viewer reads, plumbline-approver decides, plumbline-editor and plumbline-admin write", err)
	case utilnet.IsConnectionRefused(err):
		return fmt.Errorf("%w; no API server answers there: set KUBECONFIG, or name a cluster with --kubeconfig or --context", err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w; log in to the cluster, or name another user's context with --context", err)
	}
	return err
}

// isPolicy says whether an admission policy refused, which says itself what to do.
func isPolicy(err error) bool { return strings.Contains(err.Error(), "ValidatingAdmissionPolicy") }

// page is how many objects are listed at a time: a full account has 32 KiB.
const page = 500

// pages lists all objects of a kind, a page at a time, and hands each page to take.
func pages[L client.ObjectList](ctx context.Context, api client.Reader, what string, list func() L, take func(L)) error {
	for next := ""; ; {
		one := list()
		if err := api.List(ctx, one, client.Limit(page), client.Continue(next)); err != nil {
			return fmt.Errorf("listing %s: %w", what, err)
		}
		take(one)
		if next = one.GetContinue(); next == "" {
			return nil
		}
	}
}

// accounts are all accounts, by id.
func accounts(ctx context.Context, api client.Reader) (all []v1alpha1.AWSAccount, err error) {
	err = pages(ctx, api, "accounts", func() *v1alpha1.AWSAccountList { return &v1alpha1.AWSAccountList{} },
		func(l *v1alpha1.AWSAccountList) { all = append(all, l.Items...) })
	return all, err
}

// remediations are all of them, by name.
func remediations(ctx context.Context, api client.Reader) (all []v1alpha1.Remediation, err error) {
	err = pages(ctx, api, "remediations", func() *v1alpha1.RemediationList { return &v1alpha1.RemediationList{} },
		func(l *v1alpha1.RemediationList) { all = append(all, l.Items...) })
	return all, err
}

// baseline is a baseline with its kind's name.
type baseline struct {
	kind string
	control.Baseline
}

func (b baseline) key() string { return b.kind + "/" + b.GetName() }

// baselines are those of every kind, in the order of the kinds.
func (c *cluster) baselines(ctx context.Context, api client.Reader) ([]baseline, error) {
	listed, err := controllers.ListBaselines(ctx, api, c.Kinds)
	if err != nil {
		return nil, err
	}
	var all []baseline
	for _, l := range listed {
		all = append(all, baseline{l.Kind.Name, l.Baseline})
	}
	return all, nil
}

// catalogue is every control, by id.
func (c *cluster) catalogue() []control.Bound {
	var all []control.Bound
	for _, k := range c.Kinds {
		all = append(all, k.Catalogue()...)
	}
	slices.SortFunc(all, func(a, b control.Bound) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// control is the control with the id; an unknown one is an error with those that are near.
func (c *cluster) control(id string) (control.Bound, error) {
	var ids []string
	for _, b := range c.catalogue() {
		if b.ID == id {
			return b, nil
		}
		ids = append(ids, b.ID)
	}
	return control.Bound{}, fmt.Errorf("there is no control %q; %s", id, didYouMean(id, ids))
}

// nameOf is the account's name in AWS Organizations; empty before discovery wrote it.
func nameOf(a *v1alpha1.AWSAccount) string {
	if a.Status.Name != "" {
		return a.Status.Name
	}
	return a.Annotations[v1alpha1.AnnotationName]
}

func pathOf(a *v1alpha1.AWSAccount) string {
	if a.Status.OrganizationPath != "" {
		return a.Status.OrganizationPath
	}
	return a.Annotations[v1alpha1.AnnotationOUPath]
}
