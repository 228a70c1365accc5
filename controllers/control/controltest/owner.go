package controltest

import (
	"context"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// owners asks who manages each resource that would be changed, with the permissions of the audit role. An answer that was denied
// or that is empty is never "nobody".
func (h *harness[S]) owners(found []control.Finding) {
	h.t.Helper()
	if h.control.Owner == nil {
		return
	}
	for _, d := range h.changes(found) {
		c := h.stage()
		by, err := h.ownerOf(c, d.Resource)
		if err != nil || by != h.Owner {
			h.t.Errorf("the owner of %s is %q (%v), want %q", d.Resource, by, err, h.Owner)
		}
		for _, call := range c.Calls() {
			h.used[call.Action] = true
		}
		for _, action := range actionsOf(c.Calls()) {
			denied, silent := h.stage(), h.stage()
			denied.Deny(action, nil)
			if by, err := h.ownerOf(denied, d.Resource); err == nil {
				h.t.Errorf("with %s denied the owner of %s is said to be %q", action, d.Resource, by)
			}
			silent.Blank(action)
			if by, err := h.ownerOf(silent, d.Resource); err == nil {
				h.t.Errorf("with an empty answer to %s the owner of %s is said to be %q", action, d.Resource, by)
			}
		}
	}
}

func (h *harness[S]) ownerOf(c *cloudtest.Cloud, resource string) (string, error) {
	return h.control.Owner(context.Background(), h.target(c, h.control.Reads), resource)
}
