package controllers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/config"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// How large the tests with a whole manager are. `make test-chaos` makes them larger.
const (
	// envAccounts is how many accounts there are. Default: 30.
	envAccounts = "PLUMBLINE_CHAOS_ACCOUNTS"
	// envSeed makes the dice fall as they did in a run that failed. Default: 1.
	envSeed = "PLUMBLINE_CHAOS_SEED"
)

func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, v, err)
	}
	return n
}

// storm is what goes wrong, decided by dice that fall the same way for the same seed.
type storm struct {
	mu   sync.Mutex
	dice *rand.Rand
	// aws, panics and conflicts are shares of all calls, of all looks and of all status writes, in percent.
	aws, panics, conflicts int
	// hit counts what was hit.
	hit [3]int
	// changes counts the changes that reached AWS, by account and region.
	changes map[string]int
}

func (s *storm) strikes(kind, share int) bool {
	if s.dice.IntN(100) >= share {
		return false
	}
	s.hit[kind]++
	return true
}

func (s *storm) call() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	codes := []string{"RequestLimitExceeded", "InternalFailure", "ExpiredToken", "UnauthorizedOperation"}
	if s.strikes(0, s.aws) {
		return cloudtest.Error(codes[s.dice.IntN(len(codes))], "the test says so")
	}
	return nil
}

func (s *storm) look(string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strikes(1, s.panics)
}

func (s *storm) write(client.Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.strikes(2, s.conflicts) {
		return conflict
	}
	return nil
}

func (s *storm) made(where string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes[where]++
}

// rage sets how much goes wrong from now on.
func (s *storm) rage(aws, panics, conflicts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aws, s.panics, s.conflicts = aws, panics, conflicts
}

// hits are how often AWS, a control and a status write were hit so far.
func (s *storm) hits() [3]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hit
}

// brew puts the storm between the cluster and its AWS.
func (c *cluster) brew(s *storm) {
	cloudtest.Handle(&c.aws, func(call cloudtest.Call, _ *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		if err := s.call(); err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return &ec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: aws.Bool(!c.off[call.Account+" "+call.Region])}, nil
	})
	cloudtest.Handle(&c.aws, func(call cloudtest.Call, _ *ec2.EnableEbsEncryptionByDefaultInput) (*ec2.EnableEbsEncryptionByDefaultOutput, error) {
		if err := s.call(); err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.off, call.Account+" "+call.Region)
		s.made(call.Account + " " + call.Region)
		return &ec2.EnableEbsEncryptionByDefaultOutput{}, nil
	})
}

// run runs a whole manager over the cluster until the returned function is called, which returns when it has ended.
func (c *cluster) run(s *storm) (stop func()) {
	c.Helper()
	host := rest.CopyConfig(apiServer.env.Config)
	host.QPS, host.Burst = 200, 400
	mgr, err := ctrl.NewManager(host, ctrl.Options{
		Scheme: apiServer.client.Scheme(), Metrics: server.Options{BindAddress: "0"}, Cache: CacheOptions(),
		GracefulShutdownTimeout: ptr.To(30 * time.Second), Controller: config.Controller{SkipNameValidation: ptr.To(true)},
		NewClient: func(conf *rest.Config, o client.Options) (client.Client, error) {
			plain, err := client.NewWithWatch(conf, o)
			if err != nil {
				return nil, err
			}
			return interceptor.NewClient(plain, interceptor.Funcs{
				SubResourceUpdate: func(ctx context.Context, to client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
					if err := s.write(o); err != nil {
						return err
					}
					return to.SubResource(sub).Update(ctx, o, opts...)
				},
			}), nil
		},
	})
	if err != nil {
		c.Fatal(err)
	}
	err = Setup(mgr, Options{
		AWS: c.aws.Base(), Kinds: []control.Kind{panicky(s.look)}, Limits: engine.Limits{AccountsAtOnce: 1000}, Registry: prometheus.NewRegistry(), AllowWrites: true,
		Parallel: 20, Clock: time.Now,
	})
	if err != nil {
		c.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	return func() {
		c.Helper()
		cancel()
		if err := <-ended; err != nil {
			c.Errorf("the manager ended with %v", err)
		}
	}
}

// await waits until the condition holds; what says what it is.
func (c *cluster) await(what string, holds func() bool) {
	c.Helper()
	deadline, tick := time.NewTimer(2*time.Minute), time.NewTicker(100*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			c.Fatalf("waited in vain: %s", what)
		}
	}
}

// told are the accounts' states and summaries, of those that answered the token.
func (c *cluster) told(token string) map[string]int {
	c.Helper()
	var all v1alpha1.AWSAccountList
	if err := apiServer.client.List(c.ctx, &all); err != nil {
		c.Fatal(err)
	}
	told := map[string]int{}
	for _, a := range all.Items {
		if a.Status.LastHandledReconcileAt == token {
			told[string(a.Status.State)+" "+a.Status.Summary]++
		}
	}
	return told
}

// askAll asks for every account to be looked at anew.
func (c *cluster) askAll(ids []string, token string) {
	c.Helper()
	for _, id := range ids {
		a := &v1alpha1.AWSAccount{ObjectMeta: metav1.ObjectMeta{Name: id}}
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationReconcileRequestedAt, token)
		if err := apiServer.client.Patch(c.ctx, a, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			c.Fatal(err)
		}
	}
}

// depth is the number of keys that wait in a controller's queue, as the metric has it.
func (c *cluster) depth(queue string) (depth float64) {
	c.Helper()
	families, err := ctrlmetrics.Registry.Gather()
	if err != nil {
		c.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "workqueue_depth" && labels["name"] == queue {
				depth += m.GetGauge().GetValue()
			}
		}
	}
	return depth
}

func TestAManagerOutlivesAStormAndLeavesNothingBehind(t *testing.T) {
	n, seed := fromEnv(t, envAccounts, 30), fromEnv(t, envSeed, 1)
	t.Logf("%s=%d %s=%d", envAccounts, n, envSeed, seed)
	c := newCluster(t)
	quiet := goleak.IgnoreCurrent()                                                      // the API server's, and its client's
	s := &storm{dice: rand.New(rand.NewPCG(uint64(seed), 0)), changes: map[string]int{}} //nolint:gosec // dice; any seed will do
	c.brew(s)
	c.create(organization(), encryptionBaseline(v1alpha1.ModeEnforce))
	var ids []string
	once := map[string]int{} // what is to be changed
	for i := range n {
		ids = append(ids, fmt.Sprintf("5%011d", i))
		c.off[ids[i]+" "+ireland], once[ids[i]+" "+ireland] = true, 1
		c.create(anAccount(ids[i]))
	}
	s.rage(30, 10, 50)
	stop := c.run(s)
	looks := 0
	c.await("everything is hit, often", func() bool {
		if looks++; looks%20 == 0 {
			c.askAll(ids, fmt.Sprint("more of the storm, ", looks)) // what failed would be due again only after minutes
		}
		h := s.hits()
		return h[0] > n && h[1] > n/10 && h[2] > n
	})

	s.rage(0, 0, 100)
	before := s.hits()[2]
	c.askAll(ids, "in the storm")
	c.await("conflicts on every status write", func() bool { return s.hits()[2] > before+2*n })
	same(t, "statuses that were written", map[string]int{}, c.told("in the storm"))

	s.rage(0, 0, 0)
	c.askAll(ids, "after the storm")
	c.await("every account answers", func() bool {
		told := 0
		for _, accounts := range c.told("after the storm") {
			told += accounts
		}
		return told == n
	})
	same(t, "what the statuses say", map[string]int{"Compliant 2/2": n}, c.told("after the storm"))
	same(t, "changes", once, s.changes)
	c.await("the queue is empty", func() bool { return c.depth("account") == 0 })
	stop()
	if err := goleak.Find(quiet); err != nil {
		t.Error(err)
	}
}
