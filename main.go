// Plumbline is a Kubernetes controller that keeps AWS accounts true to a declared security baseline.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/middleware"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlzap "sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/kubectl"
)

// version is set when the binary is built.
var version = "dev"

func main() {
	if kubectl.Invoked(os.Args) {
		os.Exit(kubectl.Main(ctrl.SetupSignalHandler(), os.Args, kubectl.Options{
			Kinds: controls.Kinds(), Version: version, Clock: time.Now, AWS: awsConfig,
			Streams: genericclioptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		}))
	}
	if len(os.Args) > 1 && os.Args[1] == "version" {
		fmt.Println("plumbline", version)
		return
	}
	o, err := parse(os.Args[1:], os.LookupEnv)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "plumbline:", err)
		os.Exit(2)
	}
	ctrl.SetLogger(ctrlzap.New(o.logger()...))
	// The process ends right after Start returns, so that a released lease is never held by one that still works.
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		ctrl.Log.Error(err, "the manager stopped")
		os.Exit(1)
	}
}

// run wires everything and works until ctx ends.
func run(ctx context.Context, o *options) error {
	if err := control.Validate(controls.Catalogue()); err != nil {
		return err
	}
	base, err := awsConfig(ctx)
	if err != nil {
		return fmt.Errorf("loading the AWS configuration: %w", err)
	}
	mgr, err := newManager(o)
	if err != nil {
		return err
	}
	err = controllers.Setup(mgr, controllers.Options{
		AWS: base, Kinds: controls.Kinds(), Limits: o.limits(), AllowWrites: o.allowWrites, DefaultSoak: o.defaultSoak,
		Parallel: o.accountParallel, Hands: o.hands(), Namespace: o.namespace(), ACKRoles: o.ackRoles, Events: o.events(base), Clock: time.Now,
	})
	if err != nil {
		return err
	}
	ctrl.Log.Info("starting", "version", version, "role", o.role, "allowWrites", o.allowWrites)
	return mgr.Start(ctx)
}

// events is the queue that events are received from; nil without one.
func (o *options) events(base aws.Config) func(controllers.EventFilter) (controllers.EventSource, error) {
	if o.eventQueue == "" {
		return nil
	}
	return func(f controllers.EventFilter) (controllers.EventSource, error) {
		queue, err := cloud.NewQueue(base, o.eventQueue, cloud.QueueOptions{
			Clock: time.Now, Wanted: f.Wanted, OwnRole: f.OwnRole, Own: f.Own, Observe: f.Observe,
		})
		if err != nil {
			return nil, fmt.Errorf("--event-queue-url: %w", err)
		}
		return queue, nil
	}
}

// awsConfig is the SDK's standard configuration with one transport for everything.
func awsConfig(ctx context.Context) (aws.Config, error) {
	transport := awshttp.NewBuildableClient().WithTimeout(30 * time.Second).WithTransportOptions(func(t *http.Transport) {
		// The SDK keeps 100 connections in all; 17 regions of seven services are more hosts than that.
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = 1024, 128, 30*time.Second
	})
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithHTTPClient(transport),
		config.WithAPIOptions([]func(*middleware.Stack) error{awsmiddleware.AddUserAgentKeyValue("plumbline", version)}),
	)
	cfg.HTTPClient = cloud.WholeBodies(cfg.HTTPClient)
	return cfg, err
}

func newManager(o *options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	rest, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	metrics := metricsserver.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure, CertDir: o.metricsCertDir}
	if o.metricsSecure {
		metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	mgr, err := ctrl.NewManager(rest, ctrl.Options{
		Scheme: scheme, Metrics: metrics, HealthProbeBindAddress: o.healthAddress,
		LeaderElection: o.leaderElect, LeaderElectionID: o.lease(), LeaderElectionNamespace: o.leaderNamespace,
		LeaderElectionReleaseOnCancel: true, GracefulShutdownTimeout: &o.shutdownTimeout,
		Cache: controllers.CacheOptions(),
	})
	if err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("caches", func(req *http.Request) error {
		if !mgr.GetCache().WaitForCacheSync(req.Context()) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	})
}
