//! Every target over its seeds, over every input that ever failed, and over a bounded number of
//! mutants of both: on the stable toolchain, without a fuzzer.
//!
//! A failing mutant is named by the seed of the run: `LASTDROP_SEED=<seed> cargo test -p
//! lastdrop-fuzz` makes the same mutants again.

#![expect(clippy::expect_used, reason = "a corpus that can't be read is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use lastdrop_fuzz::{TARGETS, Target};

/// Mutants of each target in one run of the tests.
const MUTANTS: usize = 2000;

/// Longest mutant in bytes.
const MUTANT_BYTES_MAX: usize = 4096;

#[test]
fn every_seed_and_every_regression_holds() {
    for (name, target) in TARGETS {
        let seeds = inputs("corpus", name);
        assert!(!seeds.is_empty(), "{name} has no seed");
        for (path, input) in seeds.iter().chain(&inputs("regressions", name)) {
            holds(*target, input, &path.display().to_string());
        }
        target(b"");
    }
}

#[test]
fn mutants_of_the_seeds_hold() {
    let seed = seed();
    println!("LASTDROP_SEED={seed}");
    for (name, target) in TARGETS {
        let mut random = Random(seed);
        let seeds: Vec<_> = inputs("corpus", name).into_iter().map(|(_, input)| input).collect();
        for number in 0..MUTANTS {
            let mutant = random.mutant(&seeds);
            holds(*target, &mutant, &format!("{name}, LASTDROP_SEED={seed}, mutant {number}"));
        }
    }
}

#[test]
fn every_target_has_its_five_lines_and_every_folder_a_target() {
    let known: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets", "rs"), known);
    assert_eq!(names("corpus", ""), known);
    assert!(names("regressions", "").is_subset(&known));
    assert!(names(".", "dict").is_subset(&known));
}

/// Names of a folder's entries that have the given ending.
fn names(folder: &str, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).expect(folder);
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect(folder).path();
        let is_wanted = path.extension().unwrap_or_default() == ending;
        is_wanted.then(|| path.file_stem().expect("a name").to_string_lossy().into_owned())
    };
    entries.filter_map(name).collect()
}

/// Runs a target and says which input it was that failed, before the panic goes on.
fn holds(target: Target, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        println!("{what}: {}", input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a target's folder; none if it has no such folder.
fn inputs(folder: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(root().join(folder).join(target)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect(target).path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let input = fs::read(&path).expect(target);
        (path, input)
    };
    paths.into_iter().map(read).collect()
}

fn seed() -> u64 {
    match std::env::var("LASTDROP_SEED") {
        Ok(seed) => seed.parse().expect("LASTDROP_SEED is a number"),
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    }
}

/// splitmix64: enough to damage inputs at random, and replayable.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end.max(1) as u64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }

    /// A seed with one to six changes: bytes set, put in, taken out, doubled, or the end of another
    /// seed behind it.
    fn mutant(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut mutant = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(mutant.len() + 1);
            let length = self.below(mutant.len() - at + 1).min(self.below(17));
            match self.below(5) {
                0 => mutant.splice(at..at + length.min(1), [self.byte()]).for_each(drop),
                1 => mutant.insert(at, self.byte()),
                2 => mutant.drain(at..at + length).for_each(drop),
                3 => {
                    let copy = mutant[at..at + length].to_vec();
                    mutant.splice(at..at, copy).for_each(drop);
                }
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    mutant.truncate(at);
                    mutant.extend_from_slice(&other[self.below(other.len() + 1)..]);
                }
            }
        }
        mutant.truncate(MUTANT_BYTES_MAX);
        mutant
    }
}
