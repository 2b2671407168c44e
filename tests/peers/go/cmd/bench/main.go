// Command bench is go-micro v4.11.0 under load: a server, or a closed-loop client that prints one line of JSON.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	gcli "github.com/go-micro/plugins/v4/client/grpc"
	gsrv "github.com/go-micro/plugins/v4/server/grpc"
	"go-micro.dev/v4/client"
	"go-micro.dev/v4/registry"
	"go-micro.dev/v4/server"

	"micropeers/internal/harness"
	pb "micropeers/proto/benchpb"
)

var (
	impl = flag.String("impl", "micro", "micro (mucp over the default HTTP transport) | microgrpc (the gRPC plugins)")
	ct   = flag.String("content_type", "", "client: content type (default: protobuf)")
)

// Echo is registered as it is: the handler's name on the wire is the name of the type.
type Echo struct{}

func (e *Echo) Unary(ctx context.Context, in, out *pb.Msg) error {
	out.Payload = in.Payload
	return nil
}

func (e *Echo) ServerStream(ctx context.Context, s server.Stream) error {
	var r pb.StreamReq
	if err := s.Recv(&r); err != nil {
		return err
	}
	m := &pb.Msg{Payload: make([]byte, r.Size)}
	for i := uint32(0); i < r.Count; i++ {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (e *Echo) Bidi(ctx context.Context, s server.Stream) error {
	for {
		m := new(pb.Msg)
		if err := s.Recv(m); err != nil {
			return nil
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
}

func main() {
	out := os.Stdout
	os.Stdout = os.Stderr // go-micro's logger prints to os.Stdout
	if len(os.Args) < 2 || os.Args[1] != "server" && os.Args[1] != "client" {
		log.Fatal("usage: bench server|client [flags]; bench client -h lists them")
	}
	flag.CommandLine.Parse(os.Args[2:])
	if os.Args[1] == "server" {
		s := newServer()
		harness.Check(s.Handle(s.NewHandler(new(Echo))))
		harness.Check(s.Start())
		fmt.Fprintf(out, "READY %s\n", s.Options().Address)
		select {}
	}
	c := newClient()
	call(c, nil)
	harness.Run(out, func(i int, r *harness.Rec) {
		p := make([]byte, *harness.Size)
		for k := range p {
			p[k] = byte(i)
		}
		switch *harness.Workload {
		case "unary":
			for !r.Stop() {
				t := time.Now()
				if n := len(call(c, p)); n != len(p) {
					harness.Check(fmt.Errorf("sent %d bytes, got %d", len(p), n))
				}
				r.Lat(t)
			}
		case "ss":
			for !r.Stop() {
				serverStream(c, r)
			}
		case "bidi":
			bidi(c, r, p)
		default:
			log.Fatalf("unknown workload %q", *harness.Workload)
		}
	})
}

func newServer() server.Server {
	o := []server.Option{server.Name("bench.Echo"), server.Address(*harness.Addr), server.Registry(registry.NewMemoryRegistry())}
	if *impl == "microgrpc" {
		return gsrv.NewServer(o...)
	}
	return server.NewServer(o...)
}

func newClient() client.Client {
	o := []client.Option{client.Registry(registry.NewMemoryRegistry()), client.RequestTimeout(30 * time.Second)}
	if *impl == "microgrpc" {
		if *ct == "" {
			*ct = "application/grpc+proto"
		}
		return gcli.NewClient(append(o, client.ContentType(*ct))...)
	}
	if *ct == "" {
		*ct = "application/protobuf"
	}
	return client.NewClient(append(o, client.ContentType(*ct))...)
}

func call(c client.Client, payload []byte) []byte {
	out := new(pb.Msg)
	req := c.NewRequest("bench.Echo", "Echo.Unary", &pb.Msg{Payload: payload})
	harness.Check(c.Call(context.Background(), req, out, client.WithAddress(*harness.Addr)))
	return out.Payload
}

func open(c client.Client, endpoint string, first interface{}) client.Stream {
	req := c.NewRequest("bench.Echo", endpoint, first, client.StreamingRequest())
	s, err := c.Stream(context.Background(), req, client.WithAddress(*harness.Addr))
	harness.Check(err)
	return s
}

func serverStream(c client.Client, r *harness.Rec) {
	s := open(c, "Echo.ServerStream", &pb.StreamReq{})
	harness.Check(s.Send(&pb.StreamReq{Count: uint32(*harness.Count), Size: uint32(*harness.Size)}))
	for k := 0; k < *harness.Count && !r.Stop(); k++ {
		harness.Check(s.Recv(new(pb.Msg)))
		r.Add(1)
	}
	if !r.Stop() {
		s.Close()
	}
}

func bidi(c client.Client, r *harness.Rec, p []byte) {
	s := open(c, "Echo.Bidi", &pb.Msg{})
	for !r.Stop() {
		t := time.Now()
		harness.Check(s.Send(&pb.Msg{Payload: p}))
		harness.Check(s.Recv(new(pb.Msg)))
		r.Lat(t)
	}
}
