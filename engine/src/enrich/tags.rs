//! Tags that mean something to the agent, taken out of those that don't.

use std::borrow::Cow;

/// What a message's tags say, in the order they came.
///
/// Byte strings may be anything; origin parts that are empty count as not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// The ordinary tags; duplicates and empty ones are kept.
    pub tags: Vec<Cow<'a, [u8]>>,
    /// Value of the last `host:` tag, may be empty.
    pub host: Option<Cow<'a, [u8]>>,
    /// Value of the last `dd.internal.entity_id:`; `none` says that there is no entity.
    pub entity_id: Option<Cow<'a, [u8]>>,
    /// Value of `card:`, or if that is absent or empty of the first `dd.internal.card:` that is not
    /// empty.
    pub cardinality: Option<Cow<'a, [u8]>>,
    /// Value of the last `dd.internal.jmx_check_name:`.
    pub jmx_check_name: Option<Cow<'a, [u8]>>,
}

impl<'a> Attributes<'a> {
    /// Sorts `tags` into ordinary ones and others; `cardinality` is what the field `card:` said. A
    /// `dd.internal.card:` that finds the cardinality set is an ordinary tag.
    pub(super) fn new(
        tags: impl Iterator<Item = Cow<'a, [u8]>>,
        cardinality: Option<&'a [u8]>,
    ) -> Self {
        let cardinality = cardinality.map(Cow::Borrowed);
        let mut attributes = Self { cardinality, ..Self::default() };
        for tag in tags {
            attributes.take(tag);
        }
        attributes
    }

    fn take(&mut self, tag: Cow<'a, [u8]>) {
        if let Some(host) = value(&tag, "host:") {
            self.host = Some(host);
        } else if let Some(id) = value(&tag, "dd.internal.entity_id:") {
            self.entity_id = non_empty(id);
        } else if let Some(name) = value(&tag, "dd.internal.jmx_check_name:") {
            self.jmx_check_name = non_empty(name);
        } else if let Some(cardinality) = value(&tag, "dd.internal.card:")
            && self.cardinality.as_ref().is_none_or(|set| set.is_empty())
        {
            self.cardinality = non_empty(cardinality).or_else(|| self.cardinality.take());
        } else {
            self.tags.push(tag);
        }
    }
}

/// What follows `prefix` in `tag`, if it starts with that.
fn value<'a>(tag: &Cow<'a, [u8]>, prefix: &str) -> Option<Cow<'a, [u8]>> {
    Some(match tag {
        Cow::Borrowed(tag) => Cow::Borrowed(tag.strip_prefix(prefix.as_bytes())?),
        Cow::Owned(tag) => Cow::Owned(tag.strip_prefix(prefix.as_bytes())?.to_vec()),
    })
}

fn non_empty(value: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(tags: &'static str, cardinality: Option<&'static str>) -> Attributes<'static> {
        let tags = tags.split(',').map(|tag| Cow::Borrowed(tag.as_bytes()));
        Attributes::new(tags, cardinality.map(str::as_bytes))
    }

    fn text(value: Option<&Cow<'_, [u8]>>) -> Option<String> {
        value.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[track_caller]
    fn check_tags(attributes: &Attributes<'_>, expected: &str) {
        assert_eq!(attributes.tags.join(&b','), expected.as_bytes());
    }

    #[test]
    fn the_last_host_tag_decides_and_none_is_left() {
        let found = attributes("a,host:x,,host:,Host:y,hosts:z,host,a", None);
        check_tags(&found, "a,,Host:y,hosts:z,host,a");
        assert_eq!(found.host.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn internal_tags_are_taken_out_by_their_exact_prefix() {
        let found = attributes(
            "dd.internal.entity_id:a,dd.internal.entity_id:none,dd.internal.jmx_check_name:kafka,\
             dd.internal.other:x,b",
            None,
        );
        check_tags(&found, "dd.internal.other:x,b");
        assert_eq!(text(found.entity_id.as_ref()), Some("none".into()));
        assert_eq!(text(found.jmx_check_name.as_ref()), Some("kafka".into()));
    }

    #[test]
    fn a_cardinality_tag_counts_only_if_none_is_set() {
        for (tags, field, cardinality, rest) in [
            ("dd.internal.card:high,a", None, Some("high"), "a"),
            ("dd.internal.card:high", Some(""), Some("high"), ""),
            ("dd.internal.card:high", Some("none"), Some("none"), "dd.internal.card:high"),
            ("dd.internal.card:,dd.internal.card:low", None, Some("low"), ""),
            (
                "dd.internal.card:low,dd.internal.card:,dd.internal.card:high",
                None,
                Some("low"),
                "dd.internal.card:,dd.internal.card:high",
            ),
            ("dd.internal.card:,a", None, None, "a"),
        ] {
            let found = attributes(tags, field);
            check_tags(&found, rest);
            assert_eq!(text(found.cardinality.as_ref()).as_deref(), cardinality, "{tags}");
        }
    }
}
