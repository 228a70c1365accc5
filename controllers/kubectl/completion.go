package kubectl

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// completerOf is a function that lists what may stand in a place. Cobra compares with what was typed.
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
	return func(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return fitting(slices.Clone(values), nil, typed), cobra.ShellCompDirectiveNoFileComp
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

func (c *cluster) completeControls(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all []cobra.Completion
	for _, b := range c.catalogue() {
		all = append(all, cobra.CompletionWithDesc(b.ID, b.Title))
	}
	return fitting(all, args, typed), cobra.ShellCompDirectiveNoFileComp
}

// fitting are those that go on as was typed, and that were not given before.
func fitting(all []cobra.Completion, given []string, typed string) []cobra.Completion {
	return slices.DeleteFunc(all, func(s cobra.Completion) bool {
		name, _, _ := strings.Cut(s, "\t")
		return !strings.HasPrefix(name, typed) || slices.Contains(given, name)
	})
}

// shells are those that a script can be had for.
var shells = []string{"bash", "zsh", "fish"}

func newCompletion(c *cluster) *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that completes commands and names in a shell",
		Long: `Print a script that completes commands, flags and names: those of accounts, controls, baselines, and of Remediations that can be
decided so. It completes the binary called by its own name.

For kubectl plumbline itself no script is needed beside kubectl's own: kubectl asks the program kubectl_complete-plumbline, which
is this binary under that name.`,
		Example: `  source <(kubectl-plumbline completion bash)
  ln -s kubectl-plumbline "$(dirname "$(command -v kubectl-plumbline)")/kubectl_complete-plumbline"`,
		Args: cobra.ExactArgs(1), ValidArgs: shells, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			write, known := map[string]func(io.Writer) error{
				"bash": func(w io.Writer) error { return cmd.Root().GenBashCompletionV2(w, true) },
				"zsh":  cmd.Root().GenZshCompletion,
				"fish": func(w io.Writer) error { return cmd.Root().GenFishCompletion(w, true) },
			}[args[0]]
			if !known {
				return fmt.Errorf("there is no script for the shell %q; there are bash, zsh and fish", args[0])
			}
			if err := write(c.Streams.Out); err != nil {
				return fmt.Errorf("writing the script: %w", err)
			}
			return nil
		},
	}
}

// lister lists what may stand in a place.
type lister = func(context.Context, client.Client) ([]cobra.Completion, error)

// fromCluster completes with what the cluster has; nothing where it does not answer soon.
func (c *cluster) fromCluster(list lister) completerOf {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return fitting(c.listed(cmd.Context(), list), args, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *cluster) listed(ctx context.Context, list lister) []cobra.Completion {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	api, err := c.connect()
	if err != nil {
		return nil
	}
	all, err := list(ctx, api)
	if err != nil {
		return nil
	}
	return all
}

func accountNames(ctx context.Context, api client.Client) (names []cobra.Completion, err error) {
	all, err := accounts(ctx, api)
	for i := range all {
		names = append(names, cobra.CompletionWithDesc(all[i].Name, nameOf(&all[i])))
	}
	return names, err
}

func (c *cluster) baselineNames(ctx context.Context, api client.Client) (names []cobra.Completion, err error) {
	all, err := c.baselines(ctx, api)
	for _, b := range all {
		names = append(names, b.key())
	}
	return names, err
}

func (c *cluster) recheckable(ctx context.Context, api client.Client) ([]cobra.Completion, error) {
	baselines, err := c.baselineNames(ctx, api)
	if err != nil {
		return nil, err
	}
	accounts, err := accountNames(ctx, api)
	return append(baselines, accounts...), err
}

// decidable are the Remediations that can be decided so.
func (c *cluster) decidable(v verb) lister {
	return func(ctx context.Context, api client.Client) (names []cobra.Completion, err error) {
		all, err := remediations(ctx, api)
		for i := range all {
			if r := &all[i]; v.refusal(r, c.Clock()) == nil {
				names = append(names, cobra.CompletionWithDesc(r.Name, describeShortly(r)))
			}
		}
		return names, err
	}
}

func describeShortly(r *v1alpha1.Remediation) string {
	return r.Status.Risk + ", " + plural(len(r.Status.Changes), "resource")
}
