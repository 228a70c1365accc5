package cloud

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// WholeBodies is an HTTP client that hands net/http the bodies of requests as bytes in memory, so that no request is sent
// twice for want of an answer that did come. The SDK's own reader of a body is closed as soon as an answer is there. Where
// that happens before net/http has looked for the body's end, it takes the request for broken and closes the connection with
// the answer in it, and the SDK sends the request again, a write as well (aws-sdk-go-v2 issue 2737).
//
// It also keeps the SDK from giving each of its clients a copy of the HTTP client with connections of its own.
func WholeBodies(c aws.HTTPClient) aws.HTTPClient { return wholeBodies{c} }

type wholeBodies struct{ client aws.HTTPClient }

// Do sends a request.
func (w wholeBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.ContentLength <= 0 {
		return w.client.Do(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the body of a request: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return w.client.Do(r)
}
