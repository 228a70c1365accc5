package kubectl

import (
	"context"
	"fmt"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
)

// oldest is the oldest API server that Plumbline works with.
const oldest = "1.32"

// install is the next step wherever a part of Plumbline is missing in the cluster.
const install = "apply config/default, as make deploy does"

// answerWithin is how long the API server is waited for where --request-timeout says nothing.
const answerWithin = 15 * time.Second

// lookAtCluster checks what the API server has. What is read for the checks of AWS is kept.
func (x *checkup) lookAtCluster(ctx context.Context) {
	api, version, err := x.reach()
	if err != nil {
		next := strings.TrimPrefix(strings.TrimPrefix(explained(err).Error(), err.Error()), "; ")
		if next == "" {
			next = "set KUBECONFIG, or name a cluster with --kubeconfig or --context"
		}
		if x.org != nil {
			x.inCluster.skip("API server", "no cluster is reached, and none of it is looked at: "+err.Error(), next)
		} else {
			x.inCluster.fail("API server", err.Error(), next+"; or name a file with the AWSOrganization with -f, to look at AWS alone")
		}
		return
	}
	x.version(version)
	x.rights(ctx, api)
	x.definitions(ctx, api)
	for _, p := range policies {
		x.policy(ctx, api, p)
	}
	x.manager(ctx, api)
	x.organization(ctx, api)
	x.enforcer(ctx, api)
}

// reach asks the API server for its version.
func (x *checkup) reach() (client.Client, string, error) {
	config, err := x.flags.ToRESTConfig()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if config.Timeout == 0 {
		config.Timeout = answerWithin
	}
	asking, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, "", fmt.Errorf("making a client: %w", err)
	}
	version, err := asking.ServerVersion()
	if err != nil {
		return nil, "", fmt.Errorf("asking the API server for its version: %w", err)
	}
	api, err := connectTo(config, admissionv1.AddToScheme, apiextensionsv1.AddToScheme, authorizationv1.AddToScheme,
		coordinationv1.AddToScheme, corev1.AddToScheme)
	return api, version.GitVersion, err
}

func (x *checkup) version(running string) {
	const check = "API server"
	switch v, err := utilversion.ParseGeneric(running); {
	case err != nil:
		x.inCluster.warn(check, fmt.Sprintf("its version %q cannot be read", running), "see that it is "+oldest+" or newer: kubectl version")
	case !v.AtLeast(utilversion.MustParseGeneric(oldest)):
		x.inCluster.fail(check, running+" is too old", "use a cluster of "+oldest+" or newer")
	default:
		x.inCluster.ok(check, running)
	}
}

// unread is the finding where something could not be read.
func (x *checkup) unread(check string, err error) {
	if apierrors.IsForbidden(err) {
		x.inCluster.skip(check, "you may not read it", "ask somebody who may; see the check of your rights")
		return
	}
	x.inCluster.fail(check, err.Error(), "see that the API server is well, and look again")
}

// needs are the rights that the checks of the cluster need.
func (x *checkup) needs() []authorizationv1.ResourceAttributes {
	return []authorizationv1.ResourceAttributes{
		{Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: "awsorganizations"},
		{Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: "awsaccounts"},
		{Verb: "get", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
		{Verb: "get", Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"},
		{Verb: "get", Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicybindings"},
		{Verb: "get", Group: "coordination.k8s.io", Resource: "leases", Namespace: x.namespace},
		{Verb: "get", Resource: "serviceaccounts", Namespace: x.namespace},
	}
}

// rights asks whether the caller may read what is looked at.
func (x *checkup) rights(ctx context.Context, api client.Client) {
	const check = "your rights"
	var missing []string
	for _, need := range x.needs() {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &need}}
		if err := api.Create(ctx, review); err != nil { // a question; nothing is kept of it
			x.unread(check, fmt.Errorf("asking what you may do: %w", err))
			return
		}
		if !review.Status.Allowed {
			missing = append(missing, need.Verb+" "+need.Resource)
		}
	}
	if len(missing) > 0 {
		x.inCluster.warn(check, "you may not "+strings.Join(missing, ", "), "look with the rights of a cluster administrator; what you may not read is skipped")
		return
	}
	x.inCluster.ok(check, "you may read all that is looked at")
}

// definitions checks that every kind is there and served.
func (x *checkup) definitions(ctx context.Context, api client.Client) {
	const check = "CRDs"
	names := []string{"awsorganizations", "awsaccounts", "baselineexceptions", "remediations"}
	for _, k := range x.Kinds {
		names = append(names, strings.ToLower(k.Name)+"s")
	}
	var missing, pending []string
	for _, name := range names {
		name += "." + v1alpha1.GroupVersion.Group
		var crd apiextensionsv1.CustomResourceDefinition
		switch err := api.Get(ctx, client.ObjectKey{Name: name}, &crd); {
		case apierrors.IsNotFound(err):
			missing = append(missing, name)
		case err != nil:
			x.unread(check, err)
			return
		case !established(&crd):
			pending = append(pending, name)
		}
	}
	switch {
	case len(missing) > 0:
		x.inCluster.fail(check, "not there: "+strings.Join(missing, ", "), install)
	case len(pending) > 0:
		x.inCluster.fail(check, "not established: "+strings.Join(pending, ", "), "see why: kubectl describe crd "+pending[0])
	default:
		x.inCluster.ok(check, fmt.Sprintf("%d, all established", len(names)))
	}
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established {
			return c.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}

// manager checks that a manager works.
func (x *checkup) manager(ctx context.Context, api client.Client) {
	x.atWork(ctx, api, "manager", controllers.Lease)
}

// enforcer checks that an enforcer works, where hands are separate.
func (x *checkup) enforcer(ctx context.Context, api client.Client) {
	if x.org != nil && x.org.Spec.Roles.EnforcerPrincipal != "" {
		x.atWork(ctx, api, "enforcer", controllers.EnforcerLease)
	}
}

// atWork checks that a process works: it holds a lease that is fresh.
func (x *checkup) atWork(ctx context.Context, api client.Client, check, leaseName string) {
	lease, in := &coordinationv1.Lease{}, "in "+x.namespace
	err := api.Get(ctx, client.ObjectKey{Namespace: x.namespace, Name: leaseName}, lease)
	switch s := lease.Spec; {
	case apierrors.IsNotFound(err):
		x.inCluster.warn(check, "has not been at work: there is no lease "+leaseName+" "+in, install+"; with --leader-elect=false it holds none")
	case err != nil:
		x.unread(check, err)
	case s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil:
		x.inCluster.warn(check, "is not at work: nobody holds the lease "+leaseName+" "+in, "see its pods: kubectl get pods -n "+x.namespace)
	case x.Clock().After(s.RenewTime.Add(time.Duration(*s.LeaseDurationSeconds) * time.Second)):
		x.inCluster.warn(check, fmt.Sprintf("is not at work: %s renewed the lease last %s ago", *s.HolderIdentity, age(x.Clock().Sub(s.RenewTime.Time))),
			"see its pods: kubectl get pods -n "+x.namespace)
	default:
		x.inCluster.ok(check, "at work: "+*s.HolderIdentity)
	}
}

// organization checks that there is one AWSOrganization, and keeps it unless a file has another.
func (x *checkup) organization(ctx context.Context, api client.Client) {
	const check = "AWSOrganization"
	var list v1alpha1.AWSOrganizationList
	err := api.List(ctx, &list)
	switch n := len(list.Items); {
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		x.inCluster.skip(check, "its kind is not there", install)
		return
	case err != nil:
		x.unread(check, err)
		return
	case n == 0 && x.org != nil:
		x.inCluster.warn(check, "there is none; what follows is of the file", "kubectl apply -f "+x.file)
		return
	case n == 0:
		x.inCluster.fail(check, "there is none", "kubectl apply -f config/samples/awsorganization.yaml, with your own ids in it")
		return
	case n > 1:
		x.inCluster.fail(check, fmt.Sprintf("there are %d, and Plumbline reads none", n), "delete all but one: kubectl get awsorg")
		return
	}
	org := &list.Items[0]
	if x.org == nil {
		x.org = org
		x.inCluster.ok(check, org.Name)
	} else {
		x.inCluster.ok(check, org.Name+"; what follows is of "+x.file)
	}
	x.writes(org)
	all, err := accounts(ctx, api)
	if err != nil {
		x.unread("AWSAccounts", err)
	}
	for i := range all {
		x.known[all[i].Name] = &all[i]
	}
}

func (x *checkup) writes(org *v1alpha1.AWSOrganization) {
	if org.Spec.Writes == v1alpha1.WritesStopped {
		x.inCluster.warn("writes", "Stopped: nothing is changed in any account", "set spec.writes of the AWSOrganization to Allowed once changes are wanted")
		return
	}
	x.inCluster.ok("writes", "Allowed, by a manager with --allow-writes and for baselines in mode Enforce")
}
