package ocpp

import "strings"

// CriticalSecurity looks a security event up in the standard's list (2.0.1 part
// 2, appendix 1; 2.1 adds one): whether it is critical, and whether it is listed.
func CriticalSecurity(kind string) (critical, listed bool) {
	switch kind {
	case "FirmwareUpdated", "SettingSystemTime", "StartupOfTheDevice", "ResetOrReboot", "SecurityLogWasCleared", "MemoryExhaustion",
		"TamperDetectionActivated", "InvalidFirmwareSignature", "InvalidFirmwareSigningCertificate", "InvalidCsmsCertificate",
		"InvalidCentralSystemCertificate", "InvalidChargingStationCertificate", "InvalidChargePointCertificate",
		"DiscardedRenewedClientCertificate", "InvalidTLSVersion", "InvalidTLSCipherSuite", "MaintenanceLoginAccepted", "MaintenanceLoginFailed":
		return true, true
	case "FailedToAuthenticateAtCsms", "FailedToAuthenticateAtCentralSystem", "CsmsFailedToAuthenticate", "CentralSystemFailedToAuthenticate",
		"ReconfigurationOfSecurityParameters", "InvalidMessages", "AttemptedReplayAttacks":
		return false, true
	}
	return false, false
}

// FirmwareStatus reports whether a word is one of FirmwareStatusEnumType, or of
// 1.6's, which is part of it.
func FirmwareStatus(s string) bool {
	switch s {
	case "Downloaded", "DownloadFailed", "Downloading", "DownloadScheduled", "DownloadPaused", "Idle", "InstallationFailed",
		"Installing", "Installed", "InstallRebooting", "InstallScheduled", "InstallVerificationFailed", "InvalidSignature", "SignatureVerified":
		return true
	}
	return false
}

// SecretKey reports whether a configuration key or variable holds a secret, by
// its name: it is neither written into a record nor sent by a directive.
func SecretKey(key string) bool {
	key = strings.ToLower(key)
	return strings.Contains(key, "password") || strings.Contains(key, "authorizationkey") || strings.Contains(key, "secret")
}
