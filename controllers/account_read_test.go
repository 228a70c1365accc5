package controllers

import (
	"context"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

// The API server answers from its own cache what need not be newer than a known version. What this manager wrote last is known
// before its cache hears of it, and a status must never be made from an older one.
func TestAnAccountIsReadNoOlderThanItIsKnownToBe(t *testing.T) {
	c := newCluster(t)
	c.create(anAccount(member))
	cached := c.account(member)
	asked, tooOld := []string(nil), false
	c.accounts.Client = interceptor.NewClient(c, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
			if key.Name != member {
				return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("awsaccounts").GroupResource(), key.Name)
			}
			*o.(*v1alpha1.AWSAccount) = *cached // the manager's cache has not heard of what comes
			return nil
		},
	})
	c.accounts.Live = interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, to client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			version := "the newest"
			if raw := (&client.GetOptions{}).ApplyOptions(opts).AsGetOptions(); raw.ResourceVersion != "" {
				version = raw.ResourceVersion
			}
			asked = append(asked, version)
			if tooOld && version != "the newest" {
				return apierrors.NewTimeoutError("Too large resource version", 1)
			}
			return to.Get(ctx, key, o, opts...)
		},
	})
	read := func(id string) string {
		t.Helper()
		a, err := c.accounts.read(c.ctx, client.ObjectKey{Name: id})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return a.ResourceVersion
	}
	same(t, "read", cached.ResourceVersion, read(member))
	change(c, member, &v1alpha1.AWSAccount{}, func(a *v1alpha1.AWSAccount) { a.Labels = map[string]string{"tier": "prod"} })
	written := c.account(member).ResourceVersion
	c.accounts.memories.keep(member, newMemory(), written)
	same(t, "read after it was written", written, read(member))
	read("222233334444")
	tooOld = true
	same(t, "read from an API server that was set back", written, read(member))
	same(t, "asked for", []string{cached.ResourceVersion, written, "the newest", written, "the newest"}, asked)
}
