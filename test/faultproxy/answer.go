package faultproxy

import (
	"fmt"
	"io"
	"net/http"
)

// protocol is how a service spells its errors.
type protocol int

const (
	ofQuery protocol = iota
	ofEC2
	ofRestXML
	ofJSON
	ofRestJSON
)

// services are the services' protocols and throttling codes, after the API reference of each. Those that are not named
// speak the query protocol, as STS, IAM and RDS do.
var services = map[string]struct {
	protocol  protocol
	throttled string
	status    int
}{
	"ec2":           {ofEC2, "RequestLimitExceeded", http.StatusServiceUnavailable},
	"s3":            {ofRestXML, "SlowDown", http.StatusServiceUnavailable},
	"s3control":     {ofQuery, "SlowDown", http.StatusServiceUnavailable},
	"kms":           {ofJSON, "ThrottlingException", http.StatusBadRequest},
	"cloudtrail":    {ofJSON, "ThrottlingException", http.StatusBadRequest},
	"organizations": {ofJSON, "TooManyRequestsException", http.StatusBadRequest},
	"guardduty":     {ofRestJSON, "TooManyRequestsException", http.StatusTooManyRequests},
}

// answer writes what the service would answer.
func answer(w http.ResponseWriter, a Action, service string) {
	s, known := services[service]
	if !known {
		s.throttled, s.status = "Throttling", http.StatusBadRequest
	}
	code, status := s.throttled, s.status
	switch a {
	case Refuse:
		code, status = refused(s.protocol)
	case Expire:
		code, status = expired(s.protocol)
	case Fail:
		code, status = "InternalFailure", http.StatusInternalServerError
	case Throttle, CutBefore, CutAfter, Hang, Delay:
	}
	spell(w, s.protocol, code, status)
}

func refused(p protocol) (code string, status int) {
	switch p {
	case ofEC2:
		return "UnauthorizedOperation", http.StatusForbidden
	case ofJSON:
		return "AccessDeniedException", http.StatusBadRequest
	case ofRestJSON:
		return "AccessDeniedException", http.StatusForbidden
	case ofQuery, ofRestXML:
	}
	return "AccessDenied", http.StatusForbidden
}

func expired(p protocol) (code string, status int) {
	switch p {
	case ofEC2:
		return "RequestExpired", http.StatusBadRequest
	case ofJSON:
		return "ExpiredTokenException", http.StatusBadRequest
	case ofRestJSON:
		return "ExpiredTokenException", http.StatusForbidden
	case ofRestXML:
		return "ExpiredToken", http.StatusBadRequest
	case ofQuery:
	}
	return "ExpiredToken", http.StatusForbidden
}

// spell writes an error in a protocol.
func spell(w http.ResponseWriter, p protocol, code string, status int) {
	body := ""
	switch p {
	case ofJSON, ofRestJSON:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Errortype", code)
		body = fmt.Sprintf(`{"__type":%q,"message":"a fault of the test"}`, code)
	case ofEC2:
		body = fmt.Sprintf(`<Response><Errors><Error><Code>%s</Code><Message>a fault of the test</Message></Error></Errors><RequestID>fault</RequestID></Response>`, code)
	case ofRestXML:
		body = fmt.Sprintf(`<Error><Code>%s</Code><Message>a fault of the test</Message><RequestId>fault</RequestId></Error>`, code)
	case ofQuery:
		body = fmt.Sprintf(`<ErrorResponse><Error><Code>%s</Code><Message>a fault of the test</Message></Error><RequestId>fault</RequestId></ErrorResponse>`, code)
	}
	if p != ofJSON && p != ofRestJSON {
		w.Header().Set("Content-Type", "text/xml")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a caller that is gone needs no answer
}
