package kubectl

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// policy is an admission policy that is installed with Plumbline.
type policy struct {
	name string
	// controllers says whether its variable of that name lists the manager's service accounts.
	controllers bool
}

var policies = []policy{{"plumbline-remediation", true}, {"plumbline-approvals", true}, {"plumbline-exception-length", false}, {"plumbline-accounts", true}}

// roleAnnotation is where a service account names its AWS role, for IAM roles for service accounts.
const roleAnnotation = "eks.amazonaws.com/role-arn"

// policy checks that an admission policy is there and in force, and knows the manager.
func (x *checkup) policy(ctx context.Context, api client.Client, p policy) {
	check := "policy " + p.name
	var installed admissionv1.ValidatingAdmissionPolicy
	var binding admissionv1.ValidatingAdmissionPolicyBinding
	key := client.ObjectKey{Name: p.name}
	switch err := api.Get(ctx, key, &installed); {
	case apierrors.IsNotFound(err):
		x.inCluster.fail(check, "not there: the API server refuses nothing in its name", install+" (config/policy)")
		return
	case err != nil:
		x.unread(check, err)
		return
	}
	switch err := api.Get(ctx, key, &binding); {
	case apierrors.IsNotFound(err):
		x.inCluster.fail(check, "not in force: its binding of the same name is not there", install+" (config/policy)")
		return
	case err != nil:
		x.unread(check, err)
		return
	}
	switch deny := slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny); {
	case !deny || binding.Spec.PolicyName != p.name:
		x.inCluster.fail(check, "not in force: its binding does not deny in its name", "restore the binding from config/policy")
	case !p.controllers:
		x.inCluster.ok(check, "in force")
	default:
		x.controllers(ctx, api, check, &installed)
	}
}

var serviceAccount = regexp.MustCompile(`system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)`)

// controllers checks that the policy names service accounts that are there. Where none is the manager's, the manager's own
// writes are refused.
func (x *checkup) controllers(ctx context.Context, api client.Client, check string, p *admissionv1.ValidatingAdmissionPolicy) {
	i := slices.IndexFunc(p.Spec.Variables, func(v admissionv1.Variable) bool { return v.Name == "controllers" })
	var named [][]string
	if i >= 0 {
		named = serviceAccount.FindAllStringSubmatch(p.Spec.Variables[i].Expression, -1)
	}
	if len(named) == 0 {
		x.inCluster.fail(check, "its variable controllers names no service account", "put the manager's there, as config/policy does")
		return
	}
	var there, missing []string
	for _, one := range named {
		var account corev1.ServiceAccount
		switch err := api.Get(ctx, client.ObjectKey{Namespace: one[1], Name: one[2]}, &account); {
		case apierrors.IsNotFound(err):
			missing = append(missing, one[1]+"/"+one[2])
			continue
		case apierrors.IsForbidden(err):
			x.inCluster.ok(check, fmt.Sprintf("in force; controllers is %s/%s, which you may not look for", one[1], one[2]))
			return
		case err != nil:
			x.unread(check, err)
			return
		}
		there = append(there, one[1]+"/"+one[2])
		x.managerRole = account.Annotations[roleAnnotation]
	}
	if len(missing) > 0 {
		x.inCluster.warn(check, "its variable controllers names a service account that is not there: "+strings.Join(missing, ", "),
			"name the one that the manager runs as, or make it: "+install)
		return
	}
	x.inCluster.ok(check, "in force; controllers is "+strings.Join(there, ", "))
}
