package app

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tenure/services/export/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
)

func TestErrorsDoNotNameThePerson(t *testing.T) {
	job := &store.Job{Subject: "ada@example.com"}
	down := fault.RetryAfter(errors.New("GET /people/ada@example.com: 503"), time.Second)
	err := withoutSubject(job, fmt.Errorf("store crm: %w", down))
	if strings.Contains(err.Error(), "ada") || !strings.Contains(err.Error(), "store crm") {
		t.Errorf("it says %q", err)
	}
	if delay, waits := fault.Delay(err); !waits || delay != time.Second {
		t.Error("it is no outage any more")
	}
	if withoutSubject(job, nil) != nil || withoutSubject(&store.Job{}, down).Error() != down.Error() {
		t.Error("what names nobody is changed")
	}
}

func TestTheLogSaysNothingOfAPerson(t *testing.T) {
	job := &store.Job{ExportID: "exp_1", SubjectSHA256: "x"}
	for name, test := range map[string]struct{ event, want events.Payload }{
		"started":   {&events.ArchiveStarted{}, nil},
		"progress":  {&events.ArchiveProgressed{}, nil},
		"failed":    {&events.ArchiveFailed{Error: "ada"}, &events.SubjectExportFailed{ExportID: "exp_1"}},
		"cancelled": {&events.ArchiveCancelled{}, &events.SubjectExportFailed{ExportID: "exp_1"}},
		"expired":   {&events.ArchiveExpired{}, nil},
	} {
		got := told(job, test.event)
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: the log says %+v", name, got)
		}
	}
	if told(&store.Job{}, &events.ArchiveStarted{}) == nil {
		t.Error("a tenant's own export is kept quiet")
	}
}

func TestHashesOfOnePersonAreApart(t *testing.T) {
	if subjectHash("exp_1", "ada") == subjectHash("exp_2", "ada") || subjectHash("exp_1", "ada") == subjectHash("exp_1", "bob") {
		t.Error("two exports of one person, or of two, have one hash")
	}
}
