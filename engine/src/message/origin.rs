//! Where a client says that its message comes from: the fields `c:`, `e:` and `card:`.
//!
//! They are kept as they came and read only by who wants them; nothing in them makes a message bad.

use super::{ClientOrigin, Options, number};

/// The origin fields of one message, unread. All are absent unless [`ClientOrigin::Read`] is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginFields<'a> {
    /// Content of the last `c:`.
    pub local_data: Option<&'a [u8]>,
    /// Content of the last `e:`.
    pub external_data: Option<&'a [u8]>,
    /// Content of the last `card:`. An empty one takes back the one before it; where there is none
    /// before it, it is kept.
    pub cardinality: Option<&'a [u8]>,
}

impl<'a> OriginFields<'a> {
    /// Keeps `field` if it is an origin field and such fields are read.
    pub(super) fn take(&mut self, field: &'a [u8], options: Options) {
        if options.client_origin == ClientOrigin::Ignore {
            return;
        }
        match field {
            [b'c', b':', content @ ..] => self.local_data = Some(content),
            [b'e', b':', content @ ..] => self.external_data = Some(content),
            [b'c', b'a', b'r', b'd', b':', content @ ..] => {
                let takes_back = content.is_empty() && self.cardinality.is_some();
                self.cardinality = (!takes_back).then_some(content);
            }
            _ => {}
        }
    }

    /// Reads what `c:` says.
    #[must_use]
    pub fn local_data(&self) -> LocalData<'a> {
        self.local_data.map(LocalData::read).unwrap_or_default()
    }

    /// Reads what `e:` says.
    #[must_use]
    pub fn external_data(&self) -> ExternalData<'a> {
        self.external_data.map(ExternalData::read).unwrap_or_default()
    }
}

/// What `c:` says of the container that sent a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalData<'a> {
    /// Id of the container, not empty.
    pub container_id: Option<&'a [u8]>,
    /// Inode of the container's cgroup directory, not 0.
    pub inode: Option<u64>,
}

impl<'a> LocalData<'a> {
    /// Reads `ci-<id>`, `cid-<id>`, `in-<inode>` or a bare id; or, if there is a comma, a list in
    /// which only `ci-` and `in-` mean anything. An inode that is no number of 64 bits is none,
    /// also after a good one.
    fn read(content: &'a [u8]) -> Self {
        let mut data = Self::default();
        if content.contains(&b',') {
            for item in content.split(|&byte| byte == b',') {
                data.take(item);
            }
        } else if !data.take(content) {
            data.container_id = non_empty(content.strip_prefix(b"cid-").unwrap_or(content));
        }
        data
    }

    /// Takes over `ci-` and `in-`; false if `item` is neither.
    fn take(&mut self, item: &'a [u8]) -> bool {
        match item {
            [b'c', b'i', b'-', id @ ..] => self.container_id = non_empty(id),
            [b'i', b'n', b'-', inode @ ..] => {
                self.inode = number::unsigned(inode).filter(|&inode| inode != 0);
            }
            _ => return false,
        }
        true
    }
}

/// What `e:` says of the pod that sent a message; the cluster's admission controller writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExternalData<'a> {
    /// Whether it is an init container.
    pub init: Option<bool>,
    /// Name of the container, not empty.
    pub container_name: Option<&'a [u8]>,
    /// Uid of the pod, not empty.
    pub pod_uid: Option<&'a [u8]>,
}

impl<'a> ExternalData<'a> {
    /// Reads a list of `it-<bool>`, `cn-<container name>` and `pu-<pod uid>`. What is no boolean
    /// is false, also after a good one.
    fn read(content: &'a [u8]) -> Self {
        let mut data = Self::default();
        for item in content.split(|&byte| byte == b',') {
            match item {
                [b'i', b't', b'-', flag @ ..] => data.init = Some(is_true(flag)),
                [b'c', b'n', b'-', name @ ..] => data.container_name = non_empty(name),
                [b'p', b'u', b'-', uid @ ..] => data.pod_uid = non_empty(uid),
                _ => {}
            }
        }
        data
    }

    /// True if nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn is_true(flag: &[u8]) -> bool {
    matches!(flag, b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True")
}

fn non_empty(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_data_is_one_item_or_a_list() {
        for (content, container_id, inode) in [
            ("abc", Some("abc"), None),
            ("ci-abc", Some("abc"), None),
            ("cid-abc", Some("abc"), None),
            ("in-42", None, Some(42)),
            ("in-x", None, None),
            ("in-+1", None, None),
            ("in-18446744073709551616", None, None),
            ("", None, None),
            ("ci-", None, None),
            ("in-42,ci-abc", Some("abc"), Some(42)),
            ("cid-abc,in-42", None, Some(42)),
            ("abc,in-42", None, Some(42)),
            ("in-5,in-x", None, None),
        ] {
            let expected = LocalData { container_id: container_id.map(str::as_bytes), inode };
            assert_eq!(LocalData::read(content.as_bytes()), expected, "{content}");
        }
    }

    #[test]
    fn external_data_is_a_list_in_any_order() {
        for (content, init, container_name, pod_uid) in [
            ("pu-1,it-true,cn-n", Some(true), Some("n"), Some("1")),
            ("it-T", Some(true), None, None),
            ("it-true,it-yes", Some(false), None, None),
            ("cn-a,cn-b", None, Some("b"), None),
            ("zz-1", None, None, None),
            ("", None, None, None),
        ] {
            let (container_name, pod_uid) =
                (container_name.map(str::as_bytes), pod_uid.map(str::as_bytes));
            let expected = ExternalData { init, container_name, pod_uid };
            assert_eq!(ExternalData::read(content.as_bytes()), expected, "{content}");
        }
    }
}
