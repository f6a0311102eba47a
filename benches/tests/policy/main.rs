//! What is built in: `deny.toml` against the packages that cargo resolves.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod licence;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

use crate::licence::is_allowed;

/// The parts of `deny.toml` that are checked here.
#[derive(Deserialize)]
struct Policy {
    graph: Graph,
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Entry>,
    deny: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    wrappers: Vec<String>,
    reason: String,
}

/// What `cargo metadata` says, as far as it matters here.
#[derive(Clone, Deserialize)]
struct Resolved {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Clone, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Clone, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Clone, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Clone, Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Resolved {
    fn package(&self, id: &str) -> &Package {
        self.packages.iter().find(|package| package.id == id).unwrap()
    }

    /// Names of the packages that are built into `root`, itself included.
    fn built_into(&self, root: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = vec![&self.packages.iter().find(|p| p.name == root).unwrap().id];
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                let node = self.resolve.nodes.iter().find(|node| node.id == id).unwrap();
                let normal = node.deps.iter().filter(|dependency| {
                    dependency.dep_kinds.iter().any(|kind| kind.kind.is_none())
                });
                open.extend(normal.map(|dependency| dependency.pkg.as_str()));
            }
        }
        seen.into_iter().map(|id| self.package(id).name.as_str()).collect()
    }
}

fn policy() -> Policy {
    toml::from_str(include_str!("../../../deny.toml")).unwrap()
}

/// The packages of this workspace for a target. Cargo may have to fetch some of another target.
fn resolved(target: &str) -> Resolved {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target]);
    cargo.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Packages whose licence is not allowed, and licences allowed without need.
fn licences(policy: &Policy, resolved: &Resolved) -> Vec<String> {
    let all_allowed: Vec<&str> = policy.licenses.allow.iter().map(String::as_str).collect();
    let refused = |allowed: &[&str]| -> Vec<String> {
        let expression = |package: &Package| package.license.clone().unwrap_or_default();
        let packages = resolved.packages.iter().filter(|p| !is_allowed(&expression(p), allowed));
        packages.map(|p| format!("{} {}: {:?}", p.name, p.version, p.license)).collect()
    };
    let mut findings = refused(&all_allowed);
    for licence in &all_allowed {
        let others: Vec<&str> = all_allowed.iter().copied().filter(|l| l != licence).collect();
        if refused(&others).len() == findings.len() {
            findings.push(format!("{licence} is allowed, and nothing needs it"));
        }
    }
    findings
}

/// Packages that come neither from this repository nor from the one registry.
fn sources(resolved: &Resolved) -> Vec<String> {
    let mut registries = BTreeMap::<&str, Vec<&str>>::new();
    for package in &resolved.packages {
        if let Some(source) = &package.source {
            registries.entry(source).or_default().push(&package.name);
        }
    }
    let main = registries.iter().max_by_key(|(_, packages)| packages.len()).map(|(main, _)| *main);
    registries.retain(|source, _| Some(*source) != main || !source.starts_with("registry+"));
    let mut findings: Vec<String> =
        registries.iter().map(|(source, packages)| format!("{source}: {packages:?}")).collect();
    let ours = |package: &&Package| package.source.is_none();
    let strays = resolved.packages.iter().filter(ours).filter(|p| !p.name.starts_with("lastdrop"));
    findings.extend(strays.map(|package| format!("{}: from a folder", package.name)));
    findings
}

/// Packages in several versions without an entry for all but one, and entries that nothing needs.
fn duplicates(policy: &Policy, resolved: &Resolved) -> Vec<String> {
    let mut versions = BTreeMap::<&str, BTreeSet<&str>>::new();
    for package in &resolved.packages {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let mut findings = Vec::new();
    for entry in &policy.bans.skip {
        let known = entry.name.split_once('@').and_then(|(name, version)| {
            let versions = versions.get_mut(name).filter(|versions| versions.len() > 1)?;
            versions.remove(version).then_some(())
        });
        if known.is_none() {
            findings.push(format!("{} is skipped, and not there twice", entry.name));
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    findings.extend(versions.iter().map(|(name, versions)| format!("{name}: {versions:?}")));
    findings
}

/// Banned packages in the agent, and elsewhere beneath others than their wrappers.
fn bans(policy: &Policy, resolved: &Resolved) -> Vec<String> {
    let agent = resolved.built_into("lastdrop");
    let mut findings = Vec::new();
    for ban in &policy.bans.deny {
        if agent.contains(ban.name.as_str()) {
            findings.push(format!("{} in the agent: {}", ban.name, ban.reason));
        }
        for node in &resolved.resolve.nodes {
            let user = &resolved.package(&node.id).name;
            let uses = node.deps.iter().any(|dep| resolved.package(&dep.pkg).name == ban.name);
            if uses && !ban.wrappers.contains(user) {
                findings.push(format!("{user} uses {}: {}", ban.name, ban.reason));
            }
        }
    }
    findings
}

#[test]
fn the_policy_holds_for_every_target() {
    let policy = policy();
    for target in &policy.graph.targets {
        let resolved = resolved(target);
        assert_eq!(licences(&policy, &resolved), [""; 0], "{target}");
        assert_eq!(sources(&resolved), [""; 0], "{target}");
        assert_eq!(duplicates(&policy, &resolved), [""; 0], "{target}");
        assert_eq!(bans(&policy, &resolved), [""; 0], "{target}");
    }
}

#[test]
fn every_exception_has_a_reason() {
    let Bans { skip, deny } = policy().bans;
    let without = skip.iter().chain(&deny).filter(|entry| entry.reason.is_empty());
    assert_eq!(without.map(|entry| &entry.name).collect::<Vec<_>>(), [""; 0]);
}

/// For every kind of violation: planted into what cargo says, it is found.
#[test]
fn planted_violations_are_found() {
    let policy = policy();
    let sound = resolved(&policy.graph.targets[0]);
    let planted = |plant: fn(&mut Resolved)| {
        let mut resolved = sound.clone();
        plant(&mut resolved);
        resolved
    };
    let copyleft = planted(|resolved| named(resolved, "mio").license = Some("GPL-3.0".into()));
    assert!(licences(&policy, &copyleft)[0].starts_with("mio "));
    let unlicensed = planted(|resolved| named(resolved, "mio").license = None);
    assert!(licences(&policy, &unlicensed)[0].starts_with("mio "));
    let needless = planted(|resolved| named(resolved, "webpki-roots").license = Some("MIT".into()));
    assert!(licences(&policy, &needless)[0].starts_with("CDLA-Permissive-2.0 "));

    let from_git = planted(|resolved| named(resolved, "mio").source = Some("git+x".into()));
    assert_eq!(sources(&from_git), ["git+x: [\"mio\"]"]);
    let from_a_folder = planted(|resolved| named(resolved, "mio").source = None);
    assert_eq!(sources(&from_a_folder), ["mio: from a folder"]);

    let twice = planted(|resolved| {
        let another = Package { version: "0.0.1".into(), ..named(resolved, "mio").clone() };
        resolved.packages.push(another);
    });
    assert!(duplicates(&policy, &twice)[0].starts_with("mio: {\"0.0.1\", "));
    let once = planted(|resolved| resolved.packages.retain(|package| package.name != "syn"));
    assert!(duplicates(&policy, &once)[0].starts_with("syn@"));

    let with_a_runtime = planted(|resolved| {
        let tokio = named(resolved, "tokio").id.clone();
        let agent = named(resolved, "lastdrop").id.clone();
        let node = resolved.resolve.nodes.iter_mut().find(|node| node.id == agent).unwrap();
        node.deps.push(Dependency { pkg: tokio, dep_kinds: vec![Kind { kind: None }] });
    });
    let found = bans(&policy, &with_a_runtime);
    assert!(found[0].starts_with("tokio in the agent: "), "{found:?}");
    assert!(found[1].starts_with("lastdrop uses tokio: "), "{found:?}");
}

fn named<'a>(resolved: &'a mut Resolved, name: &str) -> &'a mut Package {
    resolved.packages.iter_mut().find(|package| package.name == name).unwrap()
}
