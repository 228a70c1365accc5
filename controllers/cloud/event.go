package cloud

import "time"

// Event is what Plumbline needs of one CloudTrail management event. Its strings are chosen by whoever made the call: they are
// bounded, shown, and never acted on beyond looking at the account and region they name.
type Event struct {
	// ID is the event's own id (eventID), the same however often and whichever way it is delivered. An event that is recorded in
	// two accounts, the caller's and the resource's, has one in each.
	ID string
	// Source is the service without ".amazonaws.com", Name the event's name. Example: s3, PutBucketPolicy
	Source, Name string
	// Account is the account it appears in (recipientAccountId), Region its awsRegion.
	Account, Region string
	// Accounts are further accounts that it names as concerned, such as the members in a call of their administrator or the
	// owner of a bucket that another account changed: at most 100, without Account.
	Accounts []string
	// Resources are names or ARNs of what was changed, as far as the event names them: a bucket, a user, a key; the caller, where
	// IAM takes a call that names nobody for one about the caller. At most 10; a name is whole or left out, since a part of one
	// would name something else.
	Resources []string
	// Time is when the call was made, to the second; zero when the event does not say.
	Time time.Time
	// RequestID is the id that AWS gave the request.
	RequestID string
	// Actor says who made the call, in at most 128 bytes: a role session, a user, an AWS service, and whose it is where that is
	// another account. Examples: assumed-role/Admin/alice, user/bob of 111122223333, root
	Actor string
	// Role is the ARN, with its path, of the role that the call was made with; empty where it was made with none.
	Role string
	// Through is the AWS service that made the call in the caller's name, as a part of what the caller asked it for; empty where
	// the caller made it. Example: cloudtrail.amazonaws.com
	Through string
	// ErrorCode is set when the call was refused or failed: nothing was changed.
	ErrorCode string
	// ReadOnly is true for a call that changes nothing.
	ReadOnly bool
}

// Delivery is one message of the queue with the events in it, or a part of the events where there are very many. The message
// is deleted only when Done is called on all its deliveries, which may be done from any goroutine and more than once; one that
// is never done comes back when its visibility timeout is over.
type Delivery struct {
	Events []Event
	Done   func()
}
