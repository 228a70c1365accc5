package iam

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

// suspect is a user that is to be read live.
type suspect struct{ name, arn string }

// suspects are the users to be read live, and what is to be said of all that could not be looked at.
type suspects struct {
	users  []suspect
	unseen []control.Finding
	// indexed is false where there is no report to go by.
	indexed bool
}

// suspectsOf are the users that look wrong in the credential report and those that the target names, whatever the report says
// of them: they may have changed, or been made, since. Where there is no report, the latter alone.
func suspectsOf(ctx context.Context, t *control.Target, wrong func(reportRow) bool) (s suspects, err error) {
	index, err := credentialReport.From(ctx, t)
	if s.indexed = err == nil; s.indexed {
		t.RestsOn(index.index())
	} else if s.unseen, err = unindexed(err); err != nil {
		return s, err
	}
	named := namedUsers(t)
	for _, row := range index.rows {
		if u := (suspect{row.name, row.arn}); named.take(u) || wrong(row) {
			s.users = append(s.users, u)
		}
	}
	if len(named) == 0 {
		return s, nil
	}
	all, err := everyUser.From(ctx, t)
	if err != nil {
		s.unseen = append(s.unseen, control.Unreadable("", err))
		return s, nil
	}
	for _, u := range all {
		if named.take(u) {
			s.users = append(s.users, u)
		}
	}
	return s, nil
}

// names are names and ARNs of users that are still to be found.
type names map[string]bool

// userName is what the name of a user looks like (CreateUser, IAM API reference).
var userName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

// namedUsers are those of the target's names that may be users.
func namedUsers(t *control.Target) names {
	all := names{}
	for _, name := range t.Named {
		switch {
		case strings.HasPrefix(name, t.GlobalARN("iam", "user/")):
			all[userOfKey(name)] = true
		case userName.MatchString(name):
			all[name] = true
		}
	}
	return all
}

// take says whether a user is among those named, which it then is no longer.
func (n names) take(u suspect) bool {
	found := n[u.name] || n[u.arn]
	delete(n, u.name)
	delete(n, u.arn)
	return found
}

// everyUser lists the account's users: a page holds 1,000, and an account 5,000. It is asked for only where somebody is named
// whom the report does not know.
var everyUser = control.Read[[]suspect]{
	Key:     "iam.users",
	Actions: []string{"iam:ListUsers"},
	Do: func(ctx context.Context, t *control.Target) (all []suspect, err error) {
		api := iam.NewFromConfig(t.AWS)
		err = pages("ListUsers", func(marker *string) (*string, bool, error) {
			out, err := api.ListUsers(ctx, &iam.ListUsersInput{Marker: marker, MaxItems: aws.Int32(1000)})
			if err != nil {
				return nil, false, fmt.Errorf("listing users: %w", err)
			}
			for _, u := range out.Users {
				one := suspect{aws.ToString(u.UserName), aws.ToString(u.Arn)}
				if one.name == "" || !strings.HasPrefix(one.arn, t.GlobalARN("iam", "user/")) {
					return nil, false, control.Unexpected("ListUsers", "the name and ARN of a user of the account")
				}
				all = append(all, one)
			}
			return out.Marker, out.IsTruncated, nil
		})
		return all, err
	},
}
