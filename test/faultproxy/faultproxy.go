// Package faultproxy stands between the manager and the AWS emulator as a bad network and an overloaded AWS would: it
// throttles, refuses, hangs, delays and cuts connections, for a share of the calls that a fault matches. A test switches
// faults on and off while the manager runs. The dice fall the same way for the same seed; which call meets which throw is up
// to the manager.
//
// It is an endpoint (AWS_ENDPOINT_URL) and an HTTP proxy (HTTP_PROXY, for S3 Control's <account>.localhost) at once, on
// loopback only. It reads of a request what it must to tell service and region apart, and logs nothing.
package faultproxy

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// An Action is what a fault does to a call.
type Action int

// The actions.
const (
	// Throttle answers with the service's throttling error, not forwarded.
	Throttle Action = iota
	// Fail answers 500 InternalFailure, not forwarded.
	Fail
	// Refuse answers with the service's access-denied error, not forwarded.
	Refuse
	// Expire answers with the service's error for a session that is over, not forwarded.
	Expire
	// CutBefore closes the connection, not forwarded.
	CutBefore
	// CutAfter forwards, and closes the connection without an answer.
	CutAfter
	// Hang keeps the call, not forwarded, until the fault is lifted or the caller gives up; then the connection is closed.
	Hang
	// Delay waits, then forwards.
	Delay
)

// A Fault is what happens to some calls. An empty list matches every call.
type Fault struct {
	// Services and Regions are as requests are signed: "ec2", "eu-west-1".
	Services, Regions []string
	Action            Action
	// Percent is the share of the matching calls that are hit; 0 is all of them.
	Percent int
	// Wait is for Delay.
	Wait time.Duration
}

func (f *Fault) matches(service, region string) bool {
	return (len(f.Services) == 0 || slices.Contains(f.Services, service)) && (len(f.Regions) == 0 || slices.Contains(f.Regions, region))
}

// A Proxy is a running proxy.
type Proxy struct {
	// URL is its address for AWS_ENDPOINT_URL, and Proxy for HTTP_PROXY.
	URL, Proxy string

	server *httptest.Server
	truth  *httputil.ReverseProxy

	mu     sync.Mutex
	dice   *rand.Rand
	faults []*fault
}

type fault struct {
	Fault
	hits   int
	lifted chan struct{}
}

// Start starts a proxy in front of the emulator at an address, "http://127.0.0.1:5000".
func Start(emulator string, seed uint64) (*Proxy, error) {
	to, err := url.Parse(emulator)
	if err != nil {
		return nil, fmt.Errorf("starting the fault proxy: %w", err)
	}
	p := &Proxy{dice: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // a test wants the same dice again
	p.truth = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			host, _, err := net.SplitHostPort(r.In.Host)
			if err != nil {
				host = r.In.Host
			}
			r.Out.Host = net.JoinHostPort(host, to.Port()) // S3 and S3 Control read bucket and account from it
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		// A connection per call: one that a fault has cut must not be met again.
		Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true},
	}
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.SetKeepAlivesEnabled(false) // so that a manager at rest holds no connection
	p.server.Start()
	p.Proxy = p.server.URL
	p.URL = strings.Replace(p.Proxy, "127.0.0.1", "localhost", 1) // S3 Control puts the account before the name
	return p, nil
}

// Close lifts every fault and ends the proxy.
func (p *Proxy) Close() {
	p.LiftAll()
	p.server.CloseClientConnections()
	p.server.Close()
}

// Add switches a fault on behind those there are, and returns how to lift it; that returns how many calls it hit. The first
// fault that hits a call decides.
func (p *Proxy) Add(f Fault) (lift func() (hits int)) {
	added := &fault{Fault: f, lifted: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, added)
	return func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		if i := slices.Index(p.faults, added); i >= 0 {
			p.faults = slices.Delete(p.faults, i, i+1)
			close(added.lifted)
		}
		return added.hits
	}
}

// LiftAll lifts every fault.
func (p *Proxy) LiftAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		close(f.lifted)
	}
	p.faults = nil
}

// Hits is how many calls the faults that are on have hit so far.
func (p *Proxy) Hits() (hits int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		hits += f.hits
	}
	return hits
}

// hit is the fault that hits a call; nil when none does.
func (p *Proxy) hit(service, region string) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.matches(service, region) && (f.Percent == 0 || p.dice.IntN(100) < f.Percent) {
			f.hits++
			return f
		}
	}
	return nil
}

// ServeHTTP serves one call.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service, region := signedFor(r)
	f := p.hit(service, region)
	if f == nil {
		p.truth.ServeHTTP(w, r)
		return
	}
	switch f.Action {
	case CutBefore:
		panic(http.ErrAbortHandler) // closes the connection and is not logged
	case CutAfter:
		p.truth.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case Hang, Delay:
		f.wait(r)
		p.truth.ServeHTTP(w, r)
	case Throttle, Fail, Refuse, Expire:
		answer(w, f.Action, service)
	}
}

// wait returns when the call may go on; where it may not, the connection is closed.
func (f *fault) wait(r *http.Request) {
	var over <-chan time.Time
	if f.Action == Delay {
		timer := time.NewTimer(f.Wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return
	case <-f.lifted:
		if f.Action == Delay {
			return
		}
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// signedFor reads service and region from the credential scope: Credential=KEY/20260102/eu-west-1/ec2/aws4_request.
func signedFor(r *http.Request) (service, region string) {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 {
		return "", ""
	}
	service, region = parts[3], parts[2]
	if service == "s3" && strings.HasPrefix(r.URL.Path, "/v20180820/") {
		service = "s3control"
	}
	return service, region
}

// discard takes an answer that nobody is to get.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
