package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
	"github.com/plumbline-dev/plumbline/test/stack"
)

// tlsOf is the number of accounts of the run over TLS.
const tlsOf = 200

// overTLS measures the real binary in a process of its own against the stand-in behind HTTPS on loopback: what requests cost
// that are really encrypted, sent and parsed.
func (t task) overTLS(ctx context.Context, r *result) error {
	stage := t.stage()
	dir := filepath.Dir(t.Result)
	server, err := serveTLS(stage, dir)
	if err != nil {
		return err
	}
	defer server.Close() //nolint:errcheck // the process ends
	cfg, err := t.restConfig()
	if err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	b := &bench{task: t, progress: newProgress(), stage: stage, stopped: make(chan error, 1)}
	if b.client, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	manager, err := b.manager(ctx, server, dir)
	if err != nil {
		return err
	}
	b.list, b.pid, b.poll = b.client, manager.Process.Pid, 2*time.Second
	go func() { b.stopped <- manager.Wait() }()
	err = b.sweepTLS(ctx, r)
	used := usageOf(b.pid)
	r.Peak, r.CPU, r.Handshakes = used.Peak, used.CPU, server.handshakes.Load()
	return errors.Join(err, manager.Process.Signal(syscall.SIGTERM), <-b.stopped)
}

func (b *bench) sweepTLS(ctx context.Context, r *result) (err error) {
	if r.Discovery, err = b.discover(ctx); err != nil {
		return err
	}
	if r.First, err = b.first(ctx, r); err != nil {
		return err
	}
	r.Requests, r.MostInFlight = b.stage.Total().Calls, b.stage.MostInFlight()
	return nil
}

// manager starts bin/plumbline.
func (b *bench) manager(ctx context.Context, s *tlsServer, dir string) (*exec.Cmd, error) {
	root, err := stack.Root()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "plumbline-tls.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "bin", "plumbline"), //nolint:gosec // the program that is measured
		"--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0",
		fmt.Sprintf("--concurrent-accounts=%d", b.Concurrent))
	cmd.Env = slices.Concat(asDeployed, s.environment(), []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "KUBECONFIG=" + b.Kubeconfig})
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the manager (make build makes it): %w", err)
	}
	return cmd, log.Close()
}

// environment leads a program to the stand-in. Nothing of this machine's own settings leads it to a real AWS account.
func (s *tlsServer) environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.url, "HTTPS_PROXY=" + s.proxy, "AWS_CA_BUNDLE=" + s.authority,
		"AWS_ACCESS_KEY_ID=MANAGER", "AWS_SECRET_ACCESS_KEY=secret", "AWS_REGION=eu-central-1", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// tlsServer is the stand-in behind HTTPS, and a proxy that leads every name to it: S3 Control puts the account's id in front
// of the host, which no resolver knows.
type tlsServer struct {
	url, proxy, authority string
	handshakes            atomic.Int64
	servers               []*http.Server
}

func serveTLS(stage *scale.Cloud, dir string) (*tlsServer, error) {
	certificate, authority, err := certify()
	if err != nil {
		return nil, err
	}
	s := &tlsServer{authority: filepath.Join(dir, "authority.pem")}
	if err := os.WriteFile(s.authority, authority, 0o600); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, // as AWS's endpoints
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s.handshakes.Add(1)
			return nil, nil //nolint:nilnil // the configuration at hand
		},
	}
	address := listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	s.url = "https://localhost:" + port
	s.serve(tls.NewListener(listener, config), wire{stage})
	through, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.proxy = "http://" + through.Addr().String()
	s.serve(through, tunnel{address})
	return s, nil
}

func (s *tlsServer) serve(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }() // ends with Close
}

// Close ends both servers.
func (s *tlsServer) Close() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// tunnel is a proxy that connects everybody to one address.
type tunnel struct{ address string }

// ServeHTTP connects.
func (t tunnel) ServeHTTP(out http.ResponseWriter, _ *http.Request) {
	server, err := net.Dial("tcp", t.address)
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close() //nolint:errcheck // nothing more is written
	own, buffered, err := http.NewResponseController(out).Hijack()
	if err != nil {
		return
	}
	defer own.Close() //nolint:errcheck // nothing more is written
	if _, err := io.WriteString(own, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, buffered) // which may hold the first bytes already
		_ = server.Close()
	}()
	_, _ = io.Copy(own, server)
}

// certify makes a certificate for localhost and every name below it, which is its own authority.
func certify() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{"localhost", "*.localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, authority, nil
}
