package v1alpha1

// Condition types. Ready and Compliant are always present once a first look was taken; the others only while they say
// something.
const (
	// ConditionReady on an account: it can be worked on and no tried change failed. On a baseline: its spec was accepted and
	// the roll-up is current. On an organization: discovery works.
	ConditionReady = "Ready"
	// ConditionCompliant: True when every check holds or is excused, False when one has drifted, Unknown when one could not be
	// or has not yet been looked at.
	ConditionCompliant = "Compliant"
	// ConditionReachable on an account: its audit role can be assumed and the credentials belong to the account.
	ConditionReachable = "Reachable"
	// ConditionReconciling: work on the present generation is under way. Present only while true.
	ConditionReconciling = "Reconciling"
	// ConditionStalled: nothing will change until a person changes something. Present only while true.
	ConditionStalled = "Stalled"
	// ConditionEnforcing on a baseline that asks for Enforce: whether the manager may write at all.
	ConditionEnforcing = "Enforcing"
	// ConditionOverridden on a baseline: another baseline of the kind wins some or all of its checks. Present only while true.
	ConditionOverridden = "Overridden"
	// ConditionLabelConflict on an organization: somebody else owns a label that discovery would set. Present only while true.
	ConditionLabelConflict = "LabelConflict"
	// ConditionStale: something was not looked at for twice as long as it should be. Present only while true.
	ConditionStale = "Stale"
	// ConditionEventsFlowing on an organization whose manager receives events: whether they arrive. Present only then.
	ConditionEventsFlowing = "EventsFlowing"
	// ConditionActive on an exception: True between from and expires.
	ConditionActive = "Active"
	// ConditionUnknownNames on a baseline or an exception: it names regions or controls that do not exist. Present only while
	// true.
	ConditionUnknownNames = "UnknownNames"
	// ConditionDecisionRefused on a Remediation: an approval, an undo or a rejection does not count, and why. Present only while
	// true.
	ConditionDecisionRefused = "DecisionRefused"
	// ConditionRolloutPaused on a baseline: nothing is changed any more, and why. Present only while true.
	ConditionRolloutPaused = "RolloutPaused"
	// ConditionRestoring on a baseline that is being deleted: what it changed is being put back. Present only while true.
	ConditionRestoring = "Restoring"
	// ConditionApprovalsRefused on a baseline: entries of spec.approvals do not count, and why. Present only while true.
	ConditionApprovalsRefused = "ApprovalsRefused"
	// ConditionUndoing on a Remediation: it is being taken back, because somebody asked for that (Requested) or its baseline is
	// being deleted (Restore); or that was called off, and it is being looked at what came of it (CalledOff). Present only while true.
	ConditionUndoing = "Undoing"
	// ConditionHandedOver on a Remediation: where hands are separate, the enforcer makes it, or takes it back. The reason is
	// WaitsForEnforcer, or what keeps the enforcer from it.
	ConditionHandedOver = "HandedOver"
)

// Reasons of conditions.
const (
	ReasonSucceeded                   = "Succeeded"
	ReasonPending                     = "Pending"
	ReasonAllChecksHold               = "AllChecksHold"
	ReasonCompliantExceptDenied       = "CompliantExceptDeniedRegions"
	ReasonDrifted                     = "Drifted"
	ReasonChecksUnknown               = "ChecksUnknown"
	ReasonNoChecks                    = "NoChecks"
	ReasonNoAccountSelected           = "NoAccountSelected"
	ReasonRemediationFailed           = "RemediationFailed"
	ReasonUnreachable                 = "Unreachable"
	ReasonRoleRefused                 = "RoleRefused"
	ReasonWrongAccount                = "WrongAccount"
	ReasonNoOrganization              = "NoOrganization"
	ReasonLeft                        = "LeftOrganization"
	ReasonExcluded                    = "ExcludedFromDiscovery"
	ReasonSuspendedByAWS              = "SuspendedByAWS"
	ReasonWritesDisabled              = "WritesDisabled"
	ReasonWritesAllowed               = "WritesAllowed"
	ReasonSuspended                   = "Suspended"
	ReasonOverriddenByPriority        = "OverriddenByPriority"
	ReasonOneOrganizationOnly         = "OneOrganizationOnly"
	ReasonDiscoveryRefused            = "DiscoveryRefused"
	ReasonDiscoveryFailed             = "DiscoveryFailed"
	ReasonOwnedByOthers               = "OwnedByOthers"
	ReasonUnknownRegion               = "UnknownRegion"
	ReasonUnknownControl              = "UnknownControl"
	ReasonNotExcusable                = "NotExcusable"
	ReasonNotYetActive                = "NotYetActive"
	ReasonExpired                     = "Expired"
	ReasonActive                      = "Active"
	ReasonRegionsUnreadable           = "RegionsUnreadable"
	ReasonSelectedAccountsUnreachable = "SelectedAccountsUnreachable"
	ReasonNotObservedLately           = "NotObservedLately"
	ReasonEventsArrive                = "EventsArrive"
	ReasonNoEvents                    = "NoEventsYet"
	ReasonUnannouncedChange           = "ChangeWithoutEvent"
	ReasonQueueUnreadable             = "QueueUnreadable"
	ReasonWritesStopped               = "WritesStopped"
	ReasonOtherDigest                 = "OtherDigest"
	ReasonOtherWave                   = "OtherWave"
	ReasonTooMuchTrouble              = "TooMuchTrouble"
	ReasonOverlappingWaves            = "OverlappingWaves"
	ReasonNotDecidable                = "NotDecidable"
	ReasonIrreversible                = "Irreversible"
	ReasonChangedSince                = "ChangedSince"
	ReasonRequested                   = "Requested"
	ReasonWaitsForEnforcer            = "WaitsForEnforcer"
	ReasonRestore                     = "Restore"
	ReasonCalledOff                   = "CalledOff"
	ReasonAccountGone                 = "AccountGone"
)

// Reasons of drift rows and of checks that are not compliant. Controls add their own for resources they cannot judge.
const (
	// RowAudit: reported only, the mode is Audit.
	RowAudit = "Audit"
	// RowSuspended: reported only, the baseline is suspended.
	RowSuspended = "Suspended"
	// RowReportOnly: no API puts this right; a person must.
	RowReportOnly = "ReportOnly"
	// RowAwaitingApproval: the change waits for an approval; the message says what it would do.
	RowAwaitingApproval = "AwaitingApproval"
	// RowRejected: somebody has rejected the change; the row names the Remediation.
	RowRejected = "Rejected"
	// RowCapReached: a cap on changes was reached; the change waits for a later pass.
	RowCapReached = "CapReached"
	// RowContested: the change was made several times within an hour and changed back each time. One that restores a protection is
	// made again after a wait that grows to 15 minutes at most, any other once somebody asks for the account.
	RowContested = "Contested"
	// RowWritesDisabled: the manager runs without --allow-writes.
	RowWritesDisabled = "WritesDisabled"
	// RowRoleMissing: the enforce role cannot be assumed.
	RowRoleMissing = "RoleMissing"
	// RowManagementAccount: the management account is written to only when its id stands in accounts.include.
	RowManagementAccount = "ManagementAccount"
	// RowNewAccount: the account joined less than enforceNewAccountsAfter ago.
	RowNewAccount = "NewAccount"
	// RowSettling: the change was made and AWS does not show it yet.
	RowSettling = "Settling"
	// RowRemediationFailed: the change was tried and failed, or AWS still does not show it at the third look.
	RowRemediationFailed = "RemediationFailed"
	// RowPending: not looked at yet with these settings.
	RowPending = "Pending"
	// RowWaiting: something that must come first is not there yet.
	RowWaiting = "Waiting"
	// RowAccessDenied: AWS refused a read.
	RowAccessDenied = "AccessDenied"
	// RowReadFailed: a read failed otherwise.
	RowReadFailed = "ReadFailed"
	// RowWritesStopped: spec.writes of the AWSOrganization is Stopped.
	RowWritesStopped = "WritesStopped"
	// RowRolloutWaiting: the account's wave has not come yet.
	RowRolloutWaiting = "RolloutWaiting"
	// RowRolloutPaused: the rollout has paused itself, or its waves contradict each other.
	RowRolloutPaused = "RolloutPaused"
	// RowHandedOver: the change is on record for the enforcer, the process that writes where hands are separate.
	RowHandedOver = "HandedOver"
	// RowNotRecorded: the change could not be put on record beforehand, so it was not made.
	RowNotRecorded = "NotRecorded"
	// RowContradictsOrganization: the organization's own setting says otherwise; nothing is written.
	RowContradictsOrganization = "ContradictsOrganization"
)

// Labels and annotations that Plumbline sets or reads.
const (
	// LabelAccount, LabelControl and LabelPlan on a Remediation are its account's id, its control's id and its plan's digest.
	LabelAccount = "plumbline.dev/account"
	LabelControl = "plumbline.dev/control"
	LabelPlan    = "plumbline.dev/plan"
	// LabelOrganization on an AWSAccount names the AWSOrganization that discovered it.
	LabelOrganization = "plumbline.dev/organization"
	// LabelOUPrefix, followed by an OU id, stands on an AWSAccount for its OU and every one above it.
	LabelOUPrefix = "ou.plumbline.dev/"
	// AnnotationName is the account's name in AWS Organizations.
	AnnotationName = "plumbline.dev/name"
	// AnnotationOUPath is the account's path of OU names.
	AnnotationOUPath = "plumbline.dev/ou-path"
	// AnnotationState is the account's state in AWS Organizations, or LEFT.
	AnnotationState = "plumbline.dev/state"
	// AnnotationJoinedAt is when the account joined the organization, RFC 3339.
	AnnotationJoinedAt = "plumbline.dev/joined-at"
	// AnnotationReconcileRequestedAt asks for everything to be looked at again at once: any new value does. The value is a
	// token and is never parsed.
	AnnotationReconcileRequestedAt = "plumbline.dev/reconcile-requested-at"
	// AnnotationResumeRollout on a baseline lets a rollout that has paused itself go on: any new value does. The value is a token
	// and is never parsed.
	AnnotationResumeRollout = "plumbline.dev/resume-rollout"
)
