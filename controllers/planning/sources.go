package planning

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// errNoSource says what a plan needs beside baselines.
var errNoSource = errors.New("nothing says which organization: add a file with its AWSOrganization (config/samples/awsorganization.yaml shows one), " +
	"or name the cluster that has it with --kubeconfig or --context")

// gather brings together what files, cluster and AWS say. notes are what a person should know of it.
func (c *command) gather(ctx context.Context, given *manifests, base aws.Config, bar *progress) (in *controllers.ForecastInput, notes []string, err error) {
	in = &controllers.ForecastInput{
		Cloud: cloud.New(base, bar.asked, c.Clock), Organization: given.organization, Accounts: given.accounts, Only: slices.Compact(slices.Sorted(slices.Values(c.accounts))),
		Kinds: c.Kinds, Baselines: given.baselines, Exceptions: given.exceptions, AsDeclared: c.asDeclared,
		Parallel: c.parallel, Clock: c.Clock,
	}
	cluster, err := c.cluster()
	switch {
	case err != nil:
		return nil, nil, err
	case cluster == nil && c.withCluster:
		return nil, nil, errors.New("--with-cluster-baselines needs a cluster: name it with --kubeconfig or --context")
	case cluster == nil && in.Organization == nil:
		return nil, nil, errNoSource
	case c.withCluster, in.Organization == nil:
		if err := c.fromCluster(ctx, in, cluster); err != nil {
			return nil, nil, err
		}
	}
	if _, err := base.Credentials.Retrieve(ctx); err != nil {
		return nil, nil, fmt.Errorf("finding AWS credentials: %w; set AWS_PROFILE, or give credentials that may assume the audit roles in another way of the SDK", err)
	}
	if given.organization == nil {
		return in, c.members(ctx, in), nil
	}
	notes, err = c.discover(ctx, in)
	return in, notes, err
}

// discover takes the accounts from AWS, as the manager does.
func (c *command) discover(ctx context.Context, in *controllers.ForecastInput) (notes []string, err error) {
	found, err := controllers.Discover(ctx, in.Cloud, in.Organization, in.Accounts, in.Only)
	if err != nil {
		return nil, errors.New(said(err.Error()))
	}
	in.Accounts, in.Members, in.Organization.Status.OrganizationID = found.Accounts, found.Members, found.OrganizationID
	for _, p := range found.Problems {
		notes = append(notes, "left out of labels: "+p)
	}
	return notes, nil
}

func (c *command) cluster() (client.Reader, error) {
	if c.Cluster == nil {
		return nil, nil
	}
	return c.Cluster()
}

// fromCluster adds what the cluster says. What the files say of the same object takes its place.
func (c *command) fromCluster(ctx context.Context, in *controllers.ForecastInput, cluster client.Reader) error {
	there, err := controllers.ReadDeclared(ctx, cluster, c.Kinds)
	if err != nil {
		return err
	}
	if c.withCluster {
		in.Others = there.Baselines
	}
	if in.Organization != nil {
		return nil
	}
	if in.Organization = there.Organization; in.Organization == nil {
		return errors.New("neither the files nor the cluster have an AWSOrganization: add a file with it (config/samples/awsorganization.yaml shows one)")
	}
	in.Accounts = merged(in.Accounts, there.Accounts, func(given, known *v1alpha1.AWSAccount) *v1alpha1.AWSAccount {
		known.Spec = given.Spec
		for k, v := range given.Labels {
			if known.Labels == nil {
				known.Labels = map[string]string{}
			}
			known.Labels[k] = v
		}
		return known
	})
	in.Exceptions = merged(in.Exceptions, there.Exceptions, func(given, _ *v1alpha1.BaselineException) *v1alpha1.BaselineException { return given })
	return nil
}

// merged are the known objects, each replaced by what both make of it where it is given as well, and the given ones that are new.
func merged[O client.Object](given, known []O, both func(given, known O) O) []O {
	var all []O
	for _, k := range known {
		if i := slices.IndexFunc(given, func(g O) bool { return g.GetName() == k.GetName() }); i >= 0 {
			k = both(given[i], k)
		}
		all = append(all, k)
	}
	for _, g := range given {
		if !slices.ContainsFunc(known, func(k O) bool { return k.GetName() == g.GetName() }) {
			all = append(all, g)
		}
	}
	return all
}

// members reads, where GuardDuty is asked about, the accounts' e-mail addresses, which stand in no cluster.
func (c *command) members(ctx context.Context, in *controllers.ForecastInput) (notes []string) {
	for _, b := range in.Baselines {
		if _, is := b.(*v1alpha1.GuardDutyBaseline); !is {
			continue
		}
		members, err := controllers.ReadMembers(ctx, in.Cloud, in.Organization, in.Accounts)
		if err != nil {
			return []string{"e-mail addresses, which new GuardDuty members need, are not known: " + said(err.Error())}
		}
		in.Members = members
		return nil
	}
	return nil
}
