//! House rules that run. They hold what would break a promise, not taste: each has its reason at its
//! function, and a planted violation that it must find.
//!
//! ```sh
//! cargo test -p lastdrop-lab --test tidy
//! ```
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod code;
mod rules;
mod tree;

use crate::rules::RULES;
use crate::tree::Tree;

/// A house rule.
pub(crate) struct Rule {
    /// What it says.
    says: &'static str,
    /// Gives what breaks it, a line each: where, and what.
    check: fn(&Tree) -> Vec<String>,
    /// Files that break it.
    planted: &'static [(&'static str, &'static str)],
    /// What must be found in them.
    found: &'static [&'static str],
}

#[test]
fn the_house_rules_hold() {
    let tree = Tree::of_the_repository();
    let mut broken = String::new();
    for rule in RULES {
        for finding in (rule.check)(&tree) {
            broken.push_str(&format!("\n  {finding}  ({})", rule.says));
        }
    }
    assert!(broken.is_empty(), "house rules are broken:{broken}\n");
}

/// For every rule: its planted violation is found, and nothing else in those files.
#[test]
fn every_rule_finds_its_planted_violation() {
    for rule in RULES {
        assert_eq!((rule.check)(&Tree::of(rule.planted)), rule.found, "{}", rule.says);
    }
}
