//! Where the files of the local registry are, when nobody says so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder for this process.
pub fn local_folder() -> PathBuf {
    local_folder_of(|name| std::env::var_os(name))
}

/// The folder for a process with this environment: `micro` in `$XDG_RUNTIME_DIR`, or in the user's
/// folder under `/run/user`, so that a service of a login and one of a timer find each other; where
/// neither is there and ours, `micro-<user>` beside the temporary files.
pub fn local_folder_of(env: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let user = user(&env);
    let runtime = env("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = user.map(|user| PathBuf::from(format!("/run/user/{user}")));
    let private = [runtime, usual]
        .into_iter()
        .flatten()
        .find(|folder| folder.is_absolute() && is_folder_of(folder, user));
    if let Some(folder) = private {
        return folder.join("micro");
    }
    let temporary = env("TMPDIR").map(PathBuf::from);
    let temporary = temporary
        .filter(|folder| folder.is_absolute() && folder.is_dir())
        .unwrap_or_else(|| PathBuf::from("/tmp"));
    match user {
        Some(user) => temporary.join(format!("micro-{user}")),
        None => temporary.join("micro"),
    }
}

/// The number of the user: the owner of our process where the system shows it, else of the home.
#[cfg(unix)]
fn user(env: impl Fn(&str) -> Option<OsString>) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;

    let owner = |path: &Path| path.metadata().ok().map(|found| found.uid());
    owner(Path::new("/proc/self")).or_else(|| owner(Path::new(&env("HOME")?)))
}

#[cfg(unix)]
fn is_folder_of(folder: &Path, user: Option<u32>) -> bool {
    use std::os::unix::fs::MetadataExt;

    let found = folder.metadata();
    found.is_ok_and(|found| found.is_dir() && user.is_none_or(|user| user == found.uid()))
}

#[cfg(not(unix))]
fn user(_: impl Fn(&str) -> Option<OsString>) -> Option<u32> {
    None
}

#[cfg(not(unix))]
fn is_folder_of(folder: &Path, _: Option<u32>) -> bool {
    folder.is_dir()
}
