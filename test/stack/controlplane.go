package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// outliveVariable keeps the built kube-apiserver and etcd from ending with the process that started them.
const outliveVariable = "PLUMBLINE_OUTLIVE"

// ControlPlaneOptions say how a control plane is started. The zero value is a control plane without CRDs.
type ControlPlaneOptions struct {
	// Assets is the folder that holds kube-apiserver, etcd and kubectl. Default: KUBEBUILDER_ASSETS, else bin/k8s.
	Assets string
	// Dir takes kubeconfigs and logs and is kept. Default: a temporary folder that Stop removes.
	Dir string
	// CRDs installs the repository's config/crd/bases.
	CRDs bool
	// Flags are further flags of kube-apiserver, without the dashes.
	Flags map[string]string
	// Outlive leaves the servers running when this program ends.
	Outlive bool
}

// A ControlPlane is a running kube-apiserver with its etcd: RBAC and admission policies as in a cluster, but no
// scheduler, no nodes and none of the controllers of a cluster: deleted namespaces stay, a Deployment makes no pods, and
// roles that only aggregate others, such as "view", are empty.
type ControlPlane struct {
	// Config is the administrator's access.
	Config *rest.Config
	// Kubeconfig is a file with the administrator's access.
	Kubeconfig string
	// Dir holds the kubeconfigs and the logs kube-apiserver.log and etcd.log.
	Dir string

	env       *envtest.Environment
	kubectl   string
	removeDir bool
	logs      []*os.File
}

// StartControlPlane starts etcd and kube-apiserver, which takes about 5 seconds.
func StartControlPlane(options ControlPlaneOptions) (*ControlPlane, error) {
	assets, err := findAssets(options.Assets)
	if err != nil {
		return nil, err
	}
	dir, remove, err := workDir(options.Dir)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{Dir: dir, removeDir: remove, kubectl: filepath.Join(assets, "kubectl")}
	if err := c.configure(assets, options); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if err := c.start(options.Outlive); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// findAssets returns the absolute path of the folder with the three binaries.
func findAssets(given string) (string, error) {
	assets := given
	if assets == "" {
		assets = os.Getenv("KUBEBUILDER_ASSETS")
	}
	if assets == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		assets = filepath.Join(root, "bin", "k8s")
	}
	for _, name := range []string{"kube-apiserver", "etcd", "kubectl"} {
		if _, err := os.Stat(filepath.Join(assets, name)); err != nil {
			return "", fmt.Errorf("finding the control plane's binaries (make controlplane builds them): %w", err)
		}
	}
	return filepath.Abs(assets)
}

func (c *ControlPlane) configure(assets string, options ControlPlaneOptions) error {
	c.env = &envtest.Environment{
		BinaryAssetsDirectory:    assets,
		ControlPlaneStartTimeout: time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	server := c.env.ControlPlane.GetAPIServer()
	server.Path = filepath.Join(assets, "kube-apiserver")
	// A folder of its own, so that keys and certificates are the same after a restart.
	server.CertDir = filepath.Join(c.Dir, "kube-apiserver")
	if err := os.MkdirAll(server.CertDir, 0o700); err != nil {
		return fmt.Errorf("making the folder for kube-apiserver's keys: %w", err)
	}
	for name, value := range options.Flags {
		server.Configure().Set(name, value)
	}
	c.env.ControlPlane.Etcd = &envtest.Etcd{Path: filepath.Join(assets, "etcd")}
	if options.CRDs {
		root, err := Root()
		if err != nil {
			return err
		}
		c.env.CRDDirectoryPaths = []string{filepath.Join(root, "config", "crd", "bases")}
		c.env.ErrorIfCRDPathMissing = true
	}
	serverLog, err := c.openLog("kube-apiserver.log")
	if err != nil {
		return err
	}
	etcdLog, err := c.openLog("etcd.log")
	if err != nil {
		return err
	}
	server.Out, server.Err = serverLog, serverLog
	c.env.ControlPlane.Etcd.Out, c.env.ControlPlane.Etcd.Err = etcdLog, etcdLog
	return nil
}

func (c *ControlPlane) openLog(name string) (*os.File, error) {
	file, err := os.Create(filepath.Join(c.Dir, name))
	if err != nil {
		return nil, fmt.Errorf("opening a log of the control plane: %w", err)
	}
	c.logs = append(c.logs, file)
	return file, nil
}

func (c *ControlPlane) start(outlive bool) error {
	if outlive {
		// envtest starts the servers itself and passes this environment on; they look at it once, at their start.
		if err := os.Setenv(outliveVariable, "1"); err != nil {
			return fmt.Errorf("starting the control plane: %w", err)
		}
		defer os.Unsetenv(outliveVariable) //nolint:errcheck // fails only for names that cannot be set
	}
	config, err := c.env.Start()
	if err != nil {
		return fmt.Errorf("starting the control plane: %w; the end of kube-apiserver.log:\n%s", err,
			tail(filepath.Join(c.Dir, "kube-apiserver.log"), 10))
	}
	c.Config = config
	c.Kubeconfig = filepath.Join(c.Dir, "admin.kubeconfig")
	if err := os.WriteFile(c.Kubeconfig, c.env.KubeConfig, 0o600); err != nil {
		return fmt.Errorf("writing the administrator's kubeconfig: %w", err)
	}
	return nil
}

// KillAPIServer ends kube-apiserver with SIGKILL, on Linux; etcd keeps what is stored. Asked to stop, it would wait for as
// long as somebody watches.
func (c *ControlPlane) KillAPIServer() error {
	for _, id := range children("kube-apiserver") {
		server, err := os.FindProcess(id)
		if err == nil {
			err = server.Kill()
		}
		if err != nil {
			return fmt.Errorf("killing kube-apiserver: %w", err)
		}
	}
	if err := c.env.ControlPlane.GetAPIServer().Stop(); err != nil {
		return fmt.Errorf("waiting for kube-apiserver to end: %w", err)
	}
	return nil
}

// StartAPIServer starts kube-apiserver again after KillAPIServer, at the same address and with the same users.
func (c *ControlPlane) StartAPIServer() error {
	if err := c.env.ControlPlane.GetAPIServer().Start(); err != nil {
		return fmt.Errorf("starting kube-apiserver again: %w; the end of kube-apiserver.log:\n%s", err,
			tail(filepath.Join(c.Dir, "kube-apiserver.log"), 10))
	}
	return nil
}

// PIDs are the process ids of etcd and kube-apiserver, on Linux; elsewhere they cannot be told.
func (c *ControlPlane) PIDs() []int { return children("etcd", "kube-apiserver") }

// Stop ends both servers and removes what was stored, and Dir unless it was given.
func (c *ControlPlane) Stop() error {
	var problems []error
	if c.env != nil {
		problems = append(problems, c.env.Stop())
	}
	for _, log := range c.logs {
		problems = append(problems, log.Close())
	}
	if c.removeDir {
		problems = append(problems, os.RemoveAll(c.Dir))
	}
	return errors.Join(problems...)
}

// Kubectl runs kubectl as the administrator and returns its standard output.
func (c *ControlPlane) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.Admin().Run(ctx, args...)
}

// Admin is kubectl as the administrator.
func (c *ControlPlane) Admin() Kubectl {
	return Kubectl{Path: c.kubectl, Kubeconfig: c.Kubeconfig, CacheDir: filepath.Join(c.Dir, "kubectl-cache")}
}

// As is kubectl as another user, who may do what RBAC allows that name and those groups. Its Kubeconfig serves any
// other client as well.
func (c *ControlPlane) As(user string, groups ...string) (Kubectl, error) {
	added, err := c.env.AddUser(envtest.User{Name: user, Groups: groups}, c.Config)
	if err != nil {
		return Kubectl{}, fmt.Errorf("adding user %s: %w", user, err)
	}
	content, err := added.KubeConfig()
	if err != nil {
		return Kubectl{}, fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	path := filepath.Join(c.Dir, "user-"+strings.NewReplacer(":", "_", "/", "_").Replace(user)+".kubeconfig")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return Kubectl{}, fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	kubectl := c.Admin()
	kubectl.Kubeconfig = path
	return kubectl, nil
}

// AsServiceAccount is kubectl with the name and groups of a service account, which need not exist.
func (c *ControlPlane) AsServiceAccount(namespace, name string) (Kubectl, error) {
	return c.As("system:serviceaccount:"+namespace+":"+name,
		"system:serviceaccounts", "system:serviceaccounts:"+namespace)
}
