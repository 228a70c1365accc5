package iam

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/plumbline-dev/plumbline/test/stack"
)

const queueRegion = "eu-central-1"

// receiving is what the manager does with the event queue.
var receiving = values{"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}

func TestTheManagerMayReceiveEventsAndReadLogFiles(t *testing.T) {
	queue := statement{Sid: "EventQueue", Effect: "Allow", Action: receiving, Resource: values{"arn:aws:sqs:*:*:plumbline-events"}}
	want := map[string]policy{
		"manager-queue": {Version: "2012-10-17", Statement: []statement{queue}},
		"manager-trail": {Version: "2012-10-17", Statement: []statement{queue,
			{Sid: "LogFiles", Effect: "Allow", Action: values{"s3:GetObject"}, Resource: values{"arn:aws:s3:::TRAIL-BUCKET/AWSLogs/*"}},
			{Sid: "LogFilesKey", Effect: "Allow", Action: values{"kms:Decrypt"}, Resource: values{"arn:aws:kms:REGION:ACCOUNT:key/TRAIL-KEY"},
				Condition: map[string]map[string]values{"StringLike": {"kms:ViaService": {"s3.*.amazonaws.com"}}}},
		}},
	}
	if diff := cmp.Diff(want, policies(t, "config/events")); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
}

// actionsOf are the actions in a template's policies.
func actionsOf(t *testing.T, name string) []string {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, name)), &root); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var all []string
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, inner := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && inner.Value == "Action" {
				value := n.Content[i+1]
				for _, one := range append([]*yaml.Node{value}, value.Content...) {
					if one.Kind == yaml.ScalarNode && one.Value != "sqs:*" { // a denial
						all = append(all, one.Value)
					}
				}
			}
			walk(inner)
		}
	}
	walk(&root)
	return sorted(all)
}

func TestActionsOfTheTemplatesForEvents(t *testing.T) {
	want := map[string][]string{
		"central":     append([]string{"events:PutEvents"}, append(slices.Clone(receiving), "sqs:SendMessage")...),
		"member":      {"events:PutEvents", "sts:AssumeRole"},
		"trail-topic": {"sns:Publish", "sns:Subscribe"},
		"trail-queue": append([]string{"kms:Decrypt", "s3:GetObject"}, append(slices.Clone(receiving), "sqs:SendMessage")...),
	}
	got := map[string][]string{}
	for name := range want {
		got[name] = actionsOf(t, "config/events/"+name+".yaml")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions by template (-want +got):\n%s", diff)
	}
}

// TestTheRulesInTheTemplatesHaveThePatternsOfTheFiles compares what is deployed with what test/events evaluates.
func TestTheRulesInTheTemplatesHaveThePatternsOfTheFiles(t *testing.T) {
	files, err := filepath.Glob(repository(t, "config/events/patterns/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no patterns: %v", err)
	}
	want := map[string]string{}
	for _, file := range files {
		want[compact(t, read(t, "config/events/patterns/"+filepath.Base(file)))] = "ENABLED"
	}
	for _, name := range []string{"central", "member"} {
		var template struct {
			Resources map[string]struct {
				Type       string
				Properties struct {
					State        string `yaml:"State"`
					EventPattern any    `yaml:"EventPattern"`
				} `yaml:"Properties"`
			} `yaml:"Resources"`
		}
		if err := yaml.Unmarshal([]byte(read(t, "config/events/"+name+".yaml")), &template); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, r := range template.Resources {
			if r.Type != "" && r.Type != "AWS::Events::Rule" || r.Properties.EventPattern == nil {
				continue
			}
			raw, err := json.Marshal(r.Properties.EventPattern)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer(`{"Fn::Sub":":role/${AuditRole}"}`, `":role/plumbline/PlumblineAudit"`,
				`{"Fn::Sub":":role/${EnforceRole}"}`, `":role/plumbline/PlumblineEnforce"`).Replace(string(raw))
			got[compact(t, text)] = r.Properties.State
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("patterns of %s.yaml (-files +template):\n%s", name, diff)
		}
	}
}

// compact is JSON with its fields sorted and without white space.
func compact(t *testing.T, text string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestWhoMaySend looks at every policy that lets somebody in: the queues', the bus's, the topic's, the role's.
func TestWhoMaySend(t *testing.T) {
	type one = map[string]any
	document := func(statements ...any) one { return one{"Version": "2012-10-17", "Statement": statements} }
	encrypted := one{"Sid": "EncryptedConnectionsOnly", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "!GetAtt Queue.Arn",
		"Condition": one{"Bool": one{"aws:SecureTransport": "false"}}}
	for name, want := range map[string]map[string]any{
		"central": {
			"QueuePolicy": document(one{"Sid": "TheRulesOfTheBus", "Effect": "Allow", "Principal": one{"Service": "events.amazonaws.com"},
				"Action": "sqs:SendMessage", "Resource": "!GetAtt Queue.Arn", "Condition": one{"ArnEquals": one{"aws:SourceArn": []any{
					"!GetAtt Changes1.Arn", "!GetAtt Changes2.Arn", "!GetAtt OwnRoles.Arn"}}}}, encrypted),
			"EventBusPolicy": one{"Sid": "TheOrganization", "Effect": "Allow", "Principal": "*", "Action": "events:PutEvents",
				"Resource": "!GetAtt EventBus.Arn", "Condition": one{"StringEquals": one{"aws:PrincipalOrgID": "!Ref OrganizationId"}}},
		},
		"member": {
			"EventsRole": document(one{"Sid": "TheRulesOfThisAccount", "Effect": "Allow", "Principal": one{"Service": "events.amazonaws.com"},
				"Action": "sts:AssumeRole", "Condition": one{"StringEquals": one{"aws:SourceAccount": "!Ref AWS::AccountId"}}}),
		},
		"trail-topic": {
			"TopicPolicy": document(
				one{"Sid": "TheTrailsBucket", "Effect": "Allow", "Principal": one{"Service": "s3.amazonaws.com"}, "Action": "sns:Publish",
					"Resource": "!Ref Topic", "Condition": one{"StringEquals": one{"aws:SourceAccount": "!Ref AWS::AccountId"},
						"ArnEquals": one{"aws:SourceArn": "!Sub arn:${AWS::Partition}:s3:::${TrailBucket}"}}},
				one{"Sid": "TheManagersQueue", "Effect": "Allow", "Principal": one{"AWS": "!Sub arn:${AWS::Partition}:iam::${ManagerAccount}:root"},
					"Action": "sns:Subscribe", "Resource": "!Ref Topic", "Condition": one{"StringEquals": one{"sns:Protocol": "sqs"}}}),
		},
		"trail-queue": {
			"QueuePolicy": document(one{"Sid": "TheTopicOfTheTrail", "Effect": "Allow", "Principal": one{"Service": "sns.amazonaws.com"},
				"Action": "sqs:SendMessage", "Resource": "!GetAtt Queue.Arn", "Condition": one{"ArnEquals": one{"aws:SourceArn": "!Ref TopicARN"}}}, encrypted),
		},
	} {
		var template struct {
			Resources map[string]struct {
				Properties map[string]yaml.Node `yaml:"Properties"`
			} `yaml:"Resources"`
		}
		if err := yaml.Unmarshal([]byte(read(t, "config/events/"+name+".yaml")), &template); err != nil {
			t.Fatal(err)
		}
		got := map[string]any{}
		for id, r := range template.Resources {
			for property, node := range r.Properties {
				allows := property == "PolicyDocument" || property == "Statement" || property == "AssumeRolePolicyDocument"
				if allows && !strings.HasPrefix(id, "Manager") {
					got[id] = plain(t, &node)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s.yaml (-want +got):\n%s", name, diff)
		}
	}
}

// plain is a part of a template as data; a function of CloudFormation stays as its text.
func plain(t *testing.T, n *yaml.Node) any {
	t.Helper()
	switch n.Kind {
	case yaml.MappingNode:
		all := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			all[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		return all
	case yaml.SequenceNode:
		all := []any{}
		for _, one := range n.Content {
			all = append(all, plain(t, one))
		}
		return all
	case yaml.ScalarNode:
		if strings.HasPrefix(n.Tag, "!!") {
			return n.Value
		}
		return n.Tag + " " + n.Value
	}
	t.Fatalf("line %d is neither a mapping nor a list nor a text", n.Line)
	return nil
}

// TestTemplatesForEvents creates the stacks. It rests on moto's CloudFormation, which leaves out queue, topic and bus policies and
// subscriptions: TestWhoMaySend looks at those.
func TestTemplatesForEvents(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	e := startEmulator(ctx, t)
	org, err := e.SeedOrganization(ctx, stack.OrganizationSeed{Accounts: []stack.AccountSeed{
		{ID: tooling, Name: "tooling"}, {ID: members[0], Name: "member"}, {ID: members[1], Name: "log-archive"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("central.yaml makes a queue and a bus, member.yaml sends to the bus", func(t *testing.T) {
		central := create(ctx, t, e.Config(tooling, queueRegion), "central", map[string]string{"OrganizationId": org.ID})
		checkQueue(ctx, t, e.Config(tooling, queueRegion), central["QueueURL"])
		if want := "arn:aws:events:" + queueRegion + ":" + tooling + ":event-bus/plumbline"; central["EventBusARN"] != want {
			t.Errorf("the bus is %s", central["EventBusARN"])
		}
		// The home region first, as the template says.
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			create(ctx, t, e.Config(members[0], region), "member", map[string]string{"EventBusARN": central["EventBusARN"]})
		}
		role, err := awsiam.NewFromConfig(e.Config(members[0], "")).GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("PlumblineEvents")})
		if err != nil {
			t.Fatal(err)
		}
		if want := "arn:aws:iam::" + members[0] + ":role/plumbline/PlumblineEvents"; aws.ToString(role.Role.Arn) != want {
			t.Errorf("the role is %s, the rules name %s", aws.ToString(role.Role.Arn), want)
		}
	})
	t.Run("trail-topic.yaml makes a topic, trail-queue.yaml a queue and, with a key, a policy for it", func(t *testing.T) {
		topic := create(ctx, t, e.Config(members[1], "eu-west-1"), "trail-topic", map[string]string{
			"TrailBucket": "organization-trail", "ManagerAccount": tooling})
		if want := "arn:aws:sns:eu-west-1:" + members[1] + ":plumbline-trail"; topic["TopicARN"] != want {
			t.Errorf("the topic is %s", topic["TopicARN"])
		}
		key := "arn:aws:kms:eu-west-1:" + members[1] + ":key/k"
		for account, withKey := range map[string]string{tooling: "", members[0]: key} {
			queue := create(ctx, t, e.Config(account, "eu-west-1"), "trail-queue", map[string]string{
				"TopicARN": topic["TopicARN"], "TopicRegion": "eu-west-1", "TrailBucket": "organization-trail", "TrailKeyARN": withKey})
			checkQueue(ctx, t, e.Config(account, "eu-west-1"), queue["QueueURL"])
			if arn := queue["ManagerKeyPolicyARN"]; (arn != "") != (withKey != "") {
				t.Errorf("with the key %q: policy %q", withKey, arn)
			}
		}
	})
}

// create makes a stack and returns its outputs.
func create(ctx context.Context, t *testing.T, cfg aws.Config, name string, parameters map[string]string) map[string]string {
	t.Helper()
	api := cloudformation.NewFromConfig(cfg)
	in := &cloudformation.CreateStackInput{StackName: aws.String("plumbline-" + name), TemplateBody: aws.String(read(t, "config/events/"+name+".yaml")),
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}
	for _, key := range slices.Sorted(maps.Keys(parameters)) {
		in.Parameters = append(in.Parameters, types.Parameter{ParameterKey: aws.String(key), ParameterValue: aws.String(parameters[key])})
	}
	if _, err := api.CreateStack(ctx, in); err != nil {
		t.Fatal(err)
	}
	about := &cloudformation.DescribeStacksInput{StackName: in.StackName}
	if err := cloudformation.NewStackCreateCompleteWaiter(api).Wait(ctx, about, time.Minute); err != nil {
		t.Fatal(err)
	}
	out, err := api.DescribeStacks(ctx, about)
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{}
	for _, o := range out.Stacks[0].Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return outputs
}

// checkQueue compares a queue with what the manager counts on.
func checkQueue(ctx context.Context, t *testing.T, cfg aws.Config, url string) {
	t.Helper()
	out, err := sqs.NewFromConfig(cfg).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	if err != nil {
		t.Fatal(err)
	}
	arn := out.Attributes["QueueArn"]
	want := map[string]string{"MessageRetentionPeriod": "345600", "VisibilityTimeout": "120", "sqsmanagedsseenabled": "true",
		"RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `-dead","maxReceiveCount":5}`}
	got := map[string]string{"sqsmanagedsseenabled": strings.ToLower(out.Attributes["SqsManagedSseEnabled"])}
	for _, name := range []string{"MessageRetentionPeriod", "VisibilityTimeout", "RedrivePolicy"} {
		got[name] = strings.ReplaceAll(out.Attributes[name], " ", "")
	}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasSuffix(arn, ":plumbline-events") {
		t.Errorf("attributes of %s (-want +got):\n%s", arn, diff)
	}
}
