// Package planning is the command `plan`: it says what the baselines in files would change in AWS, without a cluster or against
// one. It makes its forecast as the manager makes its passes (controllers.Forecast), and never writes.
package planning

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// Options are what the command is made from.
type Options struct {
	// Streams are where it reads and writes.
	Streams genericiooptions.IOStreams
	// Kinds are the baseline kinds.
	Kinds []control.Kind
	// AWS loads the configuration for AWS: its credentials must be able to assume the audit roles.
	AWS func(ctx context.Context) (aws.Config, error)
	// Cluster gives a client of the cluster that the caller has named; nil, or a nil client: none was named.
	Cluster func() (client.Reader, error)
	// Clock is time.Now except in tests.
	Clock func() time.Time
}

// ErrDrift ends the command when something would change or only departs. It was told already.
var ErrDrift = errors.New("there is drift")

// The exit codes.
const (
	ExitClean = 0
	ExitError = 1
	ExitDrift = 2
)

// ExitCode is the exit code for what the command ended with.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return ExitClean
	case errors.Is(err, ErrDrift):
		return ExitDrift
	}
	return ExitError
}

// command is one call of it.
type command struct {
	Options
	files        []string
	accounts     []string
	asDeclared   bool
	withCluster  bool
	all          bool
	parallel     int
	output, file string
}

const long = `Say what the baselines in these files would change: in every account, for every control, which field of which resource, from
what to what, with which risk, whether it can be undone, and whether it would be changed at once or wait for an approval.

Every section is told as if its mode were Enforce; with --as-declared sections in Audit only report. The baselines are judged by
the controls, exceptions and rollout waves that the manager obeys. AWS is only read, with the audit roles, under the AWS
credentials of your environment.

The files say which organization: one AWSOrganization, whose accounts are then discovered from AWS. Without it they are taken from
the cluster that --kubeconfig or --context names, with its exceptions.

Exit codes: 0 nothing departs, 2 something does, 1 an error, or something that could not be told.`

const example = `  plumbline plan -f baselines/
  plumbline plan -f baselines/ -o markdown --file plan.md
  plumbline plan -f s3.yaml --context prod --account 111122223333
  kubectl get s3baselines -o yaml | plumbline plan -f organization.yaml -f -`

// New makes the command.
func New(o Options) *cobra.Command {
	c := &command{Options: o}
	cmd := &cobra.Command{
		Use: "plan -f FILE|DIR", Short: "Say what baselines would change in AWS, without changing anything",
		Long: long, Example: example, Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVarP(&c.files, "filename", "f", nil, "File or folder (with those below it) of YAML: baselines, AWSOrganization, AWSAccount, BaselineException; - is standard input. Repeatable.")
	f.StringVarP(&c.output, "output", "o", "table", "table, wide (a table with the reasons), markdown (for a pull request) or json.")
	f.StringVar(&c.file, "file", "", "Write the plan to this file instead of standard output.")
	f.BoolVar(&c.all, "all", false, "List every resource. Otherwise tables list 20 of each control and account and count the others, and Markdown is cut to what a pull request takes; json has all.")
	f.StringArrayVar(&c.accounts, "account", nil, "Look at this account only. Repeatable.")
	f.BoolVar(&c.asDeclared, "as-declared", false, "Leave sections in mode Audit as reports, instead of telling what Enforce would change.")
	f.BoolVar(&c.withCluster, "with-cluster-baselines", false, "Let the cluster's other baselines compete for the same controls, by priority.")
	f.IntVar(&c.parallel, "concurrent-accounts", 20, "Accounts looked at at a time.")
	return cmd
}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

func (c *command) validate() error {
	switch {
	case len(c.files) == 0:
		return errors.New("-f is missing: name a file or folder with baselines, or - for standard input")
	case renderers[c.output] == nil:
		return fmt.Errorf("-o %s is no format; it is one of table, wide, markdown, json", c.output)
	case c.parallel < 1:
		return fmt.Errorf("--concurrent-accounts is %d; it must be at least 1", c.parallel)
	}
	for _, id := range c.accounts {
		if !accountID.MatchString(id) {
			return fmt.Errorf("--account %s is no account id; it has twelve digits", id)
		}
	}
	return nil
}

func (c *command) run(ctx context.Context) error {
	if err := c.validate(); err != nil {
		return err
	}
	p, err := c.plan(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted; nothing was told, and nothing was changed")
	}
	if err != nil {
		return err
	}
	if err := c.write(p); err != nil {
		return err
	}
	return p.verdict()
}

// plan makes the plan.
func (c *command) plan(ctx context.Context) (*plan, error) {
	documents, err := read(c.files, c.Streams.In)
	if err != nil {
		return nil, err
	}
	given, err := decode(ctx, documents, c.Kinds)
	if err != nil {
		return nil, err
	}
	if len(given.baselines) == 0 {
		return nil, fmt.Errorf("there is no baseline in %s: a plan needs one of %s at least", strings.Join(c.files, ", "), strings.Join(names(c.Kinds), ", "))
	}
	base, err := c.AWS(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	base.Logger = logging.Nop{} // what matters is told in the plan
	bar := newProgress(c.Streams.ErrOut, c.Clock)
	in, notes, err := c.gather(ctx, given, base, bar)
	if err != nil {
		return nil, err
	}
	n := len(in.Accounts)
	if len(in.Only) > 0 {
		n = len(in.Only)
	}
	bar.begin(n)
	in.Seen = bar.seen
	found, err := controllers.Forecast(ctx, *in)
	bar.end()
	if err != nil {
		return nil, err
	}
	found.Notes = append(append(given.skipped, notes...), found.Notes...)
	return newPlan(found, in), nil
}

func names(kinds []control.Kind) []string {
	var all []string
	for _, k := range kinds {
		all = append(all, k.Name)
	}
	return all
}

func (c *command) write(p *plan) (err error) {
	render := renderers[c.output]
	if c.file == "" {
		if err := render(p, c.Streams.Out, c.all); err != nil {
			return fmt.Errorf("writing to standard output: %w", err)
		}
		return nil
	}
	out, err := os.Create(c.file) //nolint:gosec // a plan is for others to read, where the caller says
	if err == nil {
		err = errors.Join(render(p, out, c.all), out.Close())
	}
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	return nil
}
