// Command jsontable prints what go-micro v4.11.0 and its gRPC plugins write for a dish in each encoding.
// With -read it reads what another program wrote and prints what go-micro makes of it.
//
// Without -read it prints one line for each recipe and for each field of Dish alone:
//
//	{"case":"nan","protobuf":{"bytes":BASE64,"go_reads":"equal"},"json":{"error":"json: unsupported value: NaN"},...}
//
// With -read each input line is {"case":ANYTHING,"codec":CODEC,"body":BASE64} and its output line is
// {"case":ANYTHING,"codec":CODEC,"protobuf":BASE64} or {"case":ANYTHING,"codec":CODEC,"error":TEXT}.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"

	"google.golang.org/protobuf/proto"

	"micropeers/internal/recipes"
	pb "micropeers/proto/kitchenpb"
)

// cell is what one encoding gave: the bytes and what the same codec reads from them, or the error.
type cell struct {
	Bytes *[]byte `json:"bytes,omitempty"`
	Reads string  `json:"go_reads,omitempty"`
	Error string  `json:"error,omitempty"`
}

type question struct {
	Case  json.RawMessage `json:"case"`
	Codec string          `json:"codec"`
	Body  []byte          `json:"body"`
}

type answer struct {
	Case     json.RawMessage `json:"case,omitempty"`
	Codec    string          `json:"codec"`
	Protobuf *[]byte         `json:"protobuf,omitempty"`
	Error    string          `json:"error,omitempty"`
}

func main() {
	read := flag.Bool("read", false, "read bodies from the standard input instead of printing the table")
	flag.Parse()
	if !*read {
		for _, name := range append(recipes.Names(), recipes.FieldNames()...) {
			fmt.Println(row(name))
		}
		return
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			fmt.Println(reply(line))
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// row returns the line of one recipe: its columns are in the order of the codecs.
func row(name string) string {
	dish, _ := recipes.Make(name)
	line := []byte("{" + `"case":` + string(text(name)))
	for _, c := range codecs {
		line = append(line, `,"`+c.name+`":`+string(text(try(c, dish)))...)
	}
	return string(line) + "}"
}

func try(c codec, dish *pb.Dish) cell {
	b, err := c.write(dish)
	if err != nil {
		return cell{Error: err.Error()}
	}
	got := &pb.Dish{}
	reads := "equal"
	if err := c.read(b, got); err != nil {
		reads = "error: " + err.Error()
	} else if d := recipes.Diff(dish, got); d != "" {
		reads = "different: " + d
	}
	return cell{Bytes: &b, Reads: reads}
}

// reply returns the answer to one line of the input.
func reply(line []byte) string {
	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return string(text(answer{Error: "question: " + err.Error()}))
	}
	a := answer{Case: q.Case, Codec: q.Codec}
	for _, c := range codecs {
		if c.name != q.Codec {
			continue
		}
		got := &pb.Dish{}
		if err := c.read(q.Body, got); err != nil {
			a.Error = err.Error()
			return string(text(a))
		}
		b, err := canonical(got)
		if err != nil {
			a.Error = "dish: " + err.Error()
			return string(text(a))
		}
		a.Protobuf = &b
		return string(text(a))
	}
	a.Error = "unknown codec"
	return string(text(a))
}

// canonical encodes with the entries of maps in the order of their keys.
func canonical(d *pb.Dish) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(d)
	if b == nil {
		b = []byte{} // base64 of nothing, not null
	}
	return b, err
}

func text(v interface{}) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		log.Fatal(err)
	}
	return b
}
