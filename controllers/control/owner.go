package control

import (
	"context"
	"strings"
)

// What a deployment tool manages it puts back, or breaks over: a change of it belongs in that tool. So before a change is made or
// proposed it is found out who else manages the resource, and one that somebody does is not changed without an approval. Names
// and tags tell. Both can be wrong the safe way only: what merely looks managed waits for a person.

// owner is a tool that manages resources in other people's accounts.
type owner struct {
	// name is the tool's, effect what a change means to it.
	name, effect string
	// names begin the names of its resources, stacks those of its CloudFormation stacks.
	names, stacks []string
}

// ControlTower is the owner of what AWS Control Tower has made.
const ControlTower = "AWS Control Tower"

const (
	stackOwner   = "CloudFormation stack "
	stackEffect  = "the next update of the stack reverts a change or fails over it; better changed in its template"
	serviceOwner = "AWS Service Catalog"
)

var owners = []owner{
	{
		// "Guidance for creating and modifying AWS Control Tower resources" and "Resources not removed during decommissioning" in
		// the AWS Control Tower user guide: aws-controltower-BaselineCloudTrail, aws-controltower-logs-*, AWSControlTowerExecution.
		name:   ControlTower,
		effect: "it takes a change for drift, and its next update reverts it or fails over it",
		names:  []string{"aws-controltower-", "AWSControlTower"}, stacks: []string{"AWSControlTower"},
	},
	{
		// "Disallow changes to AWS IAM roles set up by AWS Control Tower and AWS CloudFormation" in the controls reference of AWS
		// Control Tower: stacksets-exec-* are the roles that service-managed stack sets work with in a member account.
		name:   "CloudFormation StackSets",
		effect: "stack sets of the organization reach the account through it, and a change can keep them out",
		names:  []string{"stacksets-exec-"},
	},
	{
		// "Resource Naming Conventions" in the developer guide of Landing Zone Accelerator on AWS, with the default prefix:
		// AWSAccelerator-*, and aws-accelerator-* where capitals are not allowed.
		name:   "Landing Zone Accelerator",
		effect: "its next run reverts a change or fails over it; better changed in its configuration",
		names:  []string{"AWSAccelerator", "aws-accelerator-"}, stacks: []string{"AWSAccelerator"},
	},
	{
		// "Getting started with AWS Firewall Manager AWS WAF policies" in the AWS WAF developer guide: FMManagedWebACLV2-*.
		name:   "AWS Firewall Manager",
		effect: "it puts back what its policy says; better changed in the policy",
		names:  []string{"FMManaged"},
	},
	{
		// "Resource IDs created during bootstrapping" in the AWS CDK developer guide, with the default qualifier; the stack is
		// CDKToolkit.
		name:   "AWS CDK bootstrap",
		effect: "the next cdk bootstrap reverts a change, and deployments rely on it as it is",
		names:  []string{"cdk-hnb659fds-"}, stacks: []string{"CDKToolkit"},
	},
	{
		// "AutoTags" in the administrator guide of AWS Service Catalog. What is launched as a CloudFormation stack is its stack's.
		name:   serviceOwner,
		effect: "the next update of the product reverts a change or fails over it; better changed in the product",
	},
}

// OwnerByName says who manages a resource as far as its ARN tells: an ARN ends in the resource's name, perhaps with its kind and
// path before it. Empty where it tells nothing.
func OwnerByName(resource string) string {
	name := resource
	if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 {
		name = parts[5]
	}
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '/' || r == ':' }) {
		for _, o := range owners {
			if beginsWithAny(part, o.names) {
				return o.name
			}
		}
	}
	return ""
}

// OwnerByTags says who manages a resource as far as its tags tell: those that AWS itself sets, for nobody else can set a tag whose
// key begins with aws: ("Resource tag" in the CloudFormation user guide). Empty where they tell nothing.
func OwnerByTags(tags map[string]string) string {
	if stack := stackOf(tags); stack != "" {
		for _, o := range owners {
			// A stack set's stack in an account is called StackSet-NAME-ID.
			if beginsWithAny(strings.TrimPrefix(stack, "StackSet-"), o.stacks) {
				return o.name + " (" + stackOwner + stack + ")"
			}
		}
		return stackOwner + stack
	}
	for key := range tags {
		if strings.HasPrefix(key, "aws:servicecatalog:") {
			return serviceOwner
		}
	}
	return ""
}

// stackOf is the name of the stack that the tags name.
func stackOf(tags map[string]string) string {
	name := tags["aws:cloudformation:stack-name"]
	if id := tags["aws:cloudformation:stack-id"]; name == "" && id != "" {
		name = id // arn:aws:cloudformation:REGION:ACCOUNT:stack/NAME/ID
		if parts := strings.Split(id, "/"); len(parts) == 3 {
			name = parts[1]
		}
	}
	return Bounded(name, 128)
}

// OwnerEffect says what a change of a resource means to its owner.
func OwnerEffect(by string) string {
	for _, o := range owners {
		if strings.HasPrefix(by, o.name) {
			return o.effect
		}
	}
	return stackEffect
}

func beginsWithAny(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// OwnerOf says who manages a resource beside people; empty where nobody does. What its name tells is not asked of AWS.
func (b Bound) OwnerOf(ctx context.Context, t *Target, resource string) (string, error) {
	if by := OwnerByName(resource); by != "" || b.owner == nil {
		return by, nil
	}
	return b.owner(ctx, t, resource)
}
