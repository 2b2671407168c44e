//! The codes of gRPC by the names that Connect has for them.

use super::status::code;

/// The name of a code.
pub(super) fn name(code: i32) -> &'static str {
    match code {
        code::CANCELLED => "canceled",
        code::INVALID_ARGUMENT => "invalid_argument",
        4 => "deadline_exceeded",
        5 => "not_found",
        6 => "already_exists",
        code::PERMISSION_DENIED => "permission_denied",
        code::RESOURCE_EXHAUSTED => "resource_exhausted",
        9 => "failed_precondition",
        10 => "aborted",
        11 => "out_of_range",
        code::UNIMPLEMENTED => "unimplemented",
        code::INTERNAL => "internal",
        code::UNAVAILABLE => "unavailable",
        15 => "data_loss",
        16 => "unauthenticated",
        _ => "unknown",
    }
}

/// The code with this name.
pub(super) fn of_name(known: &str) -> Option<i32> {
    (1..=16).find(|code| name(*code) == known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_and_is_found_by_it() {
        for code in 1..=16 {
            assert_eq!(of_name(name(code)), Some(code));
        }
        assert_eq!((of_name("ok"), of_name("")), (None, None));
    }
}
