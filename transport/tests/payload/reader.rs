//! A reader of the intake's protobuf messages that shares nothing with the writer. Every field that
//! it doesn't know is an error.

/// A field's number and its value.
type Field<'a> = (u64, Value<'a>);

#[derive(Debug)]
enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            other => panic!("wanted bytes, not {other:?}"),
        }
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn number(self) -> u64 {
        match self {
            Self::Varint(number) => number,
            other => panic!("wanted a varint, not {other:?}"),
        }
    }

    fn signed(self) -> i64 {
        self.number() as i64
    }

    fn double(self) -> f64 {
        match self {
            Self::Fixed64(bytes) => f64::from_le_bytes(bytes),
            other => panic!("wanted a double, not {other:?}"),
        }
    }
}

/// Takes one varint off the front.
pub(crate) fn take_varint(input: &mut &[u8]) -> u64 {
    let mut value = 0;
    for (at, &byte) in input.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *input = &input[at + 1..];
            return value;
        }
    }
    panic!("the varint is cut off");
}

/// All varints of a packed field.
pub(crate) fn packed(mut input: &[u8]) -> Vec<u64> {
    let mut values = Vec::new();
    while !input.is_empty() {
        values.push(take_varint(&mut input));
    }
    values
}

/// Undoes zigzag.
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn fields(mut input: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while !input.is_empty() {
        let tag = take_varint(&mut input);
        let length = match tag & 7 {
            0 => None,
            1 => Some(8),
            2 => Some(usize::try_from(take_varint(&mut input)).unwrap()),
            other => panic!("wire type {other}"),
        };
        let value = match length {
            None => Value::Varint(take_varint(&mut input)),
            Some(length) => {
                let (head, rest) = input.split_at(length);
                input = rest;
                match tag & 7 {
                    1 => Value::Fixed64(head.try_into().unwrap()),
                    _ => Value::Bytes(head),
                }
            }
        };
        fields.push((tag >> 3, value));
    }
    fields
}

/// The length-delimited fields of a message as they stand, by number: for columns.
pub(crate) fn columns(input: &[u8]) -> Vec<(u64, &[u8])> {
    fields(input).into_iter().map(|(number, value)| (number, value.bytes())).collect()
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SeriesMessage {
    pub(crate) resources: Vec<(String, String)>,
    pub(crate) metric: String,
    pub(crate) tags: Vec<String>,
    /// Second and value.
    pub(crate) points: Vec<(i64, f64)>,
    pub(crate) kind: u64,
    pub(crate) unit: String,
    pub(crate) source_type_name: String,
    pub(crate) interval: i64,
    pub(crate) metadata: Option<Option<OriginMessage>>,
}

/// Metric type, product, category, service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OriginMessage(pub(crate) [u64; 4]);

/// Reads a `MetricPayload`.
pub(crate) fn series(body: &[u8]) -> Vec<SeriesMessage> {
    fields(body)
        .into_iter()
        .map(|(number, value)| match number {
            1 => one_series(value.bytes()),
            other => panic!("payload field {other}"),
        })
        .collect()
}

fn one_series(body: &[u8]) -> SeriesMessage {
    let mut read = SeriesMessage::default();
    for (number, value) in fields(body) {
        match number {
            1 => read.resources.push(resource(value.bytes())),
            2 => read.metric = value.text(),
            3 => read.tags.push(value.text()),
            4 => read.points.push(point(value.bytes())),
            5 => read.kind = value.number(),
            6 => read.unit = value.text(),
            7 => read.source_type_name = value.text(),
            8 => read.interval = value.signed(),
            9 => read.metadata = Some(metadata(value.bytes())),
            other => panic!("series field {other}"),
        }
    }
    read
}

fn resource(body: &[u8]) -> (String, String) {
    let mut read = (String::new(), String::new());
    for (number, value) in fields(body) {
        match number {
            1 => read.0 = value.text(),
            2 => read.1 = value.text(),
            other => panic!("resource field {other}"),
        }
    }
    read
}

fn point(body: &[u8]) -> (i64, f64) {
    let mut read = (0, 0.0);
    for (number, value) in fields(body) {
        match number {
            1 => read.1 = value.double(),
            2 => read.0 = value.signed(),
            other => panic!("point field {other}"),
        }
    }
    read
}

fn metadata(body: &[u8]) -> Option<OriginMessage> {
    let mut read = None;
    for (number, value) in fields(body) {
        assert_eq!(number, 1, "metadata field");
        let mut origin = OriginMessage::default();
        for (number, value) in fields(value.bytes()) {
            let slot = usize::try_from(number).unwrap().checked_sub(3).unwrap();
            origin.0[slot] = value.number();
        }
        read = Some(origin);
    }
    read
}

/// A `SketchPayload`: its sketches, and whether its metadata is there (and empty).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SketchesMessage {
    pub(crate) sketches: Vec<SketchMessage>,
    pub(crate) has_metadata: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SketchMessage {
    pub(crate) metric: String,
    pub(crate) host: String,
    pub(crate) tags: Vec<String>,
    pub(crate) points: Vec<DogsketchMessage>,
    pub(crate) metadata: Option<Option<OriginMessage>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DogsketchMessage {
    pub(crate) second: i64,
    pub(crate) count: i64,
    /// Min, max, avg, sum.
    pub(crate) summary: [f64; 4],
    pub(crate) keys: Vec<i64>,
    pub(crate) counts: Vec<u64>,
}

/// Reads a `SketchPayload`.
pub(crate) fn sketches(body: &[u8]) -> SketchesMessage {
    let mut read = SketchesMessage::default();
    for (number, value) in fields(body) {
        match number {
            1 => read.sketches.push(one_sketch(value.bytes())),
            2 => {
                assert_eq!(value.bytes(), b"");
                read.has_metadata = true;
            }
            other => panic!("payload field {other}"),
        }
    }
    read
}

fn one_sketch(body: &[u8]) -> SketchMessage {
    let mut read = SketchMessage::default();
    for (number, value) in fields(body) {
        match number {
            1 => read.metric = value.text(),
            2 => read.host = value.text(),
            4 => read.tags.push(value.text()),
            7 => read.points.push(dogsketch(value.bytes())),
            8 => read.metadata = Some(metadata(value.bytes())),
            other => panic!("sketch field {other}"),
        }
    }
    read
}

fn dogsketch(body: &[u8]) -> DogsketchMessage {
    let mut read = DogsketchMessage::default();
    for (number, value) in fields(body) {
        match number {
            1 => read.second = value.signed(),
            2 => read.count = value.signed(),
            3 => read.summary[0] = value.double(),
            4 => read.summary[1] = value.double(),
            5 => read.summary[2] = value.double(),
            6 => read.summary[3] = value.double(),
            7 => read.keys = packed(value.bytes()).into_iter().map(unzigzag).collect(),
            8 => read.counts = packed(value.bytes()),
            other => panic!("dogsketch field {other}"),
        }
    }
    read
}
