//! `lastdrop config` as a process: what it prints where, and its exit status.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A key of 32 characters, as real ones are. Nothing may print it.
const SECRET: &str = "5ecre75ecre75ecre75ecre75ecre7ab";

/// Writes a file of this process's own.
fn file(name: &str, text: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{name}-{}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

/// The program with an environment of its own, and without the settings file of this machine.
fn lastdrop(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    if !variables.iter().any(|&(name, _)| name == "LASTDROP_CONFIG") {
        command.env("LASTDROP_CONFIG", file("empty.yaml", ""));
    }
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    lastdrop(arguments, variables).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn it_prints_key_value_and_source_and_warns_on_standard_error() {
    let output = run(&["config", "--dogstatsd-port=8126"], &[("DD_SITE", "datadoghq.eu")]);
    assert_eq!(output.status.code(), Some(0));
    let rows: Vec<Vec<&str>> =
        text(&output.stdout).lines().map(|row| row.split_whitespace().collect()).collect();
    assert!(rows.contains(&vec!["dogstatsd_port", "8126", "flag", "--dogstatsd-port"]));
    assert!(rows.contains(&vec!["site", "datadoghq.eu", "environment", "DD_SITE"]));
    assert!(rows.contains(&vec!["lastdrop_linger", "2s", "default"]));
    assert_eq!(
        text(&output.stderr),
        "lastdrop: warning: no API key: metrics are received but not sent; set DD_API_KEY\n"
    );
}

#[test]
fn it_says_what_the_instance_tag_costs() {
    for (choice, costs) in [("off", "overwrite each other"), ("random", "as many series")] {
        let output = run(&["config"], &[("LASTDROP_INSTANCE_TAG", choice)]);
        let last = text(&output.stdout).lines().last().unwrap();
        assert!(last.starts_with("# lastdrop_instance_tag: ") && last.contains(costs), "{last}");
    }
}

#[test]
fn programs_get_json_and_nothing_on_standard_error() {
    let file = file("named.yaml", "bind_host: 127.0.0.1\n");
    let output = run(&["config", "--json", "--config", &file.to_string_lossy()], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let page: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let settings = page["settings"].as_array().unwrap();
    let host = settings.iter().find(|setting| setting["key"] == "bind_host").unwrap();
    assert_eq!(host["value"], "127.0.0.1");
    assert_eq!(host["source"], format!("{}:1", file.display()));
    assert_eq!(page["notices"].as_array().unwrap().len(), 1);
}

/// For all commands: a bad value ends with 2, one line on standard error, nothing on standard out.
#[test]
fn a_bad_value_ends_with_two() {
    for arguments in [&["config"][..], &["config", "--json"], &["run"]] {
        let output = run(arguments, &[("DD_DOGSTATSD_PORT", "banana")]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
        assert_eq!(
            text(&output.stderr),
            "lastdrop: error: DD_DOGSTATSD_PORT: \"banana\" is not a port (from the environment; \
             accepted: 0 to 65535, or __random__)\n"
        );
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    for arguments in [&[][..], &["init"], &["init", "--"], &["config", "--nonsense"], &["confg"]] {
        assert_eq!(run(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_key_is_read_from_a_file_and_shown_by_its_tail() {
    let key = file("key", &format!("{SECRET}\n"));
    let output = run(&["config"], &[("DD_API_KEY_FILE", &key.to_string_lossy())]);
    let row = text(&output.stdout).lines().find(|row| row.starts_with("api_key ")).unwrap();
    assert!(row.contains("********re7ab") && !row.contains(SECRET), "{row}");
    assert!(row.ends_with(&format!("file {}", key.display())), "{row}");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_file_that_is_named_and_missing_is_an_error() {
    for (name, key) in [("LASTDROP_CONFIG", "/missing/a"), ("DD_API_KEY_FILE", "/missing/b")] {
        let output = run(&["config"], &[(name, key)]);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            text(&output.stderr).starts_with(&format!("lastdrop: error: {key}: can't be read"))
        );
    }
}

#[test]
fn the_log_level_silences_warnings() {
    let output = run(&["config"], &[("DD_LOG_LEVEL", "error")]);
    assert_eq!(text(&output.stderr), "");
}

/// A standard error that nobody reads is full: the program ends all the same.
#[test]
fn a_full_standard_error_holds_nothing_up() {
    let (reader, mut writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let mut command = lastdrop(&["config"], &[("LASTDROP_NONSENSE", "1")]);
    command.stdout(Stdio::null()).stderr(writer);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(command.status().unwrap().code()));
    assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(Some(0)));
    drop(reader);
}
