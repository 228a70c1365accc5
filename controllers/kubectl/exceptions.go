package kubectl

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
)

func newExceptions(c *cluster) *cobra.Command {
	expiring := ""
	cmd := &cobra.Command{
		Use:   "exceptions",
		Short: "What is excused, by whom, and until when",
		Long: `List the exceptions, those that end first at the top.

With --expiring only those that are not over yet and end within that time, for example 30d, 12h or 2w.`,
		Example: "  kubectl plumbline exceptions\n  kubectl plumbline exceptions --expiring 30d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var within time.Duration
			if expiring != "" {
				var err error
				if within, err = days(expiring); err != nil {
					return fmt.Errorf("reading --expiring: %w", err)
				}
			}
			return explained(c.exceptions(cmd.Context(), within))
		},
	}
	cmd.Flags().StringVar(&expiring, "expiring", "", "Only those that end within this time. Example: 30d")
	return cmd
}

// days reads a length of time that may be in days or weeks.
func days(s string) (time.Duration, error) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, is := strings.CutSuffix(s, unit); is {
			if n, err := strconv.Atoi(number); err == nil && n > 0 && n <= 3660 {
				return time.Duration(n) * length, nil
			}
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no length of time; write for example 30d, 2w or 12h", s)
	}
	return d, nil
}

func (c *cluster) exceptions(ctx context.Context, within time.Duration) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	var all v1alpha1.BaselineExceptionList
	if err := api.List(ctx, &all); err != nil {
		return fmt.Errorf("listing exceptions: %w", err)
	}
	now, shown := c.Clock(), all.Items
	if within > 0 {
		shown = slices.DeleteFunc(shown, func(x v1alpha1.BaselineException) bool { return !endsWithin(&x, now, within) })
	}
	if len(shown) == 0 {
		none := "No exceptions."
		if within > 0 {
			none = fmt.Sprintf("No exception ends within %s; there are %d.", age(within), len(all.Items))
		}
		return c.print(none + "\n")
	}
	return c.print(exceptionTable(shown, now).String())
}

// endsWithin says whether the exception is not over yet and will be within that time.
func endsWithin(x *v1alpha1.BaselineException, now time.Time, within time.Duration) bool {
	return x.Spec.Expires != nil && now.Before(x.Spec.Expires.Time) && !x.Spec.Expires.After(now.Add(within))
}

func exceptionTable(all []v1alpha1.BaselineException, now time.Time) *table {
	slices.SortFunc(all, func(a, b v1alpha1.BaselineException) int {
		return cmp.Or(endOf(&a).Compare(endOf(&b)), strings.Compare(a.Name, b.Name))
	})
	t := &table{head: []string{"NAME", "CONTROLS", "WHERE", "OWNER", "TICKET", "EXPIRES IN", "ACTIVE"}}
	for i := range all {
		x := &all[i]
		t.add(x.Name, shortList(x.Spec.Controls), where(&x.Spec), orNone(x.Spec.Owner), orNone(x.Spec.Ticket), expiresIn(x, now), active(x, now))
	}
	return t
}

func endOf(x *v1alpha1.BaselineException) time.Time {
	if x.Spec.Expires == nil {
		return time.Time{}
	}
	return x.Spec.Expires.Time
}

func expiresIn(x *v1alpha1.BaselineException, now time.Time) string {
	switch left := endOf(x).Sub(now); {
	case x.Spec.Expires == nil:
		return "–"
	case left <= 0:
		return "over since " + age(left)
	default:
		return age(left)
	}
}

// active says whether it is in force by its own dates, which is what counts; the condition may be a moment behind.
func active(x *v1alpha1.BaselineException, now time.Time) string {
	switch {
	case x.Spec.From == nil || x.Spec.Expires == nil, !now.Before(x.Spec.Expires.Time):
		return "no"
	case now.Before(x.Spec.From.Time):
		return "in " + age(x.Spec.From.Sub(now))
	}
	return "yes"
}

// where says what an exception is narrowed to.
func where(x *v1alpha1.BaselineExceptionSpec) string {
	var parts []string
	if x.Accounts != nil {
		parts = append(parts, shortList(x.Accounts.Include))
	}
	for _, list := range [][]string{x.OrganizationalUnits, x.Resources} {
		if len(list) > 0 {
			parts = append(parts, shortList(list))
		}
	}
	if len(x.Regions) > 0 {
		parts = append(parts, "in "+shortList(x.Regions))
	}
	return orNone(strings.Join(parts, "; "))
}

// shortList names the first two and counts the rest.
func shortList[S ~string](list []S) string {
	const named = 2
	var parts []string
	for _, s := range list[:min(len(list), named)] {
		parts = append(parts, string(s))
	}
	if more := len(list) - named; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}
