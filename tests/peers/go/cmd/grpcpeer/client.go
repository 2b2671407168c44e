package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	md "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "micropeers/proto/greeterpb"
)

// run makes the calls and returns the exit code.
func run() int {
	var do []grpc.DialOption
	do = append(do, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if *gzipped {
		do = append(do, grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	}
	c, err := grpc.Dial(*address, do...)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	var failed atomic.Int64
	done := make(chan struct{})
	for w := 0; w < *parallel; w++ {
		go func() {
			for i := 0; i < *repeat; i++ {
				if err := once(c); err != nil {
					failed.Add(1)
					st := status.Convert(err)
					fmt.Printf("ERR %d %s\n", st.Code(), st.Message())
					for _, d := range st.Proto().GetDetails() {
						fmt.Printf("DETAIL %s\n", d.GetTypeUrl())
					}
				}
			}
			done <- struct{}{}
		}()
	}
	for w := 0; w < *parallel; w++ {
		<-done
	}
	if n := failed.Load(); n > 0 {
		fmt.Printf("FAILED %d of %d\n", n, *repeat**parallel)
		return 1
	}
	return 0
}

func once(c *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if *timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, *timeout)
		defer cancel()
	}
	if *metadata != "" {
		for _, kv := range strings.Split(*metadata, ",") {
			k, v, _ := strings.Cut(kv, "=")
			if strings.HasSuffix(k, "-bin") {
				b, err := hex.DecodeString(v)
				if err != nil {
					log.Fatal(err)
				}
				v = string(b)
			}
			ctx = md.AppendToOutgoingContext(ctx, k, v)
		}
	}
	num := int64(0)
	fmt.Sscan(*arg, &num)
	switch *call {
	case "hello":
		return invoke(ctx, c, "Hello", &pb.HelloRequest{Name: *arg}, new(pb.HelloResponse))
	case "fail":
		return invoke(ctx, c, "Fail", &pb.FailRequest{Kind: *arg, Detail: *arg2}, new(pb.HelloResponse))
	case "sleep":
		return invoke(ctx, c, "Sleep", &pb.SleepRequest{Ms: num}, new(pb.HelloResponse))
	case "echo":
		return invoke(ctx, c, "Echo", &pb.EchoRequest{Key: *arg}, new(pb.EchoResponse))
	case "count":
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path("Count"))
		if err != nil {
			return err
		}
		if err := s.SendMsg(&pb.CountRequest{To: num, Fail: *arg2 == "fail"}); err != nil {
			return err
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		return drain(s, func() interface{} { return new(pb.CountResponse) })
	case "sum":
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, path("Sum"))
		if err != nil {
			return err
		}
		for i := int64(1); i <= num; i++ {
			if err := s.SendMsg(&pb.SumRequest{N: i, Fail: *arg2 == "fail" && i == num}); err != nil {
				return err
			}
			m := new(pb.SumResponse)
			if err := s.RecvMsg(m); err != nil {
				return err
			}
			show(m)
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		return drain(s, func() interface{} { return new(pb.SumResponse) })
	case "collect":
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, path("Collect"))
		if err != nil {
			return err
		}
		for i := int64(1); i <= num; i++ {
			if err := s.SendMsg(&pb.SumRequest{N: i}); err != nil {
				return err
			}
		}
		if err := s.CloseSend(); err != nil {
			return err
		}
		m := new(pb.SumResponse)
		if err := s.RecvMsg(m); err != nil {
			return err
		}
		show(m)
		return nil
	}
	return fmt.Errorf("unknown call %s", *call)
}

func path(method string) string { return "/" + *service + "/" + method }

func invoke(ctx context.Context, c *grpc.ClientConn, method string, in, out interface{}) error {
	var head, tail md.MD
	if err := c.Invoke(ctx, path(method), in, out, grpc.Header(&head), grpc.Trailer(&tail)); err != nil {
		return err
	}
	show(out)
	return nil
}

// drain shows what comes until the end of the stream.
func drain(s grpc.ClientStream, next func() interface{}) error {
	for {
		m := next()
		err := s.RecvMsg(m)
		if err == io.EOF {
			if *repeat**parallel <= 3 {
				fmt.Println("EOF")
			}
			return nil
		}
		if err != nil {
			return err
		}
		show(m)
	}
}

func show(m interface{}) {
	if *repeat**parallel > 3 {
		return
	}
	b, err := json.Marshal(m)
	if err != nil {
		b = []byte(err.Error())
	}
	fmt.Printf("OK %s\n", b)
}
