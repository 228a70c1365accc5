package kubectl

import (
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/controllers/planning"
)

// newPlan makes `plan` of the package planning. It asks a cluster only where the caller names one: files that say which organization
// need none.
func newPlan(c *cluster) *cobra.Command {
	cmd := planning.New(planning.Options{
		Streams: c.Streams, Kinds: c.Kinds, AWS: c.AWS, Clock: c.Clock,
		Cluster: func() (client.Reader, error) {
			if *c.flags.KubeConfig == "" && *c.flags.Context == "" {
				return nil, nil
			}
			return c.connect()
		},
	})
	return cmd
}
