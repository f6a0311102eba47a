//! Asks a platform's metadata server: small blocking requests on threads of their own.
//!
//! The sockets are bound and read by then; only the first payload waits for the answers, and not for
//! long. A server that is not there, slow or odd gives no answer, and that is all.

use super::{Answers, Flavor, Question};
use bytes::Bytes;
use lastdrop_transport::http::{
    Authority, BodySink, Header, Method, Path, Progress, Purpose, Request, ResponseLimits,
    ResponseReader, Via,
};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Longest time for all answers together.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1800);

/// Longest time for one attempt.
const ATTEMPT: Duration = Duration::from_millis(300);

/// Attempts for one answer; the server of a platform that has just started an instance may not be
/// up yet.
const ATTEMPTS_MAX: usize = 3;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Asks all questions at once and gives what was answered within [`PATIENCE`].
pub(crate) fn ask(questions: Vec<Question>) -> Answers {
    let until = Instant::now() + PATIENCE;
    let (sender, receiver) = mpsc::channel();
    for question in questions {
        let sender = sender.clone();
        // Resolving a name can't be bounded, so a thread may outlive the wait; nobody minds. One that
        // can't be started gives no answer.
        let _ = thread::Builder::new().name("metadata".to_owned()).spawn(move || {
            let attempts = (0..ATTEMPTS_MAX).take_while(|_| Instant::now() < until);
            if let Some(answer) = attempts.filter_map(|_| fetch(&question, until)).next() {
                let _ = sender.send((question.name, answer));
            }
        });
    }
    drop(sender);
    let mut answers = Answers::new();
    while let Ok((name, answer)) =
        receiver.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        answers.insert(name, answer);
    }
    answers
}

/// One attempt: the body of a 200, as text without blanks around it.
fn fetch(question: &Question, until: Instant) -> Option<String> {
    let until = until.min(Instant::now() + ATTEMPT);
    let (authority, path) = parts(&question.url)?;
    let with_port = if authority.contains(':') { authority } else { &format!("{authority}:80") };
    let address = with_port.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, left(until)?).ok()?;
    stream.set_write_timeout(Some(left(until)?)).ok()?;
    let mut head = Vec::new();
    let headers = match question.flavor {
        Flavor::Google => vec![Header::new("Metadata-Flavor", "Google").ok()?],
        Flavor::Plain => Vec::new(),
    };
    let request = Request {
        method: Method::Get,
        path: Path::new(path).ok()?,
        headers: headers.into(),
        body: Bytes::new(),
    };
    request.write_head(
        &Authority::new(authority).ok()?,
        &Path::new("").ok()?,
        Via::Direct,
        &mut head,
    );
    stream.write_all(&head).ok()?;
    read(&mut stream, until)
}

fn read(stream: &mut TcpStream, until: Instant) -> Option<String> {
    let mut reader = ResponseReader::new(Purpose::Exchange, ResponseLimits::default());
    let mut body = BodySink::keeping(ANSWER_BYTES_MAX);
    let mut buffer = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left(until)?)).ok()?;
        let length = stream.read(&mut buffer).ok()?;
        if length == 0 {
            reader.end().ok()?;
            break;
        }
        if let Progress::Complete { .. } = reader.read(buffer.get(..length)?, &mut body).ok()? {
            break;
        }
    }
    let whole = body.bytes() == body.kept().len() as u64;
    let is_good = reader.response().is_some_and(|response| response.status == 200);
    let text = String::from_utf8(body.kept().to_vec()).ok()?;
    (is_good && whole).then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Authority and path of a plain HTTP URL.
fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some((authority, if path.is_empty() { "/" } else { path }))
}

fn left(until: Instant) -> Option<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that reads one request, answers it with `answer`, and gives the request.
    fn server(answer: &'static str) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 1024];
                while !request.ends_with(b"\r\n\r\n") {
                    let length = stream.read(&mut buffer).unwrap();
                    request.extend_from_slice(&buffer[..length]);
                }
                let _ = sender.send(String::from_utf8(request).unwrap());
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (url, requests)
    }

    fn question(url: &str, flavor: Flavor) -> Question {
        Question { name: "location", url: format!("{url}/instance/region"), flavor }
    }

    #[test]
    fn an_answer_is_taken_and_google_is_told_its_name() {
        let (url, requests) = server("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n a/b/c\n");
        let answers = ask(vec![question(&url, Flavor::Google)]);
        assert_eq!(answers.get("location").map(String::as_str), Some("a/b/c"));
        let request = requests.recv().unwrap();
        assert!(request.starts_with("GET /instance/region HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nMetadata-Flavor: Google\r\n"), "{request}");
    }

    /// For all ways in which a server may be of no use: no answer, in time.
    #[test]
    fn what_is_no_answer_is_left_out() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent_url = format!("http://{}", silent.local_addr().unwrap());
        let (refusing, _requests) = server("HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno");
        let (cut, _requests) = server("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal");
        let urls =
            [&silent_url, &refusing, &cut, "http://127.0.0.1:1", "http://", "ftp://x", "odd"];
        let began = Instant::now();
        let questions = urls.map(|url| question(url, Flavor::Plain));
        assert_eq!(ask(questions.into()), Answers::new());
        assert!(began.elapsed() < 3 * PATIENCE);
    }
}
