//! What the configuration does to metric names: a namespace in front, and names that are blocked.

use std::borrow::Cow;

/// The prefix of metric names, and the names that go without it.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Empty, or ends in a dot.
    prefix: String,
    exclusions: Vec<String>,
}

impl Namespace {
    /// Starts of names that keep their name unless configured otherwise: metrics of the agent
    /// itself, and of integrations and runtimes whose names are known.
    pub const EXCLUSIONS: [&str; 21] = [
        "datadog.agent",
        "datadog.dogstatsd",
        "datadog.process",
        "datadog.trace_agent",
        "datadog.tracer",
        "activemq",
        "activemq_58",
        "airflow",
        "cassandra",
        "confluent",
        "hazelcast",
        "hive",
        "ignite",
        "jboss",
        "jvm",
        "kafka",
        "presto",
        "sidekiq",
        "solr",
        "tomcat",
        "runtime",
    ];

    /// A namespace with its own dot or without; an empty one changes nothing. A name that starts
    /// with one of `exclusions`, at a dot or not, stays as it is.
    #[must_use]
    pub fn new(namespace: &str, exclusions: Vec<String>) -> Self {
        let needs_dot = !namespace.is_empty() && !namespace.ends_with('.');
        let prefix = format!("{namespace}{}", if needs_dot { "." } else { "" });
        Self { prefix, exclusions }
    }

    /// The name with the namespace in front, if it belongs there.
    pub(super) fn apply<'a>(&self, name: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let is_excluded = |start: &String| name.starts_with(start.as_bytes());
        if self.prefix.is_empty() || self.exclusions.iter().any(is_excluded) {
            return name;
        }
        Cow::Owned([self.prefix.as_bytes(), &name].concat())
    }
}

impl Default for Namespace {
    /// No namespace, and the usual exclusions.
    fn default() -> Self {
        Self::new("", Self::EXCLUSIONS.map(String::from).into())
    }
}

/// How an entry of a [`Blocklist`] stands for names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameMatch {
    /// For the same name.
    #[default]
    Exact,
    /// For every name that starts with it.
    Prefix,
}

/// Names that are dropped.
#[derive(Clone, Debug, Default)]
pub struct Blocklist {
    /// Sorted. With [`NameMatch::Prefix`] none is a prefix of another, so that only the last entry
    /// that isn't greater than a name can be a prefix of it.
    entries: Vec<String>,
    name_match: NameMatch,
}

impl Blocklist {
    /// A list of `entries`, in any order.
    #[must_use]
    pub fn new(mut entries: Vec<String>, name_match: NameMatch) -> Self {
        entries.sort_unstable();
        entries.dedup_by(|entry, kept| match name_match {
            NameMatch::Exact => entry == kept,
            NameMatch::Prefix => entry.starts_with(kept.as_str()),
        });
        Self { entries, name_match }
    }

    /// True if `name` is to be dropped.
    #[must_use]
    pub fn blocks(&self, name: &[u8]) -> bool {
        let after = self.entries.partition_point(|entry| entry.as_bytes() <= name);
        let nearest = after.checked_sub(1).and_then(|last| self.entries.get(last));
        nearest.is_some_and(|entry| match self.name_match {
            NameMatch::Exact => entry.as_bytes() == name,
            NameMatch::Prefix => name.starts_with(entry.as_bytes()),
        })
    }

    /// The entries that end in a dot and one of `suffixes` (`avg`, `95percentile`): these are tested
    /// again, against the names of the series that a histogram becomes.
    #[must_use]
    pub fn of_histogram_series(&self, suffixes: &[String]) -> Self {
        let has_suffix = |entry: &&String| {
            let stem = |suffix: &String| entry.strip_suffix(suffix.as_str());
            suffixes.iter().filter_map(stem).any(|stem| stem.ends_with('.'))
        };
        let entries = self.entries.iter().filter(has_suffix).cloned().collect();
        Self { entries, name_match: self.name_match }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().copied().map(String::from).collect()
    }

    #[test]
    fn a_namespace_stands_before_names_that_are_not_excluded() {
        let usual = Namespace::EXCLUSIONS.map(String::from).to_vec();
        for (namespace, exclusions, name, expected) in [
            ("", &usual, "a", "a"),
            ("ns", &usual, "a", "ns.a"),
            ("ns.", &usual, "a", "ns.a"),
            ("ns", &usual, "jvmfoo", "jvmfoo"),
            ("ns", &usual, "xjvm", "ns.xjvm"),
            ("ns", &vec![], "jvm", "ns.jvm"),
        ] {
            let namespace = Namespace::new(namespace, exclusions.clone());
            assert_eq!(&*namespace.apply(name.as_bytes().into()), expected.as_bytes());
        }
    }

    #[test]
    fn a_blocklist_matches_whole_names_or_their_starts() {
        let entries = ["foo", "bar.x", "foo", "foo.bar.baz", "fo"];
        for (name_match, name, blocked) in [
            (NameMatch::Exact, "foo", true),
            (NameMatch::Exact, "foo.a", false),
            (NameMatch::Exact, "", false),
            (NameMatch::Prefix, "foo.a", true),
            (NameMatch::Prefix, "foo.bar.bay", true),
            (NameMatch::Prefix, "fo", true),
            (NameMatch::Prefix, "f", false),
            (NameMatch::Prefix, "bar.xy", true),
            (NameMatch::Prefix, "bar", false),
            (NameMatch::Prefix, "zoo", false),
        ] {
            let list = Blocklist::new(strings(&entries), name_match);
            assert_eq!(list.blocks(name.as_bytes()), blocked, "{name_match:?} {name}");
        }
        assert!(!Blocklist::default().blocks(b"a"));
        assert!(Blocklist::new(strings(&[""]), NameMatch::Prefix).blocks(b"a"));
    }

    #[test]
    fn entries_on_a_histogram_series_are_kept_apart() {
        let entries = strings(&["foo", "foo.avg", "foo.95percentile", "xavg", "foo.sum"]);
        let list = Blocklist::new(entries, NameMatch::Exact);
        let series = list.of_histogram_series(&strings(&["avg", "95percentile"]));
        assert_eq!(series.entries, ["foo.95percentile", "foo.avg"]);
    }
}
