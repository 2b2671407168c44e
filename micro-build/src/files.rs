//! The files to compile, and the folders that their imports are found in.

use std::path::{Component, Path, PathBuf};

/// Files with their include folders.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) includes: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn new(protos: &[&Path], includes: &[PathBuf]) -> Self {
        let paths: Vec<PathBuf> = protos.iter().map(|path| plain(path)).collect();
        let mut all: Vec<PathBuf> = includes.iter().map(|path| plain(path)).collect();
        for path in &paths {
            // A file below a named folder has its name from there.
            if !includes
                .iter()
                .any(|include| path.starts_with(plain(include)))
            {
                let root = root(path);
                if !all.contains(&root) {
                    all.push(root);
                }
            }
        }
        Self {
            paths,
            includes: all,
        }
    }

    /// What `path` is called in descriptors: relative to its include folder, with slashes.
    pub(crate) fn name(&self, path: &Path) -> String {
        let relative = self
            .includes
            .iter()
            .find_map(|include| path.strip_prefix(include).ok())
            .unwrap_or(path);
        let parts = relative
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        parts.collect::<Vec<_>>().join("/")
    }

    /// Where the file is that descriptors call `name`.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        self.includes
            .iter()
            .map(|include| include.join(name))
            .find(|path| path.is_file())
    }

    /// A message that begins with the name of a file, with its path instead: editors can follow it.
    pub(crate) fn locate(&self, message: &str) -> String {
        let located = message.split_once(".proto:").and_then(|(stem, rest)| {
            let path = self.find(&format!("{stem}.proto"))?;
            Some(format!("{}:{rest}", path.display()))
        });
        located.unwrap_or_else(|| message.to_owned())
    }
}

/// The nearest folder above `path` that is called `proto`, else its own folder.
fn root(path: &Path) -> PathBuf {
    let folders = || path.ancestors().skip(1);
    folders()
        .find(|folder| folder.file_name().is_some_and(|name| name == "proto"))
        .or_else(|| folders().next())
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// Without `.` parts, so that prefixes compare.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| !matches!(part, Component::CurDir))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_include_root_is_the_nearest_proto_folder_or_the_files_own() {
        assert_eq!(
            root(Path::new("a/proto/b/proto/c/d.proto")),
            Path::new("a/proto/b/proto")
        );
        assert_eq!(root(Path::new("a/b.proto")), Path::new("a"));
        assert_eq!(root(Path::new("b.proto")), Path::new(""));
    }

    #[test]
    fn names_are_relative_to_their_root() {
        let paths = [Path::new("./proto/x/a.proto"), Path::new("b.proto")];
        let files = Files::new(&paths, &[]);
        assert_eq!(files.includes, [Path::new("proto"), Path::new("")]);
        let names: Vec<_> = files.paths.iter().map(|path| files.name(path)).collect();
        assert_eq!(names, ["x/a.proto", "b.proto"]);

        let files = Files::new(&paths, &[PathBuf::from("proto/x")]);
        assert_eq!(files.includes, [Path::new("proto/x"), Path::new("")]);
        assert_eq!(files.name(&files.paths[0]), "a.proto");
    }
}
