// Command grpcpeer serves or calls the greeter with plain grpc-go and no go-micro.
// Flags and output are those of the command greeter, as far as it has them.
package main

import (
	"flag"
	"log"
	"os"
)

var (
	mode     = flag.String("mode", "server", "server | client")
	address  = flag.String("address", "127.0.0.1:0", "server: listen address; client: address to call")
	service  = flag.String("service", "greeter.Greeter", "full name of the service")
	call     = flag.String("call", "hello", "hello|fail|sleep|echo|count|sum|collect")
	arg      = flag.String("arg", "world", "argument of the call")
	arg2     = flag.String("arg2", "", "second argument of the call")
	timeout  = flag.Duration("timeout", 0, "client: deadline of the call")
	metadata = flag.String("metadata", "", "client: outgoing metadata, k=v,k=v; of a key that ends in -bin the value is hex")
	gzipped  = flag.Bool("gzip", false, "client: compress requests")
	repeat   = flag.Int("n", 1, "client: calls of each worker, one after the other")
	parallel = flag.Int("parallel", 1, "client: workers that share one connection")
)

func main() {
	flag.Parse()
	log.SetFlags(log.Lmicroseconds)
	switch *mode {
	case "server":
		serve()
	case "client":
		os.Exit(run())
	default:
		log.Fatalf("unknown -mode %q", *mode)
	}
}
