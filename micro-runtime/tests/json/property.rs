//! Random messages against prost-reflect's JSON.

use micro_runtime::codec::Payload;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::DynamicMessage;

use super::generated::{forms, forms2, kitchen};
use super::random::Choices;
use super::support::{CANONICAL, GO, ORIGINAL, dynamic, other, pool, read, same, types, write};

fn random<M: Message + Default>(
    name: &str,
    change: impl FnOnce(&mut Choices<'_>),
    bytes: &[u8],
) -> M {
    let mut choices = Choices::new(bytes);
    change(&mut choices);
    let message = choices.message(&pool().get_message_by_name(name).unwrap(), 4);
    M::decode(&*message.encode_to_vec()).unwrap()
}

fn assert_same(one: &str, two: &str) {
    assert!(same(one, two), "\n{one}\n{two}");
}

/// Equality, also of what is not equal to itself.
fn assert_equal<M: Message>(name: &str, one: &M, two: &M) {
    let [one, two] = [one, two].map(|message| other(&dynamic(name, message), true).unwrap());
    assert_same(&one, &two);
}

fn check<M: Message + Payload + Default>(name: &str, bytes: &[u8]) {
    let codec = CANONICAL.with_types(types());
    let message: M = random(name, |choices| choices.nan_values = true, bytes);
    match (
        write(&codec, &message),
        other(&dynamic(name, &message), true),
    ) {
        (Ok(ours), Ok(theirs)) => {
            assert_same(&ours, &theirs);
            assert_equal(name, &read::<M>(&codec, &theirs).unwrap(), &message);
            let mut json = serde_json::Deserializer::from_str(&ours);
            let descriptor = pool().get_message_by_name(name).unwrap();
            let back = DynamicMessage::deserialize(descriptor, &mut json).unwrap();
            let back = M::decode(&*back.encode_to_vec()).unwrap();
            assert_equal(name, &back, &message);
        }
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("only one refused: {ours:?} {theirs:?}"),
    }

    let codec = ORIGINAL.with_types(types());
    let message: M = random(name, |choices| choices.masks = false, bytes);
    let theirs = other(&dynamic(name, &message), false).unwrap();
    let ours = write(&codec, &message).unwrap();
    // The one difference: a field mask is an object, which Go Micro reads.
    let without_masks = |json: &str| {
        json.replace("\"field_mask\":\"\"", "\"field_mask\":{}")
            .replace("\"mask_member\":\"\"", "\"mask_member\":{}")
    };
    let theirs_changed = without_masks(&theirs);
    if !theirs_changed.contains("\"masks\"") {
        assert_same(&ours, &theirs_changed);
    }
    assert_equal(name, &read::<M>(&codec, &theirs).unwrap(), &message);
    assert_equal(name, &read::<M>(&codec, &ours).unwrap(), &message);

    // What Go would not write is refused; all else comes back.
    let go = GO.with_types(types());
    if let Ok(json) = write(&go, &message) {
        assert_equal(name, &read::<M>(&go, &json).unwrap(), &message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_dish_is_as_prost_reflect_writes_and_reads_it(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        check::<kitchen::Dish>("kitchen.Dish", &bytes);
    }

    #[test]
    fn an_odd_message_is_as_prost_reflect_writes_and_reads_it(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        check::<forms::Odd>("forms.Odd", &bytes);
    }

    #[test]
    fn proto2_is_as_prost_reflect_writes_and_reads_it(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check::<forms2::Old>("forms2.Old", &bytes);
    }
}
