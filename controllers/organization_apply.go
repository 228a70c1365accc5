package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// stateLeft marks an account that is no longer in the organization.
const stateLeft = "LEFT"

// stateExcluded marks an account that was taken in once and that spec.discovery leaves out now.
const stateExcluded = "EXCLUDED"

// discoveryOwner is the field manager of what discovery writes.
const discoveryOwner = client.FieldOwner("plumbline-discovery")

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// applied is the metadata that discovery sets on an account. What it set before and what is missing here is taken away.
type applied struct{ labels, annotations map[string]string }

// apply writes the metadata of every account that does not have it. One that the API server refuses keeps none of the others
// from it.
func (r *OrganizationReconciler) apply(ctx context.Context, d *discovery) error {
	for _, m := range d.wanted {
		if err := r.applyOne(ctx, d, m.ID, r.metadataOf(ctx, d, m)); err != nil {
			return err
		}
	}
	for _, a := range d.vanished {
		if err := r.applyOne(ctx, d, a.Name, leftBehind(d.org.Name, a, stateLeft)); err != nil {
			return err
		}
	}
	for _, a := range d.excluded {
		if err := r.applyOne(ctx, d, a.Name, leftBehind(d.org.Name, a, stateExcluded)); err != nil {
			return err
		}
	}
	return nil
}

// metadataOf is what discovery sets on a member's account.
func (r *OrganizationReconciler) metadataOf(ctx context.Context, d *discovery, m cloud.Member) applied {
	known := appliedTo(d.known[m.ID])
	a := applied{
		labels: map[string]string{v1alpha1.LabelOrganization: d.org.Name},
		annotations: map[string]string{
			v1alpha1.AnnotationName: control.Bounded(m.Name, 256), v1alpha1.AnnotationOUPath: control.Bounded(m.Path, 1024),
			v1alpha1.AnnotationState: control.Bounded(m.State, 64),
		},
	}
	if !m.JoinedAt.IsZero() {
		a.annotations[v1alpha1.AnnotationJoinedAt] = m.JoinedAt.UTC().Format(time.RFC3339)
	}
	for _, ou := range m.OUs {
		if key := v1alpha1.LabelOUPrefix + ou; len(validation.IsQualifiedName(key)) == 0 {
			a.labels[key] = ""
		} else {
			d.problems = append(d.problems, m.ID+": OU "+control.Bounded(ou, 80))
		}
	}
	if len(m.OUs) == 0 {
		// It was moved while the organization was read: it is where it was, until it is seen elsewhere.
		d.problems = append(d.problems, m.ID+": its OU was not found")
		for key := range known.labels {
			if strings.HasPrefix(key, v1alpha1.LabelOUPrefix) {
				a.labels[key] = ""
			}
		}
		a.annotations[v1alpha1.AnnotationOUPath] = known.annotations[v1alpha1.AnnotationOUPath]
	}
	tagged, notes := r.tagLabels(ctx, d, m, known.labels)
	maps.Copy(a.labels, tagged)
	d.problems = append(d.problems, notes...)
	return a
}

// leftBehind is what discovery leaves on an account that left, or that is left out: it is in no OU and has no tags any more.
func leftBehind(org string, known *metav1.PartialObjectMetadata, state string) applied {
	a := applied{map[string]string{v1alpha1.LabelOrganization: org}, map[string]string{v1alpha1.AnnotationState: state}}
	for _, kept := range []string{v1alpha1.AnnotationName, v1alpha1.AnnotationJoinedAt} {
		if v := known.Annotations[kept]; v != "" {
			a.annotations[kept] = v
		}
	}
	return a
}

// appliedTo is what discovery has set on an account, with the values that stand there now. Nothing where there is none.
func appliedTo(known *metav1.PartialObjectMetadata) applied {
	a := applied{map[string]string{}, map[string]string{}}
	if known == nil {
		return a
	}
	for _, entry := range known.ManagedFields {
		if entry.Manager != string(discoveryOwner) || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Metadata struct {
				Labels      map[string]any `json:"f:labels"`
				Annotations map[string]any `json:"f:annotations"`
			} `json:"f:metadata"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			continue // then it is applied anew, which mends it
		}
		take := func(owned map[string]any, values, to map[string]string) {
			for field := range owned {
				if key, ok := strings.CutPrefix(field, "f:"); ok {
					to[key] = values[key]
				}
			}
		}
		take(fields.Metadata.Labels, known.Labels, a.labels)
		take(fields.Metadata.Annotations, known.Annotations, a.annotations)
	}
	return a
}

// applyOne applies one account's metadata, unless it is there already. What somebody else owns is left to them and noted.
func (r *OrganizationReconciler) applyOne(ctx context.Context, d *discovery, id string, a applied) error {
	if now := appliedTo(d.known[id]); maps.Equal(now.labels, a.labels) && maps.Equal(now.annotations, a.annotations) {
		return nil
	}
	err := r.send(ctx, id, a)
	if apierrors.IsConflict(err) {
		// Leave out, once, what others own; the rest is still ours to write.
		d.problems = append(d.problems, a.dropOwned(err, id)...)
		err = r.send(ctx, id, a)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsInvalid(err):
		d.problems = append(d.problems, id+": "+control.Bounded(err.Error(), 120))
		return nil
	case err != nil:
		return fmt.Errorf("applying account %s: %w", id, err)
	}
	return nil
}

func (r *OrganizationReconciler) send(ctx context.Context, id string, a applied) error {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("AWSAccount"))
	u.SetName(id)
	u.SetLabels(a.labels)
	u.SetAnnotations(a.annotations)
	return r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), discoveryOwner)
}

// dropOwned takes the labels and annotations out that the conflict names.
func (a applied) dropOwned(err error, id string) []string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var notes []string
	for _, cause := range status.Status().Details.Causes {
		for prefix, m := range map[string]map[string]string{".metadata.labels.": a.labels, ".metadata.annotations.": a.annotations} {
			key, ours := strings.CutPrefix(cause.Field, prefix)
			if _, set := m[key]; ours && set {
				delete(m, key)
				notes = append(notes, id+": "+key)
			}
		}
	}
	return notes
}
