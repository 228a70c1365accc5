package main

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// writeAnswer answers with an output of the SDK as the protocol has it. The SDK's readers of XML do not look at the case of
// names, so that its own names of fields do.
func writeAnswer(out http.ResponseWriter, protocol, name string, answer any) {
	v := reflect.ValueOf(answer).Elem()
	var text string
	switch protocol {
	case "json", "rest":
		raw, err := json.Marshal(plain(v, protocol == "rest"))
		if err != nil {
			writeError(out, protocol, err)
			return
		}
		out.Header().Set("Content-Type", "application/x-amz-json-1.1")
		text = string(raw)
	case "query":
		text = "<" + name + "Response><" + name + "Result>" + members(v, protocol) + "</" + name + "Result></" + name + "Response>"
	case "ec2":
		text = "<" + name + "Response>" + members(v, protocol) + "</" + name + "Response>"
	default:
		text = bucketAnswer(name, v, answer)
	}
	_, _ = io.WriteString(out, text)
}

// bucketAnswer is S3's: a policy is what it is; most others have one member, which is the document.
func bucketAnswer(name string, v reflect.Value, answer any) string {
	if policy, ok := answer.(*s3.GetBucketPolicyOutput); ok {
		return aws.ToString(policy.Policy)
	}
	for _, f := range []string{
		"ServerSideEncryptionConfiguration", "PublicAccessBlockConfiguration", "PolicyStatus", "OwnershipControls", "ObjectLockConfiguration",
	} {
		if field := v.FieldByName(f); field.IsValid() && !field.IsNil() {
			return "<" + f + ">" + members(field.Elem(), "s3") + "</" + f + ">"
		}
	}
	return "<" + name + "Result>" + members(v, "s3") + "</" + name + "Result>"
}

// members are the fields of a struct as XML.
func members(v reflect.Value, protocol string) string {
	var b strings.Builder
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() || name == "ResultMetadata" {
			continue
		}
		b.WriteString(element(name, v.Field(i), protocol))
	}
	return b.String()
}

func element(name string, v reflect.Value, protocol string) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return element(name, v.Elem(), protocol)
	case reflect.Slice:
		return list(name, v, protocol)
	case reflect.Map:
		text := ""
		for entries := v.MapRange(); entries.Next(); {
			text += fmt.Sprintf("<entry><key>%v</key><value>%v</value></entry>", entries.Key(), entries.Value())
		}
		return "<" + name + ">" + text + "</" + name + ">"
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			return "<" + name + ">" + at.UTC().Format(time.RFC3339) + "</" + name + ">"
		}
		if name == "Grantee" { // its type is an attribute
			return `<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="` + v.FieldByName("Type").String() + `">` +
				members(v, protocol) + "</Grantee>"
		}
		return "<" + name + ">" + members(v, protocol) + "</" + name + ">"
	}
	text := fmt.Sprint(v.Interface())
	if text == "" && v.Kind() == reflect.String {
		return ""
	}
	return "<" + name + ">" + escaped(text) + "</" + name + ">"
}

// wrappers are the names of lists that differ from the SDK's.
var wrappers = map[string]string{"Regions": "regionInfo", "Volumes": "volumeSet", "Grants": "AccessControlList"}

// list is a list as XML: in EC2 of items, in S3 and RDS of what it is a list of, elsewhere of members. Rules stand side by side.
func list(name string, v reflect.Value, protocol string) string {
	if v.IsNil() {
		return ""
	}
	if raw, ok := v.Interface().([]byte); ok {
		return "<" + name + ">" + base64.StdEncoding.EncodeToString(raw) + "</" + name + ">"
	}
	item := map[string]string{"ec2": "item", "s3": strings.TrimSuffix(name, "s"), "query": "member"}[protocol]
	if strings.HasPrefix(name, "DB") {
		item = strings.TrimSuffix(name, "s")
	}
	text := ""
	for i := range v.Len() {
		text += element(item, v.Index(i), protocol)
	}
	if name == "Rules" {
		return text
	}
	if wrapper := wrappers[name]; wrapper != "" {
		name = wrapper
	}
	return "<" + name + ">" + text + "</" + name + ">"
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}

// jsonNames are the names of fields in JSON that differ from the SDK's beyond the first letter.
var jsonNames = map[string]string{"TrailList": "trailList", "MemberDataSourceConfigurations": "members"}

// plain is a value as JSON has it: the names of REST begin with a small letter, times are seconds.
func plain(v reflect.Value, small bool) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem(), small)
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		all := make([]any, v.Len())
		for i := range all {
			all[i] = plain(v.Index(i), small)
		}
		return all
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			return at.Unix()
		}
		return plainFields(v, small)
	}
	return v.Interface()
}

func plainFields(v reflect.Value, small bool) map[string]any {
	all := map[string]any{}
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if !v.Type().Field(i).IsExported() || name == "ResultMetadata" {
			continue
		}
		value := plain(v.Field(i), small)
		if value == nil || v.Field(i).IsZero() && v.Field(i).Kind() == reflect.String {
			continue
		}
		if other := jsonNames[name]; other != "" {
			name = other
		} else if small {
			name = strings.ToLower(name[:1]) + name[1:]
		}
		all[name] = value
	}
	return all
}
