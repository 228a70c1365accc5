package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
)

// wire serves the stand-in over HTTP in AWS's protocols, as far as Plumbline uses them in Audit.
type wire struct{ stage *scale.Cloud }

// credential is what a request was signed with: key, date, region and service.
var credential = regexp.MustCompile(`Credential=[^/]+/[0-9]+/([^/]+)/([^/]+)/aws4_request`)

// protocols are the services by the names they sign with: the SDK's name and the protocol.
var protocols = map[string]struct{ service, protocol string }{
	"sts": {"STS", "query"}, "iam": {"IAM", "query"}, "rds": {"RDS", "query"}, "ec2": {"EC2", "ec2"}, "kms": {"KMS", "json"},
	"organizations": {"Organizations", "json"}, "cloudtrail": {"CloudTrail", "json"}, "guardduty": {"GuardDuty", "rest"},
	"s3": {"S3", "s3"},
}

// ServeHTTP answers one request.
func (w wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	signed := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil {
		http.Error(out, "not signed", http.StatusForbidden)
		return
	}
	p := protocols[signed[2]]
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(out, "no body", http.StatusBadRequest)
		return
	}
	name, values, err := operationOf(p.protocol, r, body)
	service := p.service
	if strings.HasSuffix(name, "!control") {
		service, name = "S3 Control", strings.TrimSuffix(name, "!control")
		p.protocol = "s3control"
	}
	in := w.stage.Input(service + "." + name)
	if err != nil || in == nil {
		http.Error(out, fmt.Sprintf("no answer to %s.%s of %s: %v", service, name, r.URL, err), http.StatusNotImplemented)
		return
	}
	if err := fill(in, values); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := w.stage.Answer(r.Context(), scale.CallOf(r.Header.Get("Authorization"), signed[1]), in)
	out.Header().Set("X-Amzn-Requestid", fmt.Sprintf("wire-%p", r))
	if err != nil {
		writeError(out, p.protocol, err)
		return
	}
	writeAnswer(out, p.protocol, name, answer)
}

// operationOf is the operation that a request asks for, and its parameters.
func operationOf(protocol string, r *http.Request, body []byte) (name string, values map[string]any, err error) {
	values = map[string]any{}
	switch protocol {
	case "query", "ec2":
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if err := r.ParseForm(); err != nil {
			return "", nil, err
		}
		for key := range r.PostForm {
			values[key] = r.PostForm.Get(key)
		}
		return r.PostForm.Get("Action"), values, nil
	case "json":
		target := r.Header.Get("X-Amz-Target")
		return target[strings.LastIndex(target, ".")+1:], values, json.Unmarshal(body, &values)
	case "rest":
		for key := range r.URL.Query() {
			values[key] = r.URL.Query().Get(key)
		}
		if len(body) > 0 {
			err = json.Unmarshal(body, &values)
		}
		return guardDutyOperation(r), values, err
	case "s3":
		return s3Operation(r, values), values, nil
	}
	return "", nil, errors.New("a service that is not known")
}

func guardDutyOperation(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) > 1 && parts[0] == "detector" {
		parts[1] = "ID"
	}
	return map[string]string{
		"detector": "ListDetectors", "detector/ID": "GetDetector", "detector/ID/member": "ListMembers",
		"detector/ID/member/detector/get": "GetMemberDetectors", "detector/ID/admin": "DescribeOrganizationConfiguration",
		"admin": "ListOrganizationAdminAccounts",
	}[strings.Join(parts, "/")]
}

// s3Operation goes by the parameter without a value. What is asked of S3 Control has a path of its own.
func s3Operation(r *http.Request, values map[string]any) string {
	bucket := strings.Trim(r.URL.Path, "/")
	if strings.HasPrefix(bucket, "v20180820/") {
		return "GetPublicAccessBlock!control"
	}
	if bucket == "" {
		values["MaxBuckets"] = r.URL.Query().Get("max-buckets")
		if r.URL.Query().Has("continuation-token") {
			values["ContinuationToken"] = r.URL.Query().Get("continuation-token")
		}
		return "ListBuckets"
	}
	values["Bucket"] = bucket
	for parameter, name := range map[string]string{
		"acl": "GetBucketAcl", "encryption": "GetBucketEncryption", "logging": "GetBucketLogging", "object-lock": "GetObjectLockConfiguration",
		"ownershipControls": "GetBucketOwnershipControls", "policy": "GetBucketPolicy", "policyStatus": "GetBucketPolicyStatus",
		"publicAccessBlock": "GetPublicAccessBlock", "tagging": "GetBucketTagging", "versioning": "GetBucketVersioning",
	} {
		if r.URL.Query().Has(parameter) {
			return name
		}
	}
	return ""
}

// fill sets the fields of an input that have a parameter's name: strings, numbers and lists of strings, which is all that an
// answer goes by.
func fill(in any, values map[string]any) error {
	fields := reflect.ValueOf(in).Elem()
	for name, value := range values {
		field := fields.FieldByNameFunc(func(f string) bool { return strings.EqualFold(f, name) })
		if !field.IsValid() {
			continue
		}
		switch target := field.Addr().Interface().(type) {
		case **string:
			s := fmt.Sprint(value)
			*target = &s
		case **int32:
			n, err := strconv.ParseInt(fmt.Sprint(value), 10, 32)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			small := int32(n)
			*target = &small
		case *[]string:
			list, _ := value.([]any)
			for _, v := range list {
				*target = append(*target, fmt.Sprint(v))
			}
		}
	}
	return nil
}

// writeError answers with an error as the protocol has it.
func writeError(out http.ResponseWriter, protocol string, err error) {
	code, message, status := "InternalError", "internal error", http.StatusInternalServerError
	var api smithy.APIError
	if errors.As(err, &api) {
		code, message, status = api.ErrorCode(), api.ErrorMessage(), http.StatusBadRequest
	}
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	inner := "<Code>" + code + "</Code><Message>" + escaped(message) + "</Message>"
	switch protocol {
	case "json", "rest":
		out.Header().Set("X-Amzn-Errortype", code)
		out.Header().Set("Content-Type", "application/json")
		inner = fmt.Sprintf(`{"message":%q}`, message)
	case "ec2":
		inner = "<Response><Errors><Error>" + inner + "</Error></Errors></Response>"
	case "query", "s3control":
		inner = "<ErrorResponse><Error>" + inner + "</Error></ErrorResponse>"
	default:
		inner = "<Error>" + inner + "</Error>"
	}
	out.WriteHeader(status)
	_, _ = io.WriteString(out, inner)
}
