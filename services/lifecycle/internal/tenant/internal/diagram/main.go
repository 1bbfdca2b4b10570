// Command diagram writes docs/state-machine.md from the table of the state machine. Run it with "go generate ./..." in
// tenure/services after every change of the table; a test fails while the file is not what it would write.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"tenure/services/lifecycle/internal/tenant"
)

//go:generate go run .

// file is the page as seen from here, where go generate and go test run.
const file = "../../../../../../docs/state-machine.md"

func main() {
	if err := os.WriteFile(file, []byte(page(tenant.Transitions())), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "diagram:", err)
		os.Exit(1)
	}
}

const intro = `# The tenant state machine

Written by go generate from the table in services/lifecycle/internal/tenant/table.go; do not edit it here. A command
that no row names is refused with ` + "`invalid_transition`" + ` or, while an operation holds the lease, with
` + "`operation_in_progress`" + `. Steps of operations, their retries and their compensation are no transitions: they
are the events ` + "`step.requested`, `step.done` and `step.errored`" + ` in between.
`

// page is the whole file: the moves as a picture, all rows as a table.
func page(rows []tenant.Transition) string {
	var b strings.Builder
	b.WriteString(intro)
	b.WriteString("\n```mermaid\nstateDiagram-v2\n")
	for _, edge := range edges(rows) {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", dot(edge.from), dot(edge.to), strings.Join(edge.commands, ", "))
	}
	b.WriteString("```\n\n| from | command | guard | to | event |\n|---|---|---|---|---|\n")
	for _, r := range merged(rows) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", strings.Join(r.from, ", "), r.command, or(r.guard, "-"), r.to, or(r.event, "(noted)"))
	}
	return b.String()
}

func dot(s tenant.StateName) string { return or(string(s), "[*]") }

func or(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}

type edge struct {
	from, to tenant.StateName
	commands []string
}

// edges are the moves between states, those between the same two drawn as one.
func edges(rows []tenant.Transition) []edge {
	var out []edge
	for _, r := range rows {
		if r.From == r.To {
			continue
		}
		i := slices.IndexFunc(out, func(e edge) bool { return e.from == r.From && e.to == r.To })
		if i < 0 {
			i = len(out)
			out = append(out, edge{from: r.From, to: r.To})
		}
		if !slices.Contains(out[i].commands, r.Command) {
			out[i].commands = append(out[i].commands, r.Command)
		}
	}
	return out
}

type row struct {
	from                      []string
	command, guard, to, event string
}

// merged writes rows that differ in where they begin alone as one.
func merged(rows []tenant.Transition) []row {
	var out []row
	for _, r := range rows {
		to := string(r.To)
		if r.From == r.To {
			to = "(same)"
		}
		from := or(string(r.From), "-")
		i := slices.IndexFunc(out, func(m row) bool {
			return m.command == r.Command && m.guard == r.Guard && m.to == to && m.event == r.Event
		})
		if i < 0 {
			out = append(out, row{[]string{from}, r.Command, r.Guard, to, r.Event})
		} else if !slices.Contains(out[i].from, from) {
			out[i].from = append(out[i].from, from)
		}
	}
	return out
}
