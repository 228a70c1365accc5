package kubectl

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// completer is a function that lists what may stand in a place. Cobra compares with what was typed.
type completerOf = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeWithin is how long somebody who pressed the tabulator waits at most.
const completeWithin = 3 * time.Second

// complete gives a flag its completions. The flag is there: it was bound a line before.
func (*cluster) complete(cmd *cobra.Command, flag string, values completerOf) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic("completing the flag --" + flag + ": " + err.Error())
	}
}

func fixed(values ...string) completerOf {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

// first completes the first argument only.
func first(values completerOf) completerOf {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return values(cmd, args, typed)
	}
}

func (c *cluster) completeControls(*cobra.Command, []string, string) (all []cobra.Completion, _ cobra.ShellCompDirective) {
	for _, b := range c.catalogue() {
		all = append(all, cobra.CompletionWithDesc(b.ID, b.Title))
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// fromCluster completes with what the cluster has; nothing where it does not answer soon.
func (c *cluster) fromCluster(cmd *cobra.Command, args []string, list func(context.Context, client.Client) ([]cobra.Completion, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	api, err := c.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := list(ctx, api)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.DeleteFunc(all, func(s cobra.Completion) bool {
		return slices.ContainsFunc(args, func(given string) bool { return s == given || len(s) > len(given) && s[:len(given)+1] == given+"\t" })
	}), cobra.ShellCompDirectiveNoFileComp
}

func (c *cluster) completeAccounts(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.fromCluster(cmd, args, accountNames)
}

func accountNames(ctx context.Context, api client.Client) (names []cobra.Completion, err error) {
	all, err := accounts(ctx, api)
	for i := range all {
		names = append(names, cobra.CompletionWithDesc(all[i].Name, nameOf(&all[i])))
	}
	return names, err
}

func (c *cluster) completeBaselines(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.fromCluster(cmd, args, c.baselineNames)
}

func (c *cluster) baselineNames(ctx context.Context, api client.Client) (names []cobra.Completion, err error) {
	all, err := c.baselines(ctx, api)
	for _, b := range all {
		names = append(names, b.key())
	}
	return names, err
}

func (c *cluster) completeRecheck(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return c.fromCluster(cmd, args, func(ctx context.Context, api client.Client) ([]cobra.Completion, error) {
		baselines, err := c.baselineNames(ctx, api)
		if err != nil {
			return nil, err
		}
		accounts, err := accountNames(ctx, api)
		return append(baselines, accounts...), err
	})
}

// completeRemediations completes with those that can be decided so.
func (c *cluster) completeRemediations(v verb) completerOf {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return c.fromCluster(cmd, args, func(ctx context.Context, api client.Client) (names []cobra.Completion, err error) {
			all, err := remediations(ctx, api)
			for i := range all {
				if r := &all[i]; v.refusal(r, c.Clock()) == nil {
					names = append(names, cobra.CompletionWithDesc(r.Name, describeShortly(r)))
				}
			}
			return names, err
		})
	}
}

func describeShortly(r *v1alpha1.Remediation) string {
	return r.Status.Risk + ", " + plural(len(r.Status.Changes), "resource")
}
