package agent

import (
	"cmp"

	"github.com/holdfast-ev/holdfast/access"
	"github.com/holdfast-ev/holdfast/gateway"
)

func (n *NativeConfig) check(k *checker) {
	own := ChargerNativeConfig{n.Mode, n.MessageAttempts, n.RetrySeconds, n.ListMax}
	own.check(k, "native")
}

func (n *ChargerNativeConfig) check(k *checker, path string) {
	k.oneOf(path+".mode", n.Mode, string(gateway.NativeKeep), string(gateway.NativeWatch), string(gateway.NativeOff))
	k.span(path+".message_attempts", n.MessageAttempts, 1, 1000, "tries")
	k.span(path+".retry_seconds", n.RetrySeconds, 1, 3600, "s")
	k.span(path+".list_max", n.ListMax, 1, access.MaxEntries, "entries")
}

// core is the site's wish as the core wants it.
func (n *NativeConfig) core() *gateway.NativeConfig {
	return &gateway.NativeConfig{
		Mode: gateway.NativeMode(n.Mode), UnknownOffline: n.UnknownOffline, Cache: n.Cache,
		Attempts: int(n.MessageAttempts), RetryS: int(n.RetrySeconds), ListMax: int(n.ListMax),
	}
}

// core is a charger's own wish on top of the site's; nil when it has none.
func (n *ChargerNativeConfig) core(site *gateway.NativeConfig) *gateway.NativeConfig {
	if *n == (ChargerNativeConfig{}) {
		return nil
	}
	own := *site
	own.Mode = cmp.Or(gateway.NativeMode(n.Mode), own.Mode)
	own.Attempts = cmp.Or(int(n.MessageAttempts), own.Attempts)
	own.RetryS = cmp.Or(int(n.RetrySeconds), own.RetryS)
	own.ListMax = cmp.Or(int(n.ListMax), own.ListMax)
	return &own
}
