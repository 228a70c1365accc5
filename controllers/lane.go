package controllers

// lane bounds the passes that look at everything in an account. They take seconds each and hold what the account's plan, its
// memory and the calls under way take, while what one event tells of takes a call or two: so the others need not wait for them.
// It is guarded by the lock of whoever has it.
type lane struct {
	// room is how many may be under way, and taken how many are or have been given a place.
	room, taken int
	// lines are the accounts that wait for a place, by what asked for them: first come first served.
	everyone, sweeps []string
	// turns counts the places given from the lines.
	turns int
}

// sweepEvery is which turn is a sweep's, when people have changed what concerns every account as well.
const sweepEvery = 4

// enter takes a place, if there is one.
func (l *lane) enter() bool {
	if l.taken >= l.room {
		return false
	}
	l.taken++
	return true
}

// leave gives a place back.
func (l *lane) leave() { l.taken-- }

// line lets an account wait.
func (l *lane) line(by asker, account string) {
	if by == bySweep {
		l.sweeps = append(l.sweeps, account)
	} else {
		l.everyone = append(l.everyone, account)
	}
}

// next takes the account out of line whose turn it is; none: "".
func (l *lane) next() string {
	l.turns++
	first, second := &l.everyone, &l.sweeps
	if l.turns%sweepEvery == 0 {
		first, second = second, first
	}
	for _, line := range []*[]string{first, second} {
		if len(*line) > 0 {
			account := (*line)[0]
			*line = (*line)[1:]
			return account
		}
	}
	return ""
}
