//! Writing: plain and uncompressed, which everybody reads.

use super::{Data, MAX_MESSAGE, Malformed, Message, Name, Record, kind};

impl Message {
    /// The datagram.
    ///
    /// # Errors
    /// Where it would be larger than [`MAX_MESSAGE`] or has more records than can be counted.
    pub(in super::super) fn write(&self) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::with_capacity(512);
        let sections = [&self.answers, &self.authorities, &self.additionals];
        let counts = std::iter::once(self.questions.len()).chain(sections.map(Vec::len));
        put(&mut out, self.id);
        put(&mut out, self.flags);
        for count in counts {
            put(
                &mut out,
                u16::try_from(count).map_err(|_| Malformed::TooMany)?,
            );
        }
        for question in &self.questions {
            put_name(&mut out, &question.name);
            put(&mut out, question.kind);
            put(&mut out, question.class);
        }
        for record in sections.into_iter().flatten() {
            put_record(&mut out, record)?;
        }
        if out.len() > MAX_MESSAGE {
            return Err(Malformed::TooLarge);
        }
        Ok(out)
    }
}

fn put(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &Name) {
    out.extend_from_slice(name.bytes());
    out.push(0);
}

fn put_record(out: &mut Vec<u8>, record: &Record) -> Result<(), Malformed> {
    put_name(out, &record.name);
    let mut contents = Vec::new();
    let kind = match &record.data {
        Data::A(address) => {
            contents.extend_from_slice(&address.octets());
            kind::A
        }
        Data::Aaaa(address) => {
            contents.extend_from_slice(&address.octets());
            kind::AAAA
        }
        Data::Ptr(name) => {
            put_name(&mut contents, name);
            kind::PTR
        }
        Data::Cname(name) => {
            put_name(&mut contents, name);
            kind::CNAME
        }
        Data::Soa(seconds) => {
            // Names and numbers of no use here.
            contents.resize(2 + 16, 0);
            contents.extend_from_slice(&seconds.to_be_bytes());
            kind::SOA
        }
        Data::Srv {
            priority,
            weight,
            port,
            target,
        } => {
            for number in [*priority, *weight, *port] {
                put(&mut contents, number);
            }
            put_name(&mut contents, target);
            kind::SRV
        }
        Data::Txt(text) => {
            for string in text.chunks(usize::from(u8::MAX)) {
                // A chunk is no longer than that.
                contents.push(u8::try_from(string.len()).unwrap_or(u8::MAX));
                contents.extend_from_slice(string);
            }
            kind::TXT
        }
        Data::Other(kind) => *kind,
    };
    put(out, kind);
    put(out, record.class);
    out.extend_from_slice(&record.ttl.to_be_bytes());
    put(
        out,
        u16::try_from(contents.len()).map_err(|_| Malformed::TooLarge)?,
    );
    out.extend_from_slice(&contents);
    Ok(())
}
