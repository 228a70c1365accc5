package cloud

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// seenFor is for how long an event that is done is known: the same event by EventBridge and in a log file is minutes apart.
	seenFor = time.Hour
	// maxSeen is how many are known at most; 28 a second for an hour, in about 10 MB.
	maxSeen = 100_000
)

// seen knows the events that are done. Ids are kept as the beginning of their hash, so that each takes the same little room.
type seen struct {
	mu    sync.Mutex
	known map[[16]byte]time.Time
	// ring are the same in the order they were added; next is where the oldest stands once it is full.
	ring []stamped
	next int
}

type stamped struct {
	id [16]byte
	at time.Time
}

func hashOf(id string) [16]byte {
	sum := sha256.Sum256([]byte(id))
	return [16]byte(sum[:16])
}

// has says whether an event was done within the last hour. An event without an id is always new.
func (s *seen) has(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.known[hashOf(id)]
	return ok && id != "" && now.Sub(at) < seenFor
}

// add enters an event that is done, in the place of the oldest when there are too many.
func (s *seen) add(id string, now time.Time) {
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[[16]byte]time.Time{}
	}
	one := stamped{hashOf(id), now}
	s.known[one.id] = now
	if len(s.ring) < maxSeen {
		s.ring = append(s.ring, one)
		return
	}
	oldest := s.ring[s.next]
	if s.known[oldest.id].Equal(oldest.at) && oldest.id != one.id {
		delete(s.known, oldest.id)
	}
	s.ring[s.next] = one
	s.next = (s.next + 1) % maxSeen
}
