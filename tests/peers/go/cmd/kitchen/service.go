package main

import (
	"context"

	merr "go-micro.dev/v4/errors"
	"google.golang.org/protobuf/reflect/protoreflect"

	"micropeers/internal/recipes"
	pb "micropeers/proto/kitchenpb"
)

type Kitchen struct{}

func (k *Kitchen) Echo(ctx context.Context, in, out *pb.Dish) error {
	fill(out, in)
	return nil
}

func (k *Kitchen) Make(ctx context.Context, in *pb.MakeRequest, out *pb.Dish) error {
	dish, ok := recipes.Make(in.Recipe)
	if !ok {
		return merr.NotFound("kitchen.make", "no recipe %q", in.Recipe)
	}
	fill(out, dish)
	return nil
}

func (k *Kitchen) Check(ctx context.Context, in *pb.CheckRequest, out *pb.CheckResponse) error {
	dish, ok := recipes.Make(in.Recipe)
	if !ok {
		return merr.NotFound("kitchen.check", "no recipe %q", in.Recipe)
	}
	out.Difference = recipes.Diff(dish, in.GetDish())
	out.Equal = out.Difference == ""
	return nil
}

// fill makes out a shallow copy of in. Not proto.Merge: it drops a negative zero.
func fill(out, in *pb.Dish) {
	in.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		out.ProtoReflect().Set(fd, v)
		return true
	})
}
