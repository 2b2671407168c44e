//! The real protoc with our plugin, and the folders of the tests.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A file of this crate's tests.
pub(crate) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

/// `google/api`, and the protos of the examples.
pub(crate) fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
}

pub(crate) fn protoc() -> PathBuf {
    protoc_bin_vendored::protoc_bin_path().expect("there is a protoc for this platform")
}

/// Runs protoc on files below `root` with the plugin's `options`.
pub(crate) fn run_protoc(root: &Path, out: &Path, options: &str, files: &[&str]) -> Output {
    Command::new(protoc())
        .arg(format!(
            "--plugin=protoc-gen-micro={}",
            env!("CARGO_BIN_EXE_protoc-gen-micro")
        ))
        .arg(format!("--proto_path={}", root.display()))
        .arg(format!("--proto_path={}", shared().display()))
        .arg(format!("--micro_out={}", out.display()))
        .arg(format!("--micro_opt={options}"))
        .args(files)
        .output()
        .expect("protoc runs")
}

/// Runs protoc, which must succeed, and gives what the plugin said.
pub(crate) fn protoc_ok(root: &Path, out: &Path, options: &str, files: &[&str]) -> String {
    let output = run_protoc(root, out, options, files);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// Runs protoc, which must fail, and gives what was said.
pub(crate) fn protoc_fails(root: &Path, options: &str, files: &[&str]) -> String {
    let out = tempfile::tempdir().unwrap();
    let output = run_protoc(root, out.path(), options, files);
    assert!(!output.status.success());
    assert!(read_all(out.path()).is_empty(), "nothing is written");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All files of a folder.
pub(crate) fn read_all(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Writes a file of a test's own.
pub(crate) fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}
