package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"go-micro.dev/v4/client"
	dpb "go-micro.dev/v4/debug/proto"
	merr "go-micro.dev/v4/errors"

	"micropeers/internal/peer"
	pb "micropeers/proto/greeterpb"
)

// caller returns the function that makes the call named by -call once.
func caller(c client.Client, co []client.CallOption) func(context.Context) error {
	g := pb.NewGreeterService(*peer.Name, c)
	num := int64(0)
	var published atomic.Int64
	fmt.Sscan(*arg, &num)
	return func(ctx context.Context) error {
		switch *call {
		case "hello":
			return show(g.Hello(ctx, &pb.HelloRequest{Name: *arg}, co...))
		case "fail":
			rsp, err := g.Fail(ctx, &pb.FailRequest{Kind: *arg, Detail: *arg2}, co...)
			if err != nil {
				b, _ := json.Marshal(merr.Parse(err.Error()))
				peer.Say("PARSED %s", b)
			}
			return show(rsp, err)
		case "sleep":
			return show(g.Sleep(ctx, &pb.SleepRequest{Ms: num}, co...))
		case "echo":
			return show(g.Echo(ctx, &pb.EchoRequest{Key: *arg}, co...))
		case "count":
			return count(ctx, g, co, num)
		case "sum":
			return sum(ctx, c, co, num)
		case "collect":
			return collect(ctx, c, co, num)
		case "raw": // endpoint in -arg, name in -arg2
			rsp := new(pb.HelloResponse)
			return show(rsp, c.Call(ctx, c.NewRequest(*peer.Name, *arg, &pb.HelloRequest{Name: *arg2}), rsp, co...))
		case "publish":
			name := *arg
			if *peer.Repeat**peer.Parallel > 1 {
				name = fmt.Sprintf("%s-%d", name, published.Add(1))
			}
			err := c.Publish(ctx, c.NewMessage(*peer.Topic, &pb.HelloRequest{Name: name}))
			time.Sleep(*pace) // the http broker drops what is published while 64 events wait for their turn
			return err
		case "lookup":
			services, err := c.Options().Registry.GetService(*peer.Name)
			return show(&services, err)
		case "health":
			return show(dpb.NewDebugService(*peer.Name, c).Health(ctx, &dpb.HealthRequest{}, co...))
		case "stats":
			return show(dpb.NewDebugService(*peer.Name, c).Stats(ctx, &dpb.StatsRequest{}, co...))
		}
		return fmt.Errorf("unknown call %s", *call)
	}
}

func show[T any](rsp *T, err error) error {
	if err == nil {
		peer.Show(rsp)
	}
	return err
}

func count(ctx context.Context, g pb.GreeterService, co []client.CallOption, to int64) error {
	s, err := g.Count(ctx, &pb.CountRequest{To: to, Fail: *arg2 == "fail"}, co...)
	if err != nil {
		return err
	}
	if !*silent {
		defer s.Close()
	}
	for {
		m, err := s.Recv()
		if err == io.EOF {
			peer.Say("EOF")
			return nil
		}
		if err != nil {
			return err
		}
		peer.Show(m)
	}
}

func sum(ctx context.Context, c client.Client, co []client.CallOption, to int64) error {
	s, err := c.Stream(ctx, c.NewRequest(*peer.Name, "Greeter.Sum", &pb.SumRequest{}), co...)
	if err != nil {
		return err
	}
	for i := int64(1); i <= to; i++ {
		if err := s.Send(&pb.SumRequest{N: i, Fail: *arg2 == "fail" && i == to}); err != nil {
			return err
		}
		m := new(pb.SumResponse)
		if err := s.Recv(m); err != nil {
			s.Close()
			return err
		}
		peer.Show(m)
	}
	if *silent {
		return nil
	}
	return s.Close()
}

func collect(ctx context.Context, c client.Client, co []client.CallOption, to int64) error {
	s, err := c.Stream(ctx, c.NewRequest(*peer.Name, "Greeter.Collect", &pb.SumRequest{}), co...)
	if err != nil {
		return err
	}
	for i := int64(1); i <= to; i++ {
		if err := s.Send(&pb.SumRequest{N: i}); err != nil {
			return err
		}
	}
	if *peer.Protocol == "grpc" {
		err = s.CloseSend()
	} else {
		err = s.Send(&pb.SumRequest{}) // the end marker: mucp has no half-close
	}
	if err != nil {
		return err
	}
	m := new(pb.SumResponse)
	if err := s.Recv(m); err != nil {
		return err
	}
	peer.Show(m)
	// The server ends the stream after its single message.
	peer.Say("after: %v", s.Recv(new(pb.SumResponse)))
	if *silent {
		return nil
	}
	return s.Close()
}
