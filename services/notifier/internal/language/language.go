// Package language writes facts - times, amounts, what is counted - for people who read a language. It is pure.
package language

import (
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// Language is how facts are written in one language.
type Language struct {
	// Farewell introduces the link by which nothing like this comes any more.
	Farewell string

	day, month func(time.Time) string
	// between stands between a day and a time, behind the time behind both.
	between, behind string
	decimal         string
	// gb stands before what is measured in gigabytes, monthly behind what is counted by the month.
	gb, monthly string
	unlimited   string
	// nouns are what metrics are about, where a metric's own name is not the word.
	nouns map[string]string
}

// Default is the language of everybody whose own there is not.
const Default = "en"

var languages = map[string]Language{
	"en": {
		Farewell: "No more mails like this one:",
		day:      func(t time.Time) string { return t.Format("2 January 2006") },
		month:    func(t time.Time) string { return t.Format("January 2006") },
		between:  ", ", behind: " UTC", decimal: ".", gb: "GB of ", monthly: " a month", unlimited: "unlimited",
	},
	"de": {
		Farewell: "Keine solchen E-Mails mehr:",
		day:      func(t time.Time) string { return fmt.Sprintf("%d. %s", t.Day(), germanMonth(t)) },
		month:    germanMonth,
		between:  " um ", behind: " Uhr UTC", decimal: ",", gb: "GB ", monthly: " im Monat", unlimited: "unbegrenzt",
		nouns: map[string]string{"queries": "Anfragen", "documents": "Dokumente", "storage": "Speicher"},
	},
}

// neutral is for a language that operators have brought along, and that there are no words of.
var neutral = Language{
	Farewell: languages[Default].Farewell,
	day:      func(t time.Time) string { return t.Format(time.DateOnly) },
	month:    func(t time.Time) string { return t.Format("2006-01") },
	between:  " ", behind: " UTC", decimal: ".", gb: "GB ", unlimited: "∞",
}

func germanMonth(t time.Time) string {
	names := [...]string{
		"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember",
	}
	return fmt.Sprintf("%s %d", names[t.Month()-1], t.Year())
}

// Of is the language of a locale.
func Of(locale string) Language {
	for l := range Fallbacks(locale) {
		if found, known := languages[l]; known {
			return found
		}
	}
	return neutral
}

// Fallbacks are a locale, as Canonical writes it, and what is more general than it: de-at, de.
func Fallbacks(locale string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for l := Canonical(locale); l != "" && yield(l); {
			l = l[:max(0, strings.LastIndexByte(l, '-'))]
		}
	}
}

// Canonical makes one name of all spellings of a locale: de-at of de_AT.
func Canonical(locale string) string { return strings.ReplaceAll(strings.ToLower(locale), "_", "-") }

// Words are the functions by which templates write facts.
func (l Language) Words() template.FuncMap {
	return template.FuncMap{
		"day": l.Day, "date": l.date, "month": l.period, "number": l.number, "limit": l.limit,
		"noun": l.noun, "unit": l.unit, "allowance": l.allowance,
	}
}

// Day writes a date without the time, in UTC.
func (l Language) Day(t time.Time) string { return l.day(t.UTC()) }

// date writes a time for people anywhere.
func (l Language) date(t time.Time) string {
	return l.Day(t) + l.between + t.UTC().Format("15:04") + l.behind
}

// period writes a calendar month, 2026-08, in words.
func (l Language) period(month string) string {
	t, err := time.Parse("2006-01", month)
	if err != nil {
		return month
	}
	return l.month(t)
}

// number writes a count as it is and a measure with two decimals at most.
func (l Language) number(n float64) string {
	return strings.Replace(strconv.FormatFloat(math.Round(n*100)/100, 'f', -1, 64), ".", l.decimal, 1)
}

// limit writes what a plan allows, 0 being no limit.
func (l Language) limit(n float64) string {
	if n == 0 {
		return l.unlimited
	}
	return l.number(n)
}

// noun names what a metric is about: the storage of storage_gb.
func (l Language) noun(metric string) string {
	name := strings.TrimSuffix(metric, "_gb")
	if word, known := l.nouns[name]; known {
		return word
	}
	return strings.ReplaceAll(name, "_", " ")
}

// unit names what a metric counts: GB of storage.
func (l Language) unit(metric string) string {
	if strings.HasSuffix(metric, "_gb") {
		return l.gb + l.noun(metric)
	}
	return l.noun(metric)
}

// allowance names what a plan's limit of a metric is for: queries a month.
func (l Language) allowance(metric string) string {
	if metric == "queries" {
		return l.unit(metric) + l.monthly
	}
	return l.unit(metric)
}
