//! Where generated files go.

use std::fs;
use std::path::{Path, PathBuf};

use protoc_gen_micro::File;

use crate::error::{Error, Result};

/// Where to write, or to compare with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// `None` is the folder that cargo gives a build script.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) check: bool,
}

/// Writes the files that have changed, or compares them all.
pub(crate) fn write(target: &Target, files: &[File]) -> Result<()> {
    match &target.folder {
        Some(folder) if target.check => check_all(folder, files),
        Some(folder) => write_all(folder, files),
        None if target.check => Err(Error::new(
            "`check` compares with checked-in code: name its folder with source_dir",
        )),
        None => {
            let folder = std::env::var_os("OUT_DIR").ok_or_else(|| {
                Error::new(
                    "OUT_DIR is not set: call this from build.rs, or name a folder with out_dir",
                )
            })?;
            write_all(Path::new(&folder), files)
        }
    }
}

fn write_all(folder: &Path, files: &[File]) -> Result<()> {
    for file in files {
        let path = folder.join(&file.name);
        let failed = |error: std::io::Error| {
            Error::new(format!("{}: cannot be written: {error}", path.display())).with_source(error)
        };
        // An unchanged file keeps its time, so that cargo builds nothing again.
        if fs::read(&path).is_ok_and(|old| old == file.content) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, &file.content).map_err(failed)?;
    }
    Ok(())
}

fn check_all(folder: &Path, files: &[File]) -> Result<()> {
    let mut stale = String::new();
    for file in files {
        let path = folder.join(&file.name);
        println!("cargo::rerun-if-changed={}", path.display());
        match fs::read(&path) {
            Ok(old) if old == file.content => {}
            Ok(old) => stale.push_str(&diff(&path, &old, &file.content)),
            Err(error) => stale.push_str(&format!("--- {}: {error}\n", path.display())),
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "generated code is stale; build without `check` to write it anew\n{stale}"
    )))
}

/// How many lines of each side a difference shows.
const SHOWN: usize = 12;

/// Where `old` and `new` begin to differ, up to where they are alike again at the end.
fn diff(path: &Path, old: &[u8], new: &[u8]) -> String {
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return format!("--- {}: the bytes differ\n", path.display());
    };
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let alike = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(old, new)| old == new).count()
    };
    let start = alike(&mut old.iter().zip(&new));
    let end = alike(&mut old[start..].iter().rev().zip(new[start..].iter().rev()));
    let mut out = format!(
        "--- {path}\n+++ {path}, as it would be generated\n@@ line {line} @@\n",
        path = path.display(),
        line = start + 1
    );
    for (mark, lines) in [
        ('-', &old[start..old.len() - end]),
        ('+', &new[start..new.len() - end]),
    ] {
        for line in lines.iter().take(SHOWN) {
            out.push_str(&format!("{mark}{line}\n"));
        }
        if lines.len() > SHOWN {
            out.push_str(&format!("{mark}… {} lines more\n", lines.len() - SHOWN));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_is_between_the_like_parts() {
        let diff = diff(
            Path::new("a.rs"),
            b"one\ntwo\nthree\n",
            b"one\n2\nmore\nthree\n",
        );
        assert_eq!(
            diff,
            "--- a.rs\n+++ a.rs, as it would be generated\n@@ line 2 @@\n-two\n+2\n+more\n"
        );
    }
}
