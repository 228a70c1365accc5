package cloud

import "time"

// Event is what Plumbline needs of one CloudTrail management event. Its strings are chosen by whoever made the call: they are
// bounded, shown, and never acted on beyond looking at the account and region they name.
type Event struct {
	// ID is the event's own id, the same however often and whichever way it is delivered.
	ID string
	// Source is the service without ".amazonaws.com", Name the event's name. Example: s3, PutBucketPolicy
	Source, Name string
	// Account is the account it appears in (recipientAccountId), Region its awsRegion.
	Account, Region string
	// Accounts are further accounts that it names as concerned, such as the members in a call of their administrator.
	Accounts []string
	// Resources are names or ARNs of what was changed, as far as the request names them: a bucket, a user, a key.
	Resources []string
	// Time is when the call was made, to the second.
	Time time.Time
	// RequestID is the id that AWS gave the request.
	RequestID string
	// Actor says who made the call: a role session, a user, an AWS service. Example: assumed-role/Admin/alice
	Actor string
	// Role is the ARN of the role that the call was made with; empty where it was made with none.
	Role string
	// ErrorCode is set when the call was refused or failed: nothing was changed.
	ErrorCode string
	// ReadOnly is true for a call that changes nothing.
	ReadOnly bool
}

// Delivery is one message of the queue with the events in it. The message is deleted only when Done is called, which may be
// done from any goroutine and more than once; one that is never done comes back when its visibility timeout is over.
type Delivery struct {
	Events []Event
	Done   func()
}
