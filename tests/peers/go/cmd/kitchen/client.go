package main

import (
	"context"
	"encoding/json"
	"fmt"

	"go-micro.dev/v4/client"
	merr "go-micro.dev/v4/errors"

	"micropeers/internal/peer"
	"micropeers/internal/recipes"
	pb "micropeers/proto/kitchenpb"
)

// one makes the call named by -call once, with the recipe.
func one(ctx context.Context, k pb.KitchenService, co []client.CallOption, name string) error {
	dish, ok := recipes.Make(name)
	if !ok && *call != "make" { // the server's answer to an unknown recipe is of interest
		return fmt.Errorf("unknown recipe")
	}
	diff := ""
	switch *call {
	case "echo":
		rsp, err := k.Echo(ctx, dish, co...)
		if err != nil {
			return parsed(err)
		}
		diff = recipes.Diff(dish, rsp)
	case "make":
		rsp, err := k.Make(ctx, &pb.MakeRequest{Recipe: name}, co...)
		if err != nil {
			return parsed(err)
		}
		diff = recipes.Diff(dish, rsp)
	case "check":
		rsp, err := k.Check(ctx, &pb.CheckRequest{Recipe: name, Dish: dish}, co...)
		if err != nil {
			return parsed(err)
		}
		if diff = rsp.Difference; rsp.Equal != (diff == "") {
			return fmt.Errorf("the reply says equal=%v and difference=%q", rsp.Equal, diff)
		}
	default:
		return fmt.Errorf("unknown call %s", *call)
	}
	if diff != "" {
		return peer.Difference(diff)
	}
	peer.Say("OK equal %s", name)
	return nil
}

// parsed prints what go-micro's error parser makes of the error.
func parsed(err error) error {
	b, _ := json.Marshal(merr.Parse(err.Error()))
	peer.Say("PARSED %s", b)
	return err
}
