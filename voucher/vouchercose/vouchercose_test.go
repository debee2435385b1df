package vouchercose_test

import (
	"testing"

	"github.com/briskest/briskest/voucher/vouchercose"
	"github.com/briskest/briskest/voucher/vouchertest"
)

func TestFormatKeepsTheContract(t *testing.T) {
	vouchertest.TestFormat(t, vouchercose.Format{})
}
