package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// writes counts what is written to the API server.
type writes struct {
	status, other atomic.Int64
	// written, where there is one, sees every account whose status the API server has taken.
	written atomic.Pointer[written]
}

type written struct{ see func(*v1alpha1.AWSAccount) }

func (w *writes) wrap(next http.RoundTripper) http.RoundTripper { return counting{w, next} }

type counting struct {
	writes *writes
	next   http.RoundTripper
}

// RoundTrip counts a request and sends it.
func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
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
