//! Compares dishes field by field, and names the first that differs.

use prost::Message;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};

use super::field::descriptor;
use crate::proto::kitchen::Dish;

/// The first field that differs and how; `None` for equal dishes.
///
/// NaN equals NaN, and a negative zero is no zero: except as a field of its own, where prost writes
/// neither.
pub fn difference(want: &Dish, got: &Dish) -> Option<String> {
    of_messages("dish", &dynamic(want), &dynamic(got))
}

fn dynamic(dish: &Dish) -> DynamicMessage {
    DynamicMessage::decode(descriptor(), dish.encode_to_vec().as_slice())
        .expect("the descriptor is of the file that the type was generated from")
}

fn of_messages(path: &str, want: &DynamicMessage, got: &DynamicMessage) -> Option<String> {
    want.descriptor().fields().find_map(|field| {
        let path = format!("{path}.{}", field.name());
        match (want.has_field(&field), got.has_field(&field)) {
            (true, true) => of_values(&path, &want.get_field(&field), &got.get_field(&field)),
            (false, false) => None,
            (want, got) => Some(format!("{path}: want {}, got {}", set(want), set(got))),
        }
    })
}

fn set(is: bool) -> &'static str {
    if is { "set" } else { "not set" }
}

fn of_values(path: &str, want: &Value, got: &Value) -> Option<String> {
    let same = match (want, got) {
        (Value::Message(want), Value::Message(got)) => return of_messages(path, want, got),
        (Value::List(want), Value::List(got)) => {
            if want.len() != got.len() {
                return Some(format!(
                    "{path}: want {} items, got {}",
                    want.len(),
                    got.len()
                ));
            }
            return want
                .iter()
                .zip(got)
                .enumerate()
                .find_map(|(at, (want, got))| of_values(&format!("{path}[{at}]"), want, got));
        }
        (Value::Map(want), Value::Map(got)) => {
            if want.len() != got.len() {
                return Some(format!(
                    "{path}: want {} entries, got {}",
                    want.len(),
                    got.len()
                ));
            }
            return want.iter().find_map(|(key, want)| {
                let path = format!("{path}[{}]", text(key));
                match got.get(key) {
                    Some(got) => of_values(&path, want, got),
                    None => Some(format!("{path}: want an entry, got none")),
                }
            });
        }
        (Value::F64(want), Value::F64(got)) => {
            want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan()
        }
        (Value::F32(want), Value::F32(got)) => {
            want.to_bits() == got.to_bits() || want.is_nan() && got.is_nan()
        }
        _ => want == got,
    };
    (!same).then(|| format!("{path}: want {want:?}, got {got:?}"))
}

fn text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => format!("{text:?}"),
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipes::{field_names, make, names};

    #[test]
    fn each_dish_equals_itself_and_no_other() {
        let recipes: Vec<_> = names().into_iter().chain(field_names()).collect();
        assert!(recipes.len() > 100, "{}", recipes.len());
        let zero = make("zero").unwrap();
        for recipe in recipes {
            let dish = make(&recipe).unwrap();
            assert_eq!(difference(&dish, &make(&recipe).unwrap()), None, "{recipe}");
            // prost writes no negative zero.
            if recipe != "zero" && recipe != "negative_zero" {
                assert!(difference(&zero, &dish).is_some(), "{recipe}");
            }
        }
    }

    #[test]
    fn a_difference_names_its_place() {
        let mut dish = make("list").unwrap();
        dish.inner_list[2].count = 4;
        assert_eq!(
            difference(&make("list").unwrap(), &dish).as_deref(),
            Some("dish.inner_list[2].count: want I64(3), got I64(4)")
        );
        let mut dish = make("double").unwrap();
        dish.double_list[2] = 0.0;
        assert_eq!(
            difference(&make("double").unwrap(), &dish).as_deref(),
            Some("dish.double_list[2]: want F64(-0.0), got F64(0.0)")
        );
    }
}
