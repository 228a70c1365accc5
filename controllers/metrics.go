package controllers

import "github.com/prometheus/client_golang/prometheus"

// metrics are what Plumbline counts beside what controller-runtime does. No label set multiplies control, account and region.
type metrics struct {
	checks       *prometheus.GaugeVec
	outcomes     *prometheus.CounterVec
	durations    *prometheus.HistogramVec
	changes      *prometheus.CounterVec
	calls        *prometheus.CounterVec
	requests     *prometheus.CounterVec
	passes       prometheus.Histogram
	accounts     *prometheus.GaugeVec
	stale        *prometheus.GaugeVec
	events       *prometheus.CounterVec
	eventSeconds prometheus.Histogram
	roleUses     prometheus.Counter
	unjudged     prometheus.Counter
	contested    *prometheus.CounterVec
	oldestLooked prometheus.GaugeFunc
}

func newMetrics(registry prometheus.Registerer, oldestAge func() float64) metrics {
	m := metrics{
		checks: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plumbline_checks", Help: "Checks by baseline and state, over all selected accounts.",
		}, []string{"kind", "baseline", "state"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumbline_control_outcomes_total", Help: "Checks observed, by control and the state they were found in.",
		}, []string{"control", "outcome"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "plumbline_control_duration_seconds", Help: "Time that observing one check took.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30},
		}, []string{"control"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumbline_changes_total", Help: "Changes made in AWS, by control and outcome (applied, failed).",
		}, []string{"control", "outcome"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumbline_aws_calls_total", Help: "Attempts at AWS calls, by service, operation and outcome (ok, denied, throttled, error).",
		}, []string{"service", "operation", "outcome"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumbline_control_requests_total",
			Help: "Attempts at AWS calls, by the control they were made for, the read that several controls share, session or discovery.",
		}, []string{"control"}),
		passes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "plumbline_pass_requests", Help: "Attempts at AWS calls in one pass over one account.",
			Buckets: []float64{0, 1, 3, 10, 30, 100, 300, 1000, 3000},
		}),
		accounts: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plumbline_baseline_accounts", Help: "Accounts by baseline and state.",
		}, []string{"kind", "baseline", "state"}),
		stale: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "plumbline_stale_accounts", Help: "Accounts in which something was not looked at for twice as long as it should be, by baseline.",
		}, []string{"kind", "baseline"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plumbline_event_messages_total", Help: "Messages and events out of the event queue, by what became of them.",
		}, []string{"outcome"}),
		eventSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "plumbline_event_to_status_seconds", Help: "Time from receiving an event to writing the status of what it tells of.",
			Buckets: []float64{.1, .3, 1, 2, 3, 5, 10, 30, 60, 300},
		}),
		roleUses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "plumbline_unexpected_role_uses_total", Help: "Calls by Plumbline's roles, as CloudTrail tells of them, that this manager did not make.",
		}),
	}
	m.unjudged = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "plumbline_unjudged_role_uses_total",
		Help: "Calls by Plumbline's roles of which nobody can say any more whether this manager made them: they came too late, are from before it led, or are reads from a time with more of them than it remembers (300,000).",
	})
	m.contested = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "plumbline_contested_changes_total",
		Help: "Drift that others bring back each time it is put right, by control.",
	}, []string{"control"})
	m.oldestLooked = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "plumbline_oldest_observation_age_seconds",
		Help: "Age of the last observation of the account that was looked at longest ago; for one never looked at, since it is known.",
	}, oldestAge)
	registry.MustRegister(m.checks, m.outcomes, m.durations, m.changes, m.calls, m.requests, m.passes, m.accounts, m.stale,
		m.events, m.eventSeconds, m.roleUses, m.unjudged, m.contested, m.oldestLooked)
	return m
}
