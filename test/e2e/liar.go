package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// A liar stands between the manager and one service of the emulator and answers some operations with garbage: what no rule
// of the emulator can say, since those are errors.
type liar struct {
	server *httptest.Server

	mu   sync.Mutex
	lies map[string]string
}

func newLiar() *liar {
	GinkgoHelper()
	emulator, err := url.Parse(shared.emulator.URL)
	Expect(err).NotTo(HaveOccurred())
	l := &liar{lies: map[string]string{}}
	truth := httputil.NewSingleHostReverseProxy(emulator)
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lie, ok := l.lie(r); ok {
			_, _ = io.WriteString(w, lie)
			return
		}
		truth.ServeHTTP(w, r)
	}))
	return l
}

// answers has the operation answered with status 200 and the body from now on; "" is the truth again.
func (l *liar) answers(operation, body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.lies, operation)
	if body != "" {
		l.lies[operation] = body
	}
}

// lie is the answer to a request of the JSON protocol, which has the operation in a header, or of the query protocol, which
// has it in the body.
func (l *liar) lie(r *http.Request) (string, bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if form, err := url.ParseQuery(string(body)); operation == "" && err == nil {
		operation = form.Get("Action")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lie, ok := l.lies[operation]
	return lie, ok
}
