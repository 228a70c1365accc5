package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/plumbline-dev/plumbline/controllers/control"
)

func TestAMessageIsDeletedOnlyWhenItIsDone(t *testing.T) {
	play(t, func(s *scene) {
		s.send(s.event("one"), s.event("two"))
		s.start()
		s.after(time.Second)
		if diff := cmp.Diff([]string{"one", "two"}, s.ids()); diff != "" {
			t.Fatalf("delivered (-want +got):\n%s", diff)
		}
		s.after(30 * time.Minute) // of visibility timeouts
		if diff := cmp.Diff(map[string]int{"message-0001": 1, "message-0002": 1}, s.left()); diff != "" {
			t.Errorf("receives while it is under way (-want +got):\n%s", diff)
		}
		first := s.deliveries()[0]
		first.Done()
		first.Done() // more than once does no harm
		s.after(keepEvery)
		if len(s.left()) != 1 {
			t.Errorf("left a second after one was done: %v", s.left())
		}
		if diff := cmp.Diff(map[string]int{EventHandled: 1}, s.counted()); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	})
}

func TestTheEndOfRunDeletesWhatIsDoneAndGivesBackTheRest(t *testing.T) {
	play(t, func(s *scene) {
		s.send(s.event("one"), s.event("two"))
		s.start()
		s.after(100 * time.Millisecond)
		s.deliveries()[0].Done()
		s.stop()
		if len(s.left()) != 1 || s.visible() != 1 {
			t.Errorf("left %v, of which %d for others at once", s.left(), s.visible())
		}
		s.deliveries()[1].Done() // too late
		s.run()
		s.after(2 * time.Second)
		if diff := cmp.Diff(map[string]int{EventHandled: 2, EventDuplicate: 1}, s.counted()); diff != "" || len(s.left()) != 0 {
			t.Errorf("left %v, outcomes (-want +got):\n%s", s.left(), diff)
		}
	})
}

func TestNoMoreIsReceivedThanMayBeInFlight(t *testing.T) {
	play(t, func(s *scene) {
		for i := range 50 {
			s.send(s.event(fmt.Sprint(i)))
		}
		s.start(func(o *QueueOptions) { o.MaxInFlight = 20 })
		s.after(time.Hour)
		if got := len(s.deliveries()); got != 20 {
			t.Fatalf("%d are in flight", got)
		}
		for range 5 {
			for _, d := range s.deliveries() {
				d.Done()
			}
			s.after(3 * time.Second)
		}
		if len(s.left()) != 0 {
			t.Errorf("left %v", s.left())
		}
	})
}

func TestAHundredEventsASecond(t *testing.T) {
	play(t, func(s *scene) {
		s.doneAtOnce = true
		s.start()
		for second := range 60 {
			for i := range 100 {
				s.send(s.event(fmt.Sprintf("%d-%d", second, i)))
			}
			s.after(time.Second)
		}
		s.after(2 * time.Second)
		if got := len(s.deliveries()); got != 6000 || len(s.left()) != 0 {
			t.Errorf("%d delivered, %d left", got, len(s.left()))
		}
	})
}

func TestWhatIsNeverDoneIsLetGo(t *testing.T) {
	play(t, func(s *scene) {
		s.send(s.event("one"))
		s.start(func(o *QueueOptions) { o.MaxInFlight = 1 })
		s.after(holdFor + visibility + 2*keepEvery)
		if diff := cmp.Diff(map[string]int{"message-0001": 2}, s.left()); diff != "" {
			t.Errorf("receives (-want +got):\n%s", diff)
		}
		for _, d := range s.deliveries() {
			d.Done() // the one that was let go too
		}
		s.after(2 * time.Second)
		if len(s.left()) != 0 {
			t.Errorf("left %v", s.left())
		}
	})
}

func TestDuplicates(t *testing.T) {
	play(t, func(s *scene) {
		s.send(s.event("one"))
		s.start()
		s.after(time.Second)
		s.send(s.event("one"))
		s.after(time.Second)
		if diff := cmp.Diff([]string{"one", "one"}, s.ids()); diff != "" {
			t.Fatalf("delivered while the first is under way (-want +got):\n%s", diff)
		}
		s.deliveries()[0].Done()
		s.send(s.event("one"))
		s.after(2 * time.Second)
		if diff := cmp.Diff(map[string]int{EventHandled: 1, EventDuplicate: 1}, s.counted()); diff != "" || len(s.left()) != 1 {
			t.Errorf("left %v, outcomes after one is done (-want +got):\n%s", s.left(), diff)
		}
		s.after(seenFor)
		s.send(s.event("one"))
		s.after(time.Second)
		if len(s.ids()) != 3 {
			t.Errorf("an hour later delivered %v", s.ids())
		}
	})
}

func TestWhatIsKept(t *testing.T) {
	own := map[string]any{"type": "AssumedRole", "sessionContext": map[string]any{"sessionIssuer": map[string]any{
		"type": "Role", "arn": "arn:aws:iam::111122223333:role/plumbline/PlumblineEnforce"}}}
	through := maps.Clone(own)
	through["invokedBy"] = "cloudtrail.amazonaws.com"
	for sentence, c := range map[string]struct {
		change map[string]any
		want   map[string]int
	}{
		"not what a service does in the name of Plumbline's roles": {map[string]any{"eventName": "PutBucketTagging", "userIdentity": through}, map[string]int{EventForeign: 1}},
		"not the manager's own calls, if it knows them":            {map[string]any{"requestID": "OWN", "userIdentity": own}, map[string]int{EventForeign: 1}},
		"what others read with its roles, if it knows its own":     {map[string]any{"requestID": "KNOWS", "eventName": "GetBucketAcl", "readOnly": true, "userIdentity": own}, map[string]int{EventHandled: 1}},
		"what is wanted":                      {nil, map[string]int{EventHandled: 1}},
		"not what nobody wants":               {map[string]any{"eventName": "PutBucketTagging"}, map[string]int{EventForeign: 1}},
		"another source with the same name":   {map[string]any{"eventSource": "s4.amazonaws.com"}, map[string]int{EventForeign: 1}},
		"whatever Plumbline's roles change":   {map[string]any{"eventName": "PutBucketTagging", "userIdentity": own}, map[string]int{EventHandled: 1}},
		"not what Plumbline's roles read":     {map[string]any{"eventName": "GetBucketAcl", "readOnly": true, "userIdentity": own}, map[string]int{EventForeign: 1}},
		"not an Insight of the name":          {map[string]any{"eventCategory": "Insight"}, map[string]int{EventForeign: 1}},
		"what was refused, which is told too": {map[string]any{"errorCode": "AccessDenied"}, map[string]int{EventHandled: 1}},
	} {
		t.Run(sentence, func(t *testing.T) {
			play(t, func(s *scene) {
				s.doneAtOnce = true
				s.send(eventBridge(apiCall, "aws.s3", with(t, putPolicy, c.change)))
				s.start(func(o *QueueOptions) {
					if id, ok := c.change["requestID"]; ok {
						o.Own = func(is string) bool { return id == "OWN" && is == id }
					}
				})
				s.after(2 * time.Second)
				if diff := cmp.Diff(c.want, s.counted()); diff != "" || len(s.left()) != 0 {
					t.Errorf("left %v, outcomes (-want +got):\n%s", s.left(), diff)
				}
			})
		})
	}
}

func TestPoison(t *testing.T) {
	for sentence, body := range map[string]string{
		"what is no JSON":                    "hello",
		"256 KiB of nesting":                 strings.Repeat("[", 256<<10),
		"an event that lacks its name":       eventBridge(apiCall, "aws.s3", `{"eventSource": "s3.amazonaws.com"}`),
		"the name of a log file that is not": s3Notification("ObjectCreated:Put", strings.ReplaceAll(organizationLog, "AbC", "gone")),
		"the name of a log file that is cut": s3Notification("ObjectCreated:Put", organizationLog),
	} {
		counted := EventMalformed
		if strings.Contains(sentence, "is not") {
			counted = EventError
		}
		t.Run(sentence+" comes back until the queue moves it", func(t *testing.T) {
			play(t, func(s *scene) {
				s.redrive = 3
				s.objects[organizationLog] = packed(t, `{"eventName": "X"}`)[:20]
				s.send(body)
				s.start()
				s.after(2*visibility + 3*time.Second)
				if diff := cmp.Diff([]string{"message-0001"}, s.dead); diff != "" {
					t.Errorf("in the dead-letter queue (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(map[string]int{counted: 3, EventParked: 1}, s.counted()); diff != "" || s.called("GetQueueAttributes") != 1 {
					t.Errorf("%d questions for the redrive policy, outcomes (-want +got):\n%s", s.called("GetQueueAttributes"), diff)
				}
			})
		})
		t.Run(sentence+" is deleted at its fifth receive where there is no dead-letter queue", func(t *testing.T) {
			play(t, func(s *scene) {
				s.objects[organizationLog] = packed(t, `{"eventName": "X"}`)[:20]
				s.send(body)
				s.start()
				s.after(4*visibility + 10*time.Second)
				if diff := cmp.Diff(map[string]int{counted: 5, EventParked: 1}, s.counted()); diff != "" || len(s.left()) != 0 {
					t.Errorf("left %v, outcomes (-want +got):\n%s", s.left(), diff)
				}
			})
		})
	}
	t.Run("the log has the message's id and a hash of its body, once, and nothing of the body", func(t *testing.T) {
		play(t, func(s *scene) {
			s.send(`{"password": "hunter2"}`)
			s.start()
			s.after(time.Hour)
			if len(s.logged) != 1 || !strings.Contains(s.logged[0], `"message"="message-0001"`) || strings.Contains(s.logged[0], "hunter2") ||
				!strings.Contains(s.logged[0], `"sha256"="0f6713a0c5bcd7d053a697e2d75f8d259a22e12e8c15328d4a42709ed2a109b0"`) {
				t.Errorf("logged: %q", s.logged)
			}
		})
	})
	t.Run("a message is not given up while nobody says whether there is a dead-letter queue", func(t *testing.T) {
		play(t, func(s *scene) {
			s.fail("GetQueueAttributes", errDenied)
			s.send("hello")
			s.start()
			s.after(time.Hour)
			if len(s.left()) != 1 || s.counted()[EventParked] != 0 {
				t.Errorf("left %v, outcomes %v", s.left(), s.counted())
			}
			if _, err := s.queue.Health(); !control.IsAccessDenied(err) {
				t.Errorf("health: %v", err)
			}
		})
	})
}

func TestLogFiles(t *testing.T) {
	t.Run("very many events come in parts, and the message is done with the last", func(t *testing.T) {
		play(t, func(s *scene) {
			var records []string
			for i := range 250 {
				records = append(records, with(t, putPolicy, map[string]any{"eventID": fmt.Sprint(i)}),
					with(t, putPolicy, map[string]any{"eventName": "ListBuckets"}))
			}
			s.objects[organizationLog] = packed(t, append(records, "7")...)
			s.send(sns(t, s3Notification("ObjectCreated:Put", organizationLog)))
			s.start()
			s.after(time.Second)
			var sizes []int
			for _, d := range s.deliveries() {
				sizes = append(sizes, len(d.Events))
			}
			if diff := cmp.Diff([]int{100, 100, 50}, sizes); diff != "" {
				t.Fatalf("deliveries (-want +got):\n%s", diff)
			}
			for i, d := range s.deliveries() {
				if len(s.left()) != 1 {
					t.Errorf("deleted with %d parts done", i)
				}
				d.Done()
				s.after(2 * time.Second)
			}
			want := map[string]int{EventHandled: 250, EventForeign: 250, EventMalformed: 1}
			if diff := cmp.Diff(want, s.counted()); diff != "" || len(s.left()) != 0 {
				t.Errorf("left %v, outcomes (-want +got):\n%s", s.left(), diff)
			}
		})
	})
	t.Run("no more events are delivered than there is room for", func(t *testing.T) {
		play(t, func(s *scene) {
			var records []string
			for i := range 500 {
				records = append(records, with(t, putPolicy, map[string]any{"eventID": fmt.Sprint(i)}))
			}
			s.objects[organizationLog] = packed(t, records...)
			s.send(s3Notification("ObjectCreated:Put", organizationLog))
			s.start(func(o *QueueOptions) { o.MaxInFlight = 20 })
			s.after(time.Minute)
			if len(s.ids()) != 200 {
				t.Errorf("%d events are under way", len(s.ids()))
			}
			for range 3 {
				for _, d := range s.deliveries() {
					d.Done()
				}
				s.after(2 * time.Second)
			}
			if len(s.ids()) != 500 || len(s.left()) != 0 {
				t.Errorf("%d events, left %v", len(s.ids()), s.left())
			}
		})
	})
	t.Run("a file that waits for room is for others at once when Run ends", func(t *testing.T) {
		play(t, func(s *scene) {
			var records []string
			for i := range 300 {
				records = append(records, with(t, putPolicy, map[string]any{"eventID": fmt.Sprint(i)}))
			}
			s.objects[organizationLog] = packed(t, records...)
			s.send(s3Notification("ObjectCreated:Put", organizationLog))
			s.start(func(o *QueueOptions) { o.MaxInFlight = 20 })
			s.after(time.Minute)
			s.stop()
			if s.visible() != 1 {
				t.Errorf("%d given back", s.visible())
			}
		})
	})
	t.Run("events that are never done give their places back when their message is let go", func(t *testing.T) {
		play(t, func(s *scene) {
			var records []string
			for i := range 100 {
				records = append(records, with(t, putPolicy, map[string]any{"eventID": fmt.Sprint(i)}))
			}
			s.objects[organizationLog] = packed(t, records...)
			s.send(s3Notification("ObjectCreated:Put", organizationLog))
			s.start(func(o *QueueOptions) { o.MaxInFlight = 1 })
			s.after(holdFor + visibility + 2*keepEvery)
			if n := len(s.deliveries()); n != 2 {
				t.Errorf("delivered %d times", n)
			}
		})
	})
	t.Run("a bucket in another region is found, once", func(t *testing.T) {
		play(t, func(s *scene) {
			s.doneAtOnce, s.home = true, "eu-south-1"
			s.objects[organizationLog], s.objects[accountLog] = packed(t, putPolicy), packed(t)
			s.send(fmt.Sprintf(`{"s3Bucket": "trail-bucket", "s3ObjectKey": [%q, %q]}`, organizationLog, accountLog))
			s.start()
			s.after(2 * time.Second)
			if diff := cmp.Diff([]string{"eu-central-1", "eu-south-1", "eu-south-1"}, s.asked); diff != "" || len(s.left()) != 0 {
				t.Errorf("left %v, regions asked (-want +got):\n%s", s.left(), diff)
			}
			if _, err := s.queue.Health(); err != nil {
				t.Errorf("health: %v", err)
			}
		})
	})
	t.Run("a file that is cut on its way is whole the next time", func(t *testing.T) {
		play(t, func(s *scene) {
			s.doneAtOnce, s.cut = true, true
			s.objects[organizationLog] = packed(t, putPolicy)
			s.send(s3Notification("ObjectCreated:Put", organizationLog))
			s.start()
			s.after(time.Hour)
			if n := s.counted()[EventMalformed] + s.counted()[EventParked]; n != 0 || len(s.left()) != 1 {
				t.Errorf("left %v, outcomes %v", s.left(), s.counted())
			}
			s.service.mu.Lock()
			s.cut = false
			s.service.mu.Unlock()
			s.after(visibility + time.Second)
			if s.counted()[EventHandled] != 1 || len(s.left()) != 0 {
				t.Errorf("once it is whole: left %v, outcomes %v", s.left(), s.counted())
			}
		})
	})
	t.Run("what was read of a file that is cut is delivered once", func(t *testing.T) {
		play(t, func(s *scene) {
			s.doneAtOnce = true
			s.objects[organizationLog] = []byte(`{"Records": [` + putPolicy + `, {"event`)
			s.send(s3Notification("ObjectCreated:Put", organizationLog))
			s.start()
			s.after(time.Hour)
			want := map[string]int{EventHandled: 1, EventDuplicate: 4, EventMalformed: 5, EventParked: 1}
			if diff := cmp.Diff(want, s.counted()); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	})
	for sentence, cause := range map[string]error{"refused": errDenied, "not answered": errNoAnswer} {
		t.Run("a file that is "+sentence+" is never given up by Plumbline itself, and Health tells", func(t *testing.T) {
			play(t, func(s *scene) {
				s.doneAtOnce = true
				s.objects[organizationLog] = packed(t, putPolicy)
				s.fail("GetObject", cause)
				s.send(s3Notification("ObjectCreated:Put", organizationLog))
				s.start()
				s.after(time.Hour)
				if _, err := s.queue.Health(); err == nil || !strings.Contains(err.Error(), "S3 GetObject in 111122223333/eu-west-1") {
					t.Errorf("health: %v", err)
				}
				if s.counted()[EventParked] != 0 || len(s.left()) != 1 {
					t.Errorf("left %v, outcomes %v", s.left(), s.counted())
				}
				s.fail("GetObject", nil)
				s.after(visibility + time.Second)
				if s.counted()[EventHandled] != 1 || len(s.left()) != 0 {
					t.Errorf("once it is there: left %v, outcomes %v", s.left(), s.counted())
				}
				if _, err := s.queue.Health(); err != nil {
					t.Errorf("health: %v", err)
				}
			})
		})
	}
}

func TestAQueueThatFails(t *testing.T) {
	for sentence, cause := range map[string]error{"denied": errDenied, "unreachable": errNoAnswer} {
		t.Run(sentence, func(t *testing.T) {
			play(t, func(s *scene) {
				s.start()
				s.after(time.Minute)
				if since, err := s.queue.Health(); err != nil || since.IsZero() {
					t.Errorf("health: %v, %v", since, err)
				}
				s.fail("ReceiveMessage", cause)
				began := time.Now()
				before := s.called("ReceiveMessage")
				s.after(time.Hour)
				// 1 + 2 + 4 + ... + 32 s are about a minute, then once a minute.
				if n := s.called("ReceiveMessage") - before; n < 60 || n > 70 {
					t.Errorf("%d calls in an hour", n)
				}
				since, err := s.queue.Health()
				if !errors.Is(err, cause) || since.Sub(began) > pollSeconds*time.Second || !strings.HasPrefix(err.Error(), "SQS ReceiveMessage in 111122223333/eu-central-1: ") {
					t.Errorf("health: %v after it began, %v", since.Sub(began), err)
				}
				s.fail("ReceiveMessage", nil)
				s.send(s.event("one"))
				s.after(lastBackoff + time.Second)
				if _, err := s.queue.Health(); err != nil || len(s.ids()) != 1 {
					t.Errorf("health: %v, delivered %v", err, s.ids())
				}
				if len(s.logged) != 2 { // that it fails, and that it works again
					t.Errorf("logged: %q", s.logged)
				}
			})
		})
	}
}

func TestDeletionsThatFail(t *testing.T) {
	t.Run("for some messages are tried again", func(t *testing.T) {
		play(t, func(s *scene) {
			s.doneAtOnce, s.refused = true, 7
			for i := range 12 {
				s.send(s.event(fmt.Sprint(i)))
			}
			s.start()
			s.after(5 * time.Second)
			if len(s.left()) != 0 || s.counted()[EventHandled] != 12 {
				t.Errorf("left %v, outcomes %v", s.left(), s.counted())
			}
			if _, err := s.queue.Health(); err != nil {
				t.Errorf("health: %v", err)
			}
		})
	})
	t.Run("for all keep their places, so that no more and more are received", func(t *testing.T) {
		play(t, func(s *scene) {
			s.doneAtOnce = true
			s.fail("DeleteMessageBatch", errDenied)
			for i := range 40 {
				s.send(s.event(fmt.Sprint(i)))
			}
			s.start(func(o *QueueOptions) { o.MaxInFlight = 20 })
			s.after(10 * time.Minute)
			if n := len(s.ids()); n != 20 {
				t.Errorf("%d delivered", n)
			}
			if _, err := s.queue.Health(); !control.IsAccessDenied(err) || !strings.Contains(err.Error(), "DeleteMessageBatch") {
				t.Errorf("health: %v", err)
			}
			s.fail("DeleteMessageBatch", nil)
			s.after(10 * time.Minute)
			if n := len(s.ids()); n != 40 || len(s.left()) != 0 {
				t.Errorf("%d delivered, left %v", n, s.left())
			}
		})
	})
}

func TestAMessageWhoseVisibilityCannotBeExtendedComesBackAndDoesNoHarm(t *testing.T) {
	play(t, func(s *scene) {
		s.fail("ChangeMessageVisibilityBatch", errNoAnswer)
		s.send(s.event("one"))
		s.start()
		s.after(visibility + 2*time.Second)
		if diff := cmp.Diff([]string{"one", "one"}, s.ids()); diff != "" {
			t.Fatalf("delivered (-want +got):\n%s", diff)
		}
		for _, d := range s.deliveries() {
			d.Done()
		}
		s.fail("ChangeMessageVisibilityBatch", nil)
		s.after(2 * time.Minute)
		if len(s.left()) != 0 {
			t.Errorf("left %v", s.left())
		}
		s.stop()
		if n := len(s.queue.ledger.all); n != 0 {
			t.Errorf("%d are held", n)
		}
	})
}

func TestAReceiverThatBlocksEndsWithRun(t *testing.T) {
	play(t, func(s *scene) {
		s.send(s.event("one"))
		s.start()
		s.stop()
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(time.Minute)
			cancel()
		}()
		if err := s.queue.Run(ctx, func(ctx context.Context, _ Delivery) { <-ctx.Done() }); err != nil {
			t.Error(err)
		}
		if s.visible() != 1 {
			t.Errorf("%d given back", s.visible())
		}
	})
}

func TestAQueueNeedsAClockAndAWish(t *testing.T) {
	for sentence, o := range map[string]QueueOptions{
		"no clock": {Wanted: func(string, string) bool { return true }}, "no wish": {Clock: time.Now},
	} {
		if _, err := NewQueue(awsConfig("", ""), queueURL, o); err == nil {
			t.Errorf("%s is fine", sentence)
		}
	}
}
