//! Reading.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Data, MAX_RECORDS, Malformed, Message, Name, Question, Record, kind};

/// How often a name may go on elsewhere; an honest one does so twice or so.
const MAX_JUMPS: usize = 32;

impl Message {
    /// Reads a datagram of multicast DNS. What stands behind the last record is passed over.
    ///
    /// # Errors
    /// Where it is no DNS message, or has more than [`MAX_RECORDS`] records.
    pub(in super::super) fn read(datagram: &[u8]) -> Result<Self, Malformed> {
        Self::read_up_to(datagram, MAX_RECORDS)
    }

    /// As [`read`](Self::read), with up to `most` questions and records.
    ///
    /// # Errors
    /// Where it is no DNS message, or has more.
    pub(in super::super) fn read_up_to(datagram: &[u8], most: usize) -> Result<Self, Malformed> {
        let mut reader = Reader { datagram, at: 0 };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?].map(usize::from);
        if counts.iter().sum::<usize>() > most {
            return Err(Malformed::TooMany);
        }
        let [questions, answers, authorities, additionals] = counts;
        Ok(Self {
            id,
            flags,
            questions: reader.times(questions, Reader::question)?,
            answers: reader.times(answers, Reader::record)?,
            authorities: reader.times(authorities, Reader::record)?,
            additionals: reader.times(additionals, Reader::record)?,
        })
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    datagram: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn times<T>(
        &mut self,
        count: usize,
        read: fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        // The count is a claim: room grows with what is really there.
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed::Truncated)?;
        let taken = self.datagram.get(self.at..end);
        self.at = end;
        taken.ok_or(Malformed::Truncated)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed::Truncated)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        let mut name = Name::default();
        let mut reader = *self;
        // Where the present stretch of labels began: a pointer leads before it, so that none is
        // read twice.
        let mut start = self.at;
        let mut jumps = 0;
        loop {
            let length = reader.u8()?;
            match length >> 6 {
                0 if length == 0 => break,
                0 => {
                    if !name.push(reader.take(length.into())?) {
                        return Err(Malformed::LongName);
                    }
                }
                3 => {
                    let to = usize::from(u16::from_be_bytes([length & 0x3f, reader.u8()?]));
                    if jumps == 0 {
                        self.at = reader.at;
                    }
                    jumps += 1;
                    if to >= start || jumps > MAX_JUMPS {
                        return Err(Malformed::Pointer);
                    }
                    (start, reader.at) = (to, to);
                }
                _ => return Err(Malformed::Label),
            }
        }
        if jumps == 0 {
            self.at = reader.at;
        }
        Ok(name)
    }

    fn question(&mut self) -> Result<Question, Malformed> {
        Ok(Question {
            name: self.name()?,
            kind: self.u16()?,
            class: self.u16()?,
        })
    }

    fn record(&mut self) -> Result<Record, Malformed> {
        let name = self.name()?;
        let kind = self.u16()?;
        let class = self.u16()?;
        let ttl = self.u32()?;
        let length = usize::from(self.u16()?);
        let begin = self.at;
        let contents = self.take(length)?;
        let data = match kind {
            kind::A => Data::A(Ipv4Addr::from(fixed::<4>(contents)?)),
            kind::AAAA => Data::Aaaa(Ipv6Addr::from(fixed::<16>(contents)?)),
            kind::TXT => Data::Txt(text(contents)?),
            kind::PTR | kind::CNAME | kind::SRV | kind::SOA => {
                // Names in it may point to all that came before.
                let mut inside = Self {
                    datagram: self.datagram,
                    at: begin,
                };
                let data = match kind {
                    kind::PTR => Data::Ptr(inside.name()?),
                    kind::CNAME => Data::Cname(inside.name()?),
                    kind::SOA => {
                        // Its server, its keeper, and four numbers for its copies.
                        inside.name()?;
                        inside.name()?;
                        inside.take(16)?;
                        Data::Soa(inside.u32()?)
                    }
                    _ => Data::Srv {
                        priority: inside.u16()?,
                        weight: inside.u16()?,
                        port: inside.u16()?,
                        target: inside.name()?,
                    },
                };
                if inside.at != self.at {
                    return Err(Malformed::Length);
                }
                data
            }
            other => Data::Other(other),
        };
        Ok(Record {
            name,
            class,
            ttl,
            data,
        })
    }
}

fn fixed<const N: usize>(contents: &[u8]) -> Result<[u8; N], Malformed> {
    contents.try_into().map_err(|_| Malformed::Length)
}

/// Joins strings, of which there may be none.
fn text(mut contents: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut joined = Vec::with_capacity(contents.len());
    while let Some((length, rest)) = contents.split_first() {
        let (string, rest) = rest
            .split_at_checked(usize::from(*length))
            .ok_or(Malformed::Length)?;
        joined.extend_from_slice(string);
        contents = rest;
    }
    Ok(joined)
}
