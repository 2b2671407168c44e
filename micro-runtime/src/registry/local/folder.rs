//! The private folder of the files.

use std::path::{Path, PathBuf};

use super::super::ID;
use super::failure;
use crate::error::{Error, Result};

/// Makes and checks `base` and the folder of this network namespace inside it.
pub(super) fn open(base: &Path) -> Result<PathBuf> {
    make(base)?;
    let folder = base.join(format!("net-{}", network()));
    make(&folder)?;
    Ok(folder)
}

/// The number of the network namespace; 0 where the system has none or does not tell.
fn network() -> u64 {
    std::fs::read_link("/proc/self/ns/net")
        .ok()
        .and_then(|link| {
            // `net:[4026531833]`
            let digits: String = link
                .to_str()?
                .chars()
                .filter(char::is_ascii_digit)
                .collect();
            digits.parse().ok()
        })
        .unwrap_or(0)
}

/// Makes `folder` for us alone, or checks that it is so.
#[cfg(unix)]
fn make(folder: &Path) -> Result<()> {
    use std::fs::{DirBuilder, symlink_metadata};
    use std::io::ErrorKind;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};

    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(failure("cannot make", folder, error));
        }
        _ => {}
    }
    let found = symlink_metadata(folder).map_err(|error| failure("cannot read", folder, error))?;
    if !found.is_dir() {
        return Err(refused(folder, "is not a folder"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(refused(
            folder,
            "is open to other users (it needs mode 0700)",
        ));
    }
    let ours = owner_of_new_files(folder).map_err(|error| failure("cannot use", folder, error))?;
    if found.uid() != ours {
        return Err(refused(folder, "belongs to another user"));
    }
    Ok(())
}

/// The user that this process makes files as. The standard library tells it only of a file.
#[cfg(unix)]
fn owner_of_new_files(folder: &Path) -> std::io::Result<u32> {
    use std::fs::{OpenOptions, remove_file};
    use std::io::ErrorKind;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    let mut number = 0;
    loop {
        let path = folder.join(format!(".owner-{}-{number}", std::process::id()));
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Ok(file) => {
                let owner = file.metadata().map(|found| found.uid());
                let _ = remove_file(&path);
                return owner;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 64 => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(not(unix))]
fn make(folder: &Path) -> Result<()> {
    Err(refused(
        folder,
        "cannot be made private on this system; choose another registry",
    ))
}

fn refused(folder: &Path, why: &str) -> Error {
    Error::forbidden(ID, format!("local registry: {} {why}", folder.display()))
}
