package admin_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/briskest/briskest/registrar/admin"
)

func TestTheCommittedOpenAPIDocumentIsTheOneThatTheCodeMakes(t *testing.T) {
	committed, err := os.ReadFile("../../docs/openapi.json")
	check(t, err)
	if !bytes.Equal(committed, admin.OpenAPI()) {
		t.Error("docs/openapi.json is not what the code says: go generate ./registrar/admin")
	}
}

// What OpenAPI 3.1 requires of a document (OpenAPI Specification v3.1.0, Section 4.8),
// as far as ours uses it.
func TestTheOpenAPIDocumentIsValid(t *testing.T) {
	var d map[string]any
	check(t, json.Unmarshal(admin.OpenAPI(), &d))
	if v, _ := d["openapi"].(string); !strings.HasPrefix(v, "3.1.") {
		t.Errorf("openapi = %q", v)
	}
	if info := member(t, d, "info"); info["title"] == "" || info["version"] == "" {
		t.Errorf("info = %v", info)
	}
	seen := make(map[string]bool)
	for path, item := range member(t, d, "paths") {
		if !strings.HasPrefix(path, "/api/v1/") {
			t.Errorf("path %s", path)
		}
		for method, o := range item.(map[string]any) {
			operation := o.(map[string]any)
			id, _ := operation["operationId"].(string)
			if id == "" || seen[id] {
				t.Errorf("%s %s: operationId %q", method, path, id)
			}
			seen[id] = true
			checkParameters(t, path, operation)
			responses := member(t, operation, "responses")
			for _, status := range []string{"200", "default"} {
				if text, _ := member(t, responses, status)["description"].(string); text == "" {
					t.Errorf("%s: response %s without description", id, status)
				}
			}
			if _, body := operation["requestBody"]; body != (method == "post" || method == "put") {
				t.Errorf("%s: %s with a body: %t", id, method, body)
			}
		}
	}
	references(t, d, d)
	for _, o := range admin.Operations() {
		if !seen[o.ID] {
			t.Errorf("the document has no %s", o.ID)
		}
	}
}

// checkParameters checks that those of the path are all there and required, and that none is there twice.
func checkParameters(t *testing.T, path string, operation map[string]any) {
	wanted := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\{([^}]*)\}`).FindAllStringSubmatch(path, -1) {
		wanted[m[1]] = true
	}
	seen := make(map[string]bool)
	list, _ := operation["parameters"].([]any)
	for _, e := range list {
		p := e.(map[string]any)
		in, name := p["in"].(string), p["name"].(string)
		if seen[in+" "+name] || p["schema"] == nil || !slices.Contains([]string{"path", "query", "header"}, in) {
			t.Errorf("%s: parameter %v", path, p)
		}
		seen[in+" "+name] = true
		if in == "path" {
			if !wanted[name] || p["required"] != true {
				t.Errorf("%s: path parameter %v", path, p)
			}
			delete(wanted, name)
		}
	}
	for name := range wanted {
		t.Errorf("%s: no parameter %s", path, name)
	}
}

// references checks that every $ref leads to a component, and that every schema's type is one.
func references(t *testing.T, d map[string]any, v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			references(t, d, e)
		}
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			name, ok := strings.CutPrefix(ref, "#/components/schemas/")
			if !ok || member(t, member(t, d, "components"), "schemas")[name] == nil {
				t.Errorf("$ref %s leads nowhere", ref)
			}
		}
		for _, e := range v {
			references(t, d, e)
		}
	}
}

func member(t *testing.T, d map[string]any, name string) map[string]any {
	t.Helper()
	m, ok := d[name].(map[string]any)
	if !ok {
		t.Fatalf("the member %s is missing in %.200v", name, d)
	}
	return m
}

func TestEveryOperationSaysWhichRoleItNeeds(t *testing.T) {
	for _, o := range admin.Operations() {
		if !slices.Contains(admin.Roles(), o.Role) {
			t.Errorf("operation %s declares the role %q; want one of %v", o.ID, o.Role, admin.Roles())
		}
		if o.Method != "GET" && (o.Role == admin.Viewer || o.Role == admin.Auditor) {
			t.Errorf("operation %s changes something (%s) for a %s", o.ID, o.Method, o.Role)
		}
		if o.Summary == "" || !strings.HasSuffix(o.Summary, ".") {
			t.Errorf("operation %s: summary %q is no sentence", o.ID, o.Summary)
		}
	}
}
