package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// writes counts what is written to the API server, and by kind also what is read from it.
type writes struct {
	status, other atomic.Int64
	mu            sync.Mutex
	byKind        map[string]int64
	// written, where there is one, sees every account whose status the API server has taken.
	written atomic.Pointer[written]
}

type written struct{ see func(*v1alpha1.AWSAccount) }

// kinds are the requests so far by kind: "update remediations/status".
func (w *writes) kinds() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.byKind)
}

func (w *writes) count(r *http.Request) {
	kind := kindOf(r.Method, r.URL)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKind == nil {
		w.byKind = map[string]int64{}
	}
	w.byKind[kind]++
}

// verbs are what methods mean to the API server but for GET, which may mean three things.
var verbs = map[string]string{
	http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// kindOf is the verb and the resource of a request to the API server.
func kindOf(method string, u *url.URL) string {
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	group := 2 // api/v1
	if parts[0] == "apis" {
		group = 3
	}
	if parts = parts[min(group, len(parts)):]; len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	verb := verbs[method]
	switch {
	case len(parts) == 0:
		return "discovery"
	case verb != "":
	case u.Query().Has("watch"):
		verb = "watch"
	case len(parts) > 1:
		verb = "get"
	default:
		verb = "list"
	}
	if len(parts) > 2 {
		return verb + " " + parts[0] + "/" + parts[2]
	}
	return verb + " " + parts[0]
}

func (w *writes) wrap(next http.RoundTripper) http.RoundTripper { return counting{w, next} }

type counting struct {
	writes *writes
	next   http.RoundTripper
}

// RoundTrip counts a request and sends it.
func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.writes.count(r)
	switch {
	case r.Method == http.MethodGet:
	case strings.HasSuffix(r.URL.Path, "/status"):
		c.writes.status.Add(1)
		if w := c.writes.written.Load(); w != nil {
			return w.roundTrip(c.next, r)
		}
	default:
		c.writes.other.Add(1)
	}
	return c.next.RoundTrip(r)
}

// roundTrip sends a status and sees what was sent once the API server has taken it.
func (w *written) roundTrip(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	answer, err := next.RoundTrip(r)
	var a v1alpha1.AWSAccount
	if err == nil && answer.StatusCode == http.StatusOK && json.Unmarshal(raw, &a) == nil {
		w.see(&a)
	}
	return answer, err
}
