package recipes

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	pb "micropeers/proto/kitchenpb"
)

const fieldPrefix = "field_"

// FieldNames returns the names of the recipes that set one field of Dish alone: "field_" and the field's name.
func FieldNames() []string {
	fds := (&pb.Dish{}).ProtoReflect().Descriptor().Fields()
	n := make([]string, fds.Len())
	for i := range n {
		n[i] = fieldPrefix + string(fds.Get(i).Name())
	}
	return n
}

func makeField(name string) (*pb.Dish, bool) {
	d := &pb.Dish{}
	m := d.ProtoReflect()
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(strings.TrimPrefix(name, fieldPrefix)))
	if fd == nil || !strings.HasPrefix(name, fieldPrefix) {
		return nil, false
	}
	switch {
	case fd.IsMap():
		v := m.Mutable(fd).Map()
		item := v.NewValue()
		if fd.MapValue().Message() != nil {
			fill(item.Message())
		} else {
			item = scalar(fd.MapValue())
		}
		v.Set(scalar(fd.MapKey()).MapKey(), item)
	case fd.IsList():
		l := m.Mutable(fd).List()
		if fd.Message() != nil {
			fill(l.AppendMutable().Message())
		} else {
			l.Append(scalar(fd))
		}
	case fd.Message() != nil:
		fill(m.Mutable(fd).Message())
	default:
		m.Set(fd, scalar(fd))
	}
	return d, true
}

// scalar returns the value that a single field has in its own recipe.
func scalar(fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(-7)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(-7)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(7)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(7)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(1.5)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1.5)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0, 0xff})
	}
	return protoreflect.ValueOfString("seven")
}

// fill gives the message the content that it has as a single field.
func fill(m protoreflect.Message) {
	switch v := m.Interface().(type) {
	case *pb.Dish:
		v.AString = "side"
	case *structpb.Struct:
		proto.Merge(v, structure())
	case *structpb.Value:
		proto.Merge(v, structpb.NewStringValue("seven"))
	case *structpb.ListValue:
		proto.Merge(v, structure().Fields["list"].GetListValue())
	case *anypb.Any:
		proto.Merge(v, anyOf(inner("one", 1)))
	default: // every scalar field
		fds := m.Descriptor().Fields()
		for i := 0; i < fds.Len(); i++ {
			fd := fds.Get(i)
			switch {
			case fd.IsMap() || fd.Message() != nil:
			case fd.IsList():
				m.Mutable(fd).List().Append(scalar(fd))
			case m.Descriptor().FullName() == "google.protobuf.Timestamp" || m.Descriptor().FullName() == "google.protobuf.Duration":
				// Both numbers must be in range and have the same sign.
				if fd.Kind() == protoreflect.Int64Kind {
					m.Set(fd, protoreflect.ValueOfInt64(7))
				} else {
					m.Set(fd, protoreflect.ValueOfInt32(7))
				}
			default:
				m.Set(fd, scalar(fd))
			}
		}
	}
}
