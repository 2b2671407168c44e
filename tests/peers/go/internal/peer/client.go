package peer

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	gcli "github.com/go-micro/plugins/v4/client/grpc"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/metadata"
	"go-micro.dev/v4/selector"
)

// NewClient returns a client and the options for each of its calls.
func NewClient() (client.Client, []client.CallOption) {
	return newClient(*Protocol, *addr)
}

// NewNext returns a client for the server at -next and the options for each of its calls.
func NewNext() (client.Client, []client.CallOption) {
	if *nextProtocol == "" {
		*nextProtocol = *Protocol
	}
	return newClient(*nextProtocol, *Next)
}

func newClient(protocol, addr string) (client.Client, []client.CallOption) {
	r, tr, br := parts()
	o := []client.Option{client.Selector(selector.NewSelector(selector.Registry(r))), client.Registry(r), client.Broker(br), client.Transport(tr),
		client.Retries(*retries)}
	if *ct != "" {
		o = append(o, client.ContentType(*ct))
	}
	var co []client.CallOption
	if addr != "" && addr != "127.0.0.1:0" {
		co = append(co, client.WithAddress(strings.Split(addr, ",")...))
	}
	if *closec {
		co = append(co, client.WithConnClose())
	}
	if *conto > 0 {
		co = append(co, func(o *client.CallOptions) { o.ConnectionTimeout = *conto })
	}
	if *stto > 0 {
		co = append(co, client.WithStreamTimeout(*stto))
	}
	if protocol == "mucp" {
		return client.NewClient(o...), co
	}
	if c := tlsConfig(); c != nil {
		o = append(o, gcli.AuthTLS(c))
	} else if *secure {
		o = append(o, gcli.AuthTLS(&tls.Config{}))
	}
	return gcli.NewClient(o...), co
}

// Difference is the error of a call that went well and gave another value than expected.
type Difference string

func (d Difference) Error() string { return string(d) }

// Load makes -n calls in each of -parallel workers. It prints a line for each that fails, which begins with ERR or,
// for a Difference, DIFF, and then the label if there is one. It returns the number of failed calls.
func Load(label string, call func(context.Context) error) int {
	if label != "" {
		label += " "
	}
	base := context.Background()
	if *md != "" {
		m := metadata.Metadata{}
		for _, kv := range strings.Split(*md, ",") {
			k, v, ok := strings.Cut(kv, "=")
			if !ok {
				log.Fatalf("-metadata: %q is not k=v", kv)
			}
			m[k] = v
		}
		base = metadata.NewContext(base, m)
	}
	failed := make(chan int, *Parallel)
	for w := 0; w < *Parallel; w++ {
		go func() {
			bad := 0
			for i := 0; i < *Repeat; i++ {
				ctx, cancel := base, func() {}
				if *timeout > 0 {
					ctx, cancel = context.WithTimeout(base, *timeout)
				}
				t0 := time.Now()
				if err := call(ctx); err != nil {
					bad++
					if d, ok := err.(Difference); ok {
						fmt.Fprintf(Out, "DIFF %s%v\n", label, d)
					} else {
						fmt.Fprintf(Out, "ERR %s%T %v (%v)\n", label, err, err, time.Since(t0).Round(time.Millisecond))
					}
				}
				cancel()
			}
			failed <- bad
		}()
	}
	bad := 0
	for w := 0; w < *Parallel; w++ {
		bad += <-failed
	}
	return bad
}

// Exit ends the process with code 1 if any of the calls failed.
func Exit(failed, calls int) {
	if failed > 0 {
		fmt.Fprintf(Out, "FAILED %d of %d\n", failed, calls)
		os.Exit(1)
	}
}

// Say prints a line about a call that went well, unless there are more than three calls.
func Say(format string, a ...interface{}) {
	if *Repeat**Parallel <= 3 {
		fmt.Fprintf(Out, format+"\n", a...)
	}
}

// Show says "OK" and the value as JSON.
func Show(v interface{}) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(err.Error())
	}
	Say("OK %s", b)
}
