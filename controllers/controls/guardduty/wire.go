package guardduty

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"
)

// The SDK has three types for the same thing: a feature of a detector, of a member and of the organization. Here they
// become states, and writes become them.

// hear notes AWS's word on one feature or agent; what plans does not hold is ignored.
func (s *states) hear(feature, agent, word string) {
	if i := slices.IndexFunc(plans[:], func(p plan) bool { return p.feature == feature && p.agent == agent }); i >= 0 {
		if s[i] = stateOf(word); s[i] == unlisted {
			s[i] = unclear // AWS lists it and does not say how it is
		}
	}
}

func detectorPlans(features []types.DetectorFeatureConfigurationResult) states {
	var s states
	for _, f := range features {
		s.hear(string(f.Name), "", string(f.Status))
		for _, a := range f.AdditionalConfiguration {
			s.hear(string(f.Name), string(a.Name), string(a.Status))
		}
	}
	return s
}

func memberPlans(features []types.MemberFeaturesConfigurationResult) states {
	var s states
	for _, f := range features {
		s.hear(string(f.Name), "", string(f.Status))
		for _, a := range f.AdditionalConfiguration {
			s.hear(string(f.Name), string(a.Name), string(a.Status))
		}
	}
	return s
}

func organizationPlans(features []types.OrganizationFeatureConfigurationResult) states {
	var s states
	for _, f := range features {
		s.hear(string(f.Name), "", string(f.AutoEnable))
		for _, a := range f.AdditionalConfiguration {
			s.hear(string(f.Name), string(a.Name), string(a.AutoEnable))
		}
	}
	return s
}

func detectorFeatures(all []write) []types.DetectorFeatureConfiguration {
	var out []types.DetectorFeatureConfiguration
	for _, w := range all {
		f := types.DetectorFeatureConfiguration{Name: types.DetectorFeature(w.feature), Status: types.FeatureStatus(w.status)}
		for _, a := range w.agents {
			f.AdditionalConfiguration = append(f.AdditionalConfiguration, types.DetectorAdditionalConfiguration{
				Name: types.FeatureAdditionalConfiguration(a.name), Status: types.FeatureStatus(a.status),
			})
		}
		out = append(out, f)
	}
	return out
}

func memberFeatures(all []write) []types.MemberFeaturesConfiguration {
	var out []types.MemberFeaturesConfiguration
	for _, w := range all {
		f := types.MemberFeaturesConfiguration{Name: types.OrgFeature(w.feature), Status: types.FeatureStatus(w.status)}
		for _, a := range w.agents {
			f.AdditionalConfiguration = append(f.AdditionalConfiguration, types.MemberAdditionalConfiguration{
				Name: types.OrgFeatureAdditionalConfiguration(a.name), Status: types.FeatureStatus(a.status),
			})
		}
		out = append(out, f)
	}
	return out
}

func organizationFeatures(all []write) []types.OrganizationFeatureConfiguration {
	var out []types.OrganizationFeatureConfiguration
	for _, w := range all {
		f := types.OrganizationFeatureConfiguration{Name: types.OrgFeature(w.feature), AutoEnable: types.OrgFeatureStatus(w.status)}
		for _, a := range w.agents {
			f.AdditionalConfiguration = append(f.AdditionalConfiguration, types.OrganizationAdditionalConfiguration{
				Name: types.OrgFeatureAdditionalConfiguration(a.name), AutoEnable: types.OrgFeatureStatus(a.status),
			})
		}
		out = append(out, f)
	}
	return out
}
