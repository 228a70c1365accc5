package s3

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// block is a public access block, of the account or of a bucket. Flags is nil where there is none, which blocks nothing.
type block struct {
	Flags *flags
}

// flags are the four flags of a public access block.
type flags struct {
	BlockPublicACLs       bool
	IgnorePublicACLs      bool
	BlockPublicPolicy     bool
	RestrictPublicBuckets bool
}

var allFlags = flags{true, true, true, true}

// flagPaths are the names of the flags, in their order.
var flagPaths = [4]string{"blockPublicAcls", "ignorePublicAcls", "blockPublicPolicy", "restrictPublicBuckets"}

// each are the flags in the order of flagPaths.
func (f *flags) each() [4]*bool {
	return [4]*bool{&f.BlockPublicACLs, &f.IgnorePublicACLs, &f.BlockPublicPolicy, &f.RestrictPublicBuckets}
}

// effective are the flags that hold: all off without a block.
func (b block) effective() flags {
	if b.Flags == nil {
		return flags{}
	}
	return *b.Flags
}

// flagChange is what a change of a block records: the flags that it concerns, by name.
type flagChange struct {
	Flags map[string]bool `json:"flags"`
	// Absent says of the state before that there was no block.
	Absent bool `json:"absent,omitempty"`
}

// with is the block with the flags of a change; the others stay as they are.
func (b block) with(c flagChange) block {
	to := b.effective()
	for i, flag := range to.each() {
		if on, concerned := c.Flags[flagPaths[i]]; concerned {
			*flag = on
		}
	}
	return block{&to}
}

// has says whether the block still has the flags of a change.
func (b block) has(c flagChange) bool { return b.Flags != nil && *b.with(c).Flags == *b.Flags }

// setFlags writes the flags of a change into the block as it is now.
func setFlags(c flagChange, read func() (block, error), write func(block) error) error {
	now, err := read()
	if err != nil {
		return err
	}
	return write(now.with(c))
}

// resetFlags writes the flags back that were there before a change. A block that the change made is taken away again, unless
// somebody has turned another flag on meanwhile.
func resetFlags(before, left flagChange, read func() (block, error), write func(block) error) error {
	now, err := read()
	if err != nil {
		return err
	}
	if !now.has(left) {
		return control.ErrChanged
	}
	to := now.with(before)
	if before.Absent && *to.Flags == (flags{}) {
		to = block{}
	}
	return write(to)
}

// answered makes a block of the flags AWS answered, in the order of flags. A flag that is missing is not taken for off.
func answered(operation string, on ...*bool) (block, error) {
	var values [4]bool
	for i, flag := range on {
		if flag == nil {
			return block{}, control.Unexpected(operation, "one of the four flags")
		}
		values[i] = *flag
	}
	return block{&flags{values[0], values[1], values[2], values[3]}}, nil
}

func wantedFlags(f v1alpha1.PublicAccessBlockFlags) flags {
	return flags{
		BlockPublicACLs:       f.BlockPublicACLsOrDefault() == v1alpha1.Enabled,
		IgnorePublicACLs:      f.IgnorePublicACLsOrDefault() == v1alpha1.Enabled,
		BlockPublicPolicy:     f.BlockPublicPolicyOrDefault() == v1alpha1.Enabled,
		RestrictPublicBuckets: f.RestrictPublicBucketsOrDefault() == v1alpha1.Enabled,
	}
}

// departs are the drifts of a resource from the wanted flags. Turning a flag on is Disruptive: what is public stops being
// so. Turning one off weakens; it is a change of its own, for it waits for an approval in every mode and keeps nothing else
// waiting.
func departs(resource string, want flags, now block) []control.Finding {
	got := now.effective()
	wanted, is := want.each(), got.each()
	var found []control.Finding
	for _, weakens := range []bool{false, true} {
		d := control.Drift{Resource: resource, Risk: control.Disruptive, Weakens: weakens}
		before, after := flagChange{map[string]bool{}, now.Flags == nil}, flagChange{Flags: map[string]bool{}}
		for i, path := range flagPaths {
			if to := *wanted[i]; to != *is[i] && to != weakens {
				d.Fields = append(d.Fields, control.Field{Path: path, Want: onOff(to), Got: onOff(!to)})
				before.Flags[path], after.Flags[path] = !to, to
			}
		}
		if len(d.Fields) > 0 {
			d.Before, d.After = control.JSON(before), control.JSON(after)
			found = append(found, control.Finding{Drift: d})
		}
	}
	return found
}

func onOff(on bool) string {
	if on {
		return string(v1alpha1.Enabled)
	}
	return string(v1alpha1.Disabled)
}
