package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"text/template"

	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// patternLimit is EventBridge's for the characters of a rule's event pattern ("Amazon EventBridge quotas": 2,048, adjustable).
const patternLimit = 2048

// A rule is one of EventBridge's, cut to the limit of its pattern.
type rule struct {
	// Name is the rule's in the templates, file the pattern's.
	Name, file, About string
	pattern           object
}

// JSON is the pattern as a part of a template, where JSON is YAML too.
func (r rule) JSON() (string, error) {
	raw, err := json.MarshalIndent(r.pattern, "        ", "  ")
	return string(raw), err
}

// rules ask for every event that a control declares, for those of discovery, and for what is changed with Plumbline's roles.
func rules(kinds []control.Kind) ([]rule, error) {
	names := map[string][]string{"organizations": slices.Clone(controllers.DiscoveryEvents)}
	for _, k := range kinds {
		for _, c := range k.Catalogue() {
			for _, e := range c.Events {
				names[e.Source] = append(names[e.Source], e.Name)
			}
		}
	}
	var all []rule
	var clauses []object
	add := func() {
		n := len(all) + 1
		all = append(all, rule{Name: fmt.Sprintf("Changes%d", n), file: fmt.Sprintf("changes-%d", n), pattern: patternOf(clauses),
			About: "What controls declare"})
		clauses = nil
	}
	for _, source := range slices.Sorted(maps.Keys(names)) {
		c := object{{"eventSource", []string{source + ".amazonaws.com"}}, {"eventName", []string(sorted(names[source]))}}
		if length(patternOf([]object{c})) > patternLimit {
			return nil, fmt.Errorf("the pattern for %s alone has more than %d characters", source, patternLimit)
		}
		if len(clauses) > 0 && length(patternOf(append(slices.Clone(clauses), c))) > patternLimit {
			add()
		}
		clauses = append(clauses, c)
	}
	add()
	return append(all, rule{Name: "OwnRoles", file: "own-roles", About: "What is changed with Plumbline's roles",
		pattern: ownRoles("plumbline/PlumblineAudit", "plumbline/PlumblineEnforce")}), nil
}

// patternOf asks for events that one of the clauses meets. Only AWS sends with a source that begins with "aws.". What a service
// does by itself, such as telling that an account was made, is no call.
func patternOf(clauses []object) object {
	detail := object{{"$or", clauses}}
	if len(clauses) == 1 {
		detail = clauses[0]
	}
	return object{
		{"source", []object{{{"prefix", "aws."}}}},
		{"detail-type", []string{"AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"}},
		{"detail", detail},
	}
}

// ownRoles asks for calls that change something, or were to, with one of these roles, in whatever account. A role is a path with
// a name, or what CloudFormation is to put in.
func ownRoles(roles ...any) object {
	var issuers []object
	for _, r := range roles {
		if name, plain := r.(string); plain {
			r = ":role/" + name
		}
		issuers = append(issuers, object{{"suffix", r}})
	}
	return patternOf([]object{{
		{"readOnly", []bool{false}},
		{"userIdentity", object{{"sessionContext", object{{"sessionIssuer", object{{"arn", issuers}}}}}}},
	}})
}

// sub is a text that CloudFormation completes.
func sub(text string) object { return object{{"Fn::Sub", text}} }

// length is the number of a pattern's characters without white space between them.
func length(pattern object) int {
	raw, err := json.Marshal(pattern)
	if err != nil {
		panic("encoding strings as JSON: " + err.Error())
	}
	return len(raw)
}

// pretty is a tree as a file.
func pretty(tree object) []byte {
	raw, err := json.MarshalIndent(tree, "", "  ")
	if err != nil {
		panic("encoding strings as JSON: " + err.Error())
	}
	return append(raw, '\n')
}

// receives is what the manager does with the event queue.
var receives = statement{Sid: "EventQueue", Effect: "Allow", Resource: values{"arn:aws:sqs:*:*:plumbline-events"}, Action: values{
	"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage",
}}

// readsTrail is what it does with the log files where the queue has notifications of the trail's bucket. The names are for the
// reader to put in.
var readsTrail = []statement{
	{Sid: "LogFiles", Effect: "Allow", Action: values{"s3:GetObject"}, Resource: values{"arn:aws:s3:::TRAIL-BUCKET/AWSLogs/*"}},
	{Sid: "LogFilesKey", Effect: "Allow", Action: values{"kms:Decrypt"}, Resource: values{"arn:aws:kms:REGION:ACCOUNT:key/TRAIL-KEY"},
		Condition: map[string]map[string]values{"StringLike": {"kms:ViaService": {"s3.*.amazonaws.com"}}}},
}

//go:embed events-central.yaml.tmpl
var centralTemplate string

//go:embed events-member.yaml.tmpl
var memberTemplate string

//go:embed events-trail-topic.yaml.tmpl
var trailTopicTemplate string

//go:embed events-trail-queue.yaml.tmpl
var trailQueueTemplate string

// addEvents adds what the event queue is set up with: patterns, CloudFormation templates, and the manager's permissions.
func addEvents(made files, kinds []control.Kind) error {
	all, err := rules(kinds)
	if err != nil {
		return err
	}
	for _, r := range all {
		made["config/events/patterns/"+r.file+".json"] = pretty(r.pattern)
	}
	made["config/events/manager-queue.json"] = documentOf(receives).json()
	made["config/events/manager-trail.json"] = documentOf(append([]statement{receives}, readsTrail...)...).json()
	// The templates take the names of the roles as parameters.
	all[len(all)-1].pattern = ownRoles(sub(":role/${AuditRole}"), sub(":role/${EnforceRole}"))
	for name, text := range map[string]string{
		"central": centralTemplate, "member": memberTemplate, "trail-topic": trailTopicTemplate, "trail-queue": trailQueueTemplate,
	} {
		parsed, err := template.New(name).Parse(text)
		if err != nil {
			return fmt.Errorf("reading the template %s: %w", name, err)
		}
		var out bytes.Buffer
		if err := parsed.Execute(&out, map[string]any{"Rules": all, "Receives": receives.Action}); err != nil {
			return fmt.Errorf("writing the template %s: %w", name, err)
		}
		if out.Len() > templateLimit {
			return fmt.Errorf("%s.yaml has %d bytes; CloudFormation takes %d in a request", name, out.Len(), templateLimit)
		}
		made["config/events/"+name+".yaml"] = out.Bytes()
	}
	return nil
}
