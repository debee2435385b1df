package token

import (
	"errors"
	"fmt"
)

// Code is what a function of PKCS#11 returned (CK_RV), not CKR_OK.
type Code uint

// The codes that something follows from here (PKCS#11 v2.40, Section 5.1).
const (
	GeneralError               Code = 0x05
	FunctionFailed             Code = 0x06
	DeviceError                Code = 0x30
	DeviceMemory               Code = 0x31
	DeviceRemoved              Code = 0x32
	KeyHandleInvalid           Code = 0x60
	MechanismInvalid           Code = 0x70
	MechanismParamInvalid      Code = 0x71
	ObjectHandleInvalid        Code = 0x82
	OperationActive            Code = 0x90
	OperationNotInitialized    Code = 0x91
	PINIncorrect               Code = 0xa0
	PINLenRange                Code = 0xa2
	PINExpired                 Code = 0xa3
	PINLocked                  Code = 0xa4
	SessionClosed              Code = 0xb0
	SessionCount               Code = 0xb1
	SessionHandleInvalid       Code = 0xb3
	SlotIDInvalid              Code = 0x03
	TokenNotPresent            Code = 0xe0
	TokenNotRecognized         Code = 0xe1
	UserNotLoggedIn            Code = 0x101
	UserAlreadyLoggedIn        Code = 0x100
	CryptokiNotInitialized     Code = 0x190
	CryptokiAlreadyInitialized Code = 0x191
)

// Error names the code as PKCS#11 does, where something follows from it.
func (c Code) Error() string {
	name, ok := map[Code]string{
		GeneralError: "CKR_GENERAL_ERROR", FunctionFailed: "CKR_FUNCTION_FAILED", DeviceError: "CKR_DEVICE_ERROR",
		DeviceMemory: "CKR_DEVICE_MEMORY", DeviceRemoved: "CKR_DEVICE_REMOVED", KeyHandleInvalid: "CKR_KEY_HANDLE_INVALID",
		MechanismInvalid: "CKR_MECHANISM_INVALID", MechanismParamInvalid: "CKR_MECHANISM_PARAM_INVALID",
		ObjectHandleInvalid: "CKR_OBJECT_HANDLE_INVALID", OperationActive: "CKR_OPERATION_ACTIVE",
		OperationNotInitialized: "CKR_OPERATION_NOT_INITIALIZED", PINIncorrect: "CKR_PIN_INCORRECT", PINLenRange: "CKR_PIN_LEN_RANGE",
		PINExpired: "CKR_PIN_EXPIRED", PINLocked: "CKR_PIN_LOCKED", SessionClosed: "CKR_SESSION_CLOSED", SessionCount: "CKR_SESSION_COUNT",
		SessionHandleInvalid: "CKR_SESSION_HANDLE_INVALID", SlotIDInvalid: "CKR_SLOT_ID_INVALID", TokenNotPresent: "CKR_TOKEN_NOT_PRESENT",
		TokenNotRecognized: "CKR_TOKEN_NOT_RECOGNIZED", UserNotLoggedIn: "CKR_USER_NOT_LOGGED_IN", UserAlreadyLoggedIn: "CKR_USER_ALREADY_LOGGED_IN",
		CryptokiNotInitialized: "CKR_CRYPTOKI_NOT_INITIALIZED", CryptokiAlreadyInitialized: "CKR_CRYPTOKI_ALREADY_INITIALIZED",
	}[c]
	if !ok {
		return fmt.Sprintf("pkcs11: CKR %#x", uint(c))
	}
	return "pkcs11: " + name
}

// remedy is what may help against an error.
type remedy int

const (
	nothing remedy = iota // the answer will be the same
	session               // a new session
	restart               // the library started again
)

// against returns what may help. Where in doubt it is more than needed.
func against(err error) remedy {
	var c Code
	switch {
	case errors.Is(err, ErrWrongSignature):
		return session
	case errors.Is(err, ErrNoToken):
		return restart // a token that came back is seen then
	case !errors.As(err, &c):
		return nothing
	}
	switch c {
	case SessionHandleInvalid, SessionClosed, KeyHandleInvalid, ObjectHandleInvalid, OperationActive, OperationNotInitialized, UserNotLoggedIn:
		return session
	case GeneralError, FunctionFailed, DeviceError, DeviceRemoved, TokenNotPresent, TokenNotRecognized, SlotIDInvalid, CryptokiNotInitialized:
		return restart
	default:
		return nothing
	}
}

// fault reports whether an error speaks against the token, and not against the
// one call.
func fault(err error) bool {
	return err != nil && (against(err) != nothing || errors.Is(err, ErrHung))
}
