//! The demo's task: a program that ends. It sends increments like a client library does, one `send`
//! a message, a steady stream and then a last burst, and is gone.

use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::load::Pacer;

/// The counter that the task increments, by 1 a message.
pub const METRIC: &str = "demo.increments";

/// What the task shall do.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    /// The agent's UDP socket.
    pub to: SocketAddr,
    /// Messages of the steady stream.
    pub stream: u64,
    /// Time that the stream takes.
    pub over: Duration,
    /// Messages of the last burst, sent as fast as the system takes them.
    pub burst: u64,
    /// Where to write one [`Progress`] a line while it runs.
    pub progress: PathBuf,
}

/// How far the task has come; the last line is written right before it exits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Messages whose send succeeded.
    pub sent: u64,
    /// Messages whose send failed.
    pub failed: u64,
    /// Time that the burst took, once it is over.
    pub burst_s: Option<f64>,
    /// When the task exits: nanoseconds of the monotonic clock. Only in the last line.
    pub exit_ns: Option<u64>,
}

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

/// Sends the stream and the burst. Returns at once after the last message: the caller exits.
///
/// # Errors
///
/// The socket or the progress file can't be opened or written. A failed send is no error: it is
/// counted in the progress.
pub fn run(options: &TaskOptions) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(&options.progress)?;
    let socket = UdpSocket::bind(if options.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(options.to)?;
    let mut progress = Progress::default();
    send_stream(&socket, options, &mut progress, &mut file)?;
    let burst_start = Instant::now();
    let message = format!("{METRIC}:1|c|#task:demo,part:burst");
    for _ in 0..options.burst {
        send(&socket, &message, &mut progress);
    }
    progress.burst_s = Some(burst_start.elapsed().as_secs_f64());
    progress.exit_ns = Some(monotonic_ns());
    write_line(&mut file, &progress)
}

fn send_stream(
    socket: &UdpSocket,
    options: &TaskOptions,
    progress: &mut Progress,
    file: &mut File,
) -> io::Result<()> {
    let message = format!("{METRIC}:1|c|#task:demo,part:stream");
    let start = Instant::now();
    let count = f64::from(u32::try_from(options.stream).unwrap_or(u32::MAX));
    let mut pacer = Pacer::new(count / options.over.as_secs_f64().max(0.001), start);
    let mut left = options.stream;
    let mut written = start;
    while left > 0 {
        let now = Instant::now();
        let due = pacer.take(now, usize::try_from(left).unwrap_or(usize::MAX));
        for _ in 0..due {
            send(socket, &message, progress);
            left -= 1;
        }
        if now.duration_since(written) > Duration::from_millis(100) {
            write_line(file, progress)?;
            written = now;
        }
        thread::sleep(pacer.pause());
    }
    Ok(())
}

fn send(socket: &UdpSocket, message: &str, progress: &mut Progress) {
    match socket.send(message.as_bytes()) {
        Ok(_) => progress.sent += 1,
        Err(_) => progress.failed += 1,
    }
}

fn write_line(file: &mut File, progress: &Progress) -> io::Result<()> {
    let mut line = serde_json::to_string(progress)?;
    line.push('\n');
    file.write_all(line.as_bytes())
}

/// Finds how far a task has come from what its progress file holds; a line that is still being
/// written doesn't count.
#[must_use]
pub fn latest(file: &str) -> Progress {
    let whole = file.split_inclusive('\n').rfind(|line| line.ends_with('\n'));
    whole.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(to: SocketAddr, folder: &tempfile::TempDir) -> TaskOptions {
        let progress = folder.path().join("progress");
        TaskOptions { to, stream: 100, over: Duration::from_millis(50), burst: 50, progress }
    }

    #[test]
    fn every_increment_is_sent_and_counted() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = options(receiver.local_addr().unwrap(), &folder);
        let before = monotonic_ns();
        run(&options).unwrap();
        let last = latest(&std::fs::read_to_string(&options.progress).unwrap());
        assert_eq!((last.sent, last.failed), (150, 0));
        assert!((before..=monotonic_ns()).contains(&last.exit_ns.unwrap()));
        for number in 0..150 {
            let mut buffer = [0; 128];
            let bytes = receiver.recv(&mut buffer).unwrap();
            let part = if number < 100 { "stream" } else { "burst" };
            let expected = format!("demo.increments:1|c|#task:demo,part:{part}");
            assert_eq!(std::str::from_utf8(&buffer[..bytes]).unwrap(), expected);
        }
    }

    #[test]
    fn sends_that_fail_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        // Nobody listens on the discard port.
        let options = options(([127, 0, 0, 1], 9).into(), &folder);
        run(&options).unwrap();
        let last = latest(&std::fs::read_to_string(&options.progress).unwrap());
        assert!(last.failed > 0 && last.sent + last.failed == 150, "{last:?}");
    }

    #[test]
    fn half_a_line_is_not_read() {
        let line = "{\"sent\":7,\"failed\":0,\"burst_s\":null,\"exit_ns\":null}\n";
        assert_eq!(latest(&format!("{line}{{\"sent\":8")).sent, 7);
        assert_eq!(latest("{\"sent\":8"), Progress::default());
        assert_eq!(latest(""), Progress::default());
    }
}
