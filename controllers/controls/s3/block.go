package s3

import (
	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// block is a public access block, of the account or of a bucket, as changes record it. Flags is nil where there is none,
// which blocks nothing.
type block struct {
	Flags *flags `json:"flags,omitempty"`
}

// flags are the four flags of a public access block.
type flags struct {
	BlockPublicACLs       bool `json:"blockPublicAcls"`
	IgnorePublicACLs      bool `json:"ignorePublicAcls"`
	BlockPublicPolicy     bool `json:"blockPublicPolicy"`
	RestrictPublicBuckets bool `json:"restrictPublicBuckets"`
}

var allFlags = flags{true, true, true, true}

// effective are the flags that hold: all off without a block.
func (b block) effective() flags {
	if b.Flags == nil {
		return flags{}
	}
	return *b.Flags
}

// is says whether the block is still as a change left it.
func (b block) is(left block) bool { return b.Flags != nil && *b.Flags == left.effective() }

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

// departs is the drift of a resource from the wanted flags; nil when there is none. Turning a flag on is Disruptive: what is
// public stops being so. Turning one off weakens.
func departs(resource string, want flags, now block) []control.Finding {
	got := now.effective()
	if got == want {
		return nil
	}
	d := control.Drift{
		Resource: resource, Risk: control.Disruptive, Before: control.JSON(now), After: control.JSON(block{&want}),
	}
	compare := func(path string, want, got bool) {
		if want != got {
			d.Fields = append(d.Fields, control.Field{Path: path, Want: onOff(want), Got: onOff(got)})
			d.Weakens = d.Weakens || !want
		}
	}
	compare("blockPublicAcls", want.BlockPublicACLs, got.BlockPublicACLs)
	compare("ignorePublicAcls", want.IgnorePublicACLs, got.IgnorePublicACLs)
	compare("blockPublicPolicy", want.BlockPublicPolicy, got.BlockPublicPolicy)
	compare("restrictPublicBuckets", want.RestrictPublicBuckets, got.RestrictPublicBuckets)
	return []control.Finding{{Drift: d}}
}

func onOff(on bool) string {
	if on {
		return string(v1alpha1.Enabled)
	}
	return string(v1alpha1.Disabled)
}
