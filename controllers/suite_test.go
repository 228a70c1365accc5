package controllers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/controls"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// apiServer is a real API server with the CRDs, started by the first test that asks for it.
var apiServer struct {
	once   sync.Once
	env    *envtest.Environment
	client client.WithWatch
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if apiServer.env != nil {
		_ = apiServer.env.Stop()
	}
	os.Exit(code)
}

func startAPIServer() {
	s := &apiServer
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets, s.err = filepath.Abs("../bin/k8s")
	}
	if _, err := os.Stat(filepath.Join(assets, "kube-apiserver")); err != nil {
		s.err = fmt.Errorf("there is no API server to ask; run `make test`, which builds one: %w", err)
		return
	}
	s.env = &envtest.Environment{
		CRDDirectoryPaths: []string{"../config/crd/bases"}, ErrorIfCRDPathMissing: true, BinaryAssetsDirectory: assets,
	}
	config, err := s.env.Start()
	if err != nil {
		s.err = err
		return
	}
	scheme := runtime.NewScheme()
	s.err = errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme))
	if s.err == nil {
		s.client, s.err = client.NewWithWatch(config, client.Options{Scheme: scheme})
	}
}

// cluster is the API server, empty, with reconcilers over it that read it live, and an AWS that is the stand-in.
type cluster struct {
	*testing.T
	client.WithWatch
	ctx context.Context
	aws cloudtest.Cloud

	mu  sync.Mutex
	now time.Time
	// off are the regions, after an account, in which EBS encryption by default is off.
	off map[string]bool

	accounts      *AccountReconciler
	baselines     *BaselineReconciler
	organizations *OrganizationReconciler
	records       *RemediationReconciler
	heard         func() []string
	// before is called before a status is written. Nil: nothing.
	before func(client.Object) error
	// read is what reading the organization answers.
	read    *cloud.Organization
	readErr error
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	apiServer.once.Do(startAPIServer)
	if apiServer.err != nil {
		t.Fatal(apiServer.err)
	}
	// The API server has a clock of its own, and objects must not be made in the future.
	c := &cluster{T: t, ctx: t.Context(), now: time.Now().UTC().Truncate(time.Second).Add(time.Minute), off: map[string]bool{}}
	c.WithWatch = interceptor.NewClient(apiServer.client, interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, to client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			if c.before != nil {
				if err := c.before(o); err != nil {
					return err
				}
			}
			return to.SubResource(sub).Update(ctx, o, opts...)
		},
	})
	c.empty()
	t.Cleanup(c.empty)
	c.handle()
	record, heard := newRecorder()
	c.heard = heard
	entrance := cloud.New(c.aws.Base(), nil, c.clock)
	c.accounts = &AccountReconciler{
		Client: c, Live: c, Cloud: entrance, Kinds: controls.Kinds(), Directory: &Directory{}, Record: record, AllowWrites: true, Clock: c.clock,
		Engine: engine.New(engine.Limits{}, record, c.clock),
	}
	c.records = &RemediationReconciler{&Remediations{Client: c, Live: c, Namespace: "default", Record: record, Clock: c.clock, Kinds: controls.Kinds()}}
	c.accounts.Remediations = c.records.Remediations
	c.baselines = &BaselineReconciler{Remediations: c.records.Remediations, Client: c, Kinds: controls.Kinds(), Record: record, AllowWrites: true, Clock: c.clock}
	c.organizations = &OrganizationReconciler{
		Client: c, Live: c, Directory: c.accounts.Directory, Record: record, Entry: c.accounts.Entry, Clock: c.clock,
		Read: func(context.Context, cloud.Account) (*cloud.Organization, error) { return c.read, c.readErr },
		Tags: func(context.Context, cloud.Account, string) (map[string]string, error) {
			return nil, errors.New("no tags")
		},
	}
	return c
}

func (c *cluster) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cluster) later(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// empty takes everything away that an earlier test left.
func (c *cluster) empty() {
	for _, o := range []client.Object{&v1alpha1.AWSAccount{}, &v1alpha1.AWSOrganization{}, &v1alpha1.EncryptionBaseline{}, &v1alpha1.BaselineException{}, &v1alpha1.Remediation{}} {
		if err := apiServer.client.DeleteAllOf(context.Background(), o); err != nil {
			c.Fatal(err)
		}
	}
}

// handle answers for EC2: two regions, and EBS encryption by default.
func (c *cluster) handle() {
	cloudtest.Handle(&c.aws, func(cloudtest.Call, *ec2.DescribeRegionsInput) (*ec2.DescribeRegionsOutput, error) {
		return &ec2.DescribeRegionsOutput{Regions: []types.Region{{RegionName: aws.String(frankfurt)}, {RegionName: aws.String(ireland)}}}, nil
	})
	cloudtest.Handle(&c.aws, func(call cloudtest.Call, _ *ec2.GetEbsEncryptionByDefaultInput) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return &ec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: aws.Bool(!c.off[call.Account+" "+call.Region])}, nil
	})
	cloudtest.Handle(&c.aws, func(call cloudtest.Call, _ *ec2.EnableEbsEncryptionByDefaultInput) (*ec2.EnableEbsEncryptionByDefaultOutput, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.off, call.Account+" "+call.Region)
		return &ec2.EnableEbsEncryptionByDefaultOutput{}, nil
	})
	cloudtest.Handle(&c.aws, func(call cloudtest.Call, _ *ec2.DisableEbsEncryptionByDefaultInput) (*ec2.DisableEbsEncryptionByDefaultOutput, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.off[call.Account+" "+call.Region] = true
		return &ec2.DisableEbsEncryptionByDefaultOutput{}, nil
	})
}

func (c *cluster) create(all ...client.Object) {
	c.Helper()
	for _, o := range all {
		if err := c.Create(c.ctx, o); err != nil {
			c.Fatal(err)
		}
	}
}

// reload reads an object anew.
func reload[O client.Object](c *cluster, name string, o O) O {
	c.Helper()
	if err := apiServer.client.Get(c.ctx, client.ObjectKey{Name: name}, o); err != nil {
		c.Fatal(err)
	}
	return o
}

func (c *cluster) account(id string) *v1alpha1.AWSAccount {
	c.Helper()
	return reload(c, id, &v1alpha1.AWSAccount{})
}

// change alters an object's metadata or spec, as a person does.
func change[O client.Object](c *cluster, name string, o O, alter func(O)) {
	c.Helper()
	reload(c, name, o)
	alter(o)
	if err := apiServer.client.Update(c.ctx, o); err != nil {
		c.Fatal(err)
	}
}

// pass is one pass of an account.
func (c *cluster) pass(id string) ctrl.Result {
	c.Helper()
	result, err := c.accounts.Reconcile(c.ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: id}})
	if err != nil {
		c.Fatal(err)
	}
	return result
}

// calls are the operations called since the last time.
func (c *cluster) calls() []string {
	var all []string
	for _, call := range c.aws.Calls() {
		all = append(all, call.Operation+" "+call.Region)
	}
	c.aws.Reset()
	return all
}
