//! Errors on the wire: all that an [`Error`] has for its caller, within bounds.

use super::dictionary::{Known, Told};
use super::fault::Fault;
use super::fields::{Fields, cut, write_short_text};
use super::wire::{ERROR, Frame, Hello, NAME, flag};
use crate::error::why::Cause;
use crate::error::{Detail, Error, status_text};

/// How much of an error's words is sent.
const DETAIL: usize = 16 * 1024;
/// How much of an ERROR is left to typed details and metadata together.
const EXTRAS: usize = ERROR - DETAIL - 2 * NAME - 256;

/// The flags of `error`'s frame, and what of it is sent.
pub(super) struct ErrorFrame<'a> {
    error: &'a Error,
    pub(super) flags: u8,
    details: usize,
}

impl<'a> ErrorFrame<'a> {
    /// Details that do not fit are left out, and metadata that the peer does not take.
    pub(super) fn new(error: &'a Error, peer: &Hello) -> Self {
        let mut room = EXTRAS;
        let mut flags = 0;
        let mut set = |flag, there: bool| flags |= if there { flag } else { 0 };
        set(flag::UNPROCESSED, error.is_unprocessed());
        set(flag::GRPC, error.grpc_code().is_some());
        set(flag::STATUS, error.status() != status_text(error.code()));
        let metadata = error.metadata();
        let size = super::wire::block_size(metadata);
        let metadata = !metadata.is_empty() && size <= room && peer.takes(metadata);
        set(flag::METADATA, metadata);
        room -= if metadata { size } else { 0 };
        let mut details = 0;
        for detail in error.details() {
            let size = PER_DETAIL + detail.type_url.len() + detail.value.len();
            if detail.type_url.len() > NAME || size > room {
                break;
            }
            room -= size;
            details += 1;
        }
        Self {
            error,
            flags,
            details,
        }
    }

    pub(super) fn write(&self, told: &mut Told, out: &mut Vec<u8>) {
        let error = self.error;
        out.extend_from_slice(&error.code().to_le_bytes());
        if let Some(code) = error.grpc_code() {
            out.extend_from_slice(&code.to_le_bytes());
        }
        write_short_text(cut(error.id(), NAME), out);
        write_short_text(cut(error.detail(), DETAIL), out);
        if self.flags & flag::STATUS != 0 {
            write_short_text(cut(error.status(), NAME), out);
        }
        if self.flags & flag::METADATA != 0 {
            told.write(error.metadata(), out);
        }
        out.extend_from_slice(&(self.details as u16).to_le_bytes());
        for detail in error.details().iter().take(self.details) {
            write_short_text(&detail.type_url, out);
            out.extend_from_slice(&(detail.value.len() as u32).to_le_bytes());
            out.extend_from_slice(&detail.value);
        }
    }
}

/// What a typed detail takes beside its texts.
const PER_DETAIL: usize = 6;

/// Reads an ERROR.
pub(super) fn read_error(frame: Frame, limits: &Hello, known: &mut Known) -> Result<Error, Fault> {
    let (head, mut fields) = Fields::of(frame);
    let code = fields.i32()?;
    let grpc = match head.has(flag::GRPC) {
        true => Some(fields.i32()?),
        false => None,
    };
    let id = fields.short_text(NAME)?.to_string();
    let detail = fields.short_text(ERROR)?.to_string();
    // No id and no code is how plain words arrive, also from Go Micro.
    let mut error = match id.is_empty() && code == 0 {
        true => Error::plain(detail),
        false => Error::new(id, detail, code),
    };
    if head.has(flag::STATUS) {
        error = error.with_status(&*fields.short_text(NAME)?);
    }
    if head.has(flag::METADATA) {
        error = error.with_metadata(fields.metadata(limits, known)?);
    }
    for _ in 0..fields.u16()? {
        let type_url = fields.short_text(NAME)?.to_string();
        let length = fields.u32()? as usize;
        let value = fields.bytes(length)?;
        error = error.with_detail(Detail { type_url, value });
    }
    fields.end()?;
    if let Some(code) = grpc {
        error = error.with_grpc_code(code);
    }
    let error = error.caused_by(Cause::Answered);
    Ok(match head.has(flag::UNPROCESSED) {
        true => error.unprocessed(),
        false => error,
    })
}
