package participant

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// registration is the body of PUT /v1/participants/{name}.
type registration struct {
	Actions    []string `json:"actions"`
	NeedsDrain bool     `json:"needs_drain,omitempty"`
	// Timeout is a duration as Go writes it: "1m30s".
	Timeout string `json:"timeout,omitempty"`
}

// refusals are the answers that no second try can better.
var refusals = map[int]bool{
	http.StatusBadRequest: true, http.StatusUnauthorized: true, http.StatusForbidden: true,
	http.StatusUnprocessableEntity: true,
}

// register makes the participant known; it tries until it succeeds, ctx ends, or the control plane says that the
// request is wrong in itself.
func register(ctx context.Context, cfg Config) error {
	if cfg.ControlURL == "" {
		cfg.Registered()
		return nil
	}
	request := registration{Actions: cfg.actionNames(), NeedsDrain: cfg.NeedsDrain}
	if cfg.Timeout > 0 {
		request.Timeout = cfg.Timeout.String()
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	for {
		status, answer, err := put(ctx, cfg, body)
		switch {
		case err == nil && status < 300:
			cfg.Log.InfoContext(ctx, "registered", "actions", request.Actions)
			cfg.Registered()
			return nil
		case refusals[status]:
			return fmt.Errorf("participant %s: registration refused with %d: %s", cfg.Name, status, answer)
		}
		cfg.Log.InfoContext(ctx, "waiting for the control plane", "status", status, "error", err)
		if !sleep(ctx, retryPeriod) {
			return nil
		}
	}
}

func put(ctx context.Context, cfg Config, body []byte) (status int, answer []byte, err error) {
	address, err := url.JoinPath(cfg.ControlURL, "v1/participants", cfg.Name)
	if err != nil {
		return 0, nil, fmt.Errorf("address of the control plane: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+cfg.Token)
	resp, err := cfg.HTTPClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return resp.StatusCode, answer, err
}
