package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	md "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "micropeers/proto/greeterpb"
)

func serve() {
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: *service,
		HandlerType: (*interface{})(nil),
		Methods:     []grpc.MethodDesc{unary("Hello", hello), unary("Fail", fail), unary("Sleep", sleep), unary("Echo", echo)},
		Streams: []grpc.StreamDesc{
			{StreamName: "Count", Handler: count, ServerStreams: true},
			{StreamName: "Sum", Handler: sum, ServerStreams: true, ClientStreams: true},
			{StreamName: "Collect", Handler: collect, ClientStreams: true},
		},
	}, struct{}{})
	l, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ch
		s.GracefulStop()
	}()
	fmt.Printf("READY %s\n", l.Addr())
	if err := s.Serve(l); err != nil {
		log.Fatal(err)
	}
}

func unary[Q, R any](name string, f func(context.Context, *Q) (*R, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ interface{}, ctx context.Context, dec func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
		in := new(Q)
		if err := dec(in); err != nil {
			return nil, err
		}
		return f(ctx, in)
	}}
}

func hello(ctx context.Context, in *pb.HelloRequest) (*pb.HelloResponse, error) {
	return &pb.HelloResponse{Msg: "Hello " + in.Name}, nil
}

// fail answers with the status code in Kind and a detail that is no error of go-micro's.
func fail(ctx context.Context, in *pb.FailRequest) (*pb.HelloResponse, error) {
	code, err := strconv.Atoi(in.Kind)
	if err != nil {
		code = int(codes.Unknown)
	}
	st, err := status.New(codes.Code(code), in.Detail).WithDetails(wrapperspb.String("detail"))
	if err != nil {
		return nil, err
	}
	grpc.SetTrailer(ctx, md.Pairs("retry-after", "3"))
	return nil, st.Err()
}

func sleep(ctx context.Context, in *pb.SleepRequest) (*pb.HelloResponse, error) {
	log.Printf("BEGIN %d", in.Ms)
	select {
	case <-time.After(time.Duration(in.Ms) * time.Millisecond):
		return &pb.HelloResponse{Msg: "slept"}, nil
	case <-ctx.Done():
		log.Printf("DROPPED %v", ctx.Err())
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func echo(ctx context.Context, in *pb.EchoRequest) (*pb.EchoResponse, error) {
	out := &pb.EchoResponse{Metadata: map[string]string{}}
	if m, ok := md.FromIncomingContext(ctx); ok {
		for k, v := range m {
			joined := strings.Join(v, ",")
			if strings.HasSuffix(k, "-bin") {
				joined = hex.EncodeToString([]byte(joined))
			}
			out.Metadata[k] = joined
		}
	}
	if d, ok := ctx.Deadline(); ok {
		out.DeadlineNs = int64(time.Until(d))
	}
	grpc.SetHeader(ctx, md.Pairs("head", "yes", "both-bin", string([]byte{0, 1, 254})))
	grpc.SetTrailer(ctx, md.Pairs("tail", "yes"))
	return out, nil
}

func count(_ interface{}, s grpc.ServerStream) error {
	in := new(pb.CountRequest)
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	for i := int64(1); i <= in.To; i++ {
		if err := s.SendMsg(&pb.CountResponse{N: i}); err != nil {
			log.Printf("DROPPED %v", err)
			return err
		}
	}
	s.SetTrailer(md.Pairs("tail", "yes"))
	if in.Fail {
		return status.Error(codes.Aborted, "stream failed")
	}
	return nil
}

func sum(_ interface{}, s grpc.ServerStream) error {
	var total int64
	for {
		m := new(pb.SumRequest)
		if err := s.RecvMsg(m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if m.Fail {
			return status.Error(codes.Aborted, "stream failed")
		}
		total += m.N
		if err := s.SendMsg(&pb.SumResponse{Total: total}); err != nil {
			return err
		}
	}
}

func collect(_ interface{}, s grpc.ServerStream) error {
	var total int64
	for {
		m := new(pb.SumRequest)
		if err := s.RecvMsg(m); err == io.EOF {
			return s.SendMsg(&pb.SumResponse{Total: total})
		} else if err != nil {
			return err
		}
		total += m.N
	}
}
