package main

import (
	"fmt"
	"slices"
	"strings"
)

// matrix is the requirements with what holds them.
type matrix struct {
	list      *list
	lines     []line
	unheld    []string // ids that nothing holds
	unknown   []string // ids that tests name and the list does not have
	passing   int
	diverging int
}

type line struct {
	row
	tests  []string
	result string // "pass", "fail", "not run", "divergence" or "none"
}

func join(of *list, rows []row, tests []test, results map[string]string, diverging map[string]bool) *matrix {
	holders := make(map[string][]test)
	for _, t := range tests {
		holders[t.id] = append(holders[t.id], t)
	}
	m := &matrix{list: of}
	for _, r := range rows {
		l := line{row: r, result: "none"}
		if held := holders[r.id]; len(held) > 0 {
			l.result, l.tests = outcome(held, results)
		} else if diverging[r.id] {
			l.result = "divergence"
		}
		switch l.result {
		case "pass":
			m.passing++
		case "divergence":
			m.diverging++
		default:
			m.unheld = append(m.unheld, r.id)
		}
		m.lines = append(m.lines, l)
		delete(holders, r.id)
	}
	// What is optional, or of another protocol, may be held as well; a comment
	// with a slip of the pen looks the same, so it is shown.
	for id := range holders {
		m.unknown = append(m.unknown, id)
	}
	slices.Sort(m.unknown)
	return m
}

// outcome is "pass" when all of the tests passed.
func outcome(held []test, results map[string]string) (string, []string) {
	worst := "pass"
	var names []string
	for _, t := range held {
		names = append(names, "`"+t.pkg+"."+t.name+"`")
		switch results[t.pkg+" "+t.name] {
		case "pass":
		case "fail":
			worst = "fail"
		default:
			if worst == "pass" {
				worst = "not run"
			}
		}
	}
	slices.Sort(names)
	return worst, names
}

func (m *matrix) summary() string {
	var roles []string
	for _, role := range m.list.roles {
		n := 0
		for _, l := range m.lines {
			if l.role == role {
				n++
			}
		}
		roles = append(roles, fmt.Sprintf("%s %d", role, n))
	}
	return fmt.Sprintf("%d requirements (%s): %d held by passing tests, %d divergences, %d held by nothing",
		len(m.lines), strings.Join(roles, ", "), m.passing, m.diverging, len(m.unheld))
}

// document is the matrix as Markdown.
func (m *matrix) document() []byte {
	var b strings.Builder
	b.WriteString("# " + m.list.title + ": requirement by requirement\n\n" +
		"Made by `make requirements` from a run of the tests; do not edit. Each row is something that a\n" +
		"specification says " + m.list.of + " MUST or MUST NOT do.\n" +
		"A test holds it when the comment above the test names the row. Divergences are explained in\n[divergences.md](divergences.md) under the row's id.\n\n" +
		"Of " + m.summary() + ".\n\n" +
		"| Row | Source | Role | Level | Test | Result |\n|---|---|---|---|---|---|\n")
	for _, l := range m.lines {
		fmt.Fprintf(&b, "| %s | %s, Section %s | %s | %s | %s | %s |\n", l.id, l.spec, l.section, l.role, l.level, strings.Join(l.tests, " "), l.result)
	}
	return []byte(b.String())
}
