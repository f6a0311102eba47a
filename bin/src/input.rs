//! Input of the commands that read lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

/// Hands each line of the files, or of `input` if there are none, to `action`, without its newline;
/// a last one needs none.
///
/// # Errors
///
/// A file that can't be read, with its path, or what `action` gives.
pub(crate) fn for_each_line(
    files: &[PathBuf],
    input: &mut dyn BufRead,
    action: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    if files.is_empty() {
        return for_each_line_of(input, "standard input", action);
    }
    for path in files {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| in_source(&name, &error))?;
        for_each_line_of(&mut BufReader::new(file), &name, action)?;
    }
    Ok(())
}

fn for_each_line_of(
    input: &mut dyn BufRead,
    name: &str,
    action: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).map_err(|error| in_source(name, &error))? > 0 {
        action(line.strip_suffix(b"\n").unwrap_or(&line))?;
        line.clear();
    }
    Ok(())
}

/// A reading error with the name of what was read.
fn in_source(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}
