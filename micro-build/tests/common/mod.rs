//! Folders of a test's own.

use std::path::{Path, PathBuf};

/// A folder with these files: name and text.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

pub(crate) fn write(root: &Path, name: &str, text: &str) -> PathBuf {
    let path = root.join(name);
    let parent = path.parent().expect("a file is in a folder");
    std::fs::create_dir_all(parent).expect("a folder can be made");
    std::fs::write(&path, text).expect("a file can be written");
    path
}
