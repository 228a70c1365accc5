package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// accessKey is an access key as AWS says now.
type accessKey struct {
	user, id string
	status   types.StatusType
	created  time.Time
}

func (k accessKey) active() bool { return k.status == types.StatusTypeActive }

// readKeys are the user's access keys; an error that isGone recognises when the user was deleted.
func readKeys(ctx context.Context, t *control.Target, name string) ([]accessKey, error) {
	var keys []accessKey
	api := iam.NewFromConfig(t.AWS)
	err := pages("ListAccessKeys", func(marker *string) (*string, bool, error) {
		out, err := api.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: &name, Marker: marker})
		if err != nil {
			return nil, false, fmt.Errorf("listing access keys of %s: %w", name, err)
		}
		for _, k := range out.AccessKeyMetadata {
			if aws.ToString(k.AccessKeyId) == "" || k.CreateDate == nil || !slices.Contains(k.Status.Values(), k.Status) {
				return nil, false, control.Unexpected("ListAccessKeys", "a key's id, date and status")
			}
			keys = append(keys, accessKey{name, *k.AccessKeyId, k.Status, *k.CreateDate})
		}
		return out.Marker, out.IsTruncated, nil
	})
	return keys, err
}

// readLastUsed is when the key was used last; zero when it was never used since AWS keeps account of it.
func readLastUsed(ctx context.Context, t *control.Target, k accessKey) (time.Time, error) {
	out, err := iam.NewFromConfig(t.AWS).GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &k.id})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the last use of a key of %s: %w", k.user, err)
	}
	if out.AccessKeyLastUsed == nil || aws.ToString(out.UserName) != k.user {
		return time.Time{}, control.Unexpected("GetAccessKeyLastUsed", "the key's use and user")
	}
	at := out.AccessKeyLastUsed.LastUsedDate
	if service := aws.ToString(out.AccessKeyLastUsed.ServiceName); at == nil && service != "" && service != "N/A" {
		return time.Time{}, control.Unexpected("GetAccessKeyLastUsed", "the date of its use by "+control.Bounded(service, 40))
	}
	return aws.ToTime(at), nil
}

// usedWithin holds a change back where the key was used in the last days.
func usedWithin(ctx context.Context, t *control.Target, k accessKey, days int32) (hold, error) {
	used, err := readLastUsed(ctx, t, k)
	if err != nil || !used.After(t.Now.Add(-daysLong(days))) {
		return hold{}, err
	}
	return hold{ReasonKeyInUse, fmt.Sprintf("%s was used on %s, in the last %d days", k.masked(), day(used), days)}, nil
}

func daysLong(n int32) time.Duration { return time.Duration(n) * 24 * time.Hour }

// day is a date for people. Fields hold dates and no numbers of days: a departure does not change while it stands.
func day(at time.Time) string { return at.UTC().Format(time.DateOnly) }

// masked is the key's id as reports show it.
func (k accessKey) masked() string {
	if len(k.id) < 16 { // AWS's are 16 to 128 characters long
		return "…"
	}
	return k.id[:4] + "…" + k.id[len(k.id)-4:]
}

// arn names the key below its user. IAM has no ARNs of keys; an exception for "…:user/NAME/access-key/*" covers the user's.
func (k accessKey) arn(u user) string {
	return u.arn + "/access-key/" + k.id[max(len(k.id)-4, 0):]
}

// userOfKey is the ARN of the user of a key that is named as arn names it; any other ARN as it is.
func userOfKey(arn string) string {
	if i := strings.LastIndex(arn, "/access-key/"); i > strings.Index(arn, ":user/") {
		return arn[:i]
	}
	return arn
}

// keyStatus is what a change of a key writes.
type keyStatus struct {
	User   string           `json:"user"`
	Key    string           `json:"key"`
	Status types.StatusType `json:"status"`
}

// deactivation is the departure of a key that is to be deactivated.
func deactivation(u user, k accessKey, fields []control.Field) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: k.arn(u), Risk: control.Disruptive, Fields: fields,
		Before: control.JSON(keyStatus{k.user, k.id, types.StatusTypeActive}),
		After:  control.JSON(keyStatus{k.user, k.id, types.StatusTypeInactive}),
	}}
}

// keyFindings is the departure of a key: reported, or proposed where the baseline asks for the change (act) and nothing holds it
// back.
func keyFindings(u user, k accessKey, field control.Field, act bool, why func() (hold, error)) []control.Finding {
	if !act {
		return []control.Finding{reported(k.arn(u), []control.Field{field}, hold{})}
	}
	held, err := why()
	switch {
	case err != nil:
		return []control.Finding{reported(k.arn(u), []control.Field{field}, hold{}), control.Unreadable(k.arn(u), err)}
	case held.reason != "":
		return []control.Finding{reported(k.arn(u), []control.Field{field}, held)}
	}
	return []control.Finding{deactivation(u, k, []control.Field{field})}
}

// protected holds back every change of the keys of a user that must not be touched.
func protected(ctx context.Context, t *control.Target, users *v1alpha1.UserSelector, u user) (hold, error) {
	if why := excluded(users, u); why.reason != "" {
		return why, nil
	}
	return ownIdentity(ctx, t, u)
}

// errKeyGone says that the key was deleted.
var errKeyGone = errors.New("the access key does not exist any more")

// findKey reads one key afresh.
func findKey(ctx context.Context, t *control.Target, s keyStatus) (accessKey, error) {
	keys, err := readKeys(ctx, t, s.User)
	if err != nil && !isGone(err) {
		return accessKey{}, err
	}
	i := slices.IndexFunc(keys, func(k accessKey) bool { return k.id == s.Key })
	if i < 0 {
		return accessKey{}, errKeyGone
	}
	return keys[i], nil
}

// deactivateKey makes a key inactive; one that is so, or was deleted, needs nothing.
func deactivateKey(ctx context.Context, t *control.Target, d control.Drift) error {
	after, err := control.Decode[keyStatus](d.After)
	if err != nil {
		return err
	}
	now, err := findKey(ctx, t.Home(), after)
	if errors.Is(err, errKeyGone) || (err == nil && !now.active()) {
		return nil
	}
	if err != nil {
		return err
	}
	return setKey(ctx, t.Home(), after)
}

// reactivateKey undoes deactivateKey, as long as the key is still there and inactive.
func reactivateKey(ctx context.Context, t *control.Target, d control.Drift) error {
	before, err := control.Decode[keyStatus](d.Before)
	if err != nil {
		return err
	}
	now, err := findKey(ctx, t.Home(), before)
	if errors.Is(err, errKeyGone) || (err == nil && now.status != types.StatusTypeInactive) {
		return control.ErrChanged
	}
	if err != nil {
		return err
	}
	return setKey(ctx, t.Home(), before)
}

func setKey(ctx context.Context, t *control.Target, s keyStatus) error {
	_, err := iam.NewFromConfig(t.AWS).UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{
		UserName: &s.User, AccessKeyId: &s.Key, Status: s.Status,
	})
	if err != nil {
		return fmt.Errorf("making a key of %s %s: %w", s.User, s.Status, err)
	}
	return nil
}
