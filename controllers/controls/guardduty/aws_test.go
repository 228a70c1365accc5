package guardduty

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/aws-sdk-go-v2/service/guardduty/types"

	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

// world is GuardDuty in all accounts and regions of one organization, as AWS documents it. Keys are "account/region"; those
// of features are "FEATURE" and "FEATURE/AGENT".
type world struct {
	detectors map[string]*fakeDetector
	// admins is the delegated administrator of each region, ending what ceases to be it.
	admins map[string]string
	ending bool
	// members are relationships with the administrator of the region.
	members map[string]string
	levers  map[string]*fakeLever // by region
	// missing are plans that a region does not offer.
	missing []string
	// unprocessed is why an operation leaves accounts out, refused why it fails.
	unprocessed, refused map[string]string
	// leftOut are accounts that GetMemberDetectors does not mention.
	leftOut []string
	pageFor int
	// sent are the features that the last write named.
	sent []string
}

type fakeDetector struct {
	enabled   bool
	frequency types.FindingPublishingFrequency
	features  map[string]string
}

type fakeLever struct {
	members  types.AutoEnableMembers
	features map[string]string
}

// on makes a detector whose named features are on, and all others off.
func newDetector(enabled bool, featuresOn ...string) *fakeDetector {
	return &fakeDetector{enabled: enabled, frequency: types.FindingPublishingFrequencySixHours, features: each("DISABLED", "ENABLED", featuresOn)}
}

func newLever(members types.AutoEnableMembers, featuresForAll ...string) *fakeLever {
	return &fakeLever{members: members, features: each("NONE", "ALL", featuresForAll)}
}

func each(otherwise, word string, named []string) map[string]string {
	all := map[string]string{"EKS_RUNTIME_MONITORING": otherwise, "EKS_RUNTIME_MONITORING/EKS_ADDON_MANAGEMENT": otherwise}
	for _, p := range plans {
		all[p.name()] = otherwise
	}
	for _, n := range named {
		all[n] = word
	}
	return all
}

func (p plan) name() string {
	if p.agent == "" {
		return p.feature
	}
	return p.feature + "/" + p.agent
}

func key(c cloudtest.Call) string { return c.Account + "/" + c.Region }

func bad(message string) error {
	return cloudtest.Error("BadRequestException", "The request is rejected because "+message)
}

const notAssociated = "The request is rejected because the given account ID is not an associated member of account the current account."

func (w *world) offered() []string {
	var names []string
	for _, p := range append([]plan{{feature: "EKS_RUNTIME_MONITORING"}}, plans[:]...) {
		if p.agent == "" && !slices.Contains(w.missing, p.feature) {
			names = append(names, p.feature)
		}
	}
	return names
}

// merge applies features as AWS does: per feature, agents too.
func (w *world) merge(into map[string]string, features []types.DetectorFeatureConfiguration) error {
	w.sent = nil
	next := maps.Clone(into)
	for _, f := range features {
		name := string(f.Name)
		if !slices.Contains(w.offered(), name) {
			return bad("an unsupported feature is specified: " + name)
		}
		if f.Status == "" || name == "EKS_RUNTIME_MONITORING" {
			return bad("an invalid or out-of-range value is specified as an input parameter.")
		}
		w.sent = append(w.sent, name)
		next[name] = string(f.Status)
		for _, a := range f.AdditionalConfiguration {
			if f.Status == types.FeatureStatusDisabled && a.Status == types.FeatureStatusEnabled {
				return bad("an agent needs its feature.")
			}
			next[name+"/"+string(a.Name)] = string(a.Status)
			w.sent = append(w.sent, name+"/"+string(a.Name))
		}
		if f.Status == types.FeatureStatusDisabled {
			for k := range next {
				if strings.HasPrefix(k, name+"/") {
					next[k] = "DISABLED"
				}
			}
		}
	}
	maps.Copy(into, next)
	return nil
}

func (w *world) listed(features map[string]string) []types.DetectorFeatureConfigurationResult {
	out := []types.DetectorFeatureConfigurationResult{{Name: "CLOUD_TRAIL", Status: "ENABLED"}, {Name: "FLOW_LOGS", Status: "ENABLED"}}
	for _, name := range w.offered() {
		f := types.DetectorFeatureConfigurationResult{Name: types.DetectorFeatureResult(name), Status: types.FeatureStatus(features[name])}
		for k, v := range features {
			if agent, ok := strings.CutPrefix(k, name+"/"); ok {
				f.AdditionalConfiguration = append(f.AdditionalConfiguration, types.DetectorAdditionalConfigurationResult{
					Name: types.FeatureAdditionalConfiguration(agent), Status: types.FeatureStatus(v),
				})
			}
		}
		out = append(out, f)
	}
	return out
}

func (w *world) stage(c *cloudtest.Cloud) {
	c.Admins["management"] = controltest.Management
	w.stageDetectors(c)
	w.stageMembers(c)
	w.stageMemberWrites(c)
	w.stageOrganization(c)
}

// own finds the detector that a call names.
func (w *world) own(c cloudtest.Call, id *string) (*fakeDetector, error) {
	if err := w.refused[c.Operation]; err != "" {
		return nil, bad(err)
	}
	d := w.detectors[key(c)]
	if d == nil || aws.ToString(id) != "id-of-"+key(c) {
		return nil, bad("the input detectorId is not owned by the current account.")
	}
	return d, nil
}

func (w *world) stageDetectors(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(c cloudtest.Call, _ *guardduty.ListDetectorsInput) (*guardduty.ListDetectorsOutput, error) {
		out := &guardduty.ListDetectorsOutput{DetectorIds: []string{}}
		if w.detectors[key(c)] != nil {
			out.DetectorIds = append(out.DetectorIds, "id-of-"+key(c))
		}
		return out, nil
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.GetDetectorInput) (*guardduty.GetDetectorOutput, error) {
		d, err := w.own(c, in.DetectorId)
		if err != nil {
			return nil, err
		}
		out := &guardduty.GetDetectorOutput{
			Status: types.DetectorStatusDisabled, FindingPublishingFrequency: d.frequency, Features: w.listed(d.features),
			ServiceRole: aws.String("arn:aws:iam::" + c.Account + ":role/aws-service-role/guardduty.amazonaws.com/AWSServiceRoleForAmazonGuardDuty"),
		}
		if d.enabled {
			out.Status = types.DetectorStatusEnabled
		}
		return out, nil
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.CreateDetectorInput) (*guardduty.CreateDetectorOutput, error) {
		if w.detectors[key(c)] != nil {
			return nil, bad("a detector already exists for the current account.")
		}
		d := newDetector(*in.Enable)
		for _, name := range w.offered() {
			if name != runtimeMonitoring && name != "EKS_RUNTIME_MONITORING" {
				d.features[name] = "ENABLED" // what a request does not name is on
			}
		}
		if err := w.merge(d.features, in.Features); err != nil {
			return nil, err
		}
		if in.FindingPublishingFrequency != "" {
			d.frequency = in.FindingPublishingFrequency
		}
		w.detectors[key(c)] = d
		return &guardduty.CreateDetectorOutput{DetectorId: aws.String("id-of-" + key(c))}, nil
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.UpdateDetectorInput) (*guardduty.UpdateDetectorOutput, error) {
		d, err := w.own(c, in.DetectorId)
		if err != nil {
			return nil, err
		}
		if _, ok := associated(w.members[key(c)]); ok {
			return nil, bad("member accounts are not allowed to change their own detector status.")
		}
		if err := w.merge(d.features, in.Features); err != nil {
			return nil, err
		}
		if in.Enable != nil {
			d.enabled = *in.Enable
		}
		if in.FindingPublishingFrequency != "" {
			d.frequency = in.FindingPublishingFrequency
		}
		return &guardduty.UpdateDetectorOutput{}, nil
	})
}

// among runs act for each account that is an associated member, and says which are not.
func (w *world) among(c cloudtest.Call, id *string, accounts []string, act func(account string, d *fakeDetector) error) ([]types.UnprocessedAccount, error) {
	if _, err := w.own(c, id); err != nil {
		return nil, err
	}
	if len(accounts) == 0 || len(accounts) > 50 {
		return nil, bad("an invalid number of accounts is specified.")
	}
	out := []types.UnprocessedAccount{}
	for _, a := range accounts {
		why := w.unprocessed[c.Operation]
		_, ok := associated(w.members[a+"/"+c.Region])
		if why == "" && !ok {
			why = notAssociated
		}
		if why == "" {
			if err := act(a, w.detectors[a+"/"+c.Region]); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, types.UnprocessedAccount{AccountId: aws.String(a), Result: aws.String(why)})
	}
	return out, nil
}

func (w *world) member(account, region string) types.Member {
	return types.Member{AccountId: aws.String(account), RelationshipStatus: aws.String(w.members[account+"/"+region])}
}

func (w *world) stageMembers(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.ListMembersInput) (*guardduty.ListMembersOutput, error) {
		if _, err := w.own(c, in.DetectorId); err != nil {
			return nil, err
		}
		var all []string
		for k, how := range w.members {
			account, region, _ := strings.Cut(k, "/")
			if _, ok := associated(how); region == c.Region && (ok || aws.ToString(in.OnlyAssociated) == "false") {
				all = append(all, account)
			}
		}
		slices.Sort(all)
		all = slices.DeleteFunc(all, func(a string) bool { return a <= aws.ToString(in.NextToken) })
		out := &guardduty.ListMembersOutput{Members: []types.Member{}}
		size := int(aws.ToInt32(in.MaxResults))
		if w.pageFor > 0 {
			size = w.pageFor
		}
		for i, a := range all {
			if i == size {
				out.NextToken = aws.String(all[i-1])
				break
			}
			out.Members = append(out.Members, w.member(a, c.Region))
		}
		return out, nil
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.GetMembersInput) (*guardduty.GetMembersOutput, error) {
		out := &guardduty.GetMembersOutput{Members: []types.Member{}}
		var err error
		out.UnprocessedAccounts, err = w.among(c, in.DetectorId, in.AccountIds, func(account string, _ *fakeDetector) error {
			out.Members = append(out.Members, w.member(account, c.Region))
			return nil
		})
		return out, err
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.GetMemberDetectorsInput) (*guardduty.GetMemberDetectorsOutput, error) {
		out := &guardduty.GetMemberDetectorsOutput{}
		var err error
		out.UnprocessedAccounts, err = w.among(c, in.DetectorId, in.AccountIds, func(account string, d *fakeDetector) error {
			if slices.Contains(w.leftOut, account) {
				return nil
			}
			m := types.MemberDataSourceConfiguration{AccountId: aws.String(account)}
			for _, f := range w.listed(d.features) {
				one := types.MemberFeaturesConfigurationResult{Name: types.OrgFeature(f.Name), Status: f.Status}
				for _, a := range f.AdditionalConfiguration {
					one.AdditionalConfiguration = append(one.AdditionalConfiguration, types.MemberAdditionalConfigurationResult{
						Name: types.OrgFeatureAdditionalConfiguration(a.Name), Status: a.Status,
					})
				}
				m.Features = append(m.Features, one)
			}
			out.MemberDataSourceConfigurations = append(out.MemberDataSourceConfigurations, m)
			return nil
		})
		return out, err
	})
}

func (w *world) stageMemberWrites(c *cloudtest.Cloud) {
	monitor := func(c cloudtest.Call, id *string, accounts []string, on bool) ([]types.UnprocessedAccount, error) {
		return w.among(c, id, accounts, func(account string, d *fakeDetector) error {
			d.enabled = on
			w.members[account+"/"+c.Region] = map[bool]string{true: "Enabled", false: "Disabled"}[on]
			return nil
		})
	}
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.CreateMembersInput) (*guardduty.CreateMembersOutput, error) {
		if _, err := w.own(c, in.DetectorId); err != nil {
			return nil, err
		}
		out := &guardduty.CreateMembersOutput{UnprocessedAccounts: []types.UnprocessedAccount{}}
		for _, a := range in.AccountDetails {
			if why := w.unprocessed[c.Operation]; why != "" || aws.ToString(a.Email) == "" {
				out.UnprocessedAccounts = append(out.UnprocessedAccounts, types.UnprocessedAccount{AccountId: a.AccountId, Result: aws.String(why)})
				continue
			}
			at := *a.AccountId + "/" + c.Region
			if w.detectors[at] == nil {
				w.detectors[at] = newDetector(true)
			}
			w.detectors[at].enabled, w.members[at] = true, "Enabled"
		}
		return out, nil
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.StartMonitoringMembersInput) (*guardduty.StartMonitoringMembersOutput, error) {
		left, err := monitor(c, in.DetectorId, in.AccountIds, true)
		return &guardduty.StartMonitoringMembersOutput{UnprocessedAccounts: left}, err
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.StopMonitoringMembersInput) (*guardduty.StopMonitoringMembersOutput, error) {
		if l := w.levers[c.Region]; l != nil && l.members == types.AutoEnableMembersAll {
			return nil, bad("autoEnableOrganizationMembers is set to ALL.")
		}
		left, err := monitor(c, in.DetectorId, in.AccountIds, false)
		return &guardduty.StopMonitoringMembersOutput{UnprocessedAccounts: left}, err
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.UpdateMemberDetectorsInput) (*guardduty.UpdateMemberDetectorsOutput, error) {
		features := make([]types.DetectorFeatureConfiguration, 0, len(in.Features))
		for _, f := range in.Features {
			one := types.DetectorFeatureConfiguration{Name: types.DetectorFeature(f.Name), Status: f.Status}
			for _, a := range f.AdditionalConfiguration {
				one.AdditionalConfiguration = append(one.AdditionalConfiguration, types.DetectorAdditionalConfiguration{
					Name: types.FeatureAdditionalConfiguration(a.Name), Status: a.Status,
				})
			}
			features = append(features, one)
		}
		left, err := w.among(c, in.DetectorId, in.AccountIds, func(_ string, d *fakeDetector) error { return w.merge(d.features, features) })
		return &guardduty.UpdateMemberDetectorsOutput{UnprocessedAccounts: left}, err
	})
}

func (w *world) lever(c cloudtest.Call, id *string) (*fakeLever, error) {
	if _, err := w.own(c, id); err != nil {
		return nil, err
	}
	if w.admins[c.Region] != c.Account || w.levers[c.Region] == nil {
		return nil, cloudtest.Error("BadRequestException", "The request failed because you do not have required AWS Organization master permission.")
	}
	return w.levers[c.Region], nil
}

func (w *world) stageOrganization(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.DescribeOrganizationConfigurationInput) (*guardduty.DescribeOrganizationConfigurationOutput, error) {
		l, err := w.lever(c, in.DetectorId)
		if err != nil {
			return nil, err
		}
		out := &guardduty.DescribeOrganizationConfigurationOutput{MemberAccountLimitReached: aws.Bool(false), AutoEnableOrganizationMembers: l.members}
		for _, f := range w.listed(l.features)[2:] {
			one := types.OrganizationFeatureConfigurationResult{Name: types.OrgFeature(f.Name), AutoEnable: types.OrgFeatureStatus(f.Status)}
			for _, a := range f.AdditionalConfiguration {
				one.AdditionalConfiguration = append(one.AdditionalConfiguration, types.OrganizationAdditionalConfigurationResult{
					Name: types.OrgFeatureAdditionalConfiguration(a.Name), AutoEnable: types.OrgFeatureStatus(a.Status),
				})
			}
			out.Features = append(out.Features, one)
		}
		return out, nil
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.UpdateOrganizationConfigurationInput) (*guardduty.UpdateOrganizationConfigurationOutput, error) {
		l, err := w.lever(c, in.DetectorId)
		if err != nil {
			return nil, err
		}
		if in.AutoEnableOrganizationMembers == "" {
			return nil, bad("a value for autoEnableOrganizationMembers or autoEnable is required.")
		}
		l.members = in.AutoEnableOrganizationMembers
		for _, f := range in.Features {
			l.features[string(f.Name)] = string(f.AutoEnable)
			for _, a := range f.AdditionalConfiguration {
				if f.AutoEnable == types.OrgFeatureStatusNone && a.AutoEnable != types.OrgFeatureStatusNone {
					return nil, bad("an agent needs its feature.")
				}
				l.features[fmt.Sprintf("%s/%s", f.Name, a.Name)] = string(a.AutoEnable)
			}
		}
		return &guardduty.UpdateOrganizationConfigurationOutput{}, nil
	})
	w.stageDelegation(c)
}

func (w *world) stageDelegation(c *cloudtest.Cloud) {
	management := func(c cloudtest.Call) error {
		if c.Account != controltest.Management {
			return cloudtest.Error("BadRequestException", "The request failed because you must be a user in the organization's management account.")
		}
		return nil
	}
	cloudtest.Handle(c, func(c cloudtest.Call, _ *guardduty.ListOrganizationAdminAccountsInput) (*guardduty.ListOrganizationAdminAccountsOutput, error) {
		out := &guardduty.ListOrganizationAdminAccountsOutput{AdminAccounts: []types.AdminAccount{}}
		if id := w.admins[c.Region]; id != "" {
			status := types.AdminStatusEnabled
			if w.ending {
				status = types.AdminStatusDisableInProgress
			}
			out.AdminAccounts = append(out.AdminAccounts, types.AdminAccount{AdminAccountId: aws.String(id), AdminStatus: status})
		}
		return out, management(c)
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.EnableOrganizationAdminAccountInput) (*guardduty.EnableOrganizationAdminAccountOutput, error) {
		if w.admins[c.Region] != "" {
			return nil, bad("the organization already has a delegated administrator.")
		}
		at := *in.AdminAccountId + "/" + c.Region
		if w.detectors[at] == nil {
			w.detectors[at] = newDetector(true)
		}
		w.admins[c.Region], w.levers[c.Region] = *in.AdminAccountId, newLever(types.AutoEnableMembersNone)
		return &guardduty.EnableOrganizationAdminAccountOutput{}, management(c)
	})
	cloudtest.Handle(c, func(c cloudtest.Call, in *guardduty.DisableOrganizationAdminAccountInput) (*guardduty.DisableOrganizationAdminAccountOutput, error) {
		if w.admins[c.Region] != *in.AdminAccountId {
			return nil, bad("the account is not the delegated administrator.")
		}
		delete(w.admins, c.Region)
		delete(w.levers, c.Region)
		return &guardduty.DisableOrganizationAdminAccountOutput{}, management(c)
	})
}
