package main

import (
	"strings"
	"testing"
)

func TestFlagsAndEnvironment(t *testing.T) {
	for name, tc := range map[string]struct {
		args        []string
		environment map[string]string
		writes      bool
		changes     int
		err         string
	}{
		"by itself the manager may not write":         {changes: 25},
		"a flag lets it":                              {args: []string{"--allow-writes"}, writes: true, changes: 25},
		"so does the environment":                     {environment: map[string]string{"PLUMBLINE_ALLOW_WRITES": "true"}, writes: true, changes: 25},
		"the flag wins over the environment":          {args: []string{"--allow-writes=false"}, environment: map[string]string{"PLUMBLINE_ALLOW_WRITES": "true"}, changes: 25},
		"numbers come from the environment too":       {environment: map[string]string{"PLUMBLINE_MAX_CHANGES_PER_PASS": "3"}, changes: 3},
		"an environment that cannot be read is named": {environment: map[string]string{"PLUMBLINE_ALLOW_WRITES": "perhaps"}, err: "PLUMBLINE_ALLOW_WRITES"},
		"a cap of nothing is refused with what to do": {args: []string{"--max-changes-per-pass=0"}, err: "leave out --allow-writes"},
		"no account at a time is refused":             {args: []string{"--max-accounts-changing=0"}, err: "leave out --allow-writes"},
		"an unknown level is refused":                 {args: []string{"--log-level=loud"}, err: "debug, info or error"},
		"an unknown format is refused":                {args: []string{"--log-format=xml"}, err: "json or console"},
		"an unknown role is refused":                  {args: []string{"--role=writer"}, err: "all, observer or enforcer"},
		"an enforcer that may not write is refused":   {args: []string{"--role=enforcer"}, err: "--allow-writes is missing"},
		"an enforcer listens to no events":            {args: []string{"--role=enforcer", "--allow-writes", "--event-queue-url=https://sqs"}, err: "the observer receives events"},
		"an observer may hand over":                   {args: []string{"--role=observer", "--allow-writes"}, writes: true, changes: 25},
		"a word that is no flag is refused":           {args: []string{"run"}, err: "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parse(tc.args, func(name string) (string, bool) { v, ok := tc.environment[name]; return v, ok })
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("got error %v, want one with %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.allowWrites != tc.writes || o.changesPerPass != tc.changes {
				t.Errorf("writes %t and %d changes, want %t and %d", o.allowWrites, o.changesPerPass, tc.writes, tc.changes)
			}
		})
	}
}
