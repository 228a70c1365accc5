package controllers

import (
	"context"
	"errors"

	ackcache "github.com/aws-controllers-k8s/runtime/pkg/runtime/cache"
	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
)

// ACKRoles follows ACK's ConfigMap ack-role-account-map, from which an account may take its audit role. The map lies in the
// namespace that ACK's own environment variable ACK_SYSTEM_NAMESPACE names (default ack-system).
type ACKRoles struct {
	roles  *ackcache.CARMMap
	client kubernetes.Interface
	synced chan struct{}
}

// NewACKRoles adds a follower of the map to the manager.
func NewACKRoles(mgr ctrl.Manager, log logr.Logger) (*ACKRoles, error) {
	client, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, err
	}
	a := &ACKRoles{roles: ackcache.NewCARMMapCache(log), client: client, synced: make(chan struct{})}
	return a, mgr.Add(a)
}

// Start follows the map until ctx ends.
func (a *ACKRoles) Start(ctx context.Context) error {
	a.roles.Run(ackcache.ACKRoleAccountMap, a.client, ctx.Done())
	if (ackcache.Caches{Accounts: a.roles}).WaitForCachesToSync(ctx) {
		close(a.synced)
	}
	<-ctx.Done()
	return nil
}

// NeedLeaderElection is false: a standby follows the map too.
func (a *ACKRoles) NeedLeaderElection() bool { return false }

var errACKNotRead = errors.New("the map has not been read yet")

// Role is the role of an account in the map.
func (a *ACKRoles) Role(account string) (string, error) {
	select {
	case <-a.synced:
		return a.roles.GetValue(account)
	default:
		return "", errACKNotRead // before the first read the map would look missing
	}
}
