//! Finds words in what was sent, also where the protocol wraps them: HPACK packs the characters of a
//! head into fewer bits (RFC 7541, appendix B), and gRPC writes details in base64.

/// Whether `sent` has `words` in any form in which our protocols send text.
pub fn holds(sent: &[u8], words: &str) -> bool {
    let packed = bits(sent);
    let mut forms = vec![words.to_owned()];
    forms.extend((0..3).map(|shift| base64_within(words, shift)));
    forms.iter().any(|form| {
        let plain = sent.windows(form.len()).any(|part| part == form.as_bytes());
        plain || packed.contains(&huffman(form))
    })
}

fn bits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:08b}")).collect()
}

/// The characters that a text certainly becomes that comes `shift` bytes after a group of three.
fn base64_within(words: &str, shift: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padded = [&vec![0; shift][..], words.as_bytes()].concat();
    let bits = bits(&padded);
    // Characters that other bytes have a part in are left out.
    let first = (shift * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    (first..last)
        .map(|at| {
            let place = usize::from_str_radix(&bits[at * 6..at * 6 + 6], 2).unwrap();
            char::from(ALPHABET[place])
        })
        .collect()
}

/// The codes are canonical: shorter ones first, and of one length in the characters' order.
fn huffman(words: &str) -> String {
    const BY_LENGTH: [(usize, &str); 9] = [
        (5, "012aceiost"),
        (6, " %-./3456789=A_bdfghlmnpru"),
        (7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
        (8, "&*,;XZ"),
        (10, "!\"()?"),
        (11, "'+|"),
        (12, "#>"),
        (13, "\0$@[]~"),
        (14, "^}"),
    ];
    let mut codes = std::collections::BTreeMap::new();
    let (mut code, mut before) = (0_u32, 5);
    for (length, characters) in BY_LENGTH {
        code <<= length - before;
        before = length;
        for character in characters.chars() {
            codes.insert(character, format!("{code:0length$b}"));
            code += 1;
        }
    }
    words.chars().map(|one| codes[&one].as_str()).collect()
}

#[test]
fn words_are_found_in_each_form() {
    // From RFC 7541, C.4.1: www.example.com.
    let packed = [
        0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
    ];
    assert!(holds(&packed, "www.example.com") && holds(&packed, "example"));
    assert!(!holds(&packed, "www.example.org"));
    // "a secret word", and the same with one and two bytes before it.
    for sent in [
        "YSBzZWNyZXQgd29yZA==",
        "eGEgc2VjcmV0IHdvcmQ=",
        "eHlhIHNlY3JldCB3b3Jk",
    ] {
        assert!(holds(sent.as_bytes(), "secret word"), "{sent}");
        assert!(!holds(sent.as_bytes(), "other word"), "{sent}");
    }
}
