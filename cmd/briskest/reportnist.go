package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// nistRule is one thing that a document asks for, and how a deployment is judged by it.
type nistRule struct {
	document, part, asks string
	judge                func(*deploymentFacts) (standing, string)
	look                 string // a command that shows it
}

// The documents.
const (
	sp80057  = "SP 800-57 Part 1 Rev. 5"
	sp800213 = "SP 800-213A"
	ir8259   = "IR 8259A"
	sp180036 = "SP 1800-36"
)

// nistRules are all of them, by document.
func nistRules() []nistRule {
	return slices.Concat(keyRules(), deviceRules(), baselineRules(), onboardingRules())
}

// signatureKeyLife is the longest originator usage period that SP 800-57 Part 1,
// Section 5.3.6, recommends for private signature keys.
const signatureKeyLife = 3 * 366 * 24 * time.Hour

// keyRules are those of SP 800-57 about keys and certificates.
func keyRules() []nistRule {
	const ca, list = "briskest ca status --config registrar.yaml", "briskest ca list --config registrar.yaml"
	return []nistRule{
		{sp80057, "5.3 cryptoperiods", "keys of devices end in time", judgeLifetimes, list},
		{sp80057, "5.3 cryptoperiods", "the CA's keys have an end, and somebody sees it coming", judgeIssuers, ca},
		{sp80057, "5.6 strength", "112 bits of security at least", func(f *deploymentFacts) (standing, string) {
			var signs []string
			for _, i := range f.issuers {
				signs = append(signs, i.name+" signs with "+i.signs)
			}
			return held, "profiles take P-256 and RSA 2048 or more, and weak, blocked and SHA-1 keys nowhere; " + strings.Join(signs, "; ")
		}, ca},
		{sp80057, "6 protection", "private keys in a cryptographic module", func(f *deploymentFacts) (standing, string) {
			what := fmt.Sprintf("%d of the server's keys in PKCS#11 tokens, %d in files", f.keysInTokens, f.keysInFiles)
			switch {
			case f.keysInFiles == 0:
				return held, what
			case f.keysInTokens > 0:
				return partly, what
			default:
				return unheld, what
			}
		}, ca},
		{sp80057, "6 protection", "the root's key apart from what is on the network", func(f *deploymentFacts) (standing, string) {
			if f.rootKeyHere {
				return unheld, "the root's key is in the registrar's folder: move it"
			}
			return held, "no root key is on this machine"
		}, ca},
		{sp80057, "7 key states", "compromised keys are stopped", func(f *deploymentFacts) (standing, string) {
			what := fmt.Sprintf("%d certificates revoked; a revoked one authenticates nothing from the moment on", f.certificates["revoked"])
			if f.revocation == "" {
				return partly, what + "; others are not told: listen.revocation is empty"
			}
			return held, what + "; lists and OCSP at " + f.revocation
		}, list + " --status revoked"},
		{sp80057, "8 key management functions", "keys are registered with who holds them", func(f *deploymentFacts) (standing, string) {
			return held, fmt.Sprintf("%d issuances on record, each with its device, key, profile and version", total(f.certificates))
		}, list},
		{sp80057, "9 accountability and audit", "who did what to which key can be shown", func(f *deploymentFacts) (standing, string) {
			if f.trail == 0 {
				return unheld, "the trail is empty"
			}
			return held, "each decision is in a signed Merkle log, in the transaction that made it true; the command verifies it"
		}, "briskest trail verify --config registrar.yaml"},
		{sp80057, "9 survivability", "keys and records are backed up", func(*deploymentFacts) (standing, string) {
			return byOwner, "whether and where is not on record here"
		}, "briskest backup --help"},
	}
}

func judgeLifetimes(f *deploymentFacts) (standing, string) {
	var long []string
	for _, name := range slices.Sorted(maps.Keys(f.lifetimes)) {
		switch d := f.lifetimes[name]; {
		case d == endless:
			long = append(long, name+" without an end")
		case d > signatureKeyLife:
			long = append(long, name+" "+days(d))
		}
	}
	if len(long) > 0 {
		return partly, "longer than three years: " + strings.Join(long, ", ")
	}
	return held, fmt.Sprintf("no profile gives more than three years; the longest issued has %s", days(f.longest))
}

func judgeIssuers(f *deploymentFacts) (standing, string) {
	var ends, soon []string
	for _, i := range f.issuers {
		line := i.name + " (" + i.kind + ") " + i.ends.UTC().Format(time.DateOnly)
		ends = append(ends, line)
		if i.ends.Sub(f.now) < 90*24*time.Hour {
			soon = append(soon, line)
		}
	}
	switch {
	case len(soon) > 0:
		return unheld, "ends within 90 days: " + strings.Join(soon, ", ")
	case !f.watched:
		return partly, strings.Join(ends, ", ") + "; nothing watches: neither listen.metrics nor tracing is set"
	default:
		return held, strings.Join(ends, ", ")
	}
}

// deviceRules are those of SP 800-213A that a provisioning service serves.
func deviceRules() []nistRule {
	return []nistRule{
		{sp800213, "device identity", "devices are told apart by an identity of their own", judgeIdentity, "briskest device list --config registrar.yaml"},
		{sp800213, "device identity", "acts on the network follow from the identity", func(f *deploymentFacts) (standing, string) {
			if f.withID == 0 {
				return partly, "no label takes manufacturers' certificates; devices come with credentials or codes"
			}
			return held, fmt.Sprintf("%d of %d labels go by the manufacturer's certificate and the voucher", f.withID, f.labels)
		}, "briskest device why SERIAL --config registrar.yaml"},
		{sp800213, "logical access", "no shared default password lets anyone in", func(f *deploymentFacts) (standing, string) {
			if f.sharedPasswords > 0 {
				return partly, fmt.Sprintf("%d labels give a certificate for an HTTP credential alone", f.sharedPasswords)
			}
			return held, "no label gives a certificate for an HTTP credential alone"
		}, "briskest credential list --config registrar.yaml"},
		{sp800213, "state awareness", "what happened to a device is recorded, and told to others", func(f *deploymentFacts) (standing, string) {
			if !f.watched {
				return partly, "recorded on the trail; no monitoring is configured"
			}
			return held, "recorded on the trail, with metrics or traces"
		}, "briskest doctor --config registrar.yaml"},
		{sp800213, "software update", "devices are kept up to date", func(*deploymentFacts) (standing, string) {
			return byOwner, "updates are another system's; it can trust the LDevID"
		}, "briskest device show SERIAL --config registrar.yaml"},
	}
}

func judgeIdentity(f *deploymentFacts) (standing, string) {
	all := total(f.devices)
	what := fmt.Sprintf("%d devices on record, %d enrolled, %d with a hardware identifier, %d in a group", all, f.devices["enrolled"], f.hardware, f.grouped)
	switch {
	case all == 0:
		return unheld, "no device is on record"
	case f.overdue > 0:
		return partly, fmt.Sprintf("%s; %d certificates have ended and were not renewed", what, f.overdue)
	default:
		return held, what
	}
}

// baselineRules are those of IR 8259A: what a device can do, as far as its provisioning shows it.
func baselineRules() []nistRule {
	return []nistRule{
		{ir8259, "device identification", "a unique logical and a physical identifier", func(f *deploymentFacts) (standing, string) {
			all := total(f.devices)
			switch {
			case all == 0:
				return unheld, "no device is on record"
			case f.hardware == 0:
				return partly, fmt.Sprintf("%d serial numbers on record, none with a hardware module name, secure element or TPM", all)
			default:
				return held, fmt.Sprintf("%d serial numbers on record, %d with a hardware identifier", all, f.hardware)
			}
		}, "briskest device list --config registrar.yaml"},
		{ir8259, "device configuration", "only authorized entities change it", func(*deploymentFacts) (standing, string) {
			return byOwner, "on the device; what it is told here is signed"
		}, "briskest device show SERIAL --config registrar.yaml"},
		{ir8259, "data protection", "keys are made on the device and stay there", func(f *deploymentFacts) (standing, string) {
			if len(f.serverKeys) > 0 {
				return partly, "profiles that let the server make a device's key: " + strings.Join(f.serverKeys, ", ")
			}
			return held, "a device proves possession of each key, and no profile lets the server make one"
		}, "briskest ca list --config registrar.yaml"},
		{ir8259, "logical access to interfaces", "only those on record get in", func(f *deploymentFacts) (standing, string) {
			if len(f.admitAll) > 0 {
				return partly, "each device of these may join, bought or not: " + strings.Join(f.admitAll, ", ")
			}
			return held, "a device that was not imported is refused, or waits for an operator"
		}, "briskest request list --config registrar.yaml"},
		{ir8259, "software update", "the device's software can be updated", func(*deploymentFacts) (standing, string) {
			return byOwner, "on the device"
		}, "briskest device show SERIAL --config registrar.yaml"},
		{ir8259, "cybersecurity state awareness", "the state can be seen by those who need to", func(f *deploymentFacts) (standing, string) {
			return held, fmt.Sprintf("states on record: %s; %d requests wait for an operator", countsText(f.devices), f.waiting)
		}, "briskest device list --config registrar.yaml"},
	}
}

// onboardingRules are what SP 1800-36 demonstrates.
func onboardingRules() []nistRule {
	return []nistRule{
		{sp180036, "network-layer onboarding", "device and network authenticate each other before a credential is given", func(f *deploymentFacts) (standing, string) {
			if f.manufacturers == 0 {
				return unheld, "no manufacturer is configured: devices do not onboard by BRSKI"
			}
			return held, fmt.Sprintf("IDevID and voucher, for the devices of %d manufacturers", f.manufacturers)
		}, "briskest device evidence SERIAL --config registrar.yaml"},
		{sp180036, "network-layer onboarding", "credentials are unique for each device", func(f *deploymentFacts) (standing, string) {
			return held, fmt.Sprintf("%d certificates issued, each for a key of its device's own", f.certificates["issued"])
		}, "briskest ca list --config registrar.yaml"},
		{sp180036, "trust in the device", "manufacturers' revocations count", func(f *deploymentFacts) (standing, string) {
			switch {
			case f.manufacturers == 0:
				return unheld, "no manufacturer is configured"
			case len(f.unrevoked) > 0:
				return partly, "nobody asks for: " + strings.Join(f.unrevoked, ", ")
			default:
				return held, fmt.Sprintf("asked for each of %d manufacturers", f.manufacturers)
			}
		}, "briskest doctor --config registrar.yaml"},
		{sp180036, "lifecycle", "devices are suspended, retired and onboarded again", func(f *deploymentFacts) (standing, string) {
			return held, fmt.Sprintf("%d suspended, %d decommissioned", f.devices["suspended"], f.devices["decommissioned"])
		}, "briskest device --help"},
		{sp180036, "application-layer onboarding", "the device learns whom to work with", func(f *deploymentFacts) (standing, string) {
			if f.grouped == 0 {
				return partly, "no device is in a group that gives it endpoints and topics"
			}
			return held, fmt.Sprintf("%d devices are in groups", f.grouped)
		}, "briskest device list --config registrar.yaml"},
	}
}

// countsText writes counts by name.
func countsText(counts map[string]int) string {
	if len(counts) == 0 {
		return "none"
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(out, ", ")
}
