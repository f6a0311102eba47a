//! `lastdrop parse`: what the agent reads in datagrams, as JSON.

mod render;
mod vectors;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

use lastdrop_engine::enrich::{Enricher, Settings};
use lastdrop_engine::message::{LineEnd, Options, lines, parse};

use crate::json::{Object, from_hex};

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
    vectors: bool,
}

/// The configuration that `lastdrop parse` works with. The default is the reference agent's in a
/// serverless platform.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParseSettings {
    /// Fields to read.
    pub(crate) options: Options,
    /// Whether a last line without newline is refused.
    pub(crate) line_end: LineEnd,
    /// For `--enriched`.
    pub(crate) enrichment: Settings,
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
    settings: ParseSettings,
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
    if args.files.is_empty() {
        return for_each_line(input, "standard input", &mut print);
    }
    for path in &args.files {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| in_source(&name, &error))?;
        for_each_line(&mut BufReader::new(file), &name, &mut print)?;
    }
    Ok(())
}

/// Hands each line to `action`, without its newline; a last one needs none.
fn for_each_line(
    input: &mut dyn BufRead,
    name: &str,
    action: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).map_err(|error| in_source(name, &error))? > 0 {
        action(line.strip_suffix(b"\n").unwrap_or(&line))?;
        line.clear();
    }
    Ok(())
}

/// A reading error with the name of what was read.
fn in_source(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
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
    fn new(settings: ParseSettings, stage: Stage) -> Self {
        let ParseSettings { options, line_end, enrichment } = settings;
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
