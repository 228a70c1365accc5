package kubectl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

const (
	payProd    = "111122223333"
	payDev     = "111122225555"
	shopDev    = "111122226666"
	management = "123456789012"

	frankfurt = "eu-central-1"
	ireland   = "eu-west-1"
)

// server is a real API server with the CRDs, started by the first test that asks for it.
var server struct {
	once   sync.Once
	env    *envtest.Environment
	config *rest.Config
	client client.WithWatch
	dir    string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.env != nil {
		_ = server.env.Stop()
		_ = os.RemoveAll(server.dir)
	}
	os.Exit(code)
}

func startServer() {
	s := &server
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets, s.err = filepath.Abs("../../bin/k8s")
	}
	if _, err := os.Stat(filepath.Join(assets, "kube-apiserver")); err != nil {
		s.err = fmt.Errorf("there is no API server to ask; run `make test`, which builds one: %w", err)
		return
	}
	if s.dir, s.err = os.MkdirTemp("", "plumbline-kubectl-"); s.err != nil {
		return
	}
	s.env = &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true, BinaryAssetsDirectory: assets}
	if s.config, s.err = s.env.Start(); s.err != nil {
		return
	}
	scheme := runtime.NewScheme()
	if s.err = errors.Join(v1alpha1.AddToScheme(scheme), admissionv1.AddToScheme(scheme)); s.err == nil {
		s.client, s.err = client.NewWithWatch(s.config, client.Options{Scheme: scheme})
	}
}

// world is the API server, empty, with a person before it and an AWS that is the stand-in.
type world struct {
	*testing.T
	client.WithWatch
	ctx context.Context
	now time.Time
	// typed is what the person types, at a terminal.
	typed string
	// kubeconfig is the person's.
	kubeconfig string
	// off has the regions, after an account, in which EBS encryption by default is off.
	off      map[string]bool
	aws      cloudtest.Cloud
	accounts *controllers.AccountReconciler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server.once.Do(startServer)
	if server.err != nil {
		t.Fatal(server.err)
	}
	// The API server has a clock of its own, and objects must not be made in the future.
	w := &world{T: t, WithWatch: server.client, ctx: t.Context(), now: time.Now().UTC().Truncate(time.Second).Add(time.Minute), off: map[string]bool{}}
	w.empty()
	t.Cleanup(w.empty)
	w.kubeconfig = w.user("alice@example.com", "system:masters")
	cloudtest.Handle(&w.aws, func(cloudtest.Call, *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
		return &ec2.DescribeRegionsOutput{Regions: []types.Region{{RegionName: aws.String(frankfurt)}, {RegionName: aws.String(ireland)}}}, nil
	})
	cloudtest.Handle(&w.aws, func(call cloudtest.Call, _ *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		return &ec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: aws.Bool(!w.off[call.Account+" "+call.Region])}, nil
	})
	clock := func() time.Time { return w.now }
	record := controllers.NewRecord(events.NewFakeRecorder(1000), prometheus.NewRegistry(), clock)
	w.accounts = &controllers.AccountReconciler{
		Client: w, Live: w, Cloud: cloud.New(w.aws.Base(), nil, clock), Engine: engine.New(engine.Limits{}, record, clock),
		Kinds: controls.Kinds(), Directory: &controllers.Directory{}, Record: record, Clock: clock,
	}
	return w
}

// empty takes everything away that an earlier test left.
func (*world) empty() {
	objects := []client.Object{&v1alpha1.AWSAccount{}, &v1alpha1.AWSOrganization{}, &v1alpha1.BaselineException{}, &v1alpha1.Remediation{}}
	for _, k := range controls.Kinds() {
		objects = append(objects, k.New().(client.Object))
	}
	for _, o := range objects {
		_ = server.client.DeleteAllOf(context.Background(), o)
	}
}

// user writes the kubeconfig of somebody.
func (w *world) user(name string, groups ...string) string {
	w.Helper()
	path := filepath.Join(server.dir, name)
	if _, err := os.Stat(path); err == nil {
		return path // making a key takes a while
	}
	added, err := server.env.AddUser(envtest.User{Name: name, Groups: groups}, server.config)
	if err != nil {
		w.Fatal(err)
	}
	content, err := added.KubeConfig()
	if err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

// run runs a command as a person does, and returns what it printed and its exit code.
func (w *world) run(args ...string) (stdout, stderr string, code int) {
	var out, errOut bytes.Buffer
	o := Options{
		Kinds: controls.Kinds(), Version: "v1.2.3", Clock: func() time.Time { return w.now }, Poll: time.Millisecond,
		AWS:     func(context.Context) (aws.Config, error) { return w.aws.Base(), nil },
		Streams: genericclioptions.IOStreams{In: w.keyboard(), Out: &out, ErrOut: &errOut},
	}
	code = Main(w.ctx, append([]string{"/usr/local/bin/kubectl-plumbline"}, append(args, "--kubeconfig", w.kubeconfig)...), o)
	return out.String(), errOut.String(), code
}

// says fails the test unless the command ends with the code and prints just this.
func (w *world) says(code int, want string, args ...string) {
	w.Helper()
	stdout, stderr, got := w.run(args...)
	if got != code {
		w.Errorf("%s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	w.same(strings.Join(args, " "), want, stdout+stderr)
}

// refuses fails the test unless the command is an error with this text.
func (w *world) refuses(text string, args ...string) {
	w.Helper()
	stdout, stderr, code := w.run(args...)
	if code != exitError || !strings.Contains(stderr, text) {
		w.Errorf("%s: exit code %d, want %d and an error with %q\n%s%s", strings.Join(args, " "), code, exitError, text, stdout, stderr)
	}
}

type keyboard struct{ io.Reader }

func (keyboard) IsTerminal() bool { return true }

func (w *world) keyboard() io.Reader {
	if w.typed == "" {
		return strings.NewReader("")
	}
	return keyboard{strings.NewReader(w.typed)}
}

func (w *world) create(all ...client.Object) {
	w.Helper()
	for _, o := range all {
		if err := w.Create(w.ctx, o); err != nil {
			w.Fatal(err)
		}
	}
}

// putStatus writes an object's status as the controller would.
func (w *world) putStatus(o client.Object) {
	w.Helper()
	if err := w.Status().Update(w.ctx, o); err != nil {
		w.Fatal(err)
	}
}

func (w *world) get(name string, o client.Object) {
	w.Helper()
	if err := w.Get(w.ctx, client.ObjectKey{Name: name}, o); err != nil {
		w.Fatal(err)
	}
}

// look has the accounts looked at by the real reconciler.
func (w *world) look(ids ...string) {
	w.Helper()
	for _, id := range ids {
		if _, err := w.accounts.Reconcile(w.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: id}}); err != nil {
			w.Fatal(err)
		}
	}
}

// account makes an account as discovery does.
func account(id, name, path string) *v1alpha1.AWSAccount {
	return &v1alpha1.AWSAccount{ObjectMeta: metav1.ObjectMeta{Name: id, Annotations: map[string]string{
		v1alpha1.AnnotationName: name, v1alpha1.AnnotationOUPath: path, v1alpha1.AnnotationState: "ACTIVE",
	}}}
}

func organization() *v1alpha1.AWSOrganization {
	return &v1alpha1.AWSOrganization{
		ObjectMeta: metav1.ObjectMeta{Name: "main"}, Spec: v1alpha1.AWSOrganizationSpec{ManagementAccount: management},
	}
}

// ebsBaseline declares EBS encryption by default, in Audit, for every account.
func ebsBaseline() *v1alpha1.EncryptionBaseline {
	return &v1alpha1.EncryptionBaseline{
		ObjectMeta: metav1.ObjectMeta{Name: "organization"},
		Spec:       v1alpha1.EncryptionBaselineSpec{EBSDefault: &v1alpha1.EBSDefault{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}}},
	}
}

// settle makes three accounts and has them looked at: one holds, one has drifted in two regions, of which one is excused, and
// one has drifted; the fourth was never looked at.
func (w *world) settle() {
	w.Helper()
	w.create(organization(), ebsBaseline(), exception("until-friday", w.now, 72*time.Hour),
		account(payProd, "pay-prod", "Root/Workloads/Prod"), account(payDev, "pay-dev", "Root/Workloads/Dev"),
		account(shopDev, "shop-dev", "Root/Workloads/Dev"), account(management, "master", "Root"))
	w.off[payDev+" "+frankfurt], w.off[payDev+" "+ireland], w.off[shopDev+" "+ireland] = true, true, true
	w.look(payProd, payDev, shopDev)
}

// exception excuses EBS encryption by default in Ireland, in shop-dev, from yesterday on.
func exception(name string, now time.Time, lasts time.Duration) *v1alpha1.BaselineException {
	from, expires := metav1.NewTime(now.Add(-24*time.Hour)), metav1.NewTime(now.Add(lasts))
	return &v1alpha1.BaselineException{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.BaselineExceptionSpec{
		Controls: []string{"ebs-default-encryption"}, Accounts: &v1alpha1.ExceptionAccounts{Include: []v1alpha1.AccountID{shopDev}},
		Reason: "reviewed", Owner: "team-shop", Ticket: "SEC-1", From: &from, Expires: &expires,
	}}
}
