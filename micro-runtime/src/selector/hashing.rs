//! Numbers of texts: the same in every process and every version, so that all clients agree.

use crate::registry::mix;

/// FNV-1a, and a mixing of all its bits.
pub(super) fn number(text: &str) -> u64 {
    let mut number: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        number = (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(number)
}

/// One number of many that belong to `number`.
pub(super) fn nth(number: u64, at: u64) -> u64 {
    mix(number.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The place among `count` that `number` falls into: the high half of the product is even over the
/// places, without a division.
pub(super) fn place(number: u64, count: usize) -> usize {
    let place = (u128::from(number) * count as u128) >> 64;
    usize::try_from(place).unwrap_or(0)
}

/// `number` as a share of all numbers: from 0 to below 1.
pub(super) fn share(number: u64) -> f64 {
    (number >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_texts_stay_as_they_are() {
        // Clients of other versions must find the same nodes.
        let numbers = ["", "user-17", "user-18"].map(number);
        let expected = [
            0xf52a_15e9_a9b5_e89b,
            0x7d0a_bcd8_e211_1067,
            0x8f82_1994_9ff1_4934,
        ];
        assert_eq!(numbers, expected);
    }
}
