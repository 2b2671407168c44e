//! Descriptors of `.proto` texts.

use std::fs;

use micro_runtime::schema::Schema;

/// The `FileDescriptorSet` of files, each a name and its text.
pub(crate) fn set_of(files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = files
        .iter()
        .map(|(name, text)| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    micro_build::Builder::new()
        .include(folder.path())
        .out_dir(&out)
        .option("file_descriptor_set=set.bin")
        .compile(&paths)
        .unwrap();
    fs::read(out.join("set.bin")).unwrap()
}

pub(crate) fn read(text: &str) -> Schema {
    Schema::read(&set_of(&[("a.proto", text)])).unwrap()
}

/// A service `p.S` whose method `M` takes `p.Q` with these fields and gives `p.R`.
pub(crate) fn asking(syntax: &str, fields: &str, more: &str) -> Schema {
    read(&format!(
        "syntax = \"{syntax}\"; package p;
        service S {{ rpc M(Q) returns (R); }}
        message Q {{ {fields} }}
        message R {{}}
        {more}"
    ))
}
