//! Metric names rewritten by rules: parts of a name become tags (`dogstatsd_mapper_profiles`).
//!
//! A profile has a prefix and mappings. The first profile whose prefix fits a name is the only one
//! that is tried, and in it the first mapping that matches decides. A mapping's name and tags are
//! templates: `$1`, `${1}` and `${group}` stand for what the pattern captured, `$$` for a dollar.
//!
//! The reference agent keeps the results of the last thousand names; here the context table does,
//! as a name is mapped once for each spelling.

use std::borrow::Cow;
use std::fmt;

use regex_lite::{Captures, Regex};

/// One profile as it is configured.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Name, for messages; required.
    pub name: String,
    /// Start of the names this profile is for, or `*` for all; required.
    pub prefix: String,
    /// Its mappings, in the order of trial.
    pub mappings: Vec<Mapping>,
}

/// One mapping as it is configured.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// The pattern; required.
    pub pattern: String,
    /// `wildcard` (also if empty) or `regex`.
    pub match_type: String,
    /// Template of the new name; required.
    pub name: String,
    /// Tags to add: key, and template of the value.
    pub tags: Vec<(String, String)>,
}

/// All profiles, ready for use. The default one maps nothing.
#[derive(Clone, Debug, Default)]
pub struct Mapper {
    profiles: Vec<CompiledProfile>,
}

#[derive(Clone, Debug)]
struct CompiledProfile {
    /// Empty if the profile is for all names.
    prefix: String,
    mappings: Vec<CompiledMapping>,
}

#[derive(Clone, Debug)]
struct CompiledMapping {
    pattern: Regex,
    name: Template,
    tags: Vec<(String, Template)>,
}

/// What a mapping made of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) name: String,
    pub(super) tags: Vec<String>,
}

impl Mapper {
    /// Checks and compiles `profiles`.
    ///
    /// # Errors
    ///
    /// The first rule that is broken. One bad mapping spoils all profiles: the reference agent goes
    /// on without any mapping then, and warns.
    pub fn new(profiles: &[Profile]) -> Result<Self, MapperError> {
        let profiles: Result<_, _> = profiles.iter().map(CompiledProfile::new).collect();
        Ok(Self { profiles: profiles? })
    }

    /// The new name and the tags to add, if a mapping matches.
    pub(super) fn map(&self, name: &[u8]) -> Option<Mapped> {
        let fits = |profile: &&CompiledProfile| name.starts_with(profile.prefix.as_bytes());
        let profile = self.profiles.iter().find(fits)?;
        let name = String::from_utf8_lossy(name);
        profile.mappings.iter().find_map(|mapping| mapping.map(&name))
    }
}

impl CompiledProfile {
    fn new(profile: &Profile) -> Result<Self, MapperError> {
        let error = |mapping, problem| {
            let profile = profile.name.clone();
            MapperError { profile, mapping, problem }
        };
        if profile.name.is_empty() {
            return Err(error(None, Problem::NoProfileName));
        }
        if profile.prefix.is_empty() {
            return Err(error(None, Problem::NoPrefix));
        }
        let compile = |(index, mapping)| {
            CompiledMapping::new(mapping).map_err(|problem| error(Some(index), problem))
        };
        let mappings: Result<_, _> = profile.mappings.iter().enumerate().map(compile).collect();
        let prefix = if profile.prefix == "*" { "" } else { &profile.prefix };
        Ok(Self { prefix: prefix.into(), mappings: mappings? })
    }
}

impl CompiledMapping {
    fn new(mapping: &Mapping) -> Result<Self, Problem> {
        if mapping.pattern.is_empty() {
            return Err(Problem::NoPattern);
        }
        if mapping.name.is_empty() {
            return Err(Problem::NoName);
        }
        let pattern = match mapping.match_type.as_str() {
            "" | "wildcard" => Cow::Owned(wildcard(&mapping.pattern)?),
            "regex" => Cow::Borrowed(mapping.pattern.as_str()),
            other => return Err(Problem::MatchType(other.into())),
        };
        // Glued on, not wrapped around: of `a|b` only the one end of each is anchored.
        let pattern = Regex::new(&format!("^{pattern}$"))
            .map_err(|error| Problem::Regex(error.to_string()))?;
        let name = Template::new(&mapping.name, &pattern);
        let tag = |(key, value): &(String, String)| (key.clone(), Template::new(value, &pattern));
        let tags = mapping.tags.iter().map(tag).collect();
        Ok(Self { pattern, name, tags })
    }

    fn map(&self, name: &str) -> Option<Mapped> {
        let captures = self.pattern.captures(name)?;
        let tag = |(key, value): &(String, Template)| format!("{key}:{}", value.expand(&captures));
        let tags = self.tags.iter().map(tag).collect();
        Some(Mapped { name: self.name.expand(&captures), tags })
    }
}

/// The regular expression for a wildcard pattern: a dot is a dot, a star is anything up to one.
fn wildcard(pattern: &str) -> Result<String, Problem> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*' | '.');
    if !pattern.chars().all(is_allowed) {
        return Err(Problem::WildcardCharacter(pattern.into()));
    }
    if pattern.contains("**") {
        return Err(Problem::DoubleStar(pattern.into()));
    }
    Ok(pattern.replace('.', "\\.").replace('*', "([^.]*)"))
}

/// A template cut into pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// What this group of the pattern captured. A group that the pattern doesn't have has no piece.
    Group(usize),
}

impl Template {
    /// Cuts `template` as Go's `Regexp.Expand` does: the name of a group is the longest run of
    /// letters, digits and underscores, and a dollar without a group is a dollar.
    fn new(template: &str, pattern: &Regex) -> Self {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((text, behind)) = rest.split_once('$') {
            pieces.push(Piece::Text(text.into()));
            if let Some(behind) = behind.strip_prefix('$') {
                pieces.push(Piece::Text("$".into()));
                rest = behind;
            } else if let Some((group, behind)) = split_group(behind) {
                pieces.extend(group_index(group, pattern).map(Piece::Group));
                rest = behind;
            } else {
                pieces.push(Piece::Text("$".into()));
                rest = behind;
            }
        }
        pieces.push(Piece::Text(rest.into()));
        Self(pieces)
    }

    fn expand(&self, captures: &Captures<'_>) -> String {
        let text = |piece: &'_ Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Group(index) => captures.get(*index).map_or("", |group| group.as_str()).into(),
        };
        self.0.iter().map(text).collect()
    }
}

/// Splits what follows a dollar into the name of a group and the rest.
fn split_group(text: &str) -> Option<(&str, &str)> {
    let is_part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    if let Some(braced) = text.strip_prefix('{') {
        let (name, rest) = braced.split_once('}')?;
        return (!name.is_empty() && name.chars().all(is_part_of_name)).then_some((name, rest));
    }
    let end = text.find(|c| !is_part_of_name(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The number of the group with this number or name; `None` if the pattern has no such group.
fn group_index(group: &str, pattern: &Regex) -> Option<usize> {
    let is_number = group.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && (group == "0" || !group.starts_with('0')) {
        return group.parse().ok().filter(|&index| index < pattern.captures_len());
    }
    pattern.capture_names().position(|name| name == Some(group))
}

/// Why the profiles can't be used, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapperError {
    /// Name of the profile, may be empty.
    pub profile: String,
    /// Index of the mapping in it, if it is about one.
    pub mapping: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a profile or mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A profile without name.
    NoProfileName,
    /// A profile without prefix.
    NoPrefix,
    /// A mapping without pattern.
    NoPattern,
    /// A mapping without new name.
    NoName,
    /// A match type that doesn't exist.
    MatchType(String),
    /// A wildcard pattern with a character that is not allowed in one.
    WildcardCharacter(String),
    /// A wildcard pattern with two stars in a row.
    DoubleStar(String),
    /// A regular expression that can't be compiled, with the compiler's word on it.
    Regex(String),
}

impl fmt::Display for MapperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mapper profile {:?}", self.profile)?;
        if let Some(mapping) = self.mapping {
            write!(f, ", mapping {mapping}")?;
        }
        match &self.problem {
            Problem::NoProfileName => f.write_str(": `name` is missing"),
            Problem::NoPrefix => f.write_str(": `prefix` is missing; `*` fits all names"),
            Problem::NoPattern => f.write_str(": `match` is missing"),
            Problem::NoName => f.write_str(": `name` is missing"),
            Problem::MatchType(other) => {
                write!(f, ": match type {other:?} must be `wildcard` or `regex`")
            }
            Problem::WildcardCharacter(pattern) => {
                write!(f, ": wildcard {pattern:?} may hold letters, digits, `_`, `-`, `.` and `*`")
            }
            Problem::DoubleStar(pattern) => {
                write!(f, ": wildcard {pattern:?} must not hold `**`; one `*` stops at a dot")
            }
            Problem::Regex(error) => write!(f, ": {error}"),
        }
    }
}

impl std::error::Error for MapperError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(match_type: &str, pattern: &str, name: &str, tag: &str) -> Mapping {
        let tags = vec![("t".into(), tag.into())];
        Mapping { pattern: pattern.into(), match_type: match_type.into(), name: name.into(), tags }
    }

    fn mapper(profiles: &[(&str, Vec<Mapping>)]) -> Result<Mapper, MapperError> {
        let profile = |(prefix, mappings): &(&str, Vec<Mapping>)| Profile {
            name: "p".into(),
            prefix: (*prefix).into(),
            mappings: mappings.clone(),
        };
        Mapper::new(&profiles.iter().map(profile).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check(mapper: &Mapper, name: &str, expected: Option<(&str, &str)>) {
        let mapped = mapper.map(name.as_bytes());
        let mapped = mapped.as_ref().map(|mapped| (mapped.name.as_str(), mapped.tags.join(",")));
        assert_eq!(mapped, expected.map(|(name, tags)| (name, tags.into())), "{name}");
    }

    #[test]
    fn a_star_captures_up_to_the_next_dot() {
        let all = mapper(&[("*", vec![mapping("", "a.*.b_*", "n.$2", "$1")])]).unwrap();
        check(&all, "a.x.b_y", Some(("n.y", "t:x")));
        check(&all, "a..b_", Some(("n.", "t:")));
        check(&all, "a.x.y.b_z", None);
        check(&all, "axx.b_z", None);
        check(&all, "a.x.b_y.z", None);
    }

    #[test]
    fn only_the_first_profile_that_fits_is_tried() {
        let two = mapper(&[
            ("foo.", vec![mapping("", "foo.zzz", "z", "")]),
            ("foo.bar.", vec![mapping("", "foo.bar.*", "hit", "")]),
            ("bar.", vec![mapping("", "bar.*", "one", ""), mapping("", "bar.*", "two", "")]),
        ]);
        let two = two.unwrap();
        check(&two, "foo.bar.x", None);
        check(&two, "foo.zzz", Some(("z", "t:")));
        check(&two, "bar.x", Some(("one", "t:")));
    }

    #[test]
    fn templates_expand_like_those_of_go() {
        let pattern = "(?P<first>[a-z]+)\\.([0-9]+)(x)?";
        for (template, expected) in [
            ("$1-${2}", "ab-12"),
            ("$1_x|${1}_x", "|ab_x"),
            ("$first.${first}s $firsts", "ab.abs "),
            ("$$1 $0", "$1 ab.12"),
            ("a$ $- ${ ${} ${1 ${a-b}", "a$ $- ${ ${} ${1 ${a-b}"),
            ("$3 $4 $01 $99999999999999999999", "   "),
            ("end$", "end$"),
        ] {
            let all = mapper(&[("*", vec![mapping("regex", pattern, "n", template)])]).unwrap();
            check(&all, "ab.12", Some(("n", &format!("t:{expected}"))));
        }
    }

    #[test]
    fn anchors_are_glued_to_a_regular_expression() {
        let all = mapper(&[("*", vec![mapping("regex", "foo|bar", "hit", "")])]).unwrap();
        check(&all, "foobaz", Some(("hit", "t:")));
        check(&all, "xbar", Some(("hit", "t:")));
        check(&all, "xbarx", None);
    }

    #[test]
    fn a_name_that_is_no_text_is_left_alone_or_mapped_as_one() {
        let all = mapper(&[("a", vec![mapping("", "a.*", "n", "$1")])]).unwrap();
        assert_eq!(all.map(b"b\xff"), None);
        assert_eq!(all.map(b"a.\xff").unwrap().tags, ["t:\u{fffd}"]);
    }

    #[test]
    fn a_broken_rule_is_named_with_its_place() {
        let good = mapping("", "a", "n", "");
        for (bad, problem) in [
            (mapping("", "", "n", ""), Problem::NoPattern),
            (mapping("", "a", "", ""), Problem::NoName),
            (mapping("glob", "a", "n", ""), Problem::MatchType("glob".into())),
            (mapping("wildcard", "a b", "n", ""), Problem::WildcardCharacter("a b".into())),
            (mapping("", "a.**", "n", ""), Problem::DoubleStar("a.**".into())),
        ] {
            let error = mapper(&[("*", vec![good.clone(), bad])]).unwrap_err();
            assert_eq!((error.mapping, error.problem), (Some(1), problem));
        }
        let error = mapper(&[("*", vec![mapping("regex", "(", "n", "")])]).unwrap_err();
        assert!(error.to_string().starts_with("mapper profile \"p\", mapping 0: "), "{error}");
        assert_eq!(mapper(&[("", vec![])]).unwrap_err().problem, Problem::NoPrefix);
        let nameless = Mapper::new(&[Profile { prefix: "*".into(), ..Profile::default() }]);
        assert_eq!(nameless.unwrap_err().problem, Problem::NoProfileName);
    }
}
