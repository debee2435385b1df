package catalogue

import (
	"bufio"
	"cmp"
	_ "embed" // for the reasons
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/briskest/briskest/conformance"
)

// Document is where the matrix is, from the module's folder.
const Document = "docs/conformance-matrix.md"

//go:embed uncovered.txt
var uncovered string

// row is a requirement that docs/conformance-est.md or -brski.md counts.
type row struct{ id, source, role, level string }

// Matrix makes the document. root is the module's folder. The error names what
// is wrong with the checks: a check without a requirement, one that names a row
// that is none, a row without a check and without a reason.
func Matrix(root string) ([]byte, error) {
	var rows []row
	for _, name := range []string{"docs/conformance-est.md", "docs/conformance-brski.md"} {
		of, err := readRows(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		rows = append(rows, of...)
	}
	checks := All()
	m := &matrix{rows: rows, of: make(map[string][]string), reasons: readReasons()}
	if err := m.assign(checks); err != nil {
		return nil, err
	}
	return m.document(checks)
}

var (
	rowLine   = regexp.MustCompile(`^\| ((?:EST|BRSKI)-\S+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|`)
	rowID     = regexp.MustCompile(`^(EST|BRSKI)-[0-9A-Za-z.-]+-\d{2}$`)
	checkID   = regexp.MustCompile(`^[A-Z0-9]+(bis)?(-[0-9A-Za-z.]+)+-\d+$`)
	rolesHere = []string{"server", "registrar", "masa"} // at least 70 % of these rows are covered
)

func readRows(file string) ([]row, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var rows []row
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if m := rowLine.FindStringSubmatch(lines.Text()); m != nil {
			rows = append(rows, row{m[1], m[2], m[3], m[4]})
		}
	}
	return rows, lines.Err()
}

// reason is why rows are not covered: of one id, or of all that begin so.
type reason struct {
	id, text string
	prefix   bool
}

// readReasons reads uncovered.txt: a row, or the beginning of rows and "*",
// and the reason. Lines that begin with "#" are comments.
func readReasons() []reason {
	var reasons []reason
	for line := range strings.Lines(uncovered) {
		id, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(id, "#") {
			continue
		}
		beginning, prefix := strings.CutSuffix(id, "*")
		reasons = append(reasons, reason{beginning, strings.TrimSpace(text), prefix})
	}
	return reasons
}

type matrix struct {
	rows    []row
	of      map[string][]string // IDs of checks by row
	reasons []reason
}

// assign gives each check to its rows.
func (m *matrix) assign(checks []conformance.Meta) error {
	seen := make(map[string]bool)
	for _, c := range checks {
		switch {
		case !checkID.MatchString(c.ID):
			return fmt.Errorf("check %s: an ID is the RFC, the section and a number, such as RFC7030-4.1.3-1", c.ID)
		case seen[c.ID]:
			return fmt.Errorf("two checks are called %s", c.ID)
		case len(c.Requirements) == 0:
			return fmt.Errorf("check %s has no requirement", c.ID)
		case c.Text == "" || c.Citation == "" || c.Level == "" || c.Role == "":
			return fmt.Errorf("check %s lacks its text, citation, level or role", c.ID)
		}
		seen[c.ID] = true
		for _, id := range c.Requirements {
			if !rowID.MatchString(id) {
				return fmt.Errorf("check %s names %s, which is no row's id", c.ID, id)
			}
			m.of[id] = append(m.of[id], c.ID)
		}
	}
	return nil
}

func (m *matrix) reasonFor(id string) string {
	best := reason{}
	for _, r := range m.reasons {
		if r.id == id && !r.prefix {
			return r.text
		}
		if r.prefix && strings.HasPrefix(id, r.id) && len(r.id) >= len(best.id) {
			best = r
		}
	}
	return best.text
}

// document is the matrix as Markdown.
func (m *matrix) document(checks []conformance.Meta) ([]byte, error) {
	var b strings.Builder
	b.WriteString("# The conformance suite: requirement by requirement\n\n" +
		"Made by `go run ./conformance/matrix`; do not edit. Each row is something that a specification says an EST\n" +
		"server, a registrar or a MASA MUST or MUST NOT do, and the checks of `briskest conform` that cover it. Rows of\n" +
		"clients and pledges are listed where a check covers them.\n\n")
	fmt.Fprintf(&b, "Checks: %s.\n\n", countRoles(checks))
	m.summary(&b)
	b.WriteString("\n| Row | Source | Role | Checks, or why there is none |\n|---|---|---|---|\n")
	counted := make(map[string]bool)
	for _, r := range m.rows {
		counted[r.id] = true
		text := strings.Join(m.of[r.id], ", ")
		here := slices.Contains(rolesHere, r.role)
		if text == "" {
			if !here {
				continue
			}
			if text = m.reasonFor(r.id); text == "" {
				return nil, fmt.Errorf("no check covers %s (%s); cover it, or give the reason in conformance/catalogue/uncovered.txt", r.id, r.source)
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.id, r.source, r.role, text)
	}
	b.WriteString("\nOther rows that checks cover, SHOULD and MAY among them:\n\n| Row | Checks |\n|---|---|\n")
	var rest []string
	for id := range m.of {
		if !counted[id] {
			rest = append(rest, id)
		}
	}
	slices.Sort(rest)
	for _, id := range rest {
		fmt.Fprintf(&b, "| %s | %s |\n", id, strings.Join(m.of[id], ", "))
	}
	return []byte(b.String()), nil
}

// summary counts what is covered, by role.
func (m *matrix) summary(b *strings.Builder) {
	b.WriteString("| Role | Rows | Covered | |\n|---|---|---|---|\n")
	for _, role := range rolesHere {
		all, covered := m.Covered(role)
		fmt.Fprintf(b, "| %s | %d | %d | %d %% |\n", role, all, covered, 100*covered/max(all, 1))
	}
}

// Covered counts the rows of a role, and those that a check covers.
func (m *matrix) Covered(role string) (all, covered int) {
	for _, r := range m.rows {
		if r.role != role {
			continue
		}
		all++
		if len(m.of[r.id]) > 0 {
			covered++
		}
	}
	return all, covered
}

func countRoles(checks []conformance.Meta) string {
	counts := make(map[conformance.Role]int)
	for _, c := range checks {
		counts[c.Role]++
	}
	var parts []string
	for role, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", role, n))
	}
	slices.SortFunc(parts, cmp.Compare)
	return fmt.Sprintf("%d (%s)", len(checks), strings.Join(parts, ", "))
}
