package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Discovered is what discovery would take in.
type Discovered struct {
	// OrganizationID is the organization's id.
	OrganizationID string
	Accounts       []*v1alpha1.AWSAccount
	Members        []cloud.Member
	// Problems is what could not become a label.
	Problems []string
}

// Discover reads the organization as OrganizationReconciler does, and makes the accounts that it would take in. given are
// AWSAccounts that exist already or are to be applied: what they say wins over what discovery would write. Tags are read only of
// the accounts in only; empty: of all.
func Discover(ctx context.Context, c *cloud.Cloud, org *v1alpha1.AWSOrganization, given []*v1alpha1.AWSAccount, only []string) (*Discovered, error) {
	r := discoverer(c)
	from, read, err := r.readThrough(ctx, org, accountIn(given, org.Spec.ReadFromOrDefault()).Spec.Roles)
	if err != nil {
		return nil, errors.New(whyNoDiscovery(err))
	}
	d := newDiscovery(org, from, read, nil)
	if why := d.refuse(); why != "" {
		return nil, errors.New(why)
	}
	out := &Discovered{OrganizationID: read.ID, Members: read.Members}
	member := map[string]bool{}
	for _, m := range read.Members {
		member[m.ID] = true
	}
	for _, m := range d.wanted {
		a := accountIn(given, m.ID)
		if len(only) == 0 || slices.Contains(only, m.ID) {
			label(a, r.metadataOf(ctx, d, m))
		}
		out.Accounts = append(out.Accounts, a)
	}
	for _, a := range given {
		if !member[a.Name] {
			out.Accounts = append(out.Accounts, a)
		}
	}
	slices.Sort(d.problems)
	out.Problems = d.problems
	return out, ctx.Err()
}

// ReadMembers reads what AWS Organizations says of the accounts: their e-mail addresses, which stand in no cluster.
func ReadMembers(ctx context.Context, c *cloud.Cloud, org *v1alpha1.AWSOrganization, accounts []*v1alpha1.AWSAccount) ([]cloud.Member, error) {
	_, read, err := discoverer(c).readThrough(ctx, org, accountIn(accounts, org.Spec.ReadFromOrDefault()).Spec.Roles)
	if err != nil {
		return nil, errors.New(whyNoDiscovery(err))
	}
	return read.Members, nil
}

// discoverer reads organizations, and has no cluster to write to.
func discoverer(c *cloud.Cloud) *OrganizationReconciler {
	f := &forecaster{}
	return &OrganizationReconciler{
		Read: c.ReadOrganization, Tags: c.ReadTags, Entry: f.entry, Clock: func() time.Time { return time.Time{} }, // it asks once
	}
}

// accountIn is a copy of the given account with the id, or an empty one.
func accountIn(given []*v1alpha1.AWSAccount, id string) *v1alpha1.AWSAccount {
	for _, a := range given {
		if a.Name == id {
			return a.DeepCopy()
		}
	}
	a := &v1alpha1.AWSAccount{}
	a.Name = id
	return a
}

// label gives an account what discovery would, where nobody else has set it.
func label(a *v1alpha1.AWSAccount, found applied) {
	set := func(to *map[string]string, from map[string]string) {
		if *to == nil {
			*to = map[string]string{}
		}
		for k, v := range from {
			if _, there := (*to)[k]; !there {
				(*to)[k] = v
			}
		}
	}
	set(&a.Labels, found.labels)
	set(&a.Annotations, found.annotations)
}

// Declared is what stands in a cluster.
type Declared struct {
	Organization *v1alpha1.AWSOrganization
	Accounts     []*v1alpha1.AWSAccount
	Exceptions   []*v1alpha1.BaselineException
	Baselines    []control.Baseline
}

// ReadDeclared reads the organization, its accounts, and the exceptions and baselines of all kinds. The organization is nil
// where there is none.
func ReadDeclared(ctx context.Context, c client.Reader, kinds []control.Kind) (*Declared, error) {
	org, err := theOrganization(ctx, c)
	if err != nil && !errors.Is(err, errNoOrganization) {
		return nil, err
	}
	out := &Declared{Organization: org}
	var accounts v1alpha1.AWSAccountList
	if err := c.List(ctx, &accounts); err != nil {
		return nil, fmt.Errorf("listing accounts: %w", err)
	}
	for i := range accounts.Items {
		if accounts.Items[i].DeletionTimestamp == nil {
			out.Accounts = append(out.Accounts, &accounts.Items[i])
		}
	}
	if out.Exceptions, err = listExceptions(ctx, c); err != nil {
		return nil, err
	}
	declarations := declarations{}
	all, err := declarations.list(ctx, c, kinds)
	for _, d := range all {
		out.Baselines = append(out.Baselines, d.object)
	}
	return out, err
}
