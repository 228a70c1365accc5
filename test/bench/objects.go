package main

import (
	"bytes"
	_ "embed" // baselines.yaml
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest/scale"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/controls"
)

//go:embed baselines.yaml
var baselinesYAML []byte

// externalID is the installation's.
const externalID = "plumbline-bench"

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// organization is the stand-in's organization, with GuardDuty administered from a member.
func organization() *v1alpha1.AWSOrganization {
	org := &v1alpha1.AWSOrganization{ObjectMeta: metav1.ObjectMeta{Name: "bench"}}
	org.Spec.ManagementAccount = v1alpha1.AccountID(scale.Management())
	for _, r := range scale.DefaultRegions() {
		org.Spec.Regions = append(org.Spec.Regions, v1alpha1.Region(r))
	}
	org.Spec.Roles.ExternalID = externalID
	org.Spec.DelegatedAdministrators.GuardDuty = v1alpha1.AccountID(scale.Administrator())
	return org
}

// regionsEach is how many regions each baseline of perRegions has.
const regionsEach = 3

// perRegions makes of each baseline with regions some that share them, with names as long as large organizations give, so that
// the statuses of accounts in which everything has drifted are as large as they may become.
func perRegions(all []control.Baseline) [][]control.Baseline {
	var some [][]control.Baseline
	for _, b := range all {
		if k := b.GetObjectKind().GroupVersionKind().Kind; k == "CloudTrailBaseline" || k == "IAMBaseline" {
			some = append(some, []control.Baseline{b})
			continue
		}
		var parts []control.Baseline
		for regions := range slices.Chunk(scale.DefaultRegions(), regionsEach) {
			part := b.DeepCopyObject().(control.Baseline) //nolint:errcheck // a copy of a baseline is one
			part.SetName("security-baseline-of-all-production-workloads-in-" + strings.Join(regions, "."))
			spec, _ := part.Common()
			spec.Regions = &v1alpha1.RegionSelector{}
			for _, r := range regions {
				spec.Regions.Include = append(spec.Regions.Include, v1alpha1.Region(r))
			}
			parts = append(parts, part)
		}
		some = append(some, parts)
	}
	return some
}

// baselines are those of baselines.yaml, each asking with token to be looked at.
func baselines(token string) ([]control.Baseline, error) {
	var all []control.Baseline
	for _, doc := range bytes.Split(baselinesYAML, []byte("\n---\n")) {
		var head metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &head); err != nil {
			return nil, fmt.Errorf("reading baselines.yaml: %w", err)
		}
		for _, k := range controls.Kinds() {
			if k.Name != head.Kind {
				continue
			}
			b := k.New()
			if err := yaml.UnmarshalStrict(doc, b); err != nil {
				return nil, fmt.Errorf("reading the %s of baselines.yaml: %w", k.Name, err)
			}
			b.SetAnnotations(map[string]string{v1alpha1.AnnotationReconcileRequestedAt: token})
			all = append(all, b)
		}
	}
	if len(all) != len(controls.Kinds()) {
		return nil, fmt.Errorf("baselines.yaml has %d of %d kinds", len(all), len(controls.Kinds()))
	}
	return all, nil
}
