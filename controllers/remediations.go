package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/engine"
)

// +kubebuilder:rbac:groups=plumbline.dev,resources=remediations,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=plumbline.dev,resources=remediations/status,verbs=update
// +kubebuilder:rbac:groups="",namespace=plumbline-system,resources=secrets,verbs=create;get

const (
	// maxChanges and maxPlan bound one Remediation: its resources, and the bytes of what is there before and after.
	maxChanges = engine.MaxProposed
	maxPlan    = 256 << 10
	// maxInline is up to how large a before- or after-state stands in the status; larger ones lie in a Secret.
	maxInline = 8 << 10
	// proposalLasts is how long a proposal can be approved, and what was approved is tried.
	proposalLasts = 72 * time.Hour
	// accountIndex finds the Remediations of an account, phaseIndex those in a phase: in the cache by these indexes, at the API server
	// by these fields.
	accountIndex = "status.account"
	phaseIndex   = "status.phase"
)

// Bounds of what is proposed at a time; the accounts beyond them are counted and proposed as places free.
const (
	MaxOpenPerBaseline = 50
	MaxOpen            = 500
)

// Remediations are the records of what is proposed, made and undone. What stands in the cache is short of before- and
// after-states (SlimRemediation); whatever is written or acted on is read from the API server first.
type Remediations struct {
	Client client.Client
	Live   client.Reader
	// Namespace is that of the Secrets.
	Namespace string
	Record    *Record
	Clock     func() time.Time
	// Kinds are the baseline kinds: what was changed can be undone when no baseline asks for it any more.
	Kinds []control.Kind
	// Hands says what of the work this process does; empty: all of it. AllowWrites is the manager's --allow-writes.
	Hands       Hands
	AllowWrites bool

	// line are the plans that wait for a place among the proposals.
	line placeLine

	mu sync.Mutex
	// made are the proposals that were made a moment ago and that the cache may not show yet.
	made map[string]madeOne
}

// madeOne is a proposal of a baseline.
type madeOne struct {
	baseline string
	at       time.Time
}

// cacheLags is for how long a proposal may be missing in the cache.
const cacheLags = time.Minute

// SlimRemediation is the informer's transform for Remediations: the cached copy keeps what deciding needs.
func SlimRemediation(o any) (any, error) {
	r, ok := o.(*v1alpha1.Remediation)
	if !ok {
		return o, nil
	}
	r.ManagedFields = nil
	decided := r.Status.Phase == v1alpha1.RemediationUndone || r.Status.Phase == v1alpha1.RemediationRejected
	if !r.Status.Phase.Open() && !decided && findCondition(r.Status.Conditions, v1alpha1.ConditionUndoing) == nil {
		r.Status.Changes = nil
	}
	for i := range r.Status.Changes {
		c := &r.Status.Changes[i]
		c.Before, c.After, c.Message = "", "", ""
		for k := range c.Fields {
			c.Fields[k].From, c.Fields[k].To = "", ""
		}
	}
	return r, nil
}

// of are the account's Remediations, as the cache has them.
func (s *Remediations) of(ctx context.Context, account string) ([]*v1alpha1.Remediation, error) {
	if s == nil {
		return nil, nil
	}
	var all v1alpha1.RemediationList
	if err := s.Client.List(ctx, &all, client.MatchingFields{accountIndex: account}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing remediations: %w", err)
	}
	records := make([]*v1alpha1.Remediation, len(all.Items))
	for i := range all.Items {
		records[i] = &all.Items[i]
	}
	return records, nil
}

// read reads a Remediation whole, what lies in its Secret included.
func (s *Remediations) read(ctx context.Context, name string) (*v1alpha1.Remediation, error) {
	r := &v1alpha1.Remediation{}
	if err := s.Live.Get(ctx, client.ObjectKey{Name: name}, r); err != nil {
		return nil, fmt.Errorf("reading remediation %s: %w", name, err)
	}
	where := "its status"
	if r.Status.Secret != "" {
		where = "Secret " + r.Status.Secret
		if err := s.readStates(ctx, r); err != nil {
			return nil, fmt.Errorf("reading the states before and after of remediation %s: %w", name, err)
		}
	}
	for _, c := range r.Status.Changes {
		if digestOf([]byte(c.Before)) != c.BeforeDigest || digestOf([]byte(c.After)) != c.AfterDigest {
			return nil, fmt.Errorf("reading the states before and after of remediation %s: %s holds others than were put there; nothing is written from it", name, where)
		}
	}
	return r, nil
}

// readStates fills in what lies in a Remediation's Secret.
func (s *Remediations) readStates(ctx context.Context, r *v1alpha1.Remediation) error {
	var secret corev1.Secret
	if err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: r.Status.Secret}, &secret); err != nil {
		return err
	}
	var states []state
	if err := json.Unmarshal(secret.Data[statesKey], &states); err != nil || len(states) != len(r.Status.Changes) {
		return fmt.Errorf("secret %s does not hold them", r.Status.Secret)
	}
	for i := range r.Status.Changes {
		r.Status.Changes[i].Before, r.Status.Changes[i].After = states[i].Before, states[i].After
	}
	return nil
}

// statesKey is the key of the Secret with the states, and state one of them.
const statesKey = "states.json"

type state struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// errFull says that no more may be proposed of a baseline, and errFullInAll of any.
var (
	errFull      = errors.New("too many proposals are open")
	errFullInAll = fmt.Errorf("%w in all", errFull)
)

// make makes a Remediation with its status, or takes the one over that a crash left behind. from is how many of the same plan there
// are known to be. A proposal for which there is no room is errFull.
func (s *Remediations) make(ctx context.Context, status v1alpha1.RemediationStatus, documents bool, from int) (*v1alpha1.Remediation, error) {
	proposal := status.Phase == v1alpha1.RemediationProposed
	if proposal {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.room(ctx, status.Baseline); err != nil {
			return nil, err
		}
	}
	r, err := s.create(ctx, &status, from)
	if err != nil || r.Status.Phase != "" {
		return r, err
	}
	whole := status.Changes
	if documents || large(whole) {
		if status.Secret, err = s.keep(ctx, r, whole); err != nil {
			return nil, err
		}
		status.Changes = withoutStates(whole)
	}
	r.Status = status
	if err := s.Client.Status().Update(ctx, r); err != nil {
		return nil, fmt.Errorf("writing remediation %s: %w", r.Name, err)
	}
	if proposal {
		if s.made == nil {
			s.made = map[string]madeOne{}
		}
		s.made[r.Name] = madeOne{status.Baseline, s.Clock()}
	}
	s.Record.Remediation(r)
	return r, nil
}

// room says whether one more may be proposed for the baseline. The lock is held. Every account that waits for a place asks at each of
// its looks, so only what is proposed is listed: finished ones are four times as many.
func (s *Remediations) room(ctx context.Context, baseline string) error {
	var proposed v1alpha1.RemediationList
	phase := client.MatchingFields{phaseIndex: string(v1alpha1.RemediationProposed)}
	if err := s.Client.List(ctx, &proposed, phase, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing proposed remediations: %w", err)
	}
	total, own := 0, 0
	count := func(of string) {
		total++
		if of == baseline {
			own++
		}
	}
	for i := range proposed.Items {
		delete(s.made, proposed.Items[i].Name)
		count(proposed.Items[i].Status.Baseline)
	}
	for name, m := range s.made {
		switch shown, err := s.shows(ctx, name); {
		case err != nil:
			return err
		case shown || s.Clock().Sub(m.at) > cacheLags: // it is no longer proposed
			delete(s.made, name)
		default:
			count(m.baseline)
		}
	}
	switch {
	case own >= MaxOpenPerBaseline:
		return errFull
	case total >= MaxOpen:
		return errFullInAll
	}
	return nil
}

// shows says whether the cache knows what became of a Remediation that was made a moment ago.
func (s *Remediations) shows(ctx context.Context, name string) (bool, error) {
	r := &v1alpha1.Remediation{}
	if err := s.Client.Get(ctx, client.ObjectKey{Name: name}, r); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading remediation %s: %w", name, err)
	}
	return r.Status.Phase != "", nil
}

// create makes the object, without its status. Its name counts those of the same plan that were there before; one that is still
// open is the one that is wanted: a crash left it without a status, or the cache does not show it yet.
func (s *Remediations) create(ctx context.Context, status *v1alpha1.RemediationStatus, from int) (*v1alpha1.Remediation, error) {
	for n := from; ; n++ {
		r := &v1alpha1.Remediation{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%s-%.8s-%d", status.Account, status.Control, status.PlanDigest, n),
			Labels: map[string]string{
				v1alpha1.LabelAccount: status.Account, v1alpha1.LabelControl: status.Control, v1alpha1.LabelPlan: status.PlanDigest,
			},
		}}
		err := s.Client.Create(ctx, r)
		if err == nil {
			return r, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("making remediation %s: %w", r.Name, err)
		}
		there := &v1alpha1.Remediation{}
		if err := s.Live.Get(ctx, client.ObjectKeyFromObject(r), there); err != nil {
			return nil, fmt.Errorf("reading remediation %s: %w", r.Name, err)
		}
		if there.Labels[v1alpha1.LabelPlan] == status.PlanDigest && there.Status.Phase.Open() && !there.Expired(s.Clock()) {
			return there, nil
		}
	}
}

// keep puts the states before and after into a Secret that goes with the Remediation.
func (s *Remediations) keep(ctx context.Context, r *v1alpha1.Remediation, changes []v1alpha1.RemediationChange) (name string, err error) {
	states := make([]state, len(changes))
	for i, c := range changes {
		states[i] = state{c.Before, c.After}
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: "remediation-" + string(r.UID), Labels: r.Labels,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "Remediation", Name: r.Name, UID: r.UID,
			}},
		},
		Type: "plumbline.dev/states", Immutable: new(true), Data: map[string][]byte{statesKey: encode(states)},
	}
	err = s.Client.Create(ctx, secret)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("keeping the states before and after of remediation %s: %w", r.Name, err)
	}
	return secret.Name, nil
}

func large(changes []v1alpha1.RemediationChange) bool {
	for _, c := range changes {
		if len(c.Before) > maxInline || len(c.After) > maxInline {
			return true
		}
	}
	return false
}

func withoutStates(changes []v1alpha1.RemediationChange) []v1alpha1.RemediationChange {
	short := make([]v1alpha1.RemediationChange, len(changes))
	for i, c := range changes {
		c.Before, c.After = "", ""
		short[i] = c
	}
	return short
}

// update changes a Remediation's status as it is now; change says whether there is anything to write. What is in its Secret
// stays there.
func (s *Remediations) update(ctx context.Context, name string, change func(*v1alpha1.Remediation) bool) error {
	r := &v1alpha1.Remediation{}
	if err := s.Live.Get(ctx, client.ObjectKey{Name: name}, r); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("reading remediation %s: %w", name, err))
	}
	before := r.Status.Phase
	if !change(r) {
		return nil
	}
	if err := s.Client.Status().Update(ctx, r); err != nil {
		return fmt.Errorf("writing remediation %s: %w", name, err)
	}
	if r.Status.Phase != before {
		s.Record.Remediation(r)
	}
	return nil
}

// end sets a last phase.
func (s *Remediations) end(r *v1alpha1.Remediation, phase v1alpha1.RemediationPhase, message string) {
	r.Status.Phase, r.Status.Message = phase, message
	r.Status.FinishedAt = new(metav1.NewTime(s.Clock().UTC().Truncate(time.Second)))
	meta.RemoveStatusCondition(&r.Status.Conditions, v1alpha1.ConditionHandedOver)
}
