//! JSON's grammar: a strict reader that pulls one token after another.

use std::borrow::Cow;

use super::fault::{Fault, Kind, Result};
use super::number::{self, Scan};

/// How deep lists and objects may lie in each other.
pub(super) const DEPTH: u8 = 128;

/// A document and the place in it that is read next.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
}

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Null,
    Bool,
    Number,
    String,
    List,
    Object,
}

impl Token {
    /// Go's name of it in error texts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Token::Null => "null",
            Token::Bool => "bool",
            Token::Number => "number",
            Token::String => "string",
            Token::List => "array",
            Token::Object => "object",
        }
    }
}

impl<'a> Lexer<'a> {
    pub(super) fn new(body: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|error| {
            let text = format!("invalid UTF-8 in JSON after {} bytes", error.valid_up_to());
            Fault::new(Kind::Utf8, text)
        })?;
        Ok(Self {
            text,
            at: 0,
            depth: 0,
        })
    }

    /// What the next value is.
    pub(super) fn peek(&mut self) -> Result<Token> {
        match self.byte()? {
            b'"' => Ok(Token::String),
            b'{' => Ok(Token::Object),
            b'[' => Ok(Token::List),
            b'n' => Ok(Token::Null),
            b't' | b'f' => Ok(Token::Bool),
            b'-' | b'0'..=b'9' => Ok(Token::Number),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// Whether nothing but blanks is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.blanks();
        self.at == self.text.len()
    }

    /// The fault of a document that should end here.
    pub(super) fn trailing(&self) -> Fault {
        self.unexpected("after top-level value")
    }

    pub(super) fn null(&mut self) -> Result<()> {
        self.literal("null")
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        if self.byte()? == b't' {
            self.literal("true").map(|()| true)
        } else {
            self.literal("false").map(|()| false)
        }
    }

    /// The text of a number.
    pub(super) fn number(&mut self) -> Result<&'a str> {
        self.blanks();
        match number::scan(self.rest()) {
            Scan::Ends(length) => self.take(length),
            Scan::Truncated => Err(Fault::truncated()),
            Scan::Wrong(length, context) => {
                self.at += length;
                Err(self.unexpected(context))
            }
        }
    }

    /// A string; borrowed where it has no escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.byte()?;
        self.at += 1;
        let plain = self.plain_part()?;
        if self.byte_here()? == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        while self.byte_here()? == b'\\' {
            self.at += 1;
            text.push(self.escape()?);
            text.push_str(self.plain_part()?);
        }
        self.at += 1;
        Ok(Cow::Owned(text))
    }

    /// Enters an object, to be read by [`Members`] to its end.
    pub(super) fn object(&mut self) -> Result<Members> {
        self.open().map(|()| Members { any: false })
    }

    /// Enters a list, to be read by [`Items`] to its end.
    pub(super) fn list(&mut self) -> Result<Items> {
        self.open().map(|()| Items { any: false })
    }

    /// Passes over a value, which must be JSON too.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            Token::Null => self.null(),
            Token::Bool => self.bool().map(drop),
            Token::Number => self.number().map(drop),
            Token::String => self.string().map(drop),
            Token::List => {
                let mut items = self.list()?;
                while items.next(self)? {
                    self.skip()?;
                }
                Ok(())
            }
            Token::Object => {
                let mut members = self.object()?;
                while members.next(self)?.is_some() {
                    self.skip()?;
                }
                Ok(())
            }
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is not blank.
    fn byte(&mut self) -> Result<u8> {
        self.blanks();
        self.byte_here()
    }

    fn byte_here(&self) -> Result<u8> {
        let byte = self.text.as_bytes().get(self.at).copied();
        byte.ok_or_else(Fault::truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a str> {
        let end = self.at + length;
        let taken = self.text.get(self.at..end).ok_or_else(Fault::truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn open(&mut self) -> Result<()> {
        self.byte()?;
        if self.depth == DEPTH {
            return Err(too_deep());
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn literal(&mut self, literal: &'static str) -> Result<()> {
        self.blanks();
        for wanted in literal.chars() {
            if self.byte_here()? != wanted as u8 {
                return Err(
                    self.unexpected(&format!("in literal {literal} (expecting '{wanted}')"))
                );
            }
            self.at += 1;
        }
        Ok(())
    }

    /// The part of a string up to its end or its next escape.
    fn plain_part(&mut self) -> Result<&'a str> {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let length = self.rest().iter().position(special);
        let part = self.take(length.ok_or_else(Fault::truncated)?)?;
        match self.byte_here()? {
            b'"' | b'\\' => Ok(part),
            _ => Err(self.unexpected("in string literal")),
        }
    }

    /// What stands after a backslash. Half a surrogate pair becomes U+FFFD, as in Go.
    fn escape(&mut self) -> Result<char> {
        let plain = match self.byte_here()? {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) || !self.rest().starts_with(b"\\u") {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        self.at += 2;
        let second = self.hex()?;
        if (0xdc00..0xe000).contains(&second) {
            let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Ok(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // The second escape is a character of its own.
        self.at = before;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Result<u32> {
        let mut number = 0;
        for _ in 0..4 {
            let digit = char::from(self.byte_here()?).to_digit(16);
            number = number * 16
                + digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(number)
    }

    /// The fault of the character here.
    fn unexpected(&self, context: &str) -> Fault {
        let found = self
            .text
            .get(self.at..)
            .and_then(|rest| rest.chars().next());
        found.map_or_else(Fault::truncated, |found| Fault::syntax(found, context))
    }
}

/// The members of an object.
#[derive(Debug)]
pub(super) struct Members {
    any: bool,
}

impl Members {
    /// The next key; its value is to be read before the next one.
    pub(super) fn next<'a>(&mut self, json: &mut Lexer<'a>) -> Result<Option<Cow<'a, str>>> {
        match json.byte()? {
            b'}' => {
                json.close();
                return Ok(None);
            }
            _ if !self.any => self.any = true,
            b',' => json.at += 1,
            _ => return Err(json.unexpected("after object key:value pair")),
        }
        if json.byte()? != b'"' {
            return Err(json.unexpected("looking for beginning of object key string"));
        }
        let key = json.string()?;
        if json.byte()? != b':' {
            return Err(json.unexpected("after object key"));
        }
        json.at += 1;
        Ok(Some(key))
    }
}

/// The items of a list.
#[derive(Debug)]
pub(super) struct Items {
    any: bool,
}

impl Items {
    /// Whether there is a next item, which is then to be read.
    pub(super) fn next(&mut self, json: &mut Lexer<'_>) -> Result<bool> {
        match json.byte()? {
            b']' => {
                json.close();
                Ok(false)
            }
            _ if !self.any => {
                self.any = true;
                Ok(true)
            }
            b',' => {
                json.at += 1;
                Ok(true)
            }
            _ => Err(json.unexpected("after array element")),
        }
    }
}

pub(super) fn too_deep() -> Fault {
    Fault::new(Kind::Deep, "exceeded max depth")
}
