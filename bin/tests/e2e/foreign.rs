//! Servers that nobody here wrote: the agent delivers to each of them.
//!
//! Their packages stand in `.ci/packages`. Where one is missing its tests say so and end, unless
//! `LASTDROP_REQUIRE_FOREIGN=1`: then they fail.

mod nginx;
mod openssl;
mod python;
mod tinyproxy;
mod victoria_metrics;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lastdrop_lab::intake::Intake;
use tempfile::TempDir;

use crate::harness::{BOUND, Setup};

/// Folders of programs; some stand where only root looks.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin"];

/// How often a server is asked whether it is there.
const LOOK: Duration = Duration::from_millis(20);

/// Finds a program; none if it may be missing.
fn find(name: &str) -> Option<PathBuf> {
    let found =
        FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    if found.is_none() {
        let required = std::env::var("LASTDROP_REQUIRE_FOREIGN").is_ok_and(|value| value == "1");
        assert!(!required, "there is no {name}: install the packages of .ci/packages");
        eprintln!("SKIPPED: there is no {name}; its package stands in .ci/packages");
    }
    found
}

/// A running server; dropping it kills it.
struct Server {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts a program in a folder of its own; `prepare` gets the folder. Its outputs go to the
    /// file `output` there.
    fn start(program: &Path, port: u16, prepare: impl FnOnce(&Path, &mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = std::fs::File::create(folder.path().join("output")).unwrap();
        let mut command = Command::new(program);
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        prepare(folder.path(), &mut command);
        let server = Self { process: command.spawn().unwrap(), port, folder };
        server.await_listening();
        server
    }

    fn await_listening(&self) {
        let until = Instant::now() + BOUND;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "it does not listen: {}", self.output());
            thread::sleep(LOOK);
        }
    }

    /// What it has printed so far.
    fn output(&self) -> String {
        self.read("output")
    }

    /// What stands in a file of its folder; empty if there is none.
    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until what `look` finds meets the condition.
    fn wait_for<T: std::fmt::Debug>(&self, look: impl Fn() -> T, holds: impl Fn(&T) -> bool) -> T {
        let until = Instant::now() + BOUND;
        loop {
            let found = look();
            if holds(&found) {
                return found;
            }
            assert!(Instant::now() < until, "waited in vain: {found:?}\n{}", self.output());
            thread::sleep(LOOK);
        }
    }

    /// Gets a page, as HTTP/1.0 so that its end is the connection's.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate for localhost that vouches for itself, and its key, as `cert.pem` and `key.pem`.
fn certificate(openssl: &Path, folder: &Path) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -keyout key.pem -out cert.pem -subj /CN=localhost \
        -addext basicConstraints=critical,CA:FALSE \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
    let mut command = Command::new(openssl);
    command.args(arguments.split_whitespace()).current_dir(folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An agent whose payloads hold ten points at most, so that a few hundred contexts are many
/// requests, and as many points as increments: zeros would come on top if a slot ended in between.
fn with_small_payloads(intake: &Intake) -> Setup {
    Setup::run(intake)
        .env("DD_SERIALIZER_MAX_SERIES_POINTS_PER_PAYLOAD", "10")
        .env("DD_DOGSTATSD_EXPIRY_SECONDS", "0")
}
