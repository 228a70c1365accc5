package cloudtrail

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/google/go-cmp/cmp"
)

const bucket = "arn:aws:s3:::payments/"

func not(field string, values ...string) types.AdvancedFieldSelector {
	return types.AdvancedFieldSelector{Field: aws.String(field), NotEquals: values}
}

func TestMendingKeepsDataAndNetworkEvents(t *testing.T) {
	management := equals("eventCategory", "Management")
	objects := advanced("objects", equals("eventCategory", "Data"), equals("resources.type", "AWS::S3::Object"))
	network := advanced("network", equals("eventCategory", "NetworkActivity"), equals("eventSource", kmsSource))
	for name, tc := range map[string]struct{ now, want selectors }{
		"a selector of reads and writes is told to include management events": {
			now:  selectors{Basic: []types.EventSelector{basic(types.ReadWriteTypeAll, false, nil, bucket)}},
			want: selectors{Basic: []types.EventSelector{basic(types.ReadWriteTypeAll, true, nil, bucket)}},
		},
		"of two, the one that includes them already is mended": {
			now: selectors{Basic: []types.EventSelector{
				basic(types.ReadWriteTypeAll, false, nil, bucket), basic(types.ReadWriteTypeAll, true, []string{kmsSource}),
			}},
			want: selectors{Basic: []types.EventSelector{
				basic(types.ReadWriteTypeAll, false, nil, bucket), basic(types.ReadWriteTypeAll, true, nil),
			}},
		},
		"a selector of writes is not widened, for its data events would be too": {
			now: selectors{Basic: []types.EventSelector{basic(types.ReadWriteTypeWriteOnly, true, nil, bucket)}},
			want: selectors{Basic: []types.EventSelector{
				basic(types.ReadWriteTypeWriteOnly, true, nil, bucket), basic(types.ReadWriteTypeAll, true, nil),
			}},
		},
		"a selector of management events only gives way": {
			now:  selectors{Basic: []types.EventSelector{basic(types.ReadWriteTypeWriteOnly, true, nil)}},
			want: selectors{Basic: []types.EventSelector{basic(types.ReadWriteTypeAll, true, nil)}},
		},
		"advanced selectors without one of management events get one": {
			now:  selectors{Advanced: []types.AdvancedEventSelector{objects, network}},
			want: selectors{Advanced: []types.AdvancedEventSelector{objects, network, advanced("Management events", management)}},
		},
		"several advanced selectors of management events become one, with the first's name and place": {
			now: selectors{Advanced: []types.AdvancedEventSelector{
				objects, advanced("mine", management, equals("readOnly", "false")), network, advanced("other", management, not("eventSource", kmsSource)),
			}},
			want: selectors{Advanced: []types.AdvancedEventSelector{objects, advanced("mine", management), network}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.now.mended()
			if err != nil || !got.equal(tc.want) {
				t.Errorf("mended: %v\n%s", err, cmp.Diff(pruned(tc.want), pruned(got)))
			}
			if records, err := got.managementEvents(); err != nil || !records.all() {
				t.Errorf("mended selectors record %s, %v", records, err)
			}
		})
	}
}

func TestManagementEvents(t *testing.T) {
	management := equals("eventCategory", "Management")
	for name, tc := range map[string]struct {
		now  selectors
		want string
	}{
		"reads and writes, each by its own advanced selector": {
			selectors{Advanced: []types.AdvancedEventSelector{
				advanced("r", management, equals("readOnly", "true")), advanced("w", management, equals("readOnly", "false")),
			}}, "reads: all, writes: all",
		},
		"writes only, advanced": {
			selectors{Advanced: []types.AdvancedEventSelector{advanced("w", management, equals("readOnly", "false"))}},
			"reads: none, writes: all",
		},
		"a source that one selector leaves out and another has is recorded": {
			selectors{Basic: []types.EventSelector{
				basic(types.ReadWriteTypeAll, true, []string{kmsSource}), basic(types.ReadWriteTypeWriteOnly, true, nil),
			}}, "reads: some, writes: all, restricted by " + kmsSource,
		},
		"a field that is not known restricts": {
			selectors{Advanced: []types.AdvancedEventSelector{advanced("m", management, equals("eventName", "RunInstances"))}},
			"reads: some, writes: some, restricted by eventName",
		},
		"data events only": {
			selectors{Advanced: []types.AdvancedEventSelector{advanced("d", equals("eventCategory", "Data"))}},
			"reads: none, writes: none",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.now.managementEvents()
			if err != nil || got.String() != tc.want {
				t.Errorf("got %s, %v, want %s", got, err, tc.want)
			}
		})
	}
	for name, garbage := range map[string]selectors{
		"a basic selector without a type":       {Basic: []types.EventSelector{{IncludeManagementEvents: aws.Bool(true)}}},
		"a basic selector that says nothing":    {Basic: []types.EventSelector{{ReadWriteType: types.ReadWriteTypeAll}}},
		"an advanced selector without anything": {Advanced: []types.AdvancedEventSelector{{}}},
	} {
		if r, err := garbage.managementEvents(); err == nil {
			t.Errorf("%s reads as %s", name, r)
		}
	}
}
