package peer

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	gsrv "github.com/go-micro/plugins/v4/server/grpc"
	"go-micro.dev/v4/server"
)

// NewServer returns a server that has no handlers yet.
func NewServer() server.Server {
	r, tr, br := parts()
	o := []server.Option{server.Name(*Name), server.Address(*addr), server.Registry(r), server.Broker(br), server.Transport(tr), server.Wait(nil),
		server.RegisterTTL(server.DefaultRegisterTTL), server.RegisterInterval(server.DefaultRegisterInterval)}
	if *id != "" {
		o = append(o, server.Id(*id))
	}
	if *adv != "" {
		o = append(o, server.Advertise(*adv))
	}
	if *Protocol == "mucp" {
		return server.NewServer(o...)
	}
	if c := tlsConfig(); c != nil {
		o = append(o, gsrv.AuthTLS(c))
	} else if *secure {
		log.Fatal("-protocol grpc with -secure needs -cert and -key")
	}
	return gsrv.NewServer(o...)
}

// Serve starts the server, prints "READY host:port" and stops the server on SIGTERM or SIGINT.
func Serve(s server.Server) {
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	fmt.Fprintf(Out, "READY %s\n", s.Options().Address)
	<-ch
	if err := s.Stop(); err != nil {
		log.Print("stop: ", err)
	}
}
