package peer

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"os"
)

// tlsConfig returns the TLS configuration that the flags ask for, nil for go-micro's defaults.
func tlsConfig() *tls.Config {
	if *Mode == "server" {
		if *caFile != "" || *insecure {
			log.Fatal("-ca and -insecure are for the client")
		}
		if (*certFile == "") != (*keyFile == "") {
			log.Fatal("-cert and -key are needed together")
		}
		if *certFile == "" {
			return nil
		}
		c, err := tls.LoadX509KeyPair(*certFile, *keyFile)
		if err != nil {
			log.Fatal(err)
		}
		return &tls.Config{Certificates: []tls.Certificate{c}}
	}
	if *certFile != "" || *keyFile != "" {
		log.Fatal("-cert and -key are for the server")
	}
	if *insecure {
		return &tls.Config{InsecureSkipVerify: true}
	}
	if *caFile == "" {
		return nil
	}
	pem, err := os.ReadFile(*caFile)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		log.Fatalf("%s: no certificate in it", *caFile)
	}
	return &tls.Config{RootCAs: pool}
}
