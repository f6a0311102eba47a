//! The counts that are checked in: a text, sorted, a line a case.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::process::Command;

/// Growth that needs no explanation, in percent.
const GROWTH_MAX: f64 = 3.0;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts/baseline.txt");

/// Reads the baseline; empty if there is none yet.
pub(crate) fn read() -> Result<BTreeMap<String, u64>, Box<dyn Error>> {
    let text = match fs::read_to_string(FILE) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &str| -> Result<(String, u64), Box<dyn Error>> {
        let parts = line.split_once(' ').ok_or_else(|| format!("baseline: {line:?}"))?;
        Ok((parts.0.to_owned(), parts.1.trim().parse()?))
    };
    lines.map(entry).collect()
}

/// Replaces the baseline.
pub(crate) fn write(counts: &BTreeMap<String, u64>) -> Result<(), Box<dyn Error>> {
    let mut text = format!(
        "# Instructions an operation: `.ci/counts --update` writes this file, `.ci/counts` compares.\n\
         # Made with {}, {}.\n",
        version("rustc"),
        version("valgrind")
    );
    for (name, count) in counts {
        text.push_str(&format!("{name:<28} {count}\n"));
    }
    Ok(fs::write(FILE, text)?)
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| format!("an unknown {program}"))
}

/// By how much a count has grown.
pub(crate) fn change_percent(before: u64, now: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let (before, now) = (before as f64, now as f64);
    (now / before - 1.0) * 100.0
}

/// What is wrong with a count, if anything is.
pub(crate) fn complaint(name: &str, before: Option<u64>, now: u64) -> Option<String> {
    let Some(before) = before else {
        return Some(format!("{name} isn't in the baseline: `.ci/counts --update`"));
    };
    let change = change_percent(before, now);
    (change > GROWTH_MAX).then(|| {
        format!(
            "{name} takes {now} instructions instead of {before} ({change:+.1} %): make it cheaper, \
             or run `.ci/counts --update` and say in the commit why it has to be"
        )
    })
}
