package e2e

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/test/faultproxy"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// shared is what the whole suite stands on.
var shared struct {
	plane    *stack.ControlPlane
	emulator *stack.Emulator
	client   client.Client
	// kubeconfig is the managers' access: their service account's.
	kubeconfig string
	dir        string
	scenes     int
}

// The accounts of every scene. The first four are in Workloads/Prod, the last two in Security.
const (
	payProd    = "111122223333"
	shopProd   = "111122224444"
	webProd    = "111122225555"
	dataProd   = "111122226666"
	security   = "222233334444"
	logArchive = "222233335555"
	management = stack.ManagementAccount
)

// The regions of every scene.
const (
	frankfurt = "eu-central-1"
	ireland   = "eu-west-1"
	virginia  = "us-east-1"
)

var (
	members    = []string{payProd, shopProd, webProd, dataProd, security, logArchive}
	everywhere = []string{payProd, shopProd, webProd, dataProd, security, logArchive, management}
	regions    = []string{frankfurt, ireland, virginia}
)

// externalID stands in the roles' trust policies.
const externalID = "plumbline-e2e"

// Where hands are separate, the observer and the enforcer sign in with keys of their own, which are those of these roles.
const (
	observerKey, enforcerKey             = "AKIAOBSERVER", "AKIAENFORCER"
	observerPrincipal, enforcerPrincipal = "arn:aws:iam::444455556666:role/plumbline-manager", "arn:aws:iam::444455556666:role/plumbline-enforcer"
)

func seed() stack.OrganizationSeed {
	account := func(id, name, ou, tier string) stack.AccountSeed {
		return stack.AccountSeed{ID: id, Name: name, OU: ou, Tags: map[string]string{"tier": tier}}
	}
	return stack.OrganizationSeed{
		Roles: &stack.RoleSeed{ExternalID: externalID},
		Accounts: []stack.AccountSeed{
			account(payProd, "pay-prod", "Workloads/Prod", "prod"), account(shopProd, "shop-prod", "Workloads/Prod", "prod"),
			account(webProd, "web-prod", "Workloads/Prod", "prod"), account(dataProd, "data-prod", "Workloads/Prod", "prod"),
			account(security, "security", "Security", "core"), account(logArchive, "log-archive", "Security", "core"),
		},
	}
}

// A plot says in what one scene differs from the others.
type plot struct {
	// flags are the manager's.
	flags []string
	// organization is YAML that replaces fields of the AWSOrganization's spec, one a line.
	organization string
	// liar is the service that a liar answers for: "EC2".
	liar string
	// faulty puts a fault proxy between the manager and AWS.
	faulty bool
	// mayLog is what the manager's log may hold in this scene although no log may.
	mayLog []string
	// separate makes the scene's manager an observer. The enforcer is started by the specs.
	separate bool
	// before changes AWS before the manager first looks.
	before func(ctx context.Context, s *scene)
}

// A scene is what one container plays in: an organization in the emulator, and a manager that has discovered it.
type scene struct {
	plot         plot
	organization *stack.Organization
	manager      *stack.Manager
	liar         *liar
	proxy        *faultproxy.Proxy
	log          string
	// metrics is where the manager of a faulty scene serves its metrics.
	metrics string
}

// stage sets a scene before the container's first spec and strikes it after the last. A spec that fails prints what the
// manager, the API server and AWS have to say.
func stage(p plot) *scene {
	s := &scene{plot: p}
	BeforeAll(func(ctx SpecContext) { s.set(ctx) })
	AfterAll(func(ctx SpecContext) { s.strike(ctx) })
	AfterEach(func(ctx SpecContext) {
		if CurrentSpecReport().Failed() {
			s.tell(ctx)
		}
	})
	return s
}

func (s *scene) set(ctx context.Context) {
	GinkgoHelper()
	shared.scenes++
	s.log = filepath.Join(shared.dir, fmt.Sprintf("manager-%d.log", shared.scenes))
	removeEverything(ctx)
	Expect(shared.emulator.Reset(ctx)).To(Succeed())
	seed := seed()
	if s.plot.separate {
		seed.Roles.TrustedPrincipal, seed.Roles.Enforcer = observerPrincipal, enforcerPrincipal
		s.setState(ctx, map[string]any{"principals": map[string]string{observerKey: observerPrincipal, enforcerKey: enforcerPrincipal}})
	}
	organization, err := shared.emulator.SeedOrganization(ctx, seed)
	Expect(err).NotTo(HaveOccurred())
	s.organization = organization
	Expect(shared.emulator.SeedRoles(ctx, management, *seed.Roles)).To(Succeed())
	if s.plot.before != nil {
		s.plot.before(ctx, s)
	}
	if s.plot.liar != "" {
		s.liar = newLiar()
		DeferCleanup(s.liar.server.Close)
	}
	if s.plot.faulty {
		s.proxy, err = faultproxy.Start(shared.emulator.Proxy, uint64(chaos.seed))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(s.proxy.Close)
	}
	s.start(ctx)
	s.applyOrganization(ctx, s.plot.organization)
	s.awaitReached(ctx, everywhere...)
}

func (s *scene) strike(ctx context.Context) {
	GinkgoHelper()
	Expect(shared.emulator.DeleteRules(ctx)).To(Succeed())
	s.kill()
	expectCleanLog(s.log, s.plot.mayLog...)
}

// start starts the manager and waits until it is ready.
func (s *scene) start(ctx context.Context) {
	GinkgoHelper()
	s.manager = s.startManager(ctx)
}

// startManager starts one manager of the scene. Further flags win over the scene's.
func (s *scene) startManager(ctx context.Context, flags ...string) *stack.Manager {
	GinkgoHelper()
	return s.startManagerWith(ctx, stack.ManagerOptions{Args: flags})
}

func (s *scene) startManagerWith(ctx context.Context, o stack.ManagerOptions) *stack.Manager {
	GinkgoHelper()
	health := freeAddress()
	common := []string{"--leader-elect=false", "--default-soak=0s", "--metrics-bind-address=0", "--health-probe-bind-address=" + health}
	if s.plot.faulty {
		s.metrics = freeAddress()
		common = append(common, "--metrics-bind-address="+s.metrics, "--metrics-secure=false")
	}
	o.Args = slices.Concat(common, s.plot.flags, o.Args)
	if s.plot.separate {
		o.Env = append([]string{"AWS_ACCESS_KEY_ID=" + observerKey}, o.Env...)
	}
	o.Binary, o.Kubeconfig, o.Emulator = os.Getenv("PLUMBLINE_BINARY"), cmp.Or(o.Kubeconfig, shared.kubeconfig), shared.emulator
	if o.Log == "" {
		o.Log = s.log
	}
	if s.liar != nil {
		o.Env = append(o.Env, "AWS_ENDPOINT_URL_"+s.plot.liar+"="+s.liar.server.URL)
	}
	if s.proxy != nil {
		o.Env = append([]string{"AWS_ENDPOINT_URL=" + s.proxy.URL, "HTTP_PROXY=" + s.proxy.Proxy}, o.Env...)
	}
	m, err := stack.StartManager(o)
	Expect(err).NotTo(HaveOccurred())
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	Expect(m.AwaitReady(ready, "http://"+health+"/readyz")).To(Succeed())
	return m
}

func freeAddress() string {
	GinkgoHelper()
	address, err := stack.FreeAddress()
	Expect(err).NotTo(HaveOccurred())
	return address
}

// kill ends the manager as a crash would.
func (s *scene) kill() {
	GinkgoHelper()
	if s.manager != nil {
		Expect(s.manager.Kill()).To(Succeed())
	}
}

// tell prints what helps to understand a spec that failed.
func (s *scene) tell(ctx context.Context) {
	if s.manager != nil {
		section("the end of the manager's log", s.manager.Tail(40))
	}
	for _, args := range [][]string{
		{"get", "awsorg,awsacct,baselines,blx"}, {"get", "awsorg,awsacct,baselines,blx", "-o", "yaml", "--show-managed-fields=false"},
		{"get", "events.events.k8s.io", "-A", "--sort-by=.metadata.creationTimestamp"},
	} {
		out, err := shared.plane.Kubectl(ctx, args...)
		if err != nil {
			out += err.Error()
		}
		section("kubectl "+strings.Join(args, " "), out)
	}
	requests, _, err := shared.emulator.Requests(ctx, stack.Query{})
	if err != nil {
		section("the request log", err.Error())
		return
	}
	var lines []string
	for _, r := range requests[max(0, len(requests)-60):] {
		lines = append(lines, r.String()+" "+r.Phase+" "+r.Rule)
	}
	section("the last AWS calls", strings.Join(lines, "\n"))
}

func section(title, text string) { GinkgoWriter.Printf("\n--- %s\n%s\n", title, text) }
