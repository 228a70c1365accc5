package iam

import (
	"fmt"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// passwordSettings are the settings of a password policy by the names they have in the baseline. On is 1 and off is 0; a
// number that AWS does not set is 0.
type passwordSettings map[string]int32

// The settings.
const (
	minimumLength      = "minimumLength"
	reusePrevention    = "reusePrevention"
	uppercase          = "uppercase"
	lowercase          = "lowercase"
	numbers            = "numbers"
	symbols            = "symbols"
	allowUsersToChange = "allowUsersToChange"
	maxAgeDays         = "maxAgeDays"
	hardExpiry         = "hardExpiry"
)

// newPasswordPolicy is what a policy starts from where the account has none: AWS's defaults for what is left out, except
// that users may change their own password, which AWS's default would take from them.
var newPasswordPolicy = passwordSettings{
	minimumLength: 6, reusePrevention: 0, uppercase: 0, lowercase: 0, numbers: 0, symbols: 0, allowUsersToChange: 1,
	maxAgeDays: 0, hardExpiry: 0,
}

// unmanaged is what a setting wants that the baseline does not name.
const unmanaged = int32(-1)

// passwordRule says of one setting what is wanted and what a change of it may cost.
type passwordRule struct {
	name string
	// want is the value that the baseline declares.
	want func(v1alpha1.PasswordPolicy) int32
	// kind says how values compare.
	kind passwordKind
	// on and off are the risks of turning a switch on and off.
	on, off control.Risk
	// weakens is true of a switch whose turning off lowers security.
	weakens bool
}

type passwordKind int

const (
	atLeast passwordKind = iota // a floor: more satisfies it
	atMost                      // a ceiling: less satisfies it, none does not
	toggle                      // on or off
)

var passwordRules = []passwordRule{
	{name: minimumLength, want: v1alpha1.PasswordPolicy.MinimumLengthOrDefault, kind: atLeast},
	{name: reusePrevention, want: v1alpha1.PasswordPolicy.ReusePreventionOrDefault, kind: atLeast},
	characters(uppercase, func(p v1alpha1.PasswordPolicy) v1alpha1.State { return p.Uppercase }),
	characters(lowercase, func(p v1alpha1.PasswordPolicy) v1alpha1.State { return p.Lowercase }),
	characters(numbers, func(p v1alpha1.PasswordPolicy) v1alpha1.State { return p.Numbers }),
	characters(symbols, func(p v1alpha1.PasswordPolicy) v1alpha1.State { return p.Symbols }),
	{
		name: allowUsersToChange, want: func(p v1alpha1.PasswordPolicy) int32 { return state(p.AllowUsersToChange) },
		kind: toggle, on: control.Safe, off: control.Disruptive,
	},
	{
		name: maxAgeDays, kind: atMost, want: func(p v1alpha1.PasswordPolicy) int32 {
			if p.MaxAgeDays == 0 {
				return unmanaged
			}
			return p.MaxAgeDays
		},
	},
	{
		name: hardExpiry, want: func(p v1alpha1.PasswordPolicy) int32 { return state(p.HardExpiry) },
		kind: toggle, on: control.Disruptive, off: control.Safe,
	},
}

// characters is the rule of a kind of characters that a password must have.
func characters(name string, of func(v1alpha1.PasswordPolicy) v1alpha1.State) passwordRule {
	return passwordRule{
		name: name, want: func(p v1alpha1.PasswordPolicy) int32 { return state(of(p)) },
		kind: toggle, on: control.Safe, off: control.Disruptive, weakens: true,
	}
}

func state(s v1alpha1.State) int32 {
	switch s {
	case v1alpha1.Enabled:
		return 1
	case v1alpha1.Disabled:
		return 0
	}
	return unmanaged
}

func number(on bool) int32 {
	if on {
		return 1
	}
	return 0
}

// holds says whether a value satisfies the one that is wanted.
func (r passwordRule) holds(got, want int32) bool {
	switch r.kind {
	case atLeast:
		return got >= want
	case atMost:
		return got > 0 && got <= want
	}
	return got == want
}

// risk is that of setting the value, and whether it lowers security. Floors are only raised; a ceiling makes older passwords
// expire.
func (r passwordRule) risk(want int32) (control.Risk, bool) {
	switch {
	case r.kind == atLeast:
		return control.Safe, false
	case r.kind == atMost:
		return control.Disruptive, false
	case want != 0:
		return r.on, false
	}
	return r.off, r.weakens
}

// text is a value for people.
func (r passwordRule) text(v int32, wanted bool) string {
	switch {
	case r.kind == toggle && v != 0:
		return string(v1alpha1.Enabled)
	case r.kind == toggle:
		return string(v1alpha1.Disabled)
	case v == 0:
		return "none"
	case wanted && r.kind == atLeast:
		return fmt.Sprintf("at least %d", v)
	case wanted:
		return fmt.Sprintf("at most %d", v)
	}
	return fmt.Sprint(v)
}
