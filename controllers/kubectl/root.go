// Package kubectl is what people use Plumbline with on the command line: the kubectl plugin `kubectl plumbline`, which is the
// manager's own binary under another name. It reads and writes objects of the cluster with the rights of whoever calls it. Of all
// commands only plan and doctor call AWS, which they never change.
package kubectl

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/planning"
)

// Options are what the commands are made from.
type Options struct {
	// Kinds are the baseline kinds.
	Kinds []control.Kind
	// Version is the binary's.
	Version string
	// Clock is time.Now except in tests.
	Clock func() time.Time
	// Streams are where commands read and write.
	Streams genericclioptions.IOStreams
	// AWS is the caller's own configuration: credential chain, transport and endpoint.
	AWS func(context.Context) (aws.Config, error)
	// Poll is how often is looked again while waiting; zero: a second.
	Poll time.Duration
}

// plugin is the name by which kubectl finds the binary, completer the one by which it asks for completions.
const (
	plugin    = "kubectl-plumbline"
	completer = "kubectl_complete-plumbline"
)

// The exit codes of a command. Wrong usage is an error too.
const (
	exitDone  = 0
	exitError = 1
	exitDrift = 2
)

// errDrift ends a command that found drift, and said so.
var errDrift = errors.New("there is drift")

// errFails ends a command that found what FAILs, and said so.
var errFails = errors.New("there is what fails")

// Invoked says whether the binary was called by a person, as a plugin or with a subcommand, and not as the manager.
func Invoked(argv []string) bool {
	if len(argv) == 0 {
		return false
	}
	if isPlugin(argv[0]) {
		return true
	}
	if len(argv) == 1 || argv[1] == "version" || strings.HasPrefix(argv[1], "-") { // the manager's, which needs no commands
		return false
	}
	names := []string{cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}
	for _, c := range New(Options{}).Commands() {
		names = append(names, c.Name())
	}
	return slices.Contains(names, argv[1])
}

func isPlugin(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, plugin) || strings.HasPrefix(name, completer)
}

// Main runs the command that was called and returns the exit code.
func Main(ctx context.Context, argv []string, o Options) int {
	root, args := New(o), argv[1:]
	if strings.HasPrefix(filepath.Base(argv[0]), completer) {
		args = append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	if !isPlugin(argv[0]) {
		root.Use, root.Annotations = "plumbline", nil
	}
	root.SetArgs(args)
	// What client-go would log of a call that fails is in the error that the command prints.
	ctx = logr.NewContext(ctx, logr.Discard())
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return exitDone
	case errors.Is(err, errDrift), errors.Is(err, planning.ErrDrift):
		return exitDrift
	case errors.Is(err, errFails):
		return exitError
	default:
		(&cluster{Options: o}).note(fmt.Sprintf("error: %v\n", err))
		return exitError
	}
}

// New makes the root command with all of the others.
func New(o Options) *cobra.Command {
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	c := &cluster{Options: o, flags: connection(o.Version)}
	root := &cobra.Command{
		Use:   plugin,
		Short: "See and decide what Plumbline keeps in your AWS accounts",
		Long: `See what Plumbline finds in the AWS accounts of your organization, and decide about the changes it proposes.

Everything is read from and written to the cluster of your kubeconfig, with your own rights. Only plan and doctor call AWS, and
only to read.`,
		Example:       "  kubectl plumbline status\n  kubectl plumbline drift --severity Critical,High\n  kubectl plumbline explain s3-secure-transport",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl plumbline"},
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(o.Streams.In)
	root.SetOut(o.Streams.Out)
	root.SetErr(o.Streams.ErrOut)
	c.flags.AddFlags(root.PersistentFlags())
	root.AddCommand(
		newStatus(c), newTree(c), newDrift(c), newExplain(c), newReport(c), newExceptions(c),
		newApprove(c), newReject(c), newUndo(c), newRecheck(c), newPlan(c), newDoctor(c), newCompletion(c), newVersion(c),
	)
	return root
}

// connection are the flags that say which cluster and as whom. Of kubectl's many those are kept that a person types.
func connection(version string) *genericclioptions.ConfigFlags {
	all := genericclioptions.NewConfigFlags(true)
	kept := &genericclioptions.ConfigFlags{
		KubeConfig: all.KubeConfig, Context: all.Context, Impersonate: all.Impersonate, ImpersonateGroup: all.ImpersonateGroup,
		Timeout: all.Timeout,
	}
	return kept.WithWrapConfigFn(wrapped("kubectl-plumbline/" + version))
}

func newVersion(c *cluster) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  kubectl plumbline version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return c.print("plumbline " + c.Version + "\n")
		},
	}
}
