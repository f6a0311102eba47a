//! `lastdrop replay`: recorded samples with their times through the engine of the agent, as JSON.

mod player;
mod rows;
mod vector;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use lastdrop_engine::merge::Incomplete;
use lastdrop_engine::time::Stamp;

use crate::input::for_each_line;
use player::Player;
use vector::{Replay, ReplaySettings, Sample};

/// Print the series and sketches that the engine makes of recorded samples.
///
/// Without `--flush-at` each line is a test vector: a JSON object with `samples` (`t`, `line`),
/// `flush_at`, and perhaps `config`, `prior_flushes` and `incomplete`. With it, each line is a
/// sample and all of them are one recording. Environment and configuration file don't count.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// Files with one JSON object a line; standard input if none is given.
    files: Vec<PathBuf>,

    /// Read a recording, one `{"t":…,"line":…}` a line, and flush it at this time (seconds since
    /// 1970).
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    flush_at: Option<Stamp>,

    /// Flush slots that are open at that time, too.
    #[arg(long, requires = "flush_at")]
    incomplete: bool,
}

/// Runs the command over the files of `args`, or over `input` if there are none.
///
/// # Errors
///
/// A file that can't be read, with its path, or an `output` that can't be written.
pub(crate) fn run(
    args: &ReplayArgs,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> io::Result<()> {
    let Some(flush_at) = args.flush_at else {
        return for_each_line(&args.files, input, &mut |line| match Replay::read(line) {
            Ok(replay) => writeln!(output, "{}", replay.answer()),
            Err(error) => writeln!(output, "{}", error.answer()),
        });
    };
    let incomplete = if args.incomplete { Incomplete::Shipped } else { Incomplete::Dropped };
    let mut player = Player::new(ReplaySettings::recording(incomplete));
    for_each_line(&args.files, input, &mut |line| match Sample::read(line) {
        Ok(sample) => {
            player.push(&sample);
            Ok(())
        }
        Err(error) => writeln!(output, "{}", error.answer()),
    })?;
    writeln!(output, "{}", player.finish(flush_at))
}

fn seconds(text: &str) -> Result<Stamp, &'static str> {
    let seconds = text.parse().ok().and_then(vector::stamp);
    seconds.ok_or("expected seconds since 1970")
}
