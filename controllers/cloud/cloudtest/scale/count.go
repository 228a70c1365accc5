package scale

// Count is what became of an operation's calls.
type Count struct {
	// Calls are all, Throttled and Failed (hung, 503, expired credentials) those that got no answer.
	Calls, Throttled, Failed int64
}

// Counts are the calls so far by "service.operation"; operations that nobody called are left out.
func (c *Cloud) Counts() map[string]Count {
	all := map[string]Count{}
	for name, op := range c.names {
		if n := op.calls.Load(); n > 0 {
			all[name] = Count{n, op.throttled.Load(), op.failed.Load()}
		}
	}
	return all
}

// Total is the sum over all operations.
func (c *Cloud) Total() Count {
	var sum Count
	for _, op := range c.names {
		sum.Calls += op.calls.Load()
		sum.Throttled += op.throttled.Load()
		sum.Failed += op.failed.Load()
	}
	return sum
}

// MostInFlight is the largest number of calls that were under way at a time, since the last time it was asked for.
func (c *Cloud) MostInFlight() int64 { return c.mostSeen.Swap(c.inFlight.Load()) }

// InFlight is the number of calls that are under way.
func (c *Cloud) InFlight() int64 { return c.inFlight.Load() }
