package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/golang/protobuf/jsonpb"
	mcodec "go-micro.dev/v4/codec"
	mjson "go-micro.dev/v4/codec/json"
	mjsonrpc "go-micro.dev/v4/codec/jsonrpc"
	mproto "go-micro.dev/v4/codec/proto"
	mprotorpc "go-micro.dev/v4/codec/protorpc"
	"google.golang.org/protobuf/encoding/protojson"

	pb "micropeers/proto/kitchenpb"
)

// codec is one column of the table.
type codec struct {
	name  string
	write func(*pb.Dish) ([]byte, error)
	read  func([]byte, *pb.Dish) error
}

var codecs = []codec{
	// The reader is go-micro's. The writer sorts the entries of maps, which go-micro's does not, so that the bytes
	// are the same in every run.
	{"protobuf", canonical, reader(mproto.NewCodec, mcodec.Request)},
	{"json", writer(mjson.NewCodec, mcodec.Request), reader(mjson.NewCodec, mcodec.Request)},
	{"json_rpc_payload", jsonrpcPayload, readJSONRPCPayload},
	{"json_rpc_request", writer(mjsonrpc.NewCodec, mcodec.Request), reader(mjsonrpc.NewCodec, mcodec.Request)},
	{"json_rpc_reply", writer(mjsonrpc.NewCodec, mcodec.Response), reader(mjsonrpc.NewCodec, mcodec.Response)},
	{"proto_rpc_request", writer(mprotorpc.NewCodec, mcodec.Request), reader(mprotorpc.NewCodec, mcodec.Request)},
	{"proto_rpc_reply", writer(mprotorpc.NewCodec, mcodec.Response), reader(mprotorpc.NewCodec, mcodec.Response)},
	// The codecs of the gRPC plugins are not exported. These are the calls that they make
	// (jsonCodec in server/grpc v1.2.0 and in client/grpc v1.2.1).
	{"grpc_server", writeGRPCServer, readGRPCServer},
	{"grpc_client", writeGRPCClient, readGRPCClient},
	{"encoding_json",
		func(d *pb.Dish) ([]byte, error) { return json.Marshal(d) },
		func(b []byte, d *pb.Dish) error { return json.Unmarshal(b, d) }},
}

// conn is the connection of a codec: it reads what was given and keeps what was written.
type conn struct{ bytes.Buffer }

func (c *conn) Close() error { return nil }

// writer writes a message as go-micro's client (Request) or server (Response) does.
func writer(open mcodec.NewCodec, t mcodec.MessageType) func(*pb.Dish) ([]byte, error) {
	return func(d *pb.Dish) ([]byte, error) {
		c := &conn{}
		m := &mcodec.Message{Type: t, Id: "0", Target: "kitchen", Method: "Kitchen.Echo", Endpoint: "Kitchen.Echo"}
		err := open(c).Write(m, d)
		return append([]byte{}, c.Bytes()...), err
	}
}

// reader reads a message as go-micro's server (Request) or client (Response) does.
func reader(open mcodec.NewCodec, t mcodec.MessageType) func([]byte, *pb.Dish) error {
	return func(b []byte, d *pb.Dish) (err error) {
		defer caught(&err)
		c := &conn{}
		c.Write(b)
		codec := open(c)
		m := &mcodec.Message{}
		if err := codec.ReadHeader(m, t); err != nil {
			return err
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		return codec.ReadBody(d)
	}
}

// caught turns a panic of a codec into an error: go-micro's json-rpc codec panics where "params" is missing.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

func jsonrpcPayload(d *pb.Dish) ([]byte, error) {
	b, err := writer(mjsonrpc.NewCodec, mcodec.Request)(d)
	if err != nil {
		return nil, err
	}
	var request struct{ Params []json.RawMessage }
	if err := json.Unmarshal(b, &request); err != nil {
		return nil, err
	}
	return request.Params[0], nil
}

func readJSONRPCPayload(b []byte, d *pb.Dish) error {
	line := append(append([]byte(`{"params":[`), b...), `],"id":"0","method":"Kitchen.Echo"}`...)
	return reader(mjsonrpc.NewCodec, mcodec.Request)(line, d)
}

func writeGRPCServer(d *pb.Dish) ([]byte, error) {
	s, err := (&jsonpb.Marshaler{OrigName: true}).MarshalToString(d)
	return []byte(s), err
}

func readGRPCServer(b []byte, d *pb.Dish) (err error) {
	defer caught(&err)
	if len(b) == 0 {
		return nil
	}
	return jsonpb.Unmarshal(bytes.NewReader(b), d)
}

func writeGRPCClient(d *pb.Dish) ([]byte, error) { return protojson.Marshal(d) }

func readGRPCClient(b []byte, d *pb.Dish) (err error) {
	defer caught(&err)
	if len(b) == 0 {
		return nil
	}
	return protojson.Unmarshal(b, d)
}
