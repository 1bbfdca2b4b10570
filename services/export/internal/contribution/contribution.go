// Package contribution reads what participants on the bus give to an export: files of rows, fetched from where they say.
// To the rest of the service each of them is one more store.
package contribution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/manifest"
	"tenure/shared/events"
	"tenure/shared/fault"
)

// Store is a connectors.Connector of one participant's files, for one export. It can be read, and no more.
type Store struct {
	participant string
	answered    time.Time
	files       []events.ExportFile
	client      *Client
}

// Open checks what a participant has answered at a time. What is wrong in it no second try mends: the error is a
// fault.Permanent.
func (c *Client) Open(participant string, answered time.Time, result json.RawMessage) (*Store, error) {
	answer, err := events.DecodeExportFiles(result)
	if err != nil {
		return nil, fault.Permanent(fmt.Errorf("participant %s: %w", participant, err))
	}
	for i, f := range answer.Files {
		if err := c.check(f); err != nil {
			return nil, fault.Permanent(fmt.Errorf("participant %s: files[%d]: %w", participant, i, err))
		}
	}
	return &Store{participant: participant, answered: answered, files: answer.Files, client: c}, nil
}

// check refuses what an archive cannot take, and what the lifecycle could not know: addresses are this service's affair.
func (c *Client) check(f events.ExportFile) error {
	if f.Kind == manifest.Audit {
		return errors.New("the timeline is the lifecycle's alone: its rows are a hash chain")
	}
	if err := c.egress.CheckURL(f.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	return nil
}

// Name is the participant's.
func (s *Store) Name() string { return s.participant }

// Traits tells that this is a participant.
func (s *Store) Traits() connectors.Traits { return connectors.Traits{Kind: "participant"} }

// Count tells what the participant has counted, by kind. Participants are not asked for one person's rows.
func (s *Store) Count(_ context.Context, of connectors.Scope) (connectors.Counts, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	return count(s.filesOf(of)), nil
}

func (s *Store) filesOf(of connectors.Scope) []events.ExportFile {
	if of.Subject != "" {
		return nil
	}
	return s.files
}

func count(files []events.ExportFile) connectors.Counts {
	counts := connectors.Counts{}
	for _, f := range files {
		counts[f.Kind] += f.Rows
	}
	return counts
}

// Bytes is not known before the files are read.
func (s *Store) Bytes(context.Context, connectors.Scope) (int64, error) {
	return 0, errors.ErrUnsupported
}

// Erase is not for files that are given away; participants erase by a step of their own.
func (s *Store) Erase(context.Context, connectors.Scope) (connectors.Counts, error) {
	return nil, errors.ErrUnsupported
}

// Verify is as little possible as Erase.
func (s *Store) Verify(context.Context, connectors.Scope) (connectors.Counts, error) {
	return nil, errors.ErrUnsupported
}

// Snapshot is the files as they are: they were made when the participant answered, all of them whatever since is.
func (s *Store) Snapshot(_ context.Context, of connectors.Scope, _ time.Time) (connectors.Snapshot, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	return &snapshot{store: s, files: s.filesOf(of)}, nil
}

// snapshot reads each file as one range; a position in it is the number of rows before.
type snapshot struct {
	store *Store
	files []events.ExportFile
}

func (s *snapshot) Counts() connectors.Counts { return count(s.files) }
func (s *snapshot) Close()                    {}

func (s *snapshot) Watermark() connectors.Watermark {
	return connectors.Watermark{Store: s.store.participant, TakenAt: s.store.answered}
}

func (s *snapshot) Ranges(_ context.Context, kind string, _ int) ([]connectors.Range, error) {
	var ranges []connectors.Range
	for i, f := range s.files {
		if f.Kind == kind {
			ranges = append(ranges, connectors.Range{Kind: kind, Part: strconv.Itoa(i)})
		}
	}
	return ranges, nil
}

func (s *snapshot) Position(_ context.Context, r connectors.Range, n int64) (string, error) {
	after, _, err := bounds(r)
	return strconv.FormatInt(after+n, 10), err
}

// Same cannot be told: nobody knows what the address gives the next time.
func (s *snapshot) Same(context.Context, connectors.Range, int64, connectors.Watermark) (bool, error) {
	return false, nil
}

func (s *snapshot) Read(ctx context.Context, r connectors.Range, to connectors.Sink) error {
	i, err := strconv.Atoi(r.Part)
	if err != nil || i < 0 || i >= len(s.files) {
		return fmt.Errorf("participant %s has no file %q", s.store.participant, r.Part)
	}
	f := s.files[i]
	after, upTo, err := bounds(r)
	if err != nil {
		return err
	}
	if upTo < 0 {
		upTo = f.Rows
	}
	err = s.store.client.fetch(ctx, f, after, upTo, to)
	if err != nil {
		return fmt.Errorf("participant %s: files[%d]: %w", s.store.participant, i, err)
	}
	return nil
}

// bounds are the rows before a range and those up to its end, -1 for an open one.
func bounds(r connectors.Range) (after, upTo int64, err error) {
	upTo = -1
	if r.After != "" {
		after, err = strconv.ParseInt(r.After, 10, 64)
	}
	if r.UpTo != "" && err == nil {
		upTo, err = strconv.ParseInt(r.UpTo, 10, 64)
	}
	return after, upTo, err
}
