//! `lastdrop parse`: what the agent reads in datagrams, as JSON.

mod render;
mod vectors;

use std::borrow::Cow;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use lastdrop_engine::enrich::Enricher;
use lastdrop_engine::message::{LineEnd, Options, lines, parse};

use crate::input::for_each_line;
use crate::json::{Object, from_hex};
use crate::vectors::MessageSettings;

/// Print what the agent reads in datagrams: one JSON object a message, or the error with its
/// position.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ParseArgs {
    /// Files with one datagram a line; standard input if none is given.
    files: Vec<PathBuf>,

    /// Take `\n` and `\r` in the input for the bytes they name, and `\\` for a backslash.
    #[arg(long, conflicts_with = "hex")]
    escapes: bool,

    /// Take each line of the input for hex digits.
    #[arg(long)]
    hex: bool,

    /// Print what the configuration makes of each message, one object a sample.
    #[arg(long)]
    enriched: bool,

    /// Read test vectors: JSON objects with `in` or `in_hex`, `config` and `stage`. Prints one list
    /// of messages a line; environment and configuration file don't count.
    #[arg(long, conflicts_with_all = ["escapes", "hex", "enriched"])]
    pub(crate) vectors: bool,
}

/// How far a message is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// As it is on the wire.
    Parsed,
    /// What the configuration makes of it.
    Enriched,
}

/// Runs the command over the files of `args`, or over `input` if there are none.
///
/// # Errors
///
/// A file that can't be read, with its path, or an `output` that can't be written.
pub(crate) fn run(
    args: &ParseArgs,
    settings: MessageSettings,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> io::Result<()> {
    let stage = if args.enriched { Stage::Enriched } else { Stage::Parsed };
    let reader = Reader::new(settings, stage);
    let mut index = 0_u64;
    let mut print = |line: &[u8]| {
        if args.vectors {
            return writeln!(output, "{}", vectors::answer(line));
        }
        let datagram = args.datagram(line);
        let numbered = reader.numbered(index, datagram.as_deref());
        index += 1;
        numbered.into_iter().try_for_each(|object| writeln!(output, "{object}"))
    };
    for_each_line(&args.files, input, &mut print)
}

impl ParseArgs {
    /// The datagram that a line of the input stands for; `None` if it isn't hex but should be.
    fn datagram<'a>(&self, line: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if self.hex {
            return from_hex(line).map(Cow::Owned);
        }
        Some(if self.escapes { Cow::Owned(unescape(line)) } else { Cow::Borrowed(line) })
    }
}

/// Replaces `\n`, `\r` and `\\`; any other backslash stays.
fn unescape(line: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [first, behind @ ..] = rest {
        let (byte, behind) = match rest {
            [b'\\', b'n', behind @ ..] => (b'\n', behind),
            [b'\\', b'r', behind @ ..] => (b'\r', behind),
            [b'\\', b'\\', behind @ ..] => (b'\\', behind),
            _ => (*first, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    bytes
}

/// Reads datagrams and tells what is in them.
struct Reader {
    options: Options,
    line_end: LineEnd,
    stage: Stage,
    enricher: Enricher,
}

impl Reader {
    fn new(settings: MessageSettings, stage: Stage) -> Self {
        let MessageSettings { options, line_end, enrichment } = settings;
        Self { options, line_end, stage, enricher: Enricher::new(enrichment) }
    }

    /// What each message of a datagram is, in order: one object for a parsed message, any number
    /// for an enriched one. Positions of errors count from the start of the datagram.
    fn messages(&self, datagram: &[u8]) -> Vec<Vec<Object>> {
        lines(datagram, self.line_end)
            .map(|line| match line {
                Err(error) => vec![render::error(error, 0)],
                Ok(line) => match parse(line.bytes, self.options) {
                    Err(error) => vec![render::error(error, line.at)],
                    Ok(message) if self.stage == Stage::Enriched => {
                        render::enriched(&self.enricher, &message)
                    }
                    Ok(message) => vec![render::message(&message)],
                },
            })
            .collect()
    }

    /// The messages with the number of their datagram and their index in it; `message` would be taken
    /// for that of a service check.
    fn numbered(&self, index: u64, datagram: Option<&[u8]>) -> Vec<Object> {
        let mut start = Object::default();
        start.set("datagram", index);
        let Some(datagram) = datagram else {
            start.set("error", "expected pairs of hex digits");
            return vec![start];
        };
        let mut numbered = Vec::new();
        for (index, objects) in (0_u64..).zip(self.messages(datagram)) {
            for object in objects {
                let mut whole = start.clone();
                whole.set("index", index);
                whole.append(object);
                numbered.push(whole);
            }
        }
        numbered
    }
}
