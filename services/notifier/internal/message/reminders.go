package message

import (
	"time"

	"tenure/shared/events"
)

// statePastDue is the lifecycle's word for a tenant in its grace.
const statePastDue = "past_due"

// owing tells a tenant in its grace of the failed payment now, and again after one and two thirds of the grace and with its
// last seventh, which is a day of the usual week. An exempt one, whose grace never ends, hears of it once. Where state is
// another, a change runs or access is closed, and a mail that says that everything works would be wrong: after a change
// payment.past_due comes again.
func owing(o occasion, state string, graceEnds *time.Time) Reaction {
	r := Reaction{Supersede: append([]Template{Recovered}, dunning...)}
	switch {
	case state != statePastDue:
	case graceEnds == nil:
		r.Send = send(PaymentFailed, Facts{})
	case graceEnds.After(o.at):
		r.Send = send(PaymentFailed, Facts{Until: *graceEnds})
		r.Schedule = dunningLadder(o.at, *graceEnds)
	}
	return r
}

func dunningLadder(from, end time.Time) []Reminder {
	grace, facts := end.Sub(from), Facts{Until: end}
	return ladder(from, end,
		Reminder{Draft: Draft{PaymentReminder, facts}, Rung: "1/3", At: from.Add(grace / 3)},
		Reminder{Draft: Draft{PaymentReminder, facts}, Rung: "2/3", At: from.Add(grace * 2 / 3)},
		Reminder{Draft: Draft{PaymentLastCall, facts}, Rung: "6/7", At: end.Add(-grace / 7)},
	)
}

func deletionReminders(o occasion, due time.Time) []Reminder {
	return ladder(o.at, due,
		Reminder{Draft: Draft{DeletionReminder, Facts{Until: due}}, Rung: "7d", At: due.Add(-7 * o.rules.Day)},
		Reminder{Draft: Draft{DeletionReminder, Facts{Until: due, Last: true}}, Rung: "1d", At: due.Add(-o.rules.Day)},
	)
}

func expiryReminder(o occasion, p *events.ArchiveCompleted) []Reminder {
	return ladder(o.at, p.ExpiresAt, Reminder{
		Draft: Draft{ExportExpiring, Facts{ExportID: p.ExportID, Until: p.ExpiresAt}}, Rung: "1d", At: p.ExpiresAt.Add(-o.rules.Day),
	})
}

// ladder orders reminders of what comes at end, the earliest first: each is worth sending until the next is due, so that
// they do not come all at once when the mail server was away. Those that do not lie ahead of from are left out, for the
// mail of the event itself says the same.
func ladder(from, end time.Time, rungs ...Reminder) []Reminder {
	var ahead []Reminder
	for i, r := range rungs {
		r.Expires = end
		if i+1 < len(rungs) {
			r.Expires = rungs[i+1].At
		}
		if r.At.After(from) {
			ahead = append(ahead, r)
		}
	}
	return ahead
}
