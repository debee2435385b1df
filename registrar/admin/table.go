package admin

import (
	"net/url"
	"slices"
	"strings"
)

// table is all operations.
type table struct {
	list []operation
	byID map[string]*operation
}

// operations returns the table. Two operations of one ID, or of one method and path, are a mistake of the
// program's.
func operations() *table {
	t := &table{list: slices.Concat(
		deviceOperations(), manifestOperations(), evidenceOperations(), requestOperations(), credentialOperations(), codeOperations(),
		certificateOperations(), voucherOperations(), trailOperations(), groupOperations(), eventOperations(), tokenOperations(),
		lifecycleOperations(), quarantineOperations(), relatedOperations(), baselineOperations(),
	)}
	t.byID = make(map[string]*operation, len(t.list))
	at := make(map[string]bool, len(t.list))
	for i := range t.list {
		o := &t.list[i]
		if t.byID[o.ID] != nil || at[o.Method+" "+o.shape()] {
			panic("admin: internal error: the operation " + o.ID + " is there twice")
		}
		t.byID[o.ID], at[o.Method+" "+o.shape()] = o, true
	}
	for _, o := range t.list {
		if o.Of != "" && t.byID[o.Of] == nil {
			panic("admin: internal error: operation " + o.ID + ": there is no operation " + o.Of)
		}
	}
	return t
}

// Operations returns what all operations declare, in the order of the table.
func Operations() []Operation {
	t := operations()
	out := make([]Operation, len(t.list))
	for i := range t.list {
		out[i] = t.list[i].Operation
	}
	return out
}

// shape is the path without its parameters' names.
func (o *operation) shape() string {
	out := make([]string, len(o.segments))
	for i, s := range o.segments {
		if _, ok := parameter(s); ok {
			s = "{}"
		}
		out[i] = s
	}
	return strings.Join(out, "/")
}

// match finds the operation at a path below the domain, whose segments are as they were sent, and returns
// the methods that are there. Words of a path win over parameters.
func (t *table) match(c *exchange, segments []string) (allowed []string) {
	best := -1
	for i := range t.list {
		o := &t.list[i]
		values, words, ok := o.matches(segments)
		if !ok {
			continue
		}
		if o.Method == c.r.Method && words > best {
			best, c.op, c.values = words, o, values
		}
		if !slices.Contains(allowed, o.Method) {
			allowed = append(allowed, o.Method)
		}
	}
	return allowed
}

func (o *operation) matches(segments []string) (values map[string]string, words int, ok bool) {
	if len(segments) != len(o.segments) {
		return nil, 0, false
	}
	values = make(map[string]string)
	for i, s := range o.segments {
		name, isParameter := parameter(s)
		switch {
		case isParameter:
			text, err := url.PathUnescape(segments[i])
			if err != nil {
				return nil, 0, false
			}
			values[name] = text
		case s != segments[i]:
			return nil, 0, false
		default:
			words++
		}
	}
	return values, words, true
}
