package cloud_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// sdkBody is a body as the SDK makes it: once it is closed, to write it to something is an error.
type sdkBody struct {
	io.Reader
	closed chan struct{}
}

func (b *sdkBody) WriteTo(io.Writer) (int64, error) {
	<-b.closed
	return 0, io.EOF
}

func (b *sdkBody) Close() error { return nil }

// The server answers, and the body is closed, before net/http has looked for the body's end: the moment that is rare on a
// network and common on one machine.
func TestAnAnswerThatComesBeforeTheBodyHasEndedIsRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		select { // the answer's body comes after its head, unless the connection is gone by then
		case <-r.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
		_, _ = w.Write(append([]byte("answer to "), content...))
	}))
	defer server.Close()
	body := &sdkBody{Reader: strings.NewReader("question"), closed: make(chan struct{})}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = int64(len("question"))
	answer, err := cloud.WholeBodies(server.Client()).Do(request)
	close(body.closed)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil || string(content) != "answer to question" {
		t.Errorf("the answer is %q, %v", content, err)
	}
}
