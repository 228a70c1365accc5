package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	ctrlzap "sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// options is the manager's configuration.
type options struct {
	role            string
	allowWrites     bool
	changesPerPass  int
	accountsAtOnce  int
	accountParallel int
	defaultSoak     time.Duration

	leaderElect     bool
	leaderNamespace string
	healthAddress   string
	metricsAddress  string
	metricsSecure   bool
	metricsCertDir  string
	shutdownTimeout time.Duration
	ackRoles        bool
	eventQueue      string
	logLevel        string
	logFormat       string
}

const help = `Plumbline keeps AWS accounts true to a declared security baseline.

The manager watches AWSOrganization, AWSAccount, the baseline kinds and BaselineException (plumbline.dev/v1alpha1) in the
cluster of the current kubeconfig or service account. It observes every account of the organization, reports departures
in status, and with --allow-writes puts right what baselines in mode Enforce declare.

AWS credentials come from the SDK's standard chain (environment, web identity, container, instance profile); they need
only sts:AssumeRole on the audit and enforce roles of the accounts, and with --event-queue-url what config/events says. AWS_REGION, AWS_ENDPOINT_URL, AWS_CA_BUNDLE and
HTTPS_PROXY are honoured.

Every flag can be set by the environment variable PLUMBLINE_<FLAG>, in capitals with _ for -: PLUMBLINE_ALLOW_WRITES=true.
The flag wins.

Usage:
  plumbline [flags]
  plumbline plan -f FILE|DIR   (what baselines would change; plumbline plan --help)
  plumbline version

Flags:
`

// parse reads flags, and the environment where a flag is not given.
func parse(args []string, environ func(string) (string, bool)) (*options, error) {
	o := &options{}
	f := pflag.NewFlagSet("plumbline", pflag.ContinueOnError)
	f.SortFlags = false
	o.bind(f)
	f.Usage = func() { fmt.Fprint(os.Stderr, help+f.FlagUsagesWrapped(110)) }
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if extra := f.Args(); len(extra) > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see plumbline --help", extra[0])
	}
	var err error
	f.VisitAll(func(flag *pflag.Flag) {
		name := "PLUMBLINE_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if v, ok := environ(name); ok && !flag.Changed && err == nil {
			if e := flag.Value.Set(v); e != nil {
				err = fmt.Errorf("%s=%q: %w", name, v, e)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return o, o.validate()
}

func (o *options) bind(f *pflag.FlagSet) {
	f.StringVar(&o.role, "role", string(controllers.BothHands), "What this process does: all; or, where hands are separate (config/separate-hands), observer or enforcer.")
	f.BoolVar(&o.allowWrites, "allow-writes", false, "Let baselines in mode Enforce change AWS. Without it the manager only reads.")
	f.IntVar(&o.changesPerPass, "max-changes-per-pass", 25, "Changes made in one account before the next pass, at least a minute later.")
	f.IntVar(&o.accountsAtOnce, "max-accounts-changing", 5, "Accounts with changes under way, not verified yet, at a time.")
	f.DurationVar(&o.defaultSoak, "default-soak", v1alpha1.DefaultSoak, "Time that one account is watched before all others are changed, for baselines whose rollout names no waves. 0s: all at once.")
	f.IntVar(&o.accountParallel, "concurrent-accounts", 20, "Accounts swept at a time. Events and requests for one account do not wait for them.")
	f.BoolVar(&o.leaderElect, "leader-elect", true, "Work only while holding the lease, so that a second replica can stand by.")
	f.StringVar(&o.leaderNamespace, "leader-election-namespace", "", "Namespace of the lease. Needed outside a cluster; inside, the manager's own.")
	f.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz.")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "Address of /metrics; 0 turns metrics off.")
	f.BoolVar(&o.metricsSecure, "metrics-secure", true, "Serve metrics over TLS to callers that may get /metrics (TokenReview, SubjectAccessReview).")
	f.StringVar(&o.metricsCertDir, "metrics-cert-dir", "", "Directory with tls.crt and tls.key for metrics. Empty: a self-signed certificate.")
	f.DurationVar(&o.shutdownTimeout, "shutdown-timeout", 45*time.Second, "Time that passes under way are given to end before the manager stops.")
	f.BoolVar(&o.ackRoles, "ack-role-account-map", false, "Follow ACK's ConfigMap ack-role-account-map (namespace: ACK_SYSTEM_NAMESPACE) for accounts with auditFromACK.")
	f.StringVar(&o.eventQueue, "event-queue-url", "", "URL of the SQS queue with CloudTrail's events (config/events), so that changes are seen in seconds.")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info or error.")
	f.StringVar(&o.logFormat, "log-format", "json", "json or console.")
}

func (o *options) validate() error {
	if err := o.validateRole(); err != nil {
		return err
	}
	switch {
	case o.changesPerPass < 1:
		return fmt.Errorf("--max-changes-per-pass is %d; to change nothing, leave out --allow-writes", o.changesPerPass)
	case o.accountsAtOnce < 1:
		return fmt.Errorf("--max-accounts-changing is %d; to change nothing, leave out --allow-writes", o.accountsAtOnce)
	case o.defaultSoak < 0:
		return fmt.Errorf("--default-soak is %s; it must be 0s or more", o.defaultSoak)
	case o.accountParallel < 1:
		return fmt.Errorf("--concurrent-accounts is %d; it must be at least 1", o.accountParallel)
	case o.logFormat != "json" && o.logFormat != "console":
		return fmt.Errorf("--log-format is %q; it must be json or console", o.logFormat)
	}
	var level zapcore.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return fmt.Errorf("--log-level is %q; it must be debug, info or error", o.logLevel)
	}
	return nil
}

func (o *options) validateRole() error {
	enforcer := o.hands() == controllers.EnforcingHand
	switch {
	case !slices.Contains([]controllers.Hands{controllers.BothHands, controllers.ObservingHand, controllers.EnforcingHand}, o.hands()):
		return fmt.Errorf("--role is %q; it must be all, observer or enforcer", o.role)
	case enforcer && !o.allowWrites:
		return errors.New("--role is enforcer and --allow-writes is missing; an enforcer that may not write has nothing to do")
	case enforcer && o.eventQueue != "":
		return errors.New("--role is enforcer and --event-queue-url is set; the observer receives events")
	}
	return nil
}

// serviceAccountNamespace is where a pod finds the name of its namespace.
const serviceAccountNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// namespace is the manager's own; empty where it cannot be told.
func (o *options) namespace() string {
	if o.leaderNamespace != "" {
		return o.leaderNamespace
	}
	name, err := os.ReadFile(serviceAccountNamespace)
	if err != nil {
		return "" // not in a cluster
	}
	return strings.TrimSpace(string(name))
}

func (o *options) hands() controllers.Hands { return controllers.Hands(o.role) }

// lease is what says which of several replicas works.
func (o *options) lease() string {
	if o.hands() == controllers.EnforcingHand {
		return controllers.EnforcerLease
	}
	return controllers.Lease
}

func (o *options) limits() engine.Limits {
	return engine.Limits{ChangesPerPass: o.changesPerPass, AccountsAtOnce: o.accountsAtOnce}
}

func (o *options) logger() []ctrlzap.Opts {
	var level zapcore.Level
	_ = level.UnmarshalText([]byte(o.logLevel)) // validated
	encoder := ctrlzap.JSONEncoder()
	if o.logFormat == "console" {
		encoder = ctrlzap.ConsoleEncoder()
	}
	return []ctrlzap.Opts{
		ctrlzap.Level(level), encoder,
		// An error says what was being done; a stack says it again in fifty lines.
		ctrlzap.StacktraceLevel(zapcore.PanicLevel),
		func(o *ctrlzap.Options) { o.TimeEncoder = zapcore.RFC3339NanoTimeEncoder },
	}
}
