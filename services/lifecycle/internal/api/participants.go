package api

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/problem"
)

// Participant is a system that takes part in steps.
type Participant struct {
	Name       string   `json:"name"`
	Actions    []string `json:"actions"`
	NeedsDrain bool     `json:"needs_drain"`
	ReadOnly   bool     `json:"read_only" doc:"nothing may be written to a tenant while it is switched over: gates answer writes with 423"`
	Timeout    string   `json:"timeout" doc:"how long one step may take, for example 60s"`
}

// actions a participant may offer.
var actions = []string{"provision", "switch", "release", "drain", "archive", "restore", "export", "erase", "verify"}

// participantName is a subject token and must not be mistaken for one of Tenure's own services.
var (
	participantName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
	reservedNames   = []string{"lifecycle", "billing", "export", "deletion", "notifier", "stripe", "command", "usage", tenant.Gates}
)

const defaultStepTimeout = time.Minute

func (a *API) registerParticipants(api huma.API) {
	huma.Register(api, route("PUT", "/v1/participants/{name}", "put-participant", "Take part in steps", http.StatusOK), a.putParticipant)
	huma.Register(api, route("GET", "/v1/participants", "list-participants", "List participants", http.StatusOK), a.listParticipants)
	huma.Register(api, route("GET", "/v1/participants/{name}", "get-participant", "Show a participant", http.StatusOK), a.getParticipant)
	huma.Register(api, route("DELETE", "/v1/participants/{name}", "delete-participant", "Take part no longer", http.StatusNoContent), a.deleteParticipant)
}

type participantInput struct {
	Name string `path:"name"`
	Body struct {
		Actions    []string `json:"actions"`
		NeedsDrain bool     `json:"needs_drain,omitempty"`
		ReadOnly   bool     `json:"read_only,omitempty"`
		Timeout    string   `json:"timeout,omitempty"`
	}
}

func (a *API) putParticipant(ctx context.Context, in *participantInput) (*output[Participant], error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	p, err := participantOf(in)
	if err != nil {
		return nil, err
	}
	if err := store.SaveParticipant(ctx, a.DB, p); err != nil {
		return nil, unavailable(err)
	}
	if err := a.Engine.ReloadParticipants(ctx); err != nil {
		return nil, unavailable(err)
	}
	return answer(showParticipant(p)), nil
}

func participantOf(in *participantInput) (tenant.Participant, error) {
	invalid := func(code, detail string) error { return problem.New(http.StatusUnprocessableEntity, code, detail) }
	p := tenant.Participant{
		Name: in.Name, Actions: in.Body.Actions, NeedsDrain: in.Body.NeedsDrain, ReadOnly: in.Body.ReadOnly, Timeout: defaultStepTimeout,
	}
	if !participantName.MatchString(in.Name) || slices.Contains(reservedNames, in.Name) {
		return p, invalid("invalid_participant_name", "a participant's name has lower-case letters, digits, - and _, and is none of "+strings.Join(reservedNames, ", "))
	}
	for _, action := range in.Body.Actions {
		if !slices.Contains(actions, action) {
			return p, invalid("unknown_action", "there is no action "+action+"; choose from "+strings.Join(actions, ", "))
		}
	}
	if in.Body.Timeout != "" {
		d, err := time.ParseDuration(in.Body.Timeout)
		if err != nil || d < time.Second || d > 24*time.Hour {
			return p, invalid("invalid_timeout", "a timeout is between 1s and 24h")
		}
		p.Timeout = d
	}
	return p, nil
}

func showParticipant(p tenant.Participant) Participant {
	return Participant{
		Name: p.Name, Actions: orEmpty(p.Actions), NeedsDrain: p.NeedsDrain, ReadOnly: p.ReadOnly, Timeout: p.Timeout.String(),
	}
}

func (a *API) participants(ctx context.Context) ([]Participant, error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	list, err := store.Participants(ctx, a.DB)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]Participant, len(list))
	for i, p := range list {
		out[i] = showParticipant(p)
	}
	return out, nil
}

// listParticipants pages in memory: there are as many as there are systems.
func (a *API) listParticipants(ctx context.Context, in *PageInput) (*output[Page[Participant]], error) {
	list, err := a.participants(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(p Participant) bool { return p.Name <= in.Cursor })
	page := Page[Participant]{Items: list}
	if len(list) > in.Limit {
		page.Items = list[:in.Limit]
		page.goOn(list[in.Limit-1].Name)
	}
	return answer(page), nil
}

type namedInput struct {
	Name string `path:"name"`
}

func errUnknownParticipant() error {
	return problem.New(http.StatusNotFound, "participant_not_found", "there is no such participant")
}

func (a *API) getParticipant(ctx context.Context, in *namedInput) (*output[Participant], error) {
	list, err := a.participants(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(p Participant) bool { return p.Name == in.Name })
	if i < 0 {
		return nil, errUnknownParticipant()
	}
	return answer(list[i]), nil
}

func (a *API) deleteParticipant(ctx context.Context, in *namedInput) (*struct{}, error) {
	if _, err := operator(ctx); err != nil {
		return nil, err
	}
	found, err := store.DeleteParticipant(ctx, a.DB, in.Name)
	if err != nil {
		return nil, unavailable(err)
	}
	if !found {
		return nil, errUnknownParticipant()
	}
	return nil, unavailable(a.Engine.ReloadParticipants(ctx))
}
