package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"tenure/shared/pg"
)

// Contribution is what a participant answered when it was asked for its files.
type Contribution struct {
	At     time.Time       `json:"at"`
	Result json.RawMessage `json:"result"`
}

// Missing are the participants whose answers the job still waits for.
func (j *Job) Missing() []string {
	return slices.DeleteFunc(slices.Clone(j.Participants), func(name string) bool {
		_, answered := j.Contributions[name]
		return answered
	})
}

// Contribute keeps a participant's answer. Those of an export that has ended, or that is not there, are dropped.
func Contribute(ctx context.Context, q pg.Querier, exportID, participant string, c Contribution) error {
	_, err := q.Exec(ctx, `UPDATE jobs SET contributions = contributions || jsonb_build_object($2::text, $3::jsonb)
		WHERE export_id = $1 AND status = 'pending'`, exportID, participant, c)
	return wrap("keep an answer for", exportID, err)
}

// Drop ends a job that its lifecycle has given up, with the reason. One that no worker has begun has nothing to remove;
// any other is stopped as if it were cancelled.
func Drop(ctx context.Context, q pg.Querier, exportID, reason string) error {
	tag, err := q.Exec(ctx, `UPDATE jobs SET status = 'failed', error = $2, `+forgetRequest+`
		WHERE export_id = $1 AND status = 'pending' AND epoch = 0`, exportID, reason)
	if err != nil || tag.RowsAffected() == 1 {
		return wrap("drop", exportID, err)
	}
	_, err = q.Exec(ctx, `UPDATE jobs SET cancel_requested = true, run_after = '-infinity'
		WHERE export_id = $1 AND status IN ('pending', 'running', 'verifying')`, exportID)
	return wrap("drop", exportID, err)
}
