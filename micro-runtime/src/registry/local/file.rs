//! One node as a file: written whole, locked before it is visible, gone with its owner.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::{ID, Service};
use super::failure;
use crate::error::{Error, Result};
use crate::tasks::Tasks;

/// How long a file may be. A service with hundreds of endpoints takes a tenth.
const MAX_SIZE: u64 = 1 << 20;
/// What file names end with; others are left alone.
const SUFFIX: &str = ".node";
/// What the names of files end with that are not yet written.
const UNFINISHED: &str = ".unfinished";
/// How much of a service's name is in a file's name, which is for people only.
const MAX_NAME: usize = 128;

/// A file of ours, locked. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    /// The lock lives as long as the open file.
    _file: File,
}

impl Held {
    /// Whether nobody has removed it.
    pub(super) fn is_there(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Should this fail, others remove it: the lock goes in a moment.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a service with one node, locks it, and makes it visible.
pub(super) fn write(folder: &Path, one: &Service, tasks: &Tasks) -> Result<Held> {
    let failed = |error: io::Error| failure("cannot write to", folder, error);
    let text = serde_json::to_vec(one).map_err(|error| failed(error.into()))?;
    if text.len() as u64 > MAX_SIZE {
        return Err(Error::bad_request(
            ID,
            format!("local registry: {} is too large", one.name),
        ));
    }
    let mut tries = 0;
    loop {
        tries += 1;
        // Unique, so that removing the file of a dead owner never hits another's.
        let name = format!(
            "{}~{:x}-{:016x}",
            escaped(&one.name),
            std::process::id(),
            tasks.number()
        );
        match try_write(folder, &name, &text) {
            // Somebody has the name, or has just cleaned up what was not yet locked.
            Err(error)
                if tries < 16
                    && matches!(
                        error.kind(),
                        ErrorKind::AlreadyExists | ErrorKind::NotFound | ErrorKind::WouldBlock
                    ) => {}
            written => return written.map_err(failed),
        }
    }
}

fn try_write(folder: &Path, name: &str, text: &[u8]) -> io::Result<Held> {
    let unfinished = folder.join(format!(".{name}{UNFINISHED}"));
    let path = folder.join(format!("{name}{SUFFIX}"));
    if path.symlink_metadata().is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&unfinished)?;
    let finish = |file: &mut File| {
        file.try_lock()?;
        file.write_all(text)?;
        fs::rename(&unfinished, &path)
    };
    match finish(&mut file) {
        Ok(()) => Ok(Held { path, _file: file }),
        Err(error) => {
            let _ = fs::remove_file(&unfinished);
            Err(error)
        }
    }
}

/// Removes what writers left behind that died while writing.
pub(super) fn remove_leftovers(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else {
        return;
    };
    for file in files.flatten().take(super::MAX_FILES) {
        let unfinished = file
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with('.') && name.ends_with(UNFINISHED));
        if unfinished && is_regular(&file) {
            look(&file.path(), false);
        }
    }
}

/// The files of nodes, `limit` at most.
pub(super) fn list(folder: &Path, limit: usize) -> io::Result<Vec<(String, PathBuf)>> {
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        // Whoever registers next makes it again.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for file in files {
        let file = file?;
        let Ok(name) = file.file_name().into_string() else {
            continue;
        };
        // Only plain files are opened: opening a pipe would wait for its writer.
        if name.starts_with('.') || !name.ends_with(SUFFIX) || !is_regular(&file) {
            continue;
        }
        if found.len() == limit {
            tracing::warn!(folder = %folder.display(), limit, "too many files in the local registry");
            break;
        }
        found.push((name, file.path()));
    }
    Ok(found)
}

fn is_regular(file: &fs::DirEntry) -> bool {
    file.file_type().is_ok_and(|kind| kind.is_file())
}

/// What a look at a file shows.
pub(super) enum Found {
    /// Its owner lives. Where it was read: when it was written, and what it says if that makes sense.
    Alive(Option<(SystemTime, Option<Service>)>),
    /// It is not there any more, or its owner was dead and it has been removed.
    Gone,
    /// The system refused to tell.
    Unclear,
}

/// Looks whether the file's owner lives, and reads it if asked; removes it where the owner is dead.
pub(super) fn look(path: &Path, read: bool) -> Found {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Found::Gone,
        Err(_) => return Found::Unclear,
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) if read => Found::Alive(contents(&mut file).ok()),
        Err(TryLockError::WouldBlock) => Found::Alive(None),
        Err(TryLockError::Error(_)) => Found::Unclear,
        Ok(()) => {
            // Names are unique, so this is the file that was opened.
            let _ = fs::remove_file(path);
            Found::Gone
        }
    }
}

fn contents(file: &mut File) -> io::Result<(SystemTime, Option<Service>)> {
    let found = file.metadata()?;
    let written = found.modified()?;
    if found.len() > MAX_SIZE {
        return Ok((written, None));
    }
    let mut text = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut text)?;
    Ok((written, serde_json::from_slice(&text).ok()))
}

/// A service's name as a part of a file's name: plain characters stay, others become `%xx`.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if out.len() + 3 > MAX_NAME {
            break;
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(byte.into()),
            // Not first: such files are hidden, and two of them would be a folder.
            b'.' if !out.is_empty() => out.push('.'),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_cut() {
        assert_eq!(escaped("go.micro.srv.x-1_2"), "go.micro.srv.x-1_2");
        assert_eq!(escaped("../etc/é~%"), "%2e.%2fetc%2f%c3%a9%7e%25");
        assert!(escaped(&"/".repeat(1000)).len() <= MAX_NAME);
        assert_eq!(escaped(""), "");
    }
}
