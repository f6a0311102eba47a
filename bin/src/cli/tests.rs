//! Command lines: what they become, and that each key has its flag.

use clap::CommandFactory as _;

use super::*;
use crate::config::keys;

fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line)
}

#[test]
fn the_declaration_is_consistent() {
    Cli::command().debug_assert();
}

/// For all commands with settings: the flags are those of the table of keys, and each arrives.
#[test]
fn every_flag_of_the_table_is_declared_and_read_and_no_other() {
    let with_settings = ["run", "init", "config"];
    for command in Cli::command().get_subcommands() {
        if !with_settings.contains(&command.get_name()) {
            continue;
        }
        let declared: Vec<String> = command
            .get_arguments()
            .filter(|argument| argument.get_help_heading() == Some("Settings"))
            .filter_map(|argument| argument.get_long())
            .filter(|&name| name != "config")
            .map(|name| format!("--{name}"))
            .collect();
        if command.get_name() == "replay" {
            assert!(declared.is_empty(), "a replay doesn't depend on the machine");
            continue;
        }
        let mut in_table: Vec<&str> = keys::ALL.iter().filter_map(|key| key.flag).collect();
        in_table.sort_unstable();
        let mut sorted = declared.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, in_table, "{}", command.get_name());
    }
    for flag in keys::ALL.iter().filter_map(|key| key.flag) {
        let cli = parse(&["lastdrop", "run", &format!("{flag}=x")]).unwrap();
        let Command::Run(run) = cli.command else { panic!("not run") };
        assert_eq!(run.flags.value(flag), Some("x"), "{flag}");
    }
}

#[test]
fn init_passes_the_command_on_unchanged() {
    let cli =
        parse(&["lastdrop", "init", "--strict", "--", "sh", "-c", "a b", "--", "--pin"]).unwrap();
    let Command::Init(init) = cli.command else { panic!("not init") };
    assert_eq!(init.command, ["sh", "-c", "a b", "--", "--pin"]);
    assert_eq!(init.flags.value("--strict"), Some("true"));
    assert_eq!(init.flags.value("--pin"), None);
}

#[test]
fn init_without_a_command_is_wrong_usage() {
    for line in [&["lastdrop", "init"][..], &["lastdrop", "init", "--"]] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2);
    }
}

#[test]
fn a_mistyped_flag_gets_a_suggestion() {
    let error = parse(&["lastdrop", "run", "--dogstatsd-prot", "1"]).unwrap_err();
    assert!(error.to_string().contains("'--dogstatsd-port'"), "{error}");
}

#[test]
fn every_command_shows_examples() {
    let command = Cli::command();
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        let help = command.clone().render_help().to_string();
        assert!(help.contains("Examples:\n"), "{}", command.get_name());
    }
}

/// For all flags: the help names the default of the table.
#[test]
fn the_help_of_a_flag_names_its_default() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    for key in keys::ALL.iter().filter(|key| !key.default.is_empty()) {
        let Some(flag) = key.flag else { continue };
        let argument = run.get_arguments().find(|a| a.get_long() == flag.strip_prefix("--"));
        let help = argument.and_then(|argument| argument.get_help()).unwrap().to_string();
        assert!(help.ends_with(&format!("[default: {}]", key.default)), "{flag}: {help}");
    }
}
