package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "plumbline.dev", Version: "v1alpha1"}

// AddToScheme registers every kind of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&AWSOrganization{}, &AWSOrganizationList{},
		&AWSAccount{}, &AWSAccountList{},
		&GuardDutyBaseline{}, &GuardDutyBaselineList{},
		&CloudTrailBaseline{}, &CloudTrailBaselineList{},
		&S3Baseline{}, &S3BaselineList{},
		&IAMBaseline{}, &IAMBaselineList{},
		&EncryptionBaseline{}, &EncryptionBaselineList{},
		&BaselineException{}, &BaselineExceptionList{},
		&Remediation{}, &RemediationList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
