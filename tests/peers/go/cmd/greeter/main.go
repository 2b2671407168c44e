// Command greeter is a go-micro v4.11.0 service or a client of it, over mucp (the default HTTP transport)
// or the gRPC plugins.
package main

import (
	"flag"
	"log"
	"time"

	"go-micro.dev/v4/client"
	dhandler "go-micro.dev/v4/debug/handler"
	"go-micro.dev/v4/server"

	"micropeers/internal/peer"
	pb "micropeers/proto/greeterpb"
)

var (
	call   = flag.String("call", "hello", "hello|fail|sleep|echo|count|sum|collect|raw|publish|lookup|health|stats")
	arg    = flag.String("arg", "world", "argument of the call")
	arg2   = flag.String("arg2", "", "second argument of the call")
	debug  = flag.Bool("debug_handler", true, "server: register the Debug handler")
	pace   = flag.Duration("pace", 0, "pause after each message that Count and Collect send (without it go-micro's buffer reuse may change messages), and after each event that is published")
	hold   = flag.Duration("hold", 0, "server: how long each Hello takes")
	trace  = flag.Bool("trace", false, "server: print RAN and the name of each Hello")
	silent = flag.Bool("silent_close", false, "client: do not close streams")
)

func main() {
	peer.Parse("greeter")
	if *peer.Mode == "client" {
		c, co := peer.NewClient()
		failed := peer.Load("", caller(c, co))
		if *call == "publish" {
			time.Sleep(time.Second) // the http broker sends after Publish has returned
		}
		peer.Exit(failed, *peer.Repeat**peer.Parallel)
		return
	}
	s := peer.NewServer()
	if err := pb.RegisterGreeterHandler(s, newGreeter()); err != nil {
		log.Fatal(err)
	}
	if *debug {
		if err := s.Handle(s.NewHandler(dhandler.NewHandler(client.DefaultClient), server.InternalHandler(true))); err != nil {
			log.Fatal(err)
		}
	}
	if *peer.Topic != "" {
		if err := s.Subscribe(s.NewSubscriber(*peer.Topic, event, server.SubscriberQueue(*peer.Queue))); err != nil {
			log.Fatal(err)
		}
	}
	peer.Serve(s)
}
