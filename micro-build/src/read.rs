//! Descriptors of `.proto` files: from protox, from protoc, or from a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message as _;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::error::{Error, Result};
use crate::files::Files;
use crate::source;

/// What was read.
pub(crate) struct Descriptors {
    /// An encoded `FileDescriptorSet` with imports, source info and custom options.
    pub(crate) set: Vec<u8>,
    /// The files to generate, as the set names them.
    pub(crate) names: Vec<String>,
    /// The files that it came from.
    pub(crate) watched: Vec<PathBuf>,
}

/// Compiles in this process.
pub(crate) fn protox(files: &Files) -> Result<Descriptors> {
    let mut resolver = ChainFileResolver::new();
    // Before any copy of the user's: a new one may use what protox does not know.
    resolver.add(GoogleFileResolver::new());
    for include in &files.includes {
        resolver.add(Folder(include.clone()));
    }
    resolver.add(Own);
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    let mut names = Vec::new();
    for path in &files.paths {
        let name = files.name(path);
        match files.find(&name) {
            Some(found) if found == *path => {}
            Some(found) => {
                let (path, found) = (path.display(), found.display());
                return Err(Error::new(format!(
                    "{path}: {found} has the same name, {name}"
                )));
            }
            None => {
                let path = path.display();
                return Err(Error::new(format!("{path}: there is no such file")));
            }
        }
        compiler
            .open_file(&name)
            .map_err(|error| explain(&error, path, files))?;
        names.push(name);
    }
    Ok(Descriptors {
        set: compiler.encode_file_descriptor_set(),
        names,
        watched: compiler
            .files()
            .filter_map(|file| files.find(file.name()))
            .collect(),
    })
}

/// A folder that imports are found in.
#[derive(Debug)]
struct Folder(PathBuf);

impl FileResolver for Folder {
    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        let path = self.0.join(name);
        match std::fs::read_to_string(&path) {
            Ok(source) => File::from_source(name, &source::with_starred_comments(&source)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(protox::Error::file_not_found(name))
            }
            Err(error) => Err(protox::Error::new(format!("{}: {error}", path.display()))),
        }
    }
}

/// What the generator brings along.
#[derive(Debug)]
struct Own;

impl FileResolver for Own {
    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        if name == EVENT {
            File::from_source(name, protoc_gen_micro::EVENT_PROTO)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}

/// The file whose option makes a message an event.
const EVENT: &str = "micro/event.proto";

fn explain(error: &protox::Error, path: &Path, files: &Files) -> Error {
    let culprit = error
        .file()
        .and_then(|name| files.find(name))
        .unwrap_or_else(|| path.to_owned());
    if let Some(editions) = editions(&culprit) {
        return editions;
    }
    // Its `Debug` begins with file, line and column.
    let text = files.locate(&format!("{error:?}"));
    if text.contains(".proto") {
        Error::new(text)
    } else {
        Error::new(format!("{}: {text}", culprit.display()))
    }
}

/// protox takes an edition for a syntax error.
fn editions(path: &Path) -> Option<Error> {
    let source = std::fs::read_to_string(path).ok()?;
    let start = source::first_statement(&source);
    let rest = source[start..].strip_prefix("edition")?;
    rest.trim_start().starts_with('=').then(|| {
        let line = source[..start].matches('\n').count() + 1;
        let column = start - source[..start].rfind('\n').map_or(0, |at| at + 1) + 1;
        Error::new(format!(
            "{}:{line}:{column}: editions are not supported yet: write `syntax = \"proto3\";` or `syntax = \"proto2\";`",
            path.display()
        ))
    })
}

/// Has a protoc compile.
pub(crate) fn protoc(program: &Path, files: &Files) -> Result<Descriptors> {
    let folder = std::env::var_os("OUT_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let own = folder.join(format!("micro-build-{}", std::process::id()));
    let written = write_own(&own);
    let compiled = written.and_then(|()| run_protoc(program, files, &own));
    // The folder was ours alone; that it stays does no harm.
    let _ = std::fs::remove_dir_all(&own);
    let set = compiled?;
    let names = files.paths.iter().map(|path| files.name(path)).collect();
    let watched = names_in(&set)?
        .iter()
        .filter_map(|name| files.find(name))
        .collect();
    Ok(Descriptors {
        set,
        names,
        watched,
    })
}

/// Writes what the generator brings along, for protoc to find it.
fn write_own(folder: &Path) -> Result<()> {
    let path = folder.join(EVENT);
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(&path, protoc_gen_micro::EVENT_PROTO))
        .map_err(|error| {
            let path = path.display();
            Error::new(format!("{path}: cannot be written: {error}")).with_source(error)
        })
}

fn run_protoc(program: &Path, files: &Files, own: &Path) -> Result<Vec<u8>> {
    let set_path = own.join("set.bin");
    let mut command = Command::new(program);
    command.args(["--include_imports", "--include_source_info"]);
    command.arg(format!("--descriptor_set_out={}", set_path.display()));
    for include in &files.includes {
        // An empty path is the folder that it runs in.
        let include = if include.as_os_str().is_empty() {
            Path::new(".")
        } else {
            include
        };
        command.arg(format!("--proto_path={}", include.display()));
    }
    command.arg(format!("--proto_path={}", own.display()));
    command.args(&files.paths);
    let output = command.output().map_err(|error| {
        Error::new(format!("PROTOC: cannot run {}: {error}", program.display())).with_source(error)
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<String> = said.trim().lines().map(|line| files.locate(line)).collect();
        return Err(Error::new(said.join("\n")));
    }
    read(&set_path)
}

/// Reads what another compiler has made.
pub(crate) fn descriptor_set(path: &Path, files: &Files) -> Result<Descriptors> {
    let set = read(path)?;
    let known = names_in(&set)
        .map_err(|error| Error::new(format!("{}: {error}", path.display())).with_source(error))?;
    let mut names = Vec::new();
    for file in &files.paths {
        let whole = file.to_string_lossy().replace('\\', "/");
        let name = [whole, files.name(file)]
            .into_iter()
            .find(|name| known.contains(name))
            .ok_or_else(|| {
                Error::new(format!(
                    "{} is not in {}, which has {}",
                    file.display(),
                    path.display(),
                    known.join(", ")
                ))
            })?;
        names.push(name);
    }
    if names.is_empty() {
        names = known;
        names.retain(|name| !name.starts_with("google/protobuf/"));
    }
    Ok(Descriptors {
        set,
        names,
        watched: vec![path.to_owned()],
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::new(format!("{}: cannot be read: {error}", path.display())).with_source(error)
    })
}

/// The names of a set's files. Their options are not looked at, so nothing is lost here.
fn names_in(set: &[u8]) -> Result<Vec<String>> {
    /// The beginning of `google.protobuf.FileDescriptorSet`.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Set {
        #[prost(message, repeated, tag = "1")]
        file: Vec<Name>,
    }
    /// The beginning of `google.protobuf.FileDescriptorProto`.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Name {
        #[prost(string, tag = "1")]
        name: String,
    }
    let set = Set::decode(set).map_err(|error| {
        Error::new(format!("this is not a descriptor set: {error}")).with_source(error)
    })?;
    Ok(set.file.into_iter().map(|file| file.name).collect())
}
