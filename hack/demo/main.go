// The demo shows Plumbline at work on one machine: a real API server, an emulated AWS organization that has drifted in
// telling ways, and the manager. It applies config/samples, shows what is found, enforces, lets somebody undo it, shows that it
// is found and put right, and has a change approved and undone. Nothing leaves the machine.
//
// Run it with `make demo`; KEEP=1 leaves everything running.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/plumbline-dev/plumbline/test/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\nthe demo failed:", err)
		os.Exit(1)
	}
}

// demo is everything that runs.
type demo struct {
	*narrator
	keep    bool
	dir     string
	plane   *stack.ControlPlane
	cloud   *stack.Emulator
	manager *stack.Manager
	began   time.Time
	// manages and approves are the kubeconfigs of the manager's service account and of the approver.
	manages, approves string
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "plumbline-demo-")
	if err != nil {
		return err
	}
	d := &demo{keep: os.Getenv("KEEP") != "", dir: dir, began: time.Now(), narrator: &narrator{out: os.Stdout}}
	defer func() { err = errors.Join(err, d.end(ctx, err)) }()
	for _, chapter := range []func(context.Context) error{d.start, d.audit, d.look, d.enforce, d.tamper, d.decide, d.summary} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

// start brings up the control plane, the emulator with its organization, and the manager.
func (d *demo) start(ctx context.Context) (err error) {
	d.chapter("1. An API server, an AWS organization, and the manager")
	d.say("Starting kube-apiserver and etcd, and an emulator of AWS, on loopback only.")
	if d.plane, err = stack.StartControlPlane(stack.ControlPlaneOptions{Dir: d.dir, Outlive: d.keep}); err != nil {
		return err
	}
	d.kubectl = d.plane.Admin()
	if d.cloud, err = stack.StartEmulator(ctx, stack.EmulatorOptions{Dir: d.dir, Outlive: d.keep}); err != nil {
		return err
	}
	if err := d.install(ctx); err != nil {
		return err
	}
	d.say("Making an organization of seven accounts in three OUs, three regions each, and letting it drift.")
	if err := seed(ctx, d.cloud); err != nil {
		return err
	}
	d.say("Starting the manager. It may write (--allow-writes), and will not as long as every baseline is in Audit.")
	return d.startManager(ctx)
}

// approver is who approves and undoes in the demo.
const approver = "alice@example.com"

// install applies config/default, as `make deploy` does, and makes a user who may approve. Nobody makes pods of its Deployment
// here: the manager is started beside it, under the name of its service account.
func (d *demo) install(ctx context.Context) error {
	d.say("Installing config/default: kinds, admission policies, roles.")
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", "config/default"},
		{"wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"},
		{"create", "clusterrolebinding", "demo-view", "--clusterrole=plumbline-view", "--user=" + approver},
		{"create", "clusterrolebinding", "demo-decide", "--clusterrole=plumbline-decide-remediations", "--user=" + approver},
	} {
		if _, err := d.kubectl.Run(ctx, args...); err != nil {
			return err
		}
	}
	account, err := d.plane.AsServiceAccount("plumbline-system", "plumbline-manager")
	if err != nil {
		return err
	}
	alice, err := d.plane.As(approver)
	d.manages, d.approves = account.Kubeconfig, alice.Kubeconfig
	return err
}

func (d *demo) startManager(ctx context.Context) error {
	address, err := stack.FreeAddress()
	if err != nil {
		return err
	}
	d.manager, err = stack.StartManager(stack.ManagerOptions{
		Kubeconfig: d.manages, Emulator: d.cloud, Outlive: d.keep, Log: filepath.Join(d.dir, "manager.log"),
		Args: []string{
			"--allow-writes", "--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=" + address,
			// The demo's accounts are few and its audience is waiting.
			"--max-accounts-changing=10", "--default-soak=0s",
		},
	})
	if err != nil {
		return err
	}
	d.tail = d.manager.Tail
	return d.manager.AwaitReady(ctx, "http://"+address+"/readyz")
}

// end stops everything, or says how to play on.
func (d *demo) end(ctx context.Context, failed error) error {
	if failed != nil && d.manager != nil {
		fmt.Fprintln(os.Stderr, "\nthe manager's last words:\n"+d.manager.Tail(20))
	}
	if d.keep && failed == nil {
		d.playOn()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	if d.manager != nil {
		errs = append(errs, d.manager.Stop(ctx))
	}
	if d.cloud != nil {
		errs = append(errs, d.cloud.Stop())
	}
	if d.plane != nil {
		errs = append(errs, d.plane.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

func (d *demo) playOn() {
	d.chapter("Everything is left running")
	d.say("export KUBECONFIG=" + d.plane.Kubeconfig)
	d.say("kubectl get awsacct,baselines        (bin/k8s/kubectl, if you have none)")
	d.say("An AWS client reaches the emulator with these, acting in the account whose id is the access key:")
	d.say("export AWS_ENDPOINT_URL=" + d.cloud.URL + " AWS_ACCESS_KEY_ID=" + payProd + " AWS_SECRET_ACCESS_KEY=x AWS_REGION=eu-central-1")
	d.say("aws ec2 disable-ebs-encryption-by-default")
	d.say("The manager's log is " + d.manager.Log + ".")
	pids := append([]int{d.manager.PID(), d.cloud.PID()}, d.plane.PIDs()...)
	d.say("To end it all: kill " + strings.Trim(fmt.Sprint(pids), "[]"))
}
