//! What the table of keys says of one key.

use super::Config;
use super::node::Node;
use super::read::Put;

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name: the reference agent's where it has one (`proxy.http`), else `lastdrop_…`.
    pub(crate) name: &'static str,
    /// Names it had before, which count less.
    pub(crate) older: &'static [&'static str],
    /// Environment variables beside the one made of the name, which count less.
    pub(crate) further_variables: &'static [&'static str],
    /// Its flag (`--dogstatsd-port`), if it has one.
    pub(crate) flag: Option<&'static str>,
    /// What a value is (`a port`).
    pub(crate) noun: &'static str,
    /// What is accepted as a value.
    pub(crate) accepted: &'static str,
    /// The default, written as in the environment.
    pub(crate) default: &'static str,
    /// What it is for, in a line.
    pub(crate) meaning: &'static str,
    /// True if no message may show its value.
    pub(crate) secret: bool,
    /// What a `DD_` variable that is set but empty means.
    pub(crate) empty: Empty,
    /// What becomes of a bad value.
    pub(crate) bad_value: Rule,
    /// What the agent does with it.
    pub(crate) role: Role,
}

/// What a variable that is set but empty means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Empty {
    /// Not set: look further down.
    NotSet,
    /// None, whatever stands further down.
    Nothing,
}

/// What becomes of a bad value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It is an error.
    Error,
    /// It is not looked at.
    NotRead,
    /// It is replaced, with a warning; the text says by what.
    Replaced(&'static str),
}

/// What the agent does with a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Reads it into the configuration.
    Read(fn(&mut Config, &Node) -> Put),
    /// Does it always: asking for it is no news, asking for the contrary is in vain.
    Done,
    /// Knows it by name only.
    Missing,
    /// Knows it by name only, and as a wish to collect logs.
    Logs,
}

/// Where the value of a key goes, and what it may be: made by the macro `into`.
pub(crate) struct Target {
    /// What a value is.
    pub(crate) noun: &'static str,
    /// What is accepted as a value.
    pub(crate) accepted: &'static str,
    /// Reads one into its field.
    pub(crate) put: fn(&mut Config, &Node) -> Put,
}

impl Key {
    /// A key that is read into the configuration.
    pub(crate) const fn new(
        name: &'static str,
        target: Target,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        let Target { noun, accepted, put } = target;
        let known = Self::missing(name, noun, default, meaning);
        Self { accepted, bad_value: Rule::Error, role: Role::Read(put), ..known }
    }

    /// A key of the agent's that asks for what is always done here.
    pub(crate) const fn done(
        name: &'static str,
        noun: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { role: Role::Done, ..Self::missing(name, noun, default, meaning) }
    }

    /// A key of the agent's that asks for logs to be collected.
    pub(crate) const fn logs(
        name: &'static str,
        noun: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self { role: Role::Logs, ..Self::missing(name, noun, default, meaning) }
    }

    /// A key of the agent's that is not implemented.
    pub(crate) const fn missing(
        name: &'static str,
        noun: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            name,
            older: &[],
            further_variables: &[],
            flag: None,
            noun,
            accepted: "",
            default,
            meaning,
            secret: false,
            empty: Empty::NotSet,
            bad_value: Rule::NotRead,
            role: Role::Missing,
        }
    }

    /// Adds its flag.
    pub(crate) const fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    /// Adds names that it had before.
    pub(crate) const fn older(self, names: &'static [&'static str]) -> Self {
        Self { older: names, ..self }
    }

    /// Adds environment variables.
    pub(crate) const fn variables(self, further: &'static [&'static str]) -> Self {
        Self { further_variables: further, ..self }
    }

    /// Lets an empty `DD_` variable mean "none".
    pub(crate) const fn empty_is_none(self) -> Self {
        Self { empty: Empty::Nothing, ..self }
    }

    /// Keeps its value out of every message.
    pub(crate) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Says what is used instead of a bad value.
    pub(crate) const fn replaced_by(self, what: &'static str) -> Self {
        Self { bad_value: Rule::Replaced(what), ..self }
    }

    /// Gives its names in the file, the one that counts most first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.older.iter().copied())
    }

    /// Gives its environment variables, the one that counts most first.
    pub(crate) fn environment(&self) -> Vec<String> {
        let mut names = self.names().map(variable);
        let first = names.next().into_iter();
        let further = self.further_variables.iter().map(|&name| name.to_owned());
        first.chain(further).chain(names).collect()
    }

    /// Tells whether a variable that is set but empty decides.
    pub(crate) fn is_emptied_by(&self, variable: &str) -> bool {
        self.empty == Empty::Nothing && variable.starts_with("DD_")
    }
}

/// The environment variable of a name: ours as it is, the agent's with `DD_` before it.
fn variable(name: &str) -> String {
    let upper = name.to_ascii_uppercase().replace('.', "_");
    if name.starts_with("lastdrop_") { upper } else { format!("DD_{upper}") }
}
