// Package recipes builds the fixed dishes that both sides of a kitchen test know by name.
package recipes

import (
	"math"
	"sort"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "micropeers/proto/kitchenpb"
)

// Names returns the named recipes, sorted.
func Names() []string {
	n := make([]string, 0, len(named))
	for k := range named {
		n = append(n, k)
	}
	sort.Strings(n)
	return n
}

// Make returns a new dish of the recipe, which is one of Names or of FieldNames.
func Make(name string) (*pb.Dish, bool) {
	if f, ok := named[name]; ok {
		return f(), true
	}
	return makeField(name)
}

const awkward = "\"double\" 'single' \\ / <b>&amp;</b> \n\r\t\u2028\u2029 \u00e9 \u4f60\u597d \U0001f958 \x00\x01\x1f\x7f \ufeff\uffff"

var named = map[string]func() *pb.Dish{
	"zero": func() *pb.Dish { return &pb.Dish{} },

	"ints": func() *pb.Dish {
		return &pb.Dish{
			AnInt32: math.MaxInt32, AnInt64: math.MaxInt64, AUint32: math.MaxUint32, AUint64: math.MaxUint64,
			ASint32: math.MaxInt32, ASint64: math.MaxInt64, AFixed32: math.MaxUint32, AFixed64: math.MaxUint64,
			ASfixed32: math.MaxInt32, ASfixed64: math.MaxInt64,
			Int32List:  []int32{math.MaxInt32, math.MinInt32},
			Int64List:  []int64{math.MaxInt64, math.MinInt64, 1<<53 + 1},
			Uint64List: []uint64{math.MaxUint64, 1<<53 + 1},
			Sint64List: []int64{math.MaxInt64, math.MinInt64},
		}
	},
	"ints_min": func() *pb.Dish {
		return &pb.Dish{AnInt32: math.MinInt32, AnInt64: math.MinInt64, ASint32: math.MinInt32, ASint64: math.MinInt64,
			ASfixed32: math.MinInt32, ASfixed64: math.MinInt64}
	},

	"double": func() *pb.Dish {
		return &pb.Dish{ADouble: 1e300, AFloat: 1.5,
			DoubleList: []float64{1.5, 1e300, math.Copysign(0, -1), 0, 0.1, 1e21, 1e-7, -1e15, 123456789, math.MaxFloat64, math.SmallestNonzeroFloat64}}
	},
	// Of the peers' encoders some drop a negative zero that is a field of its own.
	"negative_zero": func() *pb.Dish {
		return &pb.Dish{ADouble: math.Copysign(0, -1), AFloat: float32(math.Copysign(0, -1))}
	},
	"nan": func() *pb.Dish {
		return &pb.Dish{ADouble: math.NaN(), AFloat: float32(math.Inf(1)), DoubleList: []float64{math.NaN(), math.Inf(1), math.Inf(-1)}}
	},

	"bytes": func() *pb.Dish {
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		return &pb.Dish{ABytes: all, BytesList: [][]byte{{}, {0}, {0xff, 0xfe, '>', '?'}}}
	},
	"text": func() *pb.Dish {
		return &pb.Dish{AString: awkward, StringList: []string{"", awkward, "null", "NaN"}, StringInt64Map: map[string]int64{awkward: 1, "": 2}}
	},

	"enum": func() *pb.Dish {
		return &pb.Dish{Color: pb.Color_COLOR_GREEN, Size: pb.Dish_SIZE_LARGE,
			ColorList: []pb.Color{pb.Color_COLOR_RED, pb.Color_COLOR_UNSPECIFIED, pb.Color_COLOR_GREEN}}
	},
	"enum_unknown": func() *pb.Dish {
		return &pb.Dish{Color: 7, Size: 7, ColorList: []pb.Color{7, pb.Color_COLOR_RED}, StringColorMap: map[string]pb.Color{"seven": 7}}
	},
	"enum_negative": func() *pb.Dish {
		return &pb.Dish{Color: pb.Color_COLOR_INFRARED, ColorList: []pb.Color{pb.Color_COLOR_INFRARED}}
	},

	"message":       func() *pb.Dish { return &pb.Dish{Inner: inner("one", 1)} },
	"message_empty": func() *pb.Dish { return &pb.Dish{Inner: &pb.Dish_Inner{}, Course: &pb.Course{}, SideDish: &pb.Dish{}} },
	"recursive": func() *pb.Dish {
		c := &pb.Course{Name: "last"}
		for i := 0; i < 16; i++ {
			c = &pb.Course{Name: "course", Next: c, Sides: []*pb.Course{{Name: "salad"}, {}}}
		}
		return &pb.Dish{Course: c, SideDish: &pb.Dish{AString: "side", SideDish: &pb.Dish{AString: "side of the side"}}}
	},

	"names": func() *pb.Dish {
		return &pb.Dish{LongName: "a", Field_1A: "b", CamelCase: "c", Type: "d", Renamed: "e", Last: "f"}
	},

	"list": func() *pb.Dish {
		return &pb.Dish{
			Int32List: []int32{1, -1, 0, 300}, Int64List: []int64{1, -1, 0}, Uint64List: []uint64{1, 0}, Sint64List: []int64{1, -1, 0},
			Fixed32List: []uint32{1, 0}, DoubleList: []float64{1.5, 0}, BoolList: []bool{true, false}, UnpackedList: []int32{1, -1, 0, 300},
			StringList: []string{"a", "", "c"}, BytesList: [][]byte{[]byte("a"), {}, []byte("c")},
			ColorList: []pb.Color{pb.Color_COLOR_RED, pb.Color_COLOR_UNSPECIFIED},
			InnerList: []*pb.Dish_Inner{inner("one", 1), {}, inner("three", 3)},
			TimestampList: []*timestamppb.Timestamp{{Seconds: 1700000000}, {}, {Seconds: 1700000000, Nanos: 5},
				{Seconds: -62135596800}, {Seconds: 253402300799, Nanos: 999999999}},
		}
	},
	"map": func() *pb.Dish {
		return &pb.Dish{
			StringInt64Map:    map[string]int64{"a": 1, "b": math.MaxInt64, "": 0},
			Int32StringMap:    map[int32]string{1: "one", -1: "minus one", 0: ""},
			StringColorMap:    map[string]pb.Color{"red": pb.Color_COLOR_RED, "none": pb.Color_COLOR_UNSPECIFIED},
			StringBytesMap:    map[string][]byte{"raw": {0, 0xff}, "none": {}},
			Uint64DoubleMap:   map[uint64]float64{math.MaxUint64: 1.5, 0: 0},
			StringDurationMap: map[string]*durationpb.Duration{"short": {Nanos: 5}, "none": {}},
		}
	},
	// Apart from the other maps: encoding/json, and so go-micro's JSON writer, has no maps with bool keys.
	"map_bool": func() *pb.Dish {
		return &pb.Dish{BoolInnerMap: map[bool]*pb.Dish_Inner{true: inner("yes", 1), false: {}}}
	},

	"oneof_string":  func() *pb.Dish { return &pb.Dish{Choice: &pb.Dish_StringChoice{StringChoice: "t<&>"}} },
	"oneof_int":     func() *pb.Dish { return &pb.Dish{Choice: &pb.Dish_IntChoice{IntChoice: -5}} },
	"oneof_message": func() *pb.Dish { return &pb.Dish{Choice: &pb.Dish_MessageChoice{MessageChoice: inner("one", 1)}} },
	"oneof_enum": func() *pb.Dish {
		return &pb.Dish{Choice: &pb.Dish_EnumChoice{EnumChoice: pb.Color_COLOR_GREEN}}
	},
	"oneof_bytes": func() *pb.Dish { return &pb.Dish{Choice: &pb.Dish_BytesChoice{BytesChoice: []byte{0, 0xff}}} },
	"oneof_timestamp": func() *pb.Dish {
		return &pb.Dish{Choice: &pb.Dish_TimestampChoice{TimestampChoice: &timestamppb.Timestamp{Seconds: 1700000000, Nanos: 5}}}
	},
	"oneof_zero": func() *pb.Dish { return &pb.Dish{Choice: &pb.Dish_StringChoice{}} },

	"optional": func() *pb.Dish {
		return &pb.Dish{OptionalInt32: proto.Int32(0), OptionalString: proto.String(""), OptionalColor: pb.Color_COLOR_UNSPECIFIED.Enum(),
			OptionalBool: proto.Bool(false)}
	},

	"timestamp": func() *pb.Dish { return &pb.Dish{Timestamp: &timestamppb.Timestamp{Seconds: 1700000000}} },
	"timestamp_nanos": func() *pb.Dish {
		return &pb.Dish{Timestamp: &timestamppb.Timestamp{Seconds: 1700000000, Nanos: 123456789},
			TimestampList: []*timestamppb.Timestamp{{Nanos: 5}, {Nanos: 5000}, {Nanos: 5000000}, {Nanos: 500000000}}}
	},
	"timestamp_negative": func() *pb.Dish {
		return &pb.Dish{Timestamp: timestamppb.New(time.Date(1969, 7, 20, 20, 17, 40, 250000000, time.UTC)),
			TimestampList: []*timestamppb.Timestamp{{Seconds: -1, Nanos: 999999999}, {Seconds: -62135596800}}}
	},
	"duration": func() *pb.Dish { return &pb.Dish{Duration: &durationpb.Duration{Seconds: 90}} },
	"duration_nanos": func() *pb.Dish {
		return &pb.Dish{Duration: &durationpb.Duration{Seconds: 1, Nanos: 500000000},
			StringDurationMap: map[string]*durationpb.Duration{"ns": {Nanos: 1}, "us": {Nanos: 1000}, "ms": {Nanos: 1000000}, "long": {Seconds: 9000000000, Nanos: 1}}}
	},
	"duration_negative": func() *pb.Dish {
		return &pb.Dish{Duration: &durationpb.Duration{Seconds: -1, Nanos: -500000000},
			StringDurationMap: map[string]*durationpb.Duration{"half": {Nanos: -500000000}}}
	},
	// The limits of the type. go-micro's JSON reader stops at 2^63 nanoseconds, which is about 292 years.
	"duration_limits": func() *pb.Dish {
		return &pb.Dish{Duration: &durationpb.Duration{Seconds: 315576000000, Nanos: 999999999},
			StringDurationMap: map[string]*durationpb.Duration{"min": {Seconds: -315576000000, Nanos: -999999999}}}
	},

	"wrapper": func() *pb.Dish {
		return &pb.Dish{
			DoubleWrapper: wrapperspb.Double(1.5), FloatWrapper: wrapperspb.Float(1.5),
			Int64Wrapper: wrapperspb.Int64(math.MinInt64), Uint64Wrapper: wrapperspb.UInt64(math.MaxUint64),
			Int32Wrapper: wrapperspb.Int32(math.MinInt32), Uint32Wrapper: wrapperspb.UInt32(math.MaxUint32),
			BoolWrapper: wrapperspb.Bool(true), StringWrapper: wrapperspb.String("m"), BytesWrapper: wrapperspb.Bytes([]byte{0, 0xff}),
		}
	},
	"wrapper_zero": func() *pb.Dish {
		return &pb.Dish{
			DoubleWrapper: wrapperspb.Double(0), FloatWrapper: wrapperspb.Float(0),
			Int64Wrapper: wrapperspb.Int64(0), Uint64Wrapper: wrapperspb.UInt64(0),
			Int32Wrapper: wrapperspb.Int32(0), Uint32Wrapper: wrapperspb.UInt32(0),
			BoolWrapper: wrapperspb.Bool(false), StringWrapper: wrapperspb.String(""), BytesWrapper: wrapperspb.Bytes(nil),
		}
	},

	"struct": func() *pb.Dish {
		s := structure()
		return &pb.Dish{Struct: s, Value: structpb.NewStructValue(structure()), ListValue: s.Fields["list"].GetListValue()}
	},
	"value_null": func() *pb.Dish { return &pb.Dish{Value: structpb.NewNullValue()} },

	"any":           func() *pb.Dish { return &pb.Dish{Any: anyOf(inner("one", 1))} },
	"any_timestamp": func() *pb.Dish { return &pb.Dish{Any: anyOf(&timestamppb.Timestamp{Seconds: 1700000000})} },
	"fieldmask": func() *pb.Dish {
		return &pb.Dish{FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"long_name", "inner.long_name", "color"}}}
	},
	"empty": func() *pb.Dish { return &pb.Dish{Empty: &emptypb.Empty{}} },
}

func init() { // both read the table
	named["full"] = full
	named["full_plain"] = func() *pb.Dish {
		d := full()
		d.Choice = nil
		return d
	}
}

// full returns a dish with fields of every group, save a map with bool keys, which go-micro cannot write as JSON.
func full() *pb.Dish {
	d := &pb.Dish{
		ADouble: 1.5, AFloat: 2.5, AnInt32: -3, AnInt64: -4, AUint32: 5, AUint64: 6, ASint32: -7, ASint64: -8, AFixed32: 9, AFixed64: 10,
		ASfixed32: -11, ASfixed64: -12, ABool: true, AString: "thirteen", ABytes: []byte("fourteen"),
		Color: pb.Color_COLOR_RED, Size: pb.Dish_SIZE_SMALL, Inner: inner("inner", 22), Course: &pb.Course{Name: "course"},
		SideDish:      &pb.Dish{AString: "side"},
		OptionalInt32: proto.Int32(80), OptionalString: proto.String("81"), OptionalColor: pb.Color_COLOR_GREEN.Enum(), OptionalBool: proto.Bool(true),
		Choice:    &pb.Dish_StringChoice{StringChoice: "choice"},
		Timestamp: &timestamppb.Timestamp{Seconds: 1700000000, Nanos: 5}, Duration: &durationpb.Duration{Seconds: 1, Nanos: 500000000},
	}
	for _, n := range []string{"names", "list", "map", "wrapper", "struct", "any", "fieldmask", "empty"} {
		proto.Merge(d, named[n]())
	}
	return d
}

func inner(name string, count int64) *pb.Dish_Inner {
	return &pb.Dish_Inner{LongName: name, Count: count, Size: pb.Dish_SIZE_LARGE}
}

func structure() *structpb.Struct {
	s, err := structpb.NewStruct(map[string]interface{}{
		"null": nil, "number": 1.5, "whole": 3, "big": 1e300, "text": "t<&>", "yes": true, "no": false, "": "empty key",
		"list": []interface{}{1, "two", nil, []interface{}{}, map[string]interface{}{}},
		"map":  map[string]interface{}{"deep": map[string]interface{}{"deeper": []interface{}{true}}},
	})
	if err != nil {
		panic(err)
	}
	return s
}

func anyOf(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}
