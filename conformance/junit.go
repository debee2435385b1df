package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The elements of JUnit's XML that CI systems read.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
		Out      string      `xml:"system-out,omitempty"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure"`
		Skipped *junitMessage `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
	}
)

// writeJUnit writes r as a test suite. A failure that is expected of this peer
// is a skipped test there, because JUnit has no word for it.
func (r *Report) writeJUnit(w io.Writer) error {
	suite := junitSuite{Name: printable(r.Target), Tests: len(r.Checks), Out: strings.Join(r.Left, "\n")}
	seconds := 0.0
	for i := range r.Checks {
		c := &r.Checks[i]
		seconds += c.Took.Seconds()
		out := c.Text + " (" + c.Citation + ", " + string(c.Level) + ")"
		for _, e := range c.Exchanges {
			out += "\n> " + e.Sent + "\n< " + e.Came
		}
		junit := junitCase{Name: c.ID, Class: "conformance." + string(c.Role), Time: fmt.Sprintf("%.3f", c.Took.Seconds()), Out: out}
		switch {
		case c.Verdict == VerdictFail && !c.Excluded:
			suite.Failures++
			junit.Failure = &junitMessage{Message: c.Reason, Type: string(c.Level)}
		case c.Verdict != VerdictPass:
			suite.Skipped++
			junit.Skipped = &junitMessage{Message: c.Reason}
		}
		suite.Cases = append(suite.Cases, junit)
	}
	suite.Time = fmt.Sprintf("%.3f", seconds)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", " ")
	if err := encoder.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
