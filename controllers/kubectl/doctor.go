package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
)

// doctor is what a call of the command was asked for.
type doctor struct {
	*cluster
	file, namespace string
	only            []string
	noTrustProbe    bool
}

func newDoctor(c *cluster) *cobra.Command {
	d := &doctor{cluster: c}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What would keep a first pass from working",
		Long: `Look for what would keep Plumbline from working, before its first pass: in the cluster, in AWS Organizations, and in every account.

Nothing is changed, neither in the cluster nor in AWS. AWS is asked with your own credentials, from the SDK's standard chain
(environment, profile, web identity, container, instance profile). The roles in the accounts trust the manager's identity alone,
so call it with that identity.

The AWSOrganization is the cluster's, or with -f that of a file; then no cluster is needed. To see whether a role is there, and
whether its trust asks for the ExternalId, the role is assumed for a session that may do nothing; CloudTrail shows these calls, the
refused ones included. --no-trust-probe leaves out the calls without the ExternalId.

Exit code 1 where anything FAILs. WARN works, but is not as it should be; SKIP was not looked at.`,
		Example: `  kubectl plumbline doctor
  kubectl plumbline doctor -f awsorganization.yaml --account 111122223333`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	cmd.Flags().StringVarP(&d.file, "filename", "f", "", "File with the AWSOrganization; - is standard input. Default: that of the cluster.")
	cmd.Flags().StringSliceVar(&d.only, "account", nil, "Only these accounts, by id. Default: all that the organization takes in.")
	cmd.Flags().StringVarP(&d.namespace, "namespace", "n", controllers.DefaultNamespace, "The manager's namespace.")
	cmd.Flags().BoolVar(&d.noTrustProbe, "no-trust-probe", false, "Do not try to assume roles without the ExternalId.")
	c.complete(cmd, "account", c.fromCluster(accountNames))
	return cmd
}

// checkup is one call of the command, as far as it has come.
type checkup struct {
	*doctor
	// org is the AWSOrganization to go by; nil where there is none.
	org *v1alpha1.AWSOrganization
	// known are the AWSAccounts of the cluster, by id.
	known map[string]*v1alpha1.AWSAccount
	// managerRole is the AWS role that the manager's service account names; empty where it names none.
	managerRole string
	cloud       *cloud.Cloud

	inCluster, inAWS, inAccounts findings
}

func (d *doctor) run(ctx context.Context) error {
	for _, id := range d.only {
		if !accountID.MatchString(id) {
			return fmt.Errorf("--account %q is no account id; write its twelve digits", id)
		}
	}
	x := &checkup{doctor: d, known: map[string]*v1alpha1.AWSAccount{}}
	if d.file != "" {
		var err error
		if x.org, err = d.declared(); err != nil {
			return fmt.Errorf("reading the AWSOrganization of %s: %w", d.file, err)
		}
	}
	x.lookAtCluster(ctx)
	x.lookAtAWS(ctx)
	if err := d.print(x.String()); err != nil {
		return err
	}
	if x.count(fails) > 0 {
		return errFails
	}
	return ctx.Err()
}

// String is everything that was found, with the count of it.
func (x *checkup) String() string {
	return x.inCluster.section("Cluster") + x.inAWS.section("AWS") + x.inAccounts.section("Accounts") +
		fmt.Sprintf("%d OK, %d WARN, %d FAIL, %d SKIP\n", x.count(fine), x.count(warns), x.count(fails), x.count(skipped))
}

func (x *checkup) count(l level) int {
	n := 0
	for _, all := range []findings{x.inCluster, x.inAWS, x.inAccounts} {
		for _, f := range all {
			if f.level == l {
				n++
			}
		}
	}
	return n
}

// declared is the AWSOrganization that stands in the file, among whatever else.
func (d *doctor) declared() (*v1alpha1.AWSOrganization, error) {
	text, err := d.text()
	if err != nil {
		return nil, err
	}
	var found *v1alpha1.AWSOrganization
	for _, one := range strings.Split("\n"+string(text), "\n---") {
		org := &v1alpha1.AWSOrganization{}
		if yaml.Unmarshal([]byte(one), org) != nil || org.Kind != "AWSOrganization" {
			continue // something else; the API server judges it
		}
		if err := yaml.UnmarshalStrict([]byte(one), org); err != nil {
			return nil, err
		}
		if found != nil {
			return nil, errors.New("there are two; a cluster has one")
		}
		found = org
	}
	switch {
	case found == nil:
		return nil, errors.New("there is none; config/samples/awsorganization.yaml is an example")
	case !accountID.MatchString(string(found.Spec.ManagementAccount)), !accountID.MatchString(found.Spec.ReadFromOrDefault()):
		return nil, errors.New("spec.managementAccount and spec.readFrom are account ids of twelve digits, in quotes")
	}
	return found, nil
}

func (d *doctor) text() ([]byte, error) {
	if d.file == "-" {
		return io.ReadAll(d.Streams.In)
	}
	return os.ReadFile(d.file)
}
