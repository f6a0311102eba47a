//! The rules. A new one needs a reason, a function and a planted violation.

use crate::Rule;
use crate::code::line_of;
use crate::tree::{Tree, is_test};

/// All rules.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        says: "the first line of a source file says its one purpose",
        check: purposes,
        planted: &[("engine/src/epoch.rs", "use crate::sync::Arc;\n//! Late.")],
        found: &["engine/src/epoch.rs:1: no `//!`"],
    },
    Rule {
        says: "atomics come from engine/src/sync.rs, so that the model checker can replace them",
        check: atomics,
        planted: &[
            ("engine/src/sync.rs", "//! S\npub(crate) use std::sync::atomic::AtomicU64;"),
            ("engine/src/ring/tests.rs", "//! T\nuse std::sync::atomic::AtomicU64;"),
            ("bin/src/log.rs", "//! L\nuse std::{fmt, sync::{Arc, atomic::{AtomicU64}}};"),
        ],
        found: &["bin/src/log.rs:2: std::sync::atomic::AtomicU64"],
    },
    Rule {
        says: "unsafe code is in the rooms that ARCHITECTURE.md names",
        check: unsafe_rooms,
        planted: &[
            ("transport/src/sys.rs", "//! S\nunsafe fn a() {}"),
            ("engine/src/frame.rs", "//! unsafe\n#![deny(unsafe_code)]\nfn a() { unsafe { b() } }"),
        ],
        found: &["engine/src/frame.rs:3: unsafe"],
    },
    Rule {
        says: "what is committed is finished and every test runs",
        check: unfinished,
        planted: &[("bin/src/pin.rs", "//! P\nconst SAYS: &str = \"dbg!\";\nfn a() { todo!() }")],
        found: &["bin/src/pin.rs:3: todo!"],
    },
    Rule {
        says: "a module uses what stands above it in lib.rs",
        check: module_order,
        planted: &[
            ("engine/src/lib.rs", "//! E\npub mod limits;\nmod ring;\npub mod worker;"),
            ("engine/src/worker.rs", "//! W\nuse crate::{limits::MAX, ring::Ring};"),
            ("engine/src/ring.rs", "//! R\nuse crate::limits::A;\nuse crate::worker::Worker;"),
        ],
        found: &["engine/src/ring.rs:3: crate::worker::Worker"],
    },
    Rule {
        says: "these two don't know each other",
        check: strangers,
        planted: &[
            ("transport/src/http/body.rs", "//! B\nuse lastdrop_engine::time::Stamp;"),
            ("transport/src/net/dial.rs", "//! D\nuse lastdrop_engine::time::Stamp;"),
        ],
        found: &["transport/src/http/body.rs:2: lastdrop_engine::time::Stamp"],
    },
    Rule {
        says: "every counter is in the receipt",
        check: counters_in_the_receipt,
        planted: &[
            (LEDGER, "counts! { MergeCounts published as MergeLedger { points, } }"),
            (FORWARD_LEDGER, "pub struct Ledger {\n    /// Made.\n    pub made: Tally,\n}"),
            (RECEIPT, "//! R\nfn a() { Counters(merge.each()) }"),
        ],
        found: &["bin/src/receipt.rs: no made"],
    },
    Rule {
        says: "a file fits a reader's head, or has its reason in LONG_FILES",
        check: long_files,
        planted: &[("bin/src/agent.rs", TOO_LONG)],
        found: &["bin/src/agent.rs: 701 lines"],
    },
    Rule {
        says: "the map has a row for every source file, and no other",
        check: map,
        planted: &[
            (
                MAP,
                "| file | purpose |\n|---|---|\n| `engine/src/lib.rs` | The engine |\n| `engine/src/gone.rs` | - |",
            ),
            ("engine/src/lib.rs", "//! The engine."),
            ("engine/src/wake/tests.rs", "//! Threads that sleep."),
            ("engine/src/wake.rs", "//! Sleeping and waking."),
        ],
        found: &[
            "ARCHITECTURE.md: no engine/src/wake.rs (.ci/map adds it)",
            "ARCHITECTURE.md: there is no engine/src/gone.rs (.ci/map removes it)",
        ],
    },
    Rule {
        says: "what is committed means the same on every machine and to every reader",
        check: traces,
        planted: &[("docs/protocol.md", concat!("# Protocol\n\nSee `/wo", "rk/x.md`."))],
        found: &[concat!("docs/protocol.md:3: /wo", "rk/")],
    },
];

/// Files that name atomics: the shim, and the faults that only builds for the lab's own proof have.
const ATOMICS_ROOMS: [&str; 2] = ["engine/src/sync.rs", "bin/src/faults.rs"];

/// Files with `unsafe` code, besides tests: the allocators of tests have no other way.
const UNSAFE_ROOMS: [&str; 9] = [
    "engine/src/context/arena.rs",
    "engine/src/context/prefetch.rs",
    "engine/src/context/record.rs",
    "engine/src/context/texts.rs",
    "engine/src/message/find.rs",
    "engine/src/ring.rs",
    "transport/src/sys.rs",
    "bin/src/child.rs",
    "benches/src/sink.rs",
];

const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// Packages whose `lib.rs` is in the order of the data.
const ORDERED: [&str; 2] = ["engine/src/", "transport/src/"];

/// Who must not use what, and where the exception is.
const STRANGERS: [(&str, &str, &[&str]); 6] = [
    ("engine/", "lastdrop_transport", &[]),
    ("transport/src/http/", "lastdrop_engine", &[]),
    ("transport/src/http/", "crate::payload", &[]),
    ("transport/src/payload/", "crate::http", &[]),
    // The stop is a matter of the two ends.
    (
        "transport/src/",
        "lastdrop_engine::stop",
        &["transport/src/receive", "transport/src/shipper"],
    ),
    // What checks the encoder must not be the encoder. Its vectors are answered by the encoder.
    ("benches/src/", "lastdrop_transport::payload", &["benches/src/vectors/"]),
];

const LEDGER: &str = "engine/src/ledger.rs";
const FORWARD_LEDGER: &str = "transport/src/forward/ledger.rs";
const RECEIPT: &str = "bin/src/receipt.rs";

const MAP: &str = "ARCHITECTURE.md";

/// Lines of a source file.
const LINES_MAX: usize = 700;

/// Longer files, each one thing: path and reason.
const LONG_FILES: &[(&str, &str)] = &[];

const TOO_LONG: &str = match str::from_utf8(&[b'\n'; LINES_MAX + 1]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Text that only means something on one machine or to one writer. In halves, so that this file
/// keeps its own rule.
const TRACES: [(&str, &str); 17] = [
    ("/wo", "rk/"),
    ("/tm", "p/wt"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/fa", "rm/"),
    ("../sha", "red"),
    ("index.cra", "tes.io"),
    ("static.cra", "tes.io"),
    ("py", "pi.org"),
    ("deb.deb", "ian.org"),
    ("registry.np", "mjs.org"),
    ("this ses", "sion"),
    ("previous ses", "sion"),
    ("earlier ses", "sion"),
    ("sub", "agent"),
    ("the spec", " says"),
    ("the brief", " says"),
];

fn purposes(tree: &Tree) -> Vec<String> {
    let without = tree.sources.iter().filter(|source| {
        let first = tree.text(&source.path).lines().next().unwrap_or("");
        first.strip_prefix("//! ").is_none_or(|purpose| purpose.trim().is_empty())
    });
    without.map(|source| format!("{}:1: no `//!`", source.path)).collect()
}

fn atomics(tree: &Tree) -> Vec<String> {
    shipped(tree, |file, path| {
        let is_ours =
            ["engine/src/", "transport/src/", "bin/src/"].iter().any(|own| file.starts_with(own));
        is_ours && !ATOMICS_ROOMS.contains(&file) && path.contains("sync::atomic")
    })
}

fn unsafe_rooms(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        if UNSAFE_ROOMS.contains(&source.path.as_str()) || in_folder_of_tests(&source.path) {
            continue;
        }
        let found = source.paths.iter().filter(|(_, path)| path == "unsafe");
        findings.extend(found.map(|(line, path)| format!("{}:{line}: {path}", source.path)));
    }
    findings
}

/// Unit tests beside the code are no exception: what they test is safe to use.
fn in_folder_of_tests(path: &str) -> bool {
    path.split('/').nth(1) == Some("tests") || path.starts_with("benches/benches/")
}

fn unfinished(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let macros = source.paths.iter().filter(|(_, path)| {
            let name = path.rsplit("::").next().unwrap_or(path);
            UNFINISHED.contains(&name)
        });
        findings.extend(macros.map(|(line, path)| format!("{}:{line}: {path}", source.path)));
        findings.extend(source.code.match_indices("#[ignore").map(|(at, ignore)| {
            format!("{}:{}: {ignore}", source.path, line_of(&source.code, at))
        }));
    }
    findings
}

fn module_order(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for folder in ORDERED {
        let order: Vec<&str> =
            tree.text(&format!("{folder}lib.rs")).lines().filter_map(module).collect();
        let place = |name: &str| order.iter().position(|module| *module == name);
        findings.extend(shipped(tree, |file, path| {
            let own = file.strip_prefix(folder).and_then(|rest| rest.split(['/', '.']).next());
            let used = path.strip_prefix("crate::").and_then(|rest| rest.split("::").next());
            match (own.and_then(place), used.and_then(place)) {
                (Some(own), Some(used)) => used > own,
                _ => false,
            }
        }));
    }
    findings
}

/// The name in a line that declares a module.
fn module(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    line.strip_prefix("mod ")?.strip_suffix(';')
}

fn strangers(tree: &Tree) -> Vec<String> {
    shipped(tree, |file, path| {
        STRANGERS.iter().any(|(folder, stranger, exceptions)| {
            file.starts_with(folder)
                && path
                    .strip_prefix(stranger)
                    .is_some_and(|rest| matches!(rest.as_bytes(), [] | [b':', ..]))
                && !exceptions.iter().any(|exception| file.starts_with(exception))
        })
    })
}

/// A set of counters comes into the receipt through its `each`, the ledger of an endpoint field by
/// field.
fn counters_in_the_receipt(tree: &Tree) -> Vec<String> {
    let receipt = tree.sources.iter().find(|source| source.path == RECEIPT);
    let names = |wanted: &str| {
        receipt.is_some_and(|receipt| receipt.paths.iter().any(|(_, path)| path == wanted))
    };
    let calls_each =
        |of: &str| receipt.is_some_and(|receipt| receipt.code.contains(&format!("{of}.each()")));
    let sets: Vec<String> = tree.text(LEDGER).lines().filter_map(set_of_counters).collect();
    let fields = tree.text(FORWARD_LEDGER).split("pub struct Ledger {").nth(1).unwrap_or("");
    let fields: Vec<&str> =
        fields.lines().take_while(|line| *line != "}").filter_map(field).collect();

    let mut findings = Vec::new();
    for (file, found) in [(LEDGER, sets.len()), (FORWARD_LEDGER, fields.len())] {
        if found == 0 {
            findings.push(format!("{file}: no counters"));
        }
    }
    let missing = sets.iter().filter(|set| !calls_each(set) && !calls_each(&format!("{set}s")));
    findings.extend(missing.map(|set| format!("{RECEIPT}: no {set}.each()")));
    let missing = fields.iter().filter(|field| !names(field));
    findings.extend(missing.map(|field| format!("{RECEIPT}: no {field}")));
    findings
}

/// `merge` from the line that declares `MergeCounts`.
fn set_of_counters(line: &str) -> Option<String> {
    let (set, _) = line.split_once("Counts published as ")?;
    let stem = set.split_whitespace().next_back()?;
    stem.starts_with(char::is_uppercase).then(|| stem.to_lowercase())
}

/// The name in a line that declares a public field.
fn field(line: &str) -> Option<&str> {
    line.trim().strip_prefix("pub ")?.split_once(':').map(|(field, _)| field)
}

fn long_files(tree: &Tree) -> Vec<String> {
    let lines = |path: &str| tree.text(path).lines().count();
    let known = |path: &str| LONG_FILES.iter().any(|(long, _)| *long == path);
    let long = tree.sources.iter().map(|source| source.path.as_str());
    let long = long.filter(|path| lines(path) > LINES_MAX && !known(path));
    let gone = LONG_FILES.iter().map(|(path, _)| *path).filter(|path| lines(path) <= LINES_MAX);
    long.chain(gone).map(|path| format!("{path}: {} lines", lines(path))).collect()
}

/// A row names the whole path first. Tests beside what they test need none.
fn map(tree: &Tree) -> Vec<String> {
    let rows: Vec<&str> = tree.text(MAP).lines().filter_map(path_of_row).collect();
    let needs_a_row = |path: &str| !path.contains("/src/") || !is_test(path);
    let paths = tree.sources.iter().map(|source| source.path.as_str());
    let missing = paths.filter(|path| needs_a_row(path) && !rows.contains(path));
    let missing = missing.map(|path| format!("{MAP}: no {path} (.ci/map adds it)"));
    let gone = rows.iter().filter(|path| tree.text(path).is_empty());
    missing
        .chain(gone.map(|path| format!("{MAP}: there is no {path} (.ci/map removes it)")))
        .collect()
}

/// `engine/src/lib.rs` from a row that begins with it.
fn path_of_row(line: &str) -> Option<&str> {
    let (path, _) = line.strip_prefix("| `")?.split_once("` |")?;
    path.ends_with(".rs").then_some(path)
}

fn traces(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        let lower = text.to_lowercase();
        for (start, end) in TRACES {
            let trace = format!("{start}{end}");
            let found = lower.match_indices(&trace);
            findings
                .extend(found.map(|(at, _)| format!("{path}:{}: {trace}", line_of(&lower, at))));
        }
    }
    findings
}

/// Paths in code outside of tests, of which file and path are against a rule.
fn shipped(tree: &Tree, against: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let found = source.shipped_paths.iter().filter(|(_, path)| against(&source.path, path));
        findings.extend(found.map(|(line, path)| format!("{}:{line}: {path}", source.path)));
    }
    findings
}
