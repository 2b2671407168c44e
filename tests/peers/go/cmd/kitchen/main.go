// Command kitchen is a go-micro v4.11.0 service or a client of it, for one message that uses all of proto3.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"strings"

	"micropeers/internal/peer"
	"micropeers/internal/recipes"
	pb "micropeers/proto/kitchenpb"
)

var (
	call   = flag.String("call", "echo", "echo | make | check | list (prints the names of the recipes and calls nothing)")
	recipe = flag.String("recipe", "full", "client: recipes, separated by commas; all = each named recipe; fields = each field of Dish alone")
)

func main() {
	peer.Parse("kitchen")
	if *peer.Mode == "server" {
		s := peer.NewServer()
		if err := pb.RegisterKitchenHandler(s, &Kitchen{}); err != nil {
			log.Fatal(err)
		}
		peer.Serve(s)
		return
	}
	names := asked()
	if *call == "list" {
		fmt.Fprintln(peer.Out, strings.Join(names, "\n"))
		return
	}
	c, co := peer.NewClient()
	k := pb.NewKitchenService(*peer.Name, c)
	failed := 0
	for _, name := range names {
		failed += peer.Load(name, func(ctx context.Context) error { return one(ctx, k, co, name) })
	}
	peer.Exit(failed, len(names)**peer.Repeat**peer.Parallel)
}

// asked returns the recipes that -recipe names.
func asked() []string {
	switch *recipe {
	case "all":
		return recipes.Names()
	case "fields":
		return recipes.FieldNames()
	}
	return strings.Split(*recipe, ",")
}
