// Command gogrpc is grpc-go under load: a server, or a closed-loop client that prints one line of JSON.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pb "benchgogrpc/benchpb"
	"benchgogrpc/harness"
)

type echo struct{ pb.UnimplementedEchoServer }

func (echo) Unary(_ context.Context, message *pb.Msg) (*pb.Msg, error) { return message, nil }

func (echo) ServerStream(request *pb.StreamReq, out grpc.ServerStreamingServer[pb.Msg]) error {
	message := &pb.Msg{Payload: make([]byte, request.Size)}
	for i := uint32(0); i < request.Count; i++ {
		if err := out.Send(message); err != nil {
			return err
		}
	}
	return nil
}

func (echo) Bidi(stream grpc.BidiStreamingServer[pb.Msg, pb.Msg]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return nil
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
}

func main() {
	if len(os.Args) < 2 || os.Args[1] != "server" && os.Args[1] != "client" {
		log.Fatal("usage: gogrpc server|client [flags]; gogrpc client -h lists them")
	}
	flag.CommandLine.Parse(os.Args[2:])
	if os.Args[1] == "server" {
		serve()
		return
	}
	clients := make([]pb.EchoClient, *harness.Conns)
	for i := range clients {
		connection, err := grpc.NewClient("passthrough:///"+*harness.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		harness.Check(err)
		clients[i] = pb.NewEchoClient(connection)
		call(clients[i], nil)
	}
	harness.Run(os.Stdout, func(i int, recorder *harness.Rec) {
		client := clients[i%len(clients)]
		payload := make([]byte, *harness.Size)
		switch *harness.Workload {
		case "unary":
			for !recorder.Stop() {
				start := time.Now()
				if n := call(client, payload); n != len(payload) {
					harness.Check(fmt.Errorf("sent %d bytes, got %d", len(payload), n))
				}
				recorder.Lat(start)
			}
		case "ss":
			for !recorder.Stop() {
				serverStream(client, recorder)
			}
		case "bidi":
			bidi(client, recorder, payload)
		default:
			log.Fatalf("unknown workload %q", *harness.Workload)
		}
	})
}

func serve() {
	listener, err := net.Listen("tcp", *harness.Addr)
	harness.Check(err)
	server := grpc.NewServer()
	pb.RegisterEchoServer(server, echo{})
	harness.Check(server.Serve(listener))
}

// call has a deadline and two pairs of metadata, as ours, and gives the length of the reply.
func call(client pb.EchoClient, payload []byte) int {
	pairs := metadata.Pairs("tenant", "blue", "request-kind", "bench")
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(context.Background(), pairs), 10*time.Second)
	defer cancel()
	reply, err := client.Unary(ctx, &pb.Msg{Payload: payload})
	harness.Check(err)
	return len(reply.GetPayload())
}

func serverStream(client pb.EchoClient, recorder *harness.Rec) {
	request := &pb.StreamReq{Count: uint32(*harness.Count), Size: uint32(*harness.Size)}
	stream, err := client.ServerStream(context.Background(), request)
	harness.Check(err)
	for k := 0; k < *harness.Count && !recorder.Stop(); k++ {
		_, err := stream.Recv()
		harness.Check(err)
		recorder.Add(1)
	}
}

func bidi(client pb.EchoClient, recorder *harness.Rec, payload []byte) {
	stream, err := client.Bidi(context.Background())
	harness.Check(err)
	for !recorder.Stop() {
		start := time.Now()
		harness.Check(stream.Send(&pb.Msg{Payload: payload}))
		_, err := stream.Recv()
		harness.Check(err)
		recorder.Lat(start)
	}
}
