package engine

import (
	"testing"
)

func TestAPassYieldsToWhatIsMoreUrgentAndStillDoesSome(t *testing.T) {
	for name, tc := range map[string]struct {
		yield  func() bool
		looked int
	}{
		"to nothing":          {nil, 6},
		"to nothing, asked":   {func() bool { return false }, 6},
		"from its very start": {func() bool { return true }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLake(t, Limits{Parallel: 2})
			var tasks []*Task
			for _, region := range names("eu-test-", 6) {
				task := enforced(l.encrypted(), region)
				tasks = append(tasks, &task)
			}
			looked := 0
			for _, r := range l.Run(t.Context(), Pass{
				Account: member, Partition: "aws", Tasks: tasks, Yield: tc.yield, Reader: Enter(l.entrance, l.entrance.Session(entry(member), nil)),
			}) {
				if !r.Skipped {
					looked++
				}
			}
			if looked != tc.looked {
				t.Errorf("looked at %d checks, want %d", looked, tc.looked)
			}
		})
	}
}
