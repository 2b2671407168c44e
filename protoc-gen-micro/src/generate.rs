//! A whole run: descriptors and options in, files out.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::FileDescriptor;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::Options;
use crate::{clashes, descriptor, emit, include, service};

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// An encoded `FileDescriptorSet` with all imports, best with source info.
    pub descriptor_set: &'a [u8],
    /// The files to generate, as the set names them.
    pub files: &'a [String],
    /// Whether to generate also the files that hold the types that `files` use.
    pub imports: bool,
    /// How.
    pub options: Options,
}

/// What was generated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The files, in the order of their names.
    pub files: Vec<File>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the output folder.
    pub name: String,
    /// UTF-8, but for descriptor sets.
    pub content: Vec<u8>,
}

/// Generates: one file a package, the include file, the descriptor set where one is wanted.
///
/// The same request gives the same bytes, whatever the order of `files`.
///
/// # Errors
/// Where the descriptors cannot be read, are of an edition, or name things that Rust cannot.
pub fn generate(request: Request<'_>) -> Result<Output> {
    let pool = descriptor::pool(request.descriptor_set)?;
    for name in request.files {
        if pool.get_file_by_name(name).is_none() {
            return Err(Error::new(format!("{name} is not in the descriptor set")));
        }
    }
    let model = Model::new(pool, request.options);
    let generated = if request.imports {
        descriptor::needed(&model, request.files)
    } else {
        request.files.iter().cloned().collect()
    };
    let mut output = Output::default();
    if !request.imports && model.options().messages {
        output.warnings = missing(&model, &generated);
    }
    let files: Vec<FileDescriptor> = generated
        .iter()
        .filter_map(|name| model.pool().get_file_by_name(name))
        .collect();
    clashes::check(&model, &files)?;
    packages(&model, &generated, &files, &mut output)?;
    if let Some(name) = &model.options().file_descriptor_set {
        output.files.push(File {
            name: name.clone(),
            content: descriptor::set_of(&files),
        });
    }
    output.files.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = output
        .files
        .windows(2)
        .find(|pair| pair[0].name == pair[1].name)
    {
        return Err(Error::new(format!(
            "two files would be called {}: choose another name for the include file or the descriptor set",
            pair[0].name
        )));
    }
    Ok(output)
}

fn packages(
    model: &Model,
    generated: &BTreeSet<String>,
    files: &[FileDescriptor],
    output: &mut Output,
) -> Result<()> {
    let mut by_package: BTreeMap<&str, Vec<FileDescriptor>> = BTreeMap::new();
    for file in files {
        by_package
            .entry(file.package_name())
            .or_default()
            .push(file.clone());
    }
    let mut messages = emit::messages::generate(model, generated)?;
    let mut written = Vec::new();
    for (package, files) in &by_package {
        let services = service::services(model, files, &mut output.warnings)?;
        let messages = messages.remove(*package).unwrap_or_default();
        if let Some(text) = emit::package(model, files, messages, &services)? {
            let name = file_name(package);
            written.push(((*package).to_owned(), name.clone()));
            output.files.push(File {
                name,
                content: text.into_bytes(),
            });
        }
    }
    if let Some(name) = &model.options().include_file {
        output.files.push(File {
            name: name.clone(),
            content: include::file(&written).into_bytes(),
        });
    }
    Ok(())
}

/// `_.rs` without a package. A package `mod` gives way to the include file.
fn file_name(package: &str) -> String {
    match package {
        "" => "_.rs".to_owned(),
        "mod" => "mod_.rs".to_owned(),
        _ => format!("{package}.rs"),
    }
}

/// What files to generate use of files that are not.
fn missing(model: &Model, generated: &BTreeSet<String>) -> Vec<String> {
    let mut warnings = BTreeMap::new();
    for name in generated {
        let Some(file) = model.pool().get_file_by_name(name) else {
            continue;
        };
        for (owner, ty) in descriptor::used(&file) {
            if !generated.contains(&owner) && !model.is_extern(&ty) {
                warnings.entry((name.clone(), owner)).or_insert(ty);
            }
        }
    }
    warnings
        .into_iter()
        .map(|((file, owner), ty)| {
            format!("{file} uses `{ty}` of {owner}, which is not generated: name that file too, or say with extern_path where its code is")
        })
        .collect()
}
