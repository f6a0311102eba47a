//! A target without a fuzzer: over the files that the command line names.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use crate::Target;

/// Runs the target over every file named, and over every file of the folders named; the panic of an
/// input that fails comes with the file's name. Status 2 if one can't be read.
#[must_use]
pub fn replay(target: Target) -> ExitCode {
    let mut inputs = 0;
    for path in env::args_os().skip(1).map(PathBuf::from) {
        match each_file(&path, target) {
            Ok(found) => inputs += found,
            Err(error) => {
                eprintln!("{}: can't be read: {error}", path.display());
                return ExitCode::from(2);
            }
        }
    }
    println!("{inputs} inputs hold");
    ExitCode::SUCCESS
}

fn each_file(path: &Path, target: Target) -> io::Result<usize> {
    if !path.is_dir() {
        let input = fs::read(path)?;
        let _named = Named(path);
        target(&input);
        return Ok(1);
    }
    let mut inputs = 0;
    for entry in fs::read_dir(path)? {
        inputs += each_file(&entry?.path(), target)?;
    }
    Ok(inputs)
}

/// Says on a panic which file it was.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: fails", self.0.display());
        }
    }
}
