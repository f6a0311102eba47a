//! The files that the rules are about: those of this repository, or a few that a test makes up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::code::{paths, without_comments_and_literals, without_tests};

/// Somebody else's text, a tool's, or bytes.
const LEFT_OUT: [&str; 8] = [
    ".git",
    "Cargo.lock",
    "LICENSE",
    "fuzz/artifacts",
    "fuzz/corpus",
    "fuzz/regressions",
    "fuzz/target",
    "target",
];

/// Text files by their paths from the root of the repository.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    /// The Rust files among them.
    pub(crate) sources: Vec<Source>,
}

/// A Rust file.
pub(crate) struct Source {
    /// Path from the root of the repository.
    pub(crate) path: String,
    /// Code without comments and the contents of literals.
    pub(crate) code: String,
    /// Paths that the code names, with their lines.
    pub(crate) paths: Vec<(usize, String)>,
    /// Paths that the code outside of tests names, with their lines.
    pub(crate) shipped_paths: Vec<(usize, String)>,
}

impl Tree {
    /// Reads the repository.
    pub(crate) fn of_the_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = BTreeMap::new();
        read_folder(&root, "", &mut files);
        assert!(files.len() > 100, "that can't be the repository: {} files", files.len());
        Self::new(files)
    }

    /// Makes up a tree.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect())
    }

    fn new(files: BTreeMap<String, String>) -> Self {
        let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
        let sources = rust.map(|(path, text)| Source::new(path, text)).collect();
        Self { files, sources }
    }

    /// Every file: path and text.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of a file; empty if there is none.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = without_comments_and_literals(text);
        let shipped_paths = if is_test(path) { Vec::new() } else { paths(&without_tests(&code)) };
        Self { path: path.to_owned(), paths: paths(&code), code, shipped_paths }
    }
}

/// True for a file of tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn read_folder(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        if LEFT_OUT.contains(&path.as_str()) {
            continue;
        }
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file() {
            // What isn't text has no rules.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                files.insert(path, text);
            }
        }
    }
}
