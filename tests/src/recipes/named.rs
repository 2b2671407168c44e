//! The named recipes.

use prost::Message;
use prost_types::value::Kind;
use prost_types::{Any, Duration, FieldMask, ListValue, Struct, Timestamp, Value};

use crate::proto::kitchen::dish::{Choice, Inner, Size};
use crate::proto::kitchen::{Color, Course, Dish};

type Recipe = (&'static str, fn() -> Dish);

/// The recipes in the order of their groups.
pub(super) const NAMED: [Recipe; 43] = [
    ("zero", Dish::default),
    ("ints", ints),
    ("ints_min", ints_min),
    ("double", double),
    ("negative_zero", || Dish {
        a_double: -0.0,
        a_float: -0.0,
        ..Dish::default()
    }),
    ("nan", || Dish {
        a_double: f64::NAN,
        a_float: f32::INFINITY,
        double_list: vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
        ..Dish::default()
    }),
    ("bytes", || Dish {
        a_bytes: (0..=255).collect(),
        bytes_list: vec![vec![], vec![0], vec![0xff, 0xfe, b'>', b'?']],
        ..Dish::default()
    }),
    ("text", || Dish {
        a_string: AWKWARD.to_owned(),
        string_list: ["", AWKWARD, "null", "NaN"].map(str::to_owned).into(),
        string_int64_map: [(AWKWARD.to_owned(), 1), (String::new(), 2)].into(),
        ..Dish::default()
    }),
    ("enum", || Dish {
        color: Color::Green.into(),
        size: Size::Large.into(),
        color_list: [Color::Red, Color::Unspecified, Color::Green]
            .map(i32::from)
            .into(),
        ..Dish::default()
    }),
    ("enum_unknown", || Dish {
        color: 7,
        size: 7,
        color_list: vec![7, Color::Red.into()],
        string_color_map: [("seven".to_owned(), 7)].into(),
        ..Dish::default()
    }),
    ("enum_negative", || Dish {
        color: Color::Infrared.into(),
        color_list: vec![Color::Infrared.into()],
        ..Dish::default()
    }),
    ("message", || Dish {
        inner: Some(inner("one", 1)),
        ..Dish::default()
    }),
    ("message_empty", || Dish {
        inner: Some(Inner::default()),
        course: Some(Course::default()),
        side_dish: Some(Box::default()),
        ..Dish::default()
    }),
    ("recursive", recursive),
    ("names", names),
    ("list", list_of_each),
    ("map", map_of_each),
    ("map_bool", || Dish {
        bool_inner_map: [(true, inner("yes", 1)), (false, Inner::default())].into(),
        ..Dish::default()
    }),
    ("oneof_string", || {
        choice(Choice::StringChoice("t<&>".to_owned()))
    }),
    ("oneof_int", || choice(Choice::IntChoice(-5))),
    ("oneof_message", || {
        choice(Choice::MessageChoice(inner("one", 1)))
    }),
    ("oneof_enum", || {
        choice(Choice::EnumChoice(Color::Green.into()))
    }),
    ("oneof_bytes", || choice(Choice::BytesChoice(vec![0, 0xff]))),
    ("oneof_timestamp", || {
        choice(Choice::TimestampChoice(timestamp(1_700_000_000, 5)))
    }),
    ("oneof_zero", || choice(Choice::StringChoice(String::new()))),
    ("optional", || Dish {
        optional_int32: Some(0),
        optional_string: Some(String::new()),
        optional_color: Some(0),
        optional_bool: Some(false),
        ..Dish::default()
    }),
    ("timestamp", || Dish {
        timestamp: Some(timestamp(1_700_000_000, 0)),
        ..Dish::default()
    }),
    ("timestamp_nanos", || Dish {
        timestamp: Some(timestamp(1_700_000_000, 123_456_789)),
        timestamp_list: [5, 5000, 5_000_000, 500_000_000]
            .map(|nanos| timestamp(0, nanos))
            .into(),
        ..Dish::default()
    }),
    ("timestamp_negative", || Dish {
        // 1969-07-20T20:17:40.25Z
        timestamp: Some(timestamp(-14_182_940, 250_000_000)),
        timestamp_list: vec![timestamp(-1, 999_999_999), timestamp(YEAR_1, 0)],
        ..Dish::default()
    }),
    ("duration", || durations(duration(90, 0), [])),
    ("duration_nanos", || {
        durations(
            duration(1, 500_000_000),
            [
                ("ns", duration(0, 1)),
                ("us", duration(0, 1000)),
                ("ms", duration(0, 1_000_000)),
                ("long", duration(9_000_000_000, 1)),
            ],
        )
    }),
    ("duration_negative", || {
        durations(
            duration(-1, -500_000_000),
            [("half", duration(0, -500_000_000))],
        )
    }),
    ("duration_limits", || {
        durations(
            duration(315_576_000_000, 999_999_999),
            [("min", duration(-315_576_000_000, -999_999_999))],
        )
    }),
    ("wrapper", wrapper),
    ("wrapper_zero", || Dish {
        double_wrapper: Some(0.0),
        float_wrapper: Some(0.0),
        int64_wrapper: Some(0),
        uint64_wrapper: Some(0),
        int32_wrapper: Some(0),
        uint32_wrapper: Some(0),
        bool_wrapper: Some(false),
        string_wrapper: Some(String::new()),
        bytes_wrapper: Some(Vec::new()),
        ..Dish::default()
    }),
    ("struct", || Dish {
        r#struct: Some(structure()),
        value: Some(value(Kind::StructValue(structure()))),
        list_value: Some(list()),
        ..Dish::default()
    }),
    ("value_null", || Dish {
        value: Some(value(Kind::NullValue(0))),
        ..Dish::default()
    }),
    ("any", || Dish {
        any: Some(any_inner()),
        ..Dish::default()
    }),
    ("any_timestamp", || Dish {
        any: Some(any(
            "google.protobuf.Timestamp",
            &timestamp(1_700_000_000, 0),
        )),
        ..Dish::default()
    }),
    ("fieldmask", || Dish {
        field_mask: Some(FieldMask {
            paths: ["long_name", "inner.long_name", "color"]
                .map(str::to_owned)
                .into(),
        }),
        ..Dish::default()
    }),
    ("empty", || Dish {
        empty: Some(()),
        ..Dish::default()
    }),
    ("full", full),
    ("full_plain", || Dish {
        choice: None,
        ..full()
    }),
];

const AWKWARD: &str = "\"double\" 'single' \\ / <b>&amp;</b> \n\r\t\u{2028}\u{2029} \u{e9} \u{4f60}\u{597d} \u{1f958} \0\u{1}\u{1f}\u{7f} \u{feff}\u{ffff}";

/// 0001-01-01T00:00:00Z, the first timestamp there is.
const YEAR_1: i64 = -62_135_596_800;

/// 2⁵³ + 1, which no double holds.
const NO_DOUBLE: i64 = (1 << 53) + 1;

fn ints() -> Dish {
    Dish {
        an_int32: i32::MAX,
        an_int64: i64::MAX,
        a_uint32: u32::MAX,
        a_uint64: u64::MAX,
        a_sint32: i32::MAX,
        a_sint64: i64::MAX,
        a_fixed32: u32::MAX,
        a_fixed64: u64::MAX,
        a_sfixed32: i32::MAX,
        a_sfixed64: i64::MAX,
        int32_list: vec![i32::MAX, i32::MIN],
        int64_list: vec![i64::MAX, i64::MIN, NO_DOUBLE],
        uint64_list: vec![u64::MAX, NO_DOUBLE.unsigned_abs()],
        sint64_list: vec![i64::MAX, i64::MIN],
        ..Dish::default()
    }
}

fn ints_min() -> Dish {
    Dish {
        an_int32: i32::MIN,
        an_int64: i64::MIN,
        a_sint32: i32::MIN,
        a_sint64: i64::MIN,
        a_sfixed32: i32::MIN,
        a_sfixed64: i64::MIN,
        ..Dish::default()
    }
}

fn double() -> Dish {
    Dish {
        a_double: 1e300,
        a_float: 1.5,
        double_list: vec![
            1.5,
            1e300,
            -0.0,
            0.0,
            0.1,
            1e21,
            1e-7,
            -1e15,
            123_456_789.0,
            f64::MAX,
            // The smallest there is, below the normal ones.
            f64::from_bits(1),
        ],
        ..Dish::default()
    }
}

fn recursive() -> Dish {
    let course = |name: &str| Course {
        name: name.to_owned(),
        ..Course::default()
    };
    let side = |name: &str, side_dish| Dish {
        a_string: name.to_owned(),
        side_dish,
        ..Dish::default()
    };
    let courses = (0..16).fold(course("last"), |next, _| Course {
        name: "course".to_owned(),
        next: Some(Box::new(next)),
        sides: vec![course("salad"), Course::default()],
    });
    let of_the_side = side("side of the side", None);
    Dish {
        course: Some(courses),
        side_dish: Some(Box::new(side("side", Some(Box::new(of_the_side))))),
        ..Dish::default()
    }
}

fn names() -> Dish {
    let [long_name, field_1_a, camel_case, r#type, renamed, last] =
        ["a", "b", "c", "d", "e", "f"].map(str::to_owned);
    Dish {
        long_name,
        field_1_a,
        camel_case,
        r#type,
        renamed,
        last,
        ..Dish::default()
    }
}

fn list_of_each() -> Dish {
    Dish {
        int32_list: vec![1, -1, 0, 300],
        int64_list: vec![1, -1, 0],
        uint64_list: vec![1, 0],
        sint64_list: vec![1, -1, 0],
        fixed32_list: vec![1, 0],
        double_list: vec![1.5, 0.0],
        bool_list: vec![true, false],
        unpacked_list: vec![1, -1, 0, 300],
        string_list: ["a", "", "c"].map(str::to_owned).into(),
        bytes_list: vec![b"a".to_vec(), vec![], b"c".to_vec()],
        color_list: vec![Color::Red.into(), Color::Unspecified.into()],
        inner_list: vec![inner("one", 1), Inner::default(), inner("three", 3)],
        timestamp_list: vec![
            timestamp(1_700_000_000, 0),
            timestamp(0, 0),
            timestamp(1_700_000_000, 5),
            timestamp(YEAR_1, 0),
            timestamp(253_402_300_799, 999_999_999),
        ],
        ..Dish::default()
    }
}

fn map_of_each() -> Dish {
    let key = str::to_owned;
    Dish {
        string_int64_map: [(key("a"), 1), (key("b"), i64::MAX), (key(""), 0)].into(),
        int32_string_map: [(1, key("one")), (-1, key("minus one")), (0, key(""))].into(),
        string_color_map: [(key("red"), Color::Red.into()), (key("none"), 0)].into(),
        string_bytes_map: [(key("raw"), vec![0, 0xff]), (key("none"), vec![])].into(),
        uint64_double_map: [(u64::MAX, 1.5), (0, 0.0)].into(),
        string_duration_map: [
            (key("short"), duration(0, 5)),
            (key("none"), duration(0, 0)),
        ]
        .into(),
        ..Dish::default()
    }
}

fn wrapper() -> Dish {
    Dish {
        double_wrapper: Some(1.5),
        float_wrapper: Some(1.5),
        int64_wrapper: Some(i64::MIN),
        uint64_wrapper: Some(u64::MAX),
        int32_wrapper: Some(i32::MIN),
        uint32_wrapper: Some(u32::MAX),
        bool_wrapper: Some(true),
        string_wrapper: Some("m".to_owned()),
        bytes_wrapper: Some(vec![0, 0xff]),
        ..Dish::default()
    }
}

/// Fields of every group, save a map with bool keys.
fn full() -> Dish {
    let mut dish = Dish {
        a_double: 1.5,
        a_float: 2.5,
        an_int32: -3,
        an_int64: -4,
        a_uint32: 5,
        a_uint64: 6,
        a_sint32: -7,
        a_sint64: -8,
        a_fixed32: 9,
        a_fixed64: 10,
        a_sfixed32: -11,
        a_sfixed64: -12,
        a_bool: true,
        a_string: "thirteen".to_owned(),
        a_bytes: b"fourteen".to_vec(),
        color: Color::Red.into(),
        size: Size::Small.into(),
        inner: Some(inner("inner", 22)),
        course: Some(Course {
            name: "course".to_owned(),
            ..Course::default()
        }),
        side_dish: Some(Box::new(Dish {
            a_string: "side".to_owned(),
            ..Dish::default()
        })),
        optional_int32: Some(80),
        optional_string: Some("81".to_owned()),
        optional_color: Some(Color::Green.into()),
        optional_bool: Some(true),
        choice: Some(Choice::StringChoice("choice".to_owned())),
        timestamp: Some(timestamp(1_700_000_000, 5)),
        duration: Some(duration(1, 500_000_000)),
        ..Dish::default()
    };
    for part in [
        "names",
        "list",
        "map",
        "wrapper",
        "struct",
        "any",
        "fieldmask",
        "empty",
    ] {
        let part = super::make(part).expect("it is in the table above");
        dish.merge(part.encode_to_vec().as_slice())
            .expect("the same message");
    }
    dish
}

fn choice(choice: Choice) -> Dish {
    Dish {
        choice: Some(choice),
        ..Dish::default()
    }
}

fn durations<const N: usize>(one: Duration, map: [(&str, Duration); N]) -> Dish {
    Dish {
        duration: Some(one),
        string_duration_map: map.map(|(key, value)| (key.to_owned(), value)).into(),
        ..Dish::default()
    }
}

fn inner(name: &str, count: i64) -> Inner {
    Inner {
        long_name: name.to_owned(),
        count,
        size: Size::Large.into(),
    }
}

fn timestamp(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp { seconds, nanos }
}

fn duration(seconds: i64, nanos: i32) -> Duration {
    Duration { seconds, nanos }
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn object<const N: usize>(fields: [(&str, Kind); N]) -> Struct {
    Struct {
        fields: fields
            .map(|(key, kind)| (key.to_owned(), value(kind)))
            .into(),
    }
}

fn array<const N: usize>(items: [Kind; N]) -> ListValue {
    ListValue {
        values: items.map(value).into(),
    }
}

/// A list of each sort of value.
pub(super) fn list() -> ListValue {
    array([
        Kind::NumberValue(1.0),
        Kind::StringValue("two".to_owned()),
        Kind::NullValue(0),
        Kind::ListValue(array([])),
        Kind::StructValue(object([])),
    ])
}

/// An object of each sort of value.
pub(super) fn structure() -> Struct {
    let deeper = Kind::ListValue(array([Kind::BoolValue(true)]));
    let deep = Kind::StructValue(object([("deeper", deeper)]));
    object([
        ("null", Kind::NullValue(0)),
        ("number", Kind::NumberValue(1.5)),
        ("whole", Kind::NumberValue(3.0)),
        ("big", Kind::NumberValue(1e300)),
        ("text", Kind::StringValue("t<&>".to_owned())),
        ("yes", Kind::BoolValue(true)),
        ("no", Kind::BoolValue(false)),
        ("", Kind::StringValue("empty key".to_owned())),
        ("list", Kind::ListValue(list())),
        ("map", Kind::StructValue(object([("deep", deep)]))),
    ])
}

/// An `Any` of a message of the kitchen.
pub(super) fn any_inner() -> Any {
    any("kitchen.Dish.Inner", &inner("one", 1))
}

fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}
