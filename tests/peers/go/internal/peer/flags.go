// Package peer makes a go-micro v4 server or client from command line flags.
// The commands of this module share it.
package peer

import (
	"flag"
	"log"
	"os"
	"strings"

	"github.com/go-micro/plugins/v4/registry/consul"
	"go-micro.dev/v4/broker"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/transport"
)

var (
	Mode     = flag.String("mode", "server", "server | client")
	Protocol = flag.String("protocol", "mucp", "mucp | grpc (the go-micro gRPC plugins)")
	Name     = flag.String("name", "", "service name (default: the name of the command)")
	Repeat   = flag.Int("n", 1, "client: calls of each worker, one after the other")
	Parallel = flag.Int("parallel", 1, "client: workers that share one go-micro client")
	Topic    = flag.String("topic", "", "server: subscribe to the topic; client: publish to it")
	Queue    = flag.String("queue", "", "server: queue of the subscription (default: none, so each subscriber gets each event)")

	Next = flag.String("next", "", "server: pass Sleep and Echo on to the greeter at this address, with the context of the call and what is left of its deadline")

	nextProtocol = flag.String("next_protocol", "", "server: the protocol spoken to -next (default: that of -protocol)")

	addr     = flag.String("address", "127.0.0.1:0", "server: listen address; client: address to call (not given or empty = use the registry)")
	id       = flag.String("id", "", "server: what the node's id ends with (default: random)")
	adv      = flag.String("advertise", "", "server: address to advertise")
	reg      = flag.String("registry", "memory", "memory | mdns | consul")
	regAddr  = flag.String("registry_address", "", "registry addresses, separated by commas")
	baddr    = flag.String("broker_address", "127.0.0.1:0", "address of the http broker")
	ct       = flag.String("content_type", "", "client: content type (default: go-micro's own)")
	md       = flag.String("metadata", "", "client: outgoing metadata, k=v,k=v")
	timeout  = flag.Duration("timeout", 0, "client: context deadline of each call")
	conto    = flag.Duration("conn_timeout", 0, "client: CallOptions.ConnectionTimeout")
	stto     = flag.Duration("stream_timeout", 0, "client: stream timeout")
	retries  = flag.Int("retries", 0, "client: retries")
	closec   = flag.Bool("conn_close", false, "client: WithConnClose")
	secure   = flag.Bool("secure", false, "TLS with go-micro's defaults: the server makes its own certificate, the client trusts the system's roots")
	certFile = flag.String("cert", "", "server: PEM certificate chain to serve (TLS)")
	keyFile  = flag.String("key", "", "server: PEM private key of -cert")
	caFile   = flag.String("ca", "", "client: PEM file with the only roots to trust (TLS)")
	insecure = flag.Bool("insecure", false, "client: TLS without verification")
)

// Out is the standard output. Only the commands themselves write to it.
var Out = os.Stdout

// Parse reads the command line. The service name is name unless -name is given.
func Parse(name string) {
	os.Stdout = os.Stderr // go-micro's logger prints to os.Stdout
	flag.Parse()
	log.SetFlags(log.Lmicroseconds)
	if *Name == "" {
		*Name = name
	}
	if *Mode != "server" && *Mode != "client" {
		log.Fatalf("unknown -mode %q", *Mode)
	}
	if *Protocol != "mucp" && *Protocol != "grpc" {
		log.Fatalf("unknown -protocol %q", *Protocol)
	}
}

// parts returns the registry, transport and broker of the process.
func parts() (registry.Registry, transport.Transport, broker.Broker) {
	var o []registry.Option
	if *regAddr != "" {
		o = append(o, registry.Addrs(strings.Split(*regAddr, ",")...))
	}
	var r registry.Registry
	switch *reg {
	case "memory":
		r = registry.NewMemoryRegistry()
	case "mdns":
		r = registry.NewRegistry(o...)
	case "consul":
		r = consul.NewRegistry(o...)
	default:
		log.Fatalf("unknown -registry %q", *reg)
	}
	to := []transport.Option{transport.Secure(*secure)}
	if c := tlsConfig(); c != nil {
		to = append(to, transport.TLSConfig(c))
	}
	return r, transport.NewHTTPTransport(to...), broker.NewBroker(broker.Registry(r), broker.Addrs(*baddr))
}
