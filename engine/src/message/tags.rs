//! The tag section of a message, as it came.

/// Tags as they stand on the wire, without the `#`: separated by commas, nothing escaped, nothing
/// trimmed. Duplicates and empty tags are kept; an empty section holds no tag at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags<'a>(pub(super) &'a [u8]);

impl<'a> Tags<'a> {
    /// The section's bytes, for what keys a context by its spelling.
    #[must_use]
    pub const fn raw(self) -> &'a [u8] {
        self.0
    }

    /// The tags in the order of the wire.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let tags = (!self.0.is_empty()).then(|| self.0.split(|&byte| byte == b','));
        tags.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commas_separate_and_empty_tags_count() {
        for (section, tags) in [
            ("", vec![]),
            (",", vec!["", ""]),
            ("a,,b", vec!["a", "", "b"]),
            ("a,", vec!["a", ""]),
            ("a:b:c, d#@,a:b:c", vec!["a:b:c", " d#@", "a:b:c"]),
        ] {
            let found: Vec<_> = Tags(section.as_bytes()).iter().collect();
            let expected: Vec<_> = tags.iter().map(|tag| tag.as_bytes()).collect();
            assert_eq!(found, expected, "{section}");
        }
    }
}
