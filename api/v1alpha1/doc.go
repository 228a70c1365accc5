// Package v1alpha1 holds the kinds of Plumbline: the AWS organization and its accounts, the baselines that say what must
// hold in them, and the exceptions that excuse a departure for a while.
//
// Users write spec, controllers write status; nothing normalises or defaults what a person wrote, so the bytes in Git and
// the bytes in the API server stay the same. A default named in a field's comment is applied when the field is read.
//
// +kubebuilder:object:generate=true
// +groupName=plumbline.dev
package v1alpha1
