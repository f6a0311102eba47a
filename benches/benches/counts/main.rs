//! How many instructions the micro-benchmarks take, against a baseline that is checked in:
//! `.ci/counts`, or `cargo bench -p lastdrop-lab --bench counts [-- PREFIX]`.
//!
//! ```text
//! this program ─▶ valgrind --tool=callgrind this program --run ─▶ one profile a case ─▶ compare
//! ```
//!
//! Counts don't depend on what else the machine does. What is left of chance, the seeds of hash
//! tables, moves them by about a percent. They do change with compiler and libraries: the
//! baseline says which ones it was made with.

#[path = "../cases/mod.rs"]
mod cases;
mod baseline;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};

use cases::{Case, Run};
use lastdrop_lab::experiment::report::Table;

/// What is measured, as callgrind knows it: the name of the crate and of the function.
const MEASURED: &str = "counts::measured";

/// How many times the median of its kind the dearest hostile message may cost.
const HOSTILE_MAX: u64 = 20;

/// What hostile messages are called.
const HOSTILE: &str = "hostile/";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    // Cargo adds `--bench`.
    let only = arguments.iter().find(|argument| !argument.starts_with("--"));
    let only = only.map_or("", String::as_str);
    if has("--run") {
        run_all(only);
        return ExitCode::SUCCESS;
    }
    if has("--update") && !only.is_empty() {
        eprintln!("counts: the baseline is of all cases: --update without a filter");
        return ExitCode::from(2);
    }
    match compare(only, has("--update")) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            complaints.iter().for_each(|complaint| eprintln!("FAILED: {complaint}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs every case, in order; callgrind writes a profile at each return of `measured`.
fn run_all(only: &str) {
    for case in wanted(only) {
        let mut prepare = (case.setup)();
        // What is done once in a process is not the case's.
        drop(prepare()());
        drop(measured(prepare()));
    }
}

/// The cases that are counted and whose names start so, in order.
fn wanted(only: &str) -> impl Iterator<Item = Case> {
    cases::all().into_iter().filter(move |case| case.counted && case.name.starts_with(only))
}

#[inline(never)]
fn measured(run: Run) -> Box<dyn std::any::Any> {
    black_box(run())
}

/// Counts, shows, and compares with the baseline or replaces it; gives what is not as it should be.
fn compare(only: &str, update: bool) -> Result<Vec<String>, Box<dyn Error>> {
    let counts = count(only)?;
    let mut before = baseline::read()?;
    before.retain(|name, _| name.starts_with(only));
    let mut complaints = Vec::new();
    let mut table = Table::new("instructions an operation", &["case", "baseline", "now", "%"]);
    for (name, now) in &counts {
        let old = before.get(name);
        let change = old.map(|old| baseline::change_percent(*old, *now));
        table.push(&[
            name.clone(),
            old.map_or_else(|| "–".to_owned(), ToString::to_string),
            now.to_string(),
            change.map_or(String::new(), |change| format!("{change:+.1}")),
        ]);
        if !update {
            complaints.extend(baseline::complaint(name, old.copied(), *now));
        }
    }
    print!("{table}");
    complaints.extend(out_of_proportion(&counts));
    if update {
        baseline::write(&counts)?;
    } else {
        let gone = before.keys().filter(|name| !counts.contains_key(*name));
        complaints.extend(gone.map(|name| format!("{name} is in the baseline and not measured")));
    }
    Ok(complaints)
}

/// Instructions an operation, by case.
fn count(only: &str) -> Result<BTreeMap<String, u64>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet", "--collect-atstart=no"]);
    valgrind.arg(format!("--toggle-collect={MEASURED}"));
    valgrind.arg(format!("--dump-after={MEASURED}"));
    let profiles = folder.path().join("profile");
    valgrind.arg(format!("--callgrind-out-file={}", profiles.display()));
    valgrind.arg(std::env::current_exe()?).args(["--run", only]);
    let status = valgrind.status().map_err(|error| format!("can't run valgrind: {error}"))?;
    if !status.success() {
        return Err(format!("valgrind: {status}").into());
    }
    let mut counts = BTreeMap::new();
    for (number, case) in wanted(only).enumerate() {
        let profile = folder.path().join(format!("profile.{}", number + 1));
        counts.insert(case.name, instructions(&profile)?.div_ceil(case.operations));
    }
    Ok(counts)
}

/// The sum of a profile.
fn instructions(profile: &Path) -> Result<u64, Box<dyn Error>> {
    let name = profile.display();
    let text = fs::read_to_string(profile).map_err(|error| format!("{name}: {error}"))?;
    let sum = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let sum = sum.and_then(|sum| sum.trim().parse().ok()).filter(|sum| *sum > 0);
    sum.ok_or_else(|| format!("{name} has no sum").into())
}

/// Hostile messages that cost out of proportion to the others: something in them isn't linear.
fn out_of_proportion(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let hostile = || counts.iter().filter(|(name, _)| name.starts_with(HOSTILE));
    let mut sorted: Vec<u64> = hostile().map(|(_, count)| *count).collect();
    sorted.sort_unstable();
    let Some(median) = sorted.get(sorted.len() / 2) else { return Vec::new() };
    let dear = hostile().filter(|(_, count)| **count > HOSTILE_MAX * median);
    dear.map(|(name, count)| {
        format!("{name}: {count} instructions, and {median} is the median; {HOSTILE_MAX} times it is allowed")
    })
    .collect()
}
