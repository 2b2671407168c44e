package recipes

import (
	"bytes"
	"fmt"
	"math"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "micropeers/proto/kitchenpb"
)

// Diff names the first field that differs and says how. It is empty when the dishes are equal.
// It is proto.Equal (NaN equals NaN) that also tells a negative zero from zero.
func Diff(want, got *pb.Dish) string {
	return diffMessage("dish", want.ProtoReflect(), got.ProtoReflect())
}

func diffMessage(path string, want, got protoreflect.Message) string {
	fds := want.Descriptor().Fields()
	for i := 0; i < fds.Len(); i++ {
		fd := fds.Get(i)
		p := path + "." + string(fd.Name())
		if w, g := want.Has(fd), got.Has(fd); w != g {
			return fmt.Sprintf("%s: want %s, got %s", p, set(w), set(g))
		} else if !w {
			continue
		}
		if d := diffField(p, fd, want.Get(fd), got.Get(fd)); d != "" {
			return d
		}
	}
	if !bytes.Equal(want.GetUnknown(), got.GetUnknown()) {
		return fmt.Sprintf("%s: unknown fields: want %x, got %x", path, want.GetUnknown(), got.GetUnknown())
	}
	return ""
}

func set(is bool) string {
	if is {
		return "set"
	}
	return "not set"
}

func diffField(path string, fd protoreflect.FieldDescriptor, want, got protoreflect.Value) string {
	switch {
	case fd.IsMap():
		w, g := want.Map(), got.Map()
		if w.Len() != g.Len() {
			return fmt.Sprintf("%s: want %d entries, got %d", path, w.Len(), g.Len())
		}
		diff := ""
		w.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			p := fmt.Sprintf("%s[%q]", path, k.String())
			if !g.Has(k) {
				diff = p + ": want an entry, got none"
			} else {
				diff = diffValue(p, fd.MapValue(), v, g.Get(k))
			}
			return diff == ""
		})
		return diff
	case fd.IsList():
		w, g := want.List(), got.List()
		if w.Len() != g.Len() {
			return fmt.Sprintf("%s: want %d items, got %d", path, w.Len(), g.Len())
		}
		for i := 0; i < w.Len(); i++ {
			if d := diffValue(fmt.Sprintf("%s[%d]", path, i), fd, w.Get(i), g.Get(i)); d != "" {
				return d
			}
		}
		return ""
	}
	return diffValue(path, fd, want, got)
}

func diffValue(path string, fd protoreflect.FieldDescriptor, want, got protoreflect.Value) string {
	same := false
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return diffMessage(path, want.Message(), got.Message())
	case protoreflect.BytesKind:
		same = bytes.Equal(want.Bytes(), got.Bytes())
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		w, g := want.Float(), got.Float()
		same = math.Float64bits(w) == math.Float64bits(g) || math.IsNaN(w) && math.IsNaN(g)
	default:
		same = want.Interface() == got.Interface()
	}
	if same {
		return ""
	}
	return fmt.Sprintf("%s: want %#v, got %#v", path, want.Interface(), got.Interface())
}
