//! A file with services: when to read it again, and what holds while it cannot be read.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{failure, text};
use crate::error::Result;
use crate::registry::Service;

/// How long a file may be: a hundred thousand nodes with metadata.
const MAX_SIZE: u64 = 16 << 20;
/// A file changed so lately may be half written: it is left alone until it is that old.
const UNFINISHED: Duration = Duration::from_millis(200);
/// A file changed so lately may change once more without a newer time: some systems count in two
/// seconds.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// A file, and what it last said that made sense.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    services: Vec<Service>,
    /// What the file looked like when it was read, once that is certain not to lie.
    seen: Option<Stamp>,
    /// What was last found wrong, so that each fault is told once.
    fault: Option<String>,
}

/// What tells that a file is another one or was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    size: u64,
    /// The file's own number, where the system has one: a file moved over this one has another.
    number: u64,
}

impl Source {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// 400 where it cannot be read or makes no sense.
    pub(super) fn open(path: &Path, now: SystemTime) -> Result<Self> {
        let mut source = Self {
            path: path.to_owned(),
            services: Vec::new(),
            seen: None,
            fault: None,
        };
        let stamp = source.stamp();
        match stamp.and_then(|stamp| source.read(stamp, now)) {
            Ok(()) => Ok(source),
            Err(fault) => Err(failure(&format!("{}: {fault}", path.display()))),
        }
    }

    /// What the file says, or said when it last made sense.
    pub(super) fn services(&self) -> &[Service] {
        &self.services
    }

    /// Reads the file where it has changed, and says whether it was read. What cannot be read leaves
    /// everything as it is, and is warned of once.
    pub(super) fn look(&mut self, now: SystemTime) -> bool {
        let looked = match self.stamp() {
            Ok(stamp) if self.seen == Some(stamp) || stamp.age(now) < UNFINISHED => return false,
            Ok(stamp) => self.read(stamp, now),
            Err(fault) => Err(fault),
        };
        match looked {
            Ok(()) => {
                self.fault = None;
                true
            }
            Err(fault) => {
                if self.fault.as_ref() != Some(&fault) {
                    tracing::warn!(
                        file = %self.path.display(),
                        %fault,
                        "the file of the static registry makes no sense; what it said before holds"
                    );
                    self.fault = Some(fault);
                }
                false
            }
        }
    }

    fn stamp(&self) -> std::result::Result<Stamp, String> {
        let found = fs::metadata(&self.path).map_err(|error| error.to_string())?;
        // Opening a pipe would wait for its writer.
        if !found.is_file() {
            return Err("not a file".to_owned());
        }
        Stamp::of(&found).map_err(|error| error.to_string())
    }

    fn read(&mut self, stamp: Stamp, now: SystemTime) -> std::result::Result<(), String> {
        // A file that makes no sense is not read again either until it changes.
        self.seen = (stamp.age(now) >= COARSEST_CLOCK).then_some(stamp);
        let text = contents(&self.path).map_err(|error| error.to_string())?;
        self.services = text::services(&text)?;
        Ok(())
    }
}

impl Stamp {
    fn of(found: &Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: found.modified()?,
            size: found.len(),
            number: number(found),
        })
    }

    /// How long ago it was written: just now where its time is a little ahead of ours, and long ago
    /// where nothing can be told of it.
    fn age(&self, now: SystemTime) -> Duration {
        match now.duration_since(self.modified) {
            Ok(age) => age,
            Err(ahead) if ahead.duration() < COARSEST_CLOCK => Duration::ZERO,
            Err(_) => Duration::MAX,
        }
    }
}

#[cfg(unix)]
fn number(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> u64 {
    0
}

fn contents(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let read = File::open(path)?
        .take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)?;
    if read as u64 > MAX_SIZE {
        let large = format!("larger than {} MiB", MAX_SIZE >> 20);
        return Err(io::Error::other(large));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        io::Error::other(format!("line {line}: not UTF-8"))
    })
}
