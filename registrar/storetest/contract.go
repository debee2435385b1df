package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/briskest/briskest/internal/trail"
	"github.com/briskest/briskest/registrar"
)

// TestStore runs the contract of registrar.Store. Open returns an empty store,
// which it closes with t.Cleanup.
func TestStore(t *testing.T, open func(t *testing.T) registrar.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, registrar.Store)
	}{
		{"DeviceIsReadBackAsWritten", testDevice},
		{"ANameIsThatOfTheDeviceThatHasItNow", testDeviceName},
		{"OwnerOfADeviceIsTheLastOneWritten", testDeviceOwner},
		{"QuarantinesAreReadInOrderAsWritten", testQuarantines},
		{"SecondDeviceOfAnIdentityIsAConflict", testDeviceConflict},
		{"NameThatADeviceHasIsNotUnclaimed", testUnclaimed},
		{"NameOfADeviceWithIDevIDIsFoundInAnyLetterCase", testIDevIDNames},
		{"KeyThatIsCompromisedGetsNoCertificate", testCompromised},
		{"DetailsOfADeviceAreKept", testDeviceDetails},
		{"GroupsHaveOneVersionAfterTheOther", testGroupDocuments},
		{"BaselinesHaveOneVersionAfterTheOther", testBaselines},
		{"WhatADeviceWasGivenLastIsKept", testDeliveries},
		{"OnlyAMoveChangesTheGroupOfADevice", testRegroup},
		{"AWalkShowsEachDeviceWithTheFactsAskedFor", testWalkDevices},
		{"AWalkThatFailsSaysSo", testWalkEnds},
		{"DevicesAreListedInOrderOfID", testListDevices},
		{"DevicesAreFoundByAllThatTheyHave", testQueryDevices},
		{"DevicesOfAQueryComeInPages", testDevicePages},
		{"DevicesAreAddedManyAtATime", testAddDevices},
		{"DevicesAreFoundByManyNames", testDevicesNamed},
		{"DevicesAreCountedAsTheyComeAndGo", testCountDevices},
		{"ADomainHoldsNoMoreDevicesThanItMay", testDeviceQuota},
		{"ADomainHoldsNoMoreDevicesThanItMayWhoeverWritesAtOnce", testDeviceQuotaAtOnce},
		{"CertificateGoesFromIntentToRevocation", testLifecycle},
		{"StatusMovesOnlyFromWhereTheContractSays", testMoves},
		{"SerialNumberIsUniqueForItsAuthority", testSerial},
		{"CertificateIsFoundWhole", testCertificateOf},
		{"SerialNumberOfAnotherCAComesWithTheCertificate", testElsewhere},
		{"HoldIsReleasedAndNothingElseIs", testHold},
		{"WhatIsOutstandingIsListedUntilItIsDropped", testOutstanding},
		{"WhatIsUntoldIsListedUntilThatWasTold", testUntold},
		{"CurrentCertificateIsTheNewestIssued", testCurrent},
		{"CertificatesAreListedByEveryFilter", testListCertificates},
		{"OpenIntentsAreThoseWithoutAnOutcome", testOpenIntents},
		{"RevocationListNumbersRise", testCRL},
		{"RevocationsAreFoundByPlaceAndByChange", testRevocations},
		{"AResponderLearnsWhatIsOnRecord", testCertificateState},
		{"PartitionsThatWereUsedAreKept", testPartitions},
		{"VouchersAreFoundByEveryRoad", testVouchers},
		{"VouchersAheadAreFoundByDeviceAndTime", testAhead},
		{"RequestsWaitUntilDecided", testPending},
		{"CredentialsAreReplacedByUser", testCredentials},
		{"CredentialsKeepWhatDigestNeeds", testDigests},
		{"TokensAndRepliesAreKeptByDomain", testAPIRecords},
		{"CodesAreReplacedBySerialNumber", testCodes},
		{"CodeIsSpentForOneKeyAndItsNames", testSpending},
		{"CodeIsSpentOnceByChangesAtOnce", testSpendingAtOnce},
		{"ChangeIsWholeOrNothing", testAtomic},
		{"ConcurrentChangesEachGetTheirOwnAnswer", testConcurrent},
		{"TrailIsInOrderAndFiltered", testTrail},
		{"DomainsDoNotMeet", testDomains},
		{"MissingRowsAreErrNotFound", testMissing},
		{"TextIsKeptByteForByte", testText},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// At is a fixed time to count from.
func at(seconds int) time.Time {
	return time.Date(2030, 1, 2, 3, 4, seconds, 123456000, time.UTC)
}

func id(n int) string { return fmt.Sprintf("%032x", n) }

func issuanceID(n int) string { return fmt.Sprintf("%032x", 0x10000+n) }

func authority(n int) string { return fmt.Sprintf("%040x", n) }

func hash(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func serial(n int) []byte {
	return binary.BigEndian.AppendUint64([]byte{0x10}, uint64(n)) //nolint:gosec // small
}

func device(n int) *registrar.Device {
	return &registrar.Device{
		ID: id(n), Domain: registrar.DefaultDomain, Manufacturer: "acme", SerialNumber: fmt.Sprintf("SN-%d", n),
		State: registrar.Expected, IDevID: []byte{0x30, 3, 2, 1, byte(n)}, Source: "import",
		CreatedAt: at(0), SeenAt: at(1),
	}
}

func intent(n, dev int, key string) *registrar.Certificate {
	return &registrar.Certificate{
		Domain: registrar.DefaultDomain, ID: issuanceID(n), Issuer: "default", Authority: authority(1), Serial: serial(n), DeviceID: id(dev), Status: registrar.Intended,
		Profile: "device", Version: "1", Operation: "simpleenroll", Subject: fmt.Sprintf("CN=SN-%d", dev),
		TBSHash: hash(fmt.Sprint("tbs", n)), KeyHash: hash(key), NamesHash: hash(fmt.Sprint("names", dev)),
		Credential: "basic:factory", NotBefore: at(0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		IntendedAt: at(2),
	}
}

func issued(c *registrar.Certificate) *registrar.Certificate {
	n := *c
	n.Status, n.Raw, n.IssuedAt = registrar.Issued, append([]byte{0x30, 0x82}, c.Serial...), at(3)
	return &n
}

func commit(t *testing.T, s registrar.Store, c *registrar.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func wantConflict(t *testing.T, s registrar.Store, what string, c *registrar.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); !errors.Is(err, registrar.ErrConflict) {
		t.Errorf("Commit of %s: error %v, want ErrConflict", what, err)
	}
}

func want[T any](t *testing.T, call string, got T, err error, expected T) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", call, err)
	}
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("%s = %s, want %s", call, show(got), show(expected))
	}
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(b)
}

func testDevice(t *testing.T, s registrar.Store) {
	ctx := t.Context()
	d := device(1)
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{d}})
	got, err := s.Device(ctx, d.Domain, d.ID)
	want(t, "Device", got, err, device(1))
	got, err = s.DeviceBySerialNumber(ctx, d.Domain, "acme", "SN-1")
	want(t, "DeviceBySerialNumber", got, err, device(1))

	d.State, d.IDevID, d.SeenAt = registrar.Suspended, nil, time.Time{}
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{d}})
	got, err = s.Device(ctx, d.Domain, d.ID)
	want(t, "Device after it was replaced", got, err, d)

	local := *d
	local.SeenAt = at(9).Add(789 * time.Nanosecond).In(time.FixedZone("far", 3600))
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{&local}})
	got, err = s.Device(ctx, d.Domain, d.ID)
	local.SeenAt = at(9)
	want(t, "Device seen in another zone", got, err, &local)
}

// A name is that of the device that has it now, however often it was looked up before.
func testDeviceName(t *testing.T, s registrar.Store) {
	ctx, domain := t.Context(), registrar.DefaultDomain
	first, second := device(1), device(2)
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{first, second}})
	for range 2 {
		got, err := s.DeviceBySerialNumber(ctx, domain, "acme", "SN-1")
		want(t, "DeviceBySerialNumber", got, err, first)
	}
	first.SerialNumber = "SN-9"
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{first}})
	if got, err := s.DeviceBySerialNumber(ctx, domain, "acme", "SN-1"); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("DeviceBySerialNumber by the name it had = %v, %v; want ErrNotFound", got, err)
	}
	second.SerialNumber, second.SeenAt = "SN-1", at(5)
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{second}})
	got, err := s.DeviceBySerialNumber(ctx, domain, "acme", "SN-1")
	want(t, "DeviceBySerialNumber by the name of another before", got, err, second)
	second.State = registrar.Suspended
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{second}})
	got, err = s.DeviceBySerialNumber(ctx, domain, "acme", "SN-1")
	want(t, "DeviceBySerialNumber after the device changed", got, err, second)
	got.State = registrar.Expected // the caller's own
	got, err = s.DeviceBySerialNumber(ctx, domain, "acme", "SN-1")
	want(t, "DeviceBySerialNumber after a caller changed what it got", got, err, second)
}

func testDeviceConflict(t *testing.T, s registrar.Store) {
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{device(1)}})
	second := device(2)
	second.SerialNumber = "SN-1"
	wantConflict(t, s, "the same serial number again", &registrar.Change{PutDevices: []*registrar.Device{second}})
	second.Manufacturer = "other"
	commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{second}})
	found, err := s.FindDevices(t.Context(), registrar.DefaultDomain, "SN-1")
	want(t, "FindDevices", found, err, []*registrar.Device{device(1), second})
}

func testListDevices(t *testing.T, s registrar.Store) {
	for _, n := range []int{3, 1, 4, 2} {
		commit(t, s, &registrar.Change{PutDevices: []*registrar.Device{device(n)}})
	}
	got, err := s.ListDevices(t.Context(), registrar.DefaultDomain, "", 3)
	want(t, "ListDevices", got, err, []*registrar.Device{device(1), device(2), device(3)})
	got, err = s.ListDevices(t.Context(), registrar.DefaultDomain, id(3), 3)
	want(t, "ListDevices after the third", got, err, []*registrar.Device{device(4)})
}

func testAtomic(t *testing.T, s registrar.Store) {
	commit(t, s, &registrar.Change{Intents: []*registrar.Certificate{intent(1, 1, "k")}})
	before, err := s.TrailEntries(t.Context(), registrar.DefaultDomain, "", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	wantConflict(t, s, "a good device, a good intent and a taken serial number", &registrar.Change{
		PutDevices: []*registrar.Device{device(1)},
		Intents:    []*registrar.Certificate{intent(2, 1, "k"), intent(1, 1, "k")},
		Trail:      []*trail.Entry{{At: at(1), Domain: registrar.DefaultDomain, Kind: "certificate-intended"}},
	})
	if _, err := s.Device(t.Context(), registrar.DefaultDomain, id(1)); !errors.Is(err, registrar.ErrNotFound) {
		t.Errorf("Device of the refused change: error %v, want ErrNotFound", err)
	}
	open, err := s.OpenIntents(t.Context())
	want(t, "OpenIntents", open, err, []*registrar.Certificate{intent(1, 1, "k")})
	after, err := s.TrailEntries(t.Context(), registrar.DefaultDomain, "", 0, 100)
	want(t, "TrailEntries after the refused change", after, err, before)
	if err := s.Commit(t.Context(), &registrar.Change{}); err != nil {
		t.Errorf("Commit of an empty change: %v", err)
	}
}

// testConcurrent has pairs of changes race for one serial number and one
// device, among others that nobody contests.
func testConcurrent(t *testing.T, s registrar.Store) {
	const pairs = 24
	type answer struct {
		n   int
		err error
	}
	answers := make(chan answer)
	for n := range 2 * pairs {
		go func() {
			c := &registrar.Change{
				PutDevices: []*registrar.Device{device(1000 + n)},
				Intents:    []*registrar.Certificate{intent(n/2, n, "k")},
				Trail:      []*trail.Entry{{At: at(1), Domain: registrar.DefaultDomain, Kind: "race", Device: id(n)}},
			}
			answers <- answer{n, s.Commit(context.WithoutCancel(t.Context()), c)}
		}()
	}
	won := map[int]int{} // device by serial number
	for range 2 * pairs {
		a := <-answers
		switch {
		case a.err == nil:
			if first, ok := won[a.n/2]; ok {
				t.Errorf("serial %d went to both %d and %d", a.n/2, first, a.n)
			}
			won[a.n/2] = a.n
		case !errors.Is(a.err, registrar.ErrConflict):
			t.Errorf("Commit: %v", a.err)
		}
	}
	for n := range 2 * pairs {
		_, err := s.Device(t.Context(), registrar.DefaultDomain, id(1000+n))
		entries, terr := s.TrailEntries(t.Context(), registrar.DefaultDomain, id(n), 0, 10)
		isIn := err == nil && terr == nil && len(entries) == 1
		if isIn != (won[n/2] == n) {
			t.Errorf("change %d: device %v, %d trail entries; winner of the pair is %d", n, err, len(entries), won[n/2])
		}
	}
	if len(won) != pairs {
		t.Errorf("%d of %d serial numbers were won", len(won), pairs)
	}
}
