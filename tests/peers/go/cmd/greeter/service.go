package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"go-micro.dev/v4/client"
	merr "go-micro.dev/v4/errors"
	"go-micro.dev/v4/metadata"

	"micropeers/internal/peer"
	pb "micropeers/proto/greeterpb"
)

type Greeter struct {
	// Whom Sleep and Echo are passed on to; nil where they are answered here.
	next pb.GreeterService
	co   []client.CallOption
}

// newGreeter returns the greeter that the flags ask for.
func newGreeter() *Greeter {
	if *peer.Next == "" {
		return &Greeter{}
	}
	c, co := peer.NewNext()
	return &Greeter{next: pb.NewGreeterService(*peer.Name, c), co: co}
}

// options returns the options of a call that is passed on. Over mucp go-micro tells its ConnectionTimeout and not
// the context's deadline, so it is made what is left.
func (g *Greeter) options(ctx context.Context) []client.CallOption {
	d, ok := ctx.Deadline()
	if !ok {
		return g.co
	}
	left := func(o *client.CallOptions) { o.ConnectionTimeout = time.Until(d) }
	return append([]client.CallOption{left}, g.co...)
}

func (g *Greeter) Hello(ctx context.Context, in *pb.HelloRequest, out *pb.HelloResponse) error {
	if *trace {
		fmt.Fprintf(peer.Out, "RAN %s\n", in.Name)
	}
	time.Sleep(*hold)
	out.Msg = "Hello " + in.Name
	return nil
}

func (g *Greeter) Fail(ctx context.Context, in *pb.FailRequest, out *pb.HelloResponse) error {
	switch in.Kind {
	case "notfound":
		return merr.NotFound("greeter.fail", "%s", in.Detail)
	case "internal":
		return merr.InternalServerError("greeter.fail", "%s", in.Detail)
	case "timeout":
		return merr.Timeout("greeter.fail", "%s", in.Detail)
	case "plain":
		return errors.New(in.Detail)
	case "custom":
		return merr.New("greeter.fail", in.Detail, 418)
	case "panic":
		panic(in.Detail)
	case "ctx":
		return context.DeadlineExceeded
	}
	return merr.BadRequest("greeter.fail", "unknown kind %q", in.Kind)
}

func (g *Greeter) Sleep(ctx context.Context, in *pb.SleepRequest, out *pb.HelloResponse) error {
	left := time.Duration(-1)
	if d, ok := ctx.Deadline(); ok {
		left = time.Until(d)
	}
	log.Printf("BEGIN %d", left)
	if g.next != nil {
		rsp, err := g.next.Sleep(ctx, in, g.options(ctx)...)
		if ctx.Err() != nil {
			log.Printf("DROPPED %v", ctx.Err())
		} else {
			log.Print("DONE")
		}
		if err == nil {
			out.Msg = rsp.Msg
		}
		return err
	}
	select {
	case <-time.After(time.Duration(in.Ms) * time.Millisecond):
		out.Msg = "slept"
		return nil
	case <-ctx.Done():
		log.Printf("DROPPED %v", ctx.Err())
		return merr.Timeout("greeter.sleep", "%v", ctx.Err())
	}
}

func (g *Greeter) Echo(ctx context.Context, in *pb.EchoRequest, out *pb.EchoResponse) error {
	if g.next != nil {
		rsp, err := g.next.Echo(ctx, in, g.options(ctx)...)
		if err == nil {
			out.Metadata, out.DeadlineNs = rsp.Metadata, rsp.DeadlineNs
		}
		return err
	}
	out.Metadata = map[string]string{}
	if md, ok := metadata.FromContext(ctx); ok {
		for k, v := range md {
			out.Metadata[k] = v
		}
	}
	if d, ok := ctx.Deadline(); ok {
		out.DeadlineNs = int64(time.Until(d))
	}
	return nil
}

func (g *Greeter) Count(ctx context.Context, in *pb.CountRequest, s pb.Greeter_CountStream) error {
	for i := int64(1); i <= in.To; i++ {
		if err := s.Send(&pb.CountResponse{N: i}); err != nil {
			return err
		}
		time.Sleep(*pace) // go-micro v4.11.0 overwrites queued stream messages when sends follow each other fast
	}
	if in.Fail {
		return merr.Conflict("greeter.count", "stream failed")
	}
	return nil
}

func (g *Greeter) Sum(ctx context.Context, s pb.Greeter_SumStream) error {
	var t int64
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if m.Fail {
			return merr.Conflict("greeter.sum", "stream failed")
		}
		t += m.N
		if err := s.Send(&pb.SumResponse{Total: t}); err != nil {
			return err
		}
	}
}

func (g *Greeter) Collect(ctx context.Context, s pb.Greeter_CollectStream) error {
	var t int64
	for {
		m, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		t += m.N
		if m.N == 0 { // a zero marks the end: mucp has no half-close
			break
		}
	}
	if err := s.SendMsg(&pb.SumResponse{Total: t}); err != nil {
		return err
	}
	time.Sleep(*pace) // else the end of the stream may overwrite the reply
	return nil
}

func event(ctx context.Context, m *pb.HelloRequest) error {
	md, _ := metadata.FromContext(ctx)
	b, err := json.Marshal(map[string]interface{}{"name": m.Name, "metadata": md})
	fmt.Fprintf(peer.Out, "EVENT %s\n", b)
	return err
}
