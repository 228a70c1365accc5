package control

import "time"

// Index is an answer that AWS makes once in a while and that says where to look: what has changed since it was made does not
// show in it. The zero value is none.
type Index struct {
	// Made is when AWS made it, Renewed from when on AWS has a newer one.
	Made, Renewed time.Time
}

// RestsOn notes that what is observed rests on an index. It is dated now nevertheless, for only live reads are reported; but
// where an event came after the index was made, the check is looked at again once there is a newer one.
func (t *Target) RestsOn(i Index) {
	if t.facts != nil {
		t.facts.mu.Lock()
		defer t.facts.mu.Unlock()
		t.facts.index = i
	}
}

// Index is what the observation rested on.
func (t *Target) Index() Index {
	if t.facts == nil {
		return Index{}
	}
	t.facts.mu.Lock()
	defer t.facts.mu.Unlock()
	return t.facts.index
}
