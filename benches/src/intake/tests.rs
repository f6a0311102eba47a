//! The intake over real connections: what it answers, what it counts, how it fails on purpose.

use super::*;

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const RATE: &str = r#"{"series":[{"metric":"m","type":"rate","interval":10,"points":[[10,0.7]]}]}"#;

/// Long enough for a machine under load; nothing here waits for it to pass.
const BOUND: Duration = Duration::from_secs(20);

fn start(script: &str) -> Intake {
    let script = script.parse().unwrap();
    Intake::start(IntakeOptions { script, ..IntakeOptions::default() }).unwrap()
}

fn connect(intake: &Intake) -> TcpStream {
    let stream = TcpStream::connect(intake.address()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
}

fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\ndd-api-key: k\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Reads one answer that ends with its body, which all of the intake's bodies do with a brace.
fn read_answer(stream: &mut impl Read) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with('}') && stream.read(&mut byte).unwrap() == 1 {
        text.push(char::from(byte[0]));
    }
    text
}

fn ask(stream: &mut (impl Read + Write), method: &str, path: &str, body: &str) -> u16 {
    stream.write_all(request(method, path, body).as_bytes()).unwrap();
    let answer = read_answer(stream);
    let code = answer.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {answer:?}"));
    code.parse().unwrap()
}

fn post(stream: &mut (impl Read + Write), body: &str) -> u16 {
    ask(stream, "POST", "/api/v1/series", body)
}

#[test]
fn what_is_accepted_is_counted() {
    let intake = start("");
    let mut stream = connect(&intake);
    assert_eq!(post(&mut stream, RATE), 202);
    assert_eq!(post(&mut stream, &RATE.replace("[10,", "[20,")), 202);
    assert_eq!(post(&mut stream, RATE), 202);
    let totals = intake.stop();
    assert_eq!(totals.count("m"), 14.0);
    assert_eq!((totals.requests, totals.connections, totals.keys), (3, 1, 1));
    assert_eq!((totals.points, totals.duplicate_points, totals.duplicate_bodies), (3, 1, 1));
}

#[test]
fn requests_are_logged_without_their_key() {
    let intake = start("");
    post(&mut connect(&intake), RATE);
    let log = intake.requests();
    assert_eq!((log[0].path.as_str(), log[0].status), ("/api/v1/series", 202));
    assert_eq!(log[0].headers[0], ("host".to_owned(), "x".to_owned()));
    assert!(log[0].headers.iter().all(|(name, _)| name != "dd-api-key"));
}

#[test]
fn each_path_gives_the_status_that_the_real_one_gives() {
    let intake = start("");
    let mut stream = connect(&intake);
    let rows = [
        ("GET", "/api/v1/validate?api_key=k", "", 200),
        ("POST", "/intake/", r#"{"events":{}}"#, 202),
        ("POST", "/api/v1/check_run", "[]", 202),
        ("POST", "/api/v2/series", "", 202),
        ("POST", "/api/beta/sketches", "", 202),
        ("POST", "/api/intake/metrics/v3/series", "", 202),
        ("POST", "/api/intake/metrics/v3/sketches", "", 404),
        ("POST", "/intake", "{}", 404),
        ("GET", "/api/v2/series", "", 405),
    ];
    for (method, path, body, status) in rows {
        assert_eq!(ask(&mut stream, method, path, body), status, "{method} {path}");
    }
    stream.write_all(b"POST /intake/ HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    assert!(read_answer(&mut stream).starts_with("HTTP/1.1 403"));
}

#[test]
fn an_undecodable_body_is_answered_with_400_and_its_reason_kept() {
    let intake = start("");
    assert_eq!(post(&mut connect(&intake), "not json"), 400);
    let totals = intake.stop();
    assert_eq!((totals.undecodable, totals.accepted_requests), (1, 0));
    assert!(totals.undecodable_reasons[0].starts_with("/api/v1/series: JSON: "));
}

#[test]
fn waiting_ends_when_the_condition_is_met_or_the_time_is_up() {
    let intake = start("");
    assert!(!intake.wait_until(|totals| totals.requests == 1, Duration::from_millis(5)));
    thread::scope(|scope| {
        scope.spawn(|| post(&mut connect(&intake), RATE));
        assert!(intake.wait_until(|totals| totals.requests == 1, BOUND));
    });
}

#[test]
fn a_status_fault_counts_nothing_and_then_all_is_well() {
    let intake = start("503*2,429/7");
    let mut stream = connect(&intake);
    assert_eq!(ask(&mut stream, "GET", "/api/v1/validate?api_key=k", ""), 200);
    assert_eq!([0; 2].map(|_| post(&mut stream, RATE)), [503, 503]);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    let answer = read_answer(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 7\r\n"));
    assert_eq!(intake.totals().count("m"), 0.0);
    assert_eq!(post(&mut stream, RATE), 202);
    let totals = intake.stop();
    assert_eq!((totals.count("m"), totals.requests, totals.duplicate_bodies), (7.0, 5, 0));
}

#[test]
fn the_script_can_be_replaced_while_running() {
    let intake = start("");
    let mut stream = connect(&intake);
    assert_eq!(post(&mut stream, RATE), 202);
    intake.set_script("500".parse().unwrap());
    assert_eq!(post(&mut stream, RATE), 500);
}

#[test]
fn forgetting_takes_one_increment_off_one_counter() {
    let intake = start("forget");
    let mut stream = connect(&intake);
    assert_eq!(post(&mut stream, &RATE.replace("rate", "gauge")), 202);
    assert_eq!(post(&mut stream, RATE), 202);
    assert_eq!(post(&mut stream, &RATE.replace("\"m\"", "\"n\"")), 202);
    let totals = intake.stop();
    assert!((totals.count("m") - 6.0).abs() < 1e-9, "{totals:?}");
    assert_eq!(totals.count("n"), 7.0);
}

#[test]
fn a_reset_comes_after_the_bytes_asked_for_and_counts_nothing() {
    let intake = start("reset=5");
    let mut stream = connect(&intake);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(intake.requests()[0].body_bytes, 5);
    assert_eq!(intake.stop().points, 0);
}

#[test]
fn a_closed_request_is_counted_but_never_answered() {
    let intake = start("close");
    let mut stream = connect(&intake);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(intake.stop().points, 1);
}

#[test]
fn an_early_answer_comes_before_the_body() {
    let intake = start("early=413");
    let mut stream = connect(&intake);
    let head = "POST /api/v1/series HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let answer = read_answer(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close\r\n"));
}

#[test]
fn a_body_without_end_is_answered_at_the_limit() {
    let intake = start("");
    let mut stream = connect(&intake);
    let head = "POST /api/v1/series HTTP/1.1\r\nhost: x\r\ndd-api-key: k\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n", u32::MAX).unwrap();
    let part = vec![b' '; 1 << 20];
    // The answer comes while the client still writes; then the connection is closed.
    while stream.write_all(&part).is_ok() {}
    assert_eq!(intake.requests()[0].status, 413);
}

#[test]
fn a_dripped_answer_arrives_whole_in_the_end() {
    let intake = start("drip=1ms");
    assert_eq!(post(&mut connect(&intake), RATE), 202);
    assert_eq!(intake.stop().points, 1);
}

#[test]
fn a_delayed_request_is_counted_before_it_is_answered() {
    let intake = start("delay=1m");
    let mut stream = connect(&intake);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    assert!(intake.wait_until(|totals| totals.points == 1, BOUND));
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "answered at once");
}

#[test]
fn a_silent_connection_stays_open_without_an_answer() {
    let intake = start("silent");
    let mut stream = connect(&intake);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    assert!(intake.wait_until(|totals| totals.points == 1, BOUND));
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    drop(intake.stop());
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "open after the stop");
}

#[test]
fn a_deaf_connection_is_never_read_and_the_next_one_is() {
    let intake = start("deaf");
    let mut stream = connect(&intake);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    assert_eq!(post(&mut connect(&intake), RATE), 202);
    assert_eq!(intake.totals().requests, 1);
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "answered");
}

#[test]
fn a_wrong_length_ends_before_the_promised_bytes() {
    let intake = start("wrong-length");
    let mut stream = connect(&intake);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("content-length: 100\r\n") && answer.ends_with("\r\n\r\n{}"));
}

#[test]
fn endless_headers_go_on_past_any_sane_limit() {
    let intake = start("endless-headers");
    let mut stream = connect(&intake);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    let mut head = vec![0; 1 << 20];
    stream.read_exact(&mut head).unwrap();
    assert!(!head.windows(4).any(|window| window == b"\r\n\r\n"));
}

fn trusting(pem: &str, intake: &Intake) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(client, connect(intake))
}

fn start_tls(certificate: Certificate) -> Intake {
    let options = IntakeOptions { tls: Some(certificate), ..IntakeOptions::default() };
    Intake::start(options).unwrap()
}

#[test]
fn a_client_that_trusts_the_authority_is_served_over_tls() {
    let intake = start_tls(Certificate::Valid);
    assert!(intake.url().starts_with("https://127.0.0.1:"));
    let mut stream = trusting(intake.ca_pem().unwrap(), &intake);
    assert_eq!(post(&mut stream, RATE), 202);
    assert_eq!(intake.stop().count("m"), 7.0);
}

#[test]
fn a_reset_over_tls_resets_the_connection_below() {
    let intake = start_tls(Certificate::Valid);
    intake.set_script("reset=5".parse().unwrap());
    let mut stream = trusting(intake.ca_pem().unwrap(), &intake);
    stream.write_all(request("POST", "/api/v1/series", RATE).as_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// For every wrong certificate: no request comes through, and the reason is the expected one.
#[test]
fn no_wrong_certificate_is_taken_by_a_careful_client() {
    let rows = [
        (Certificate::WrongName, "NotValidForName"),
        (Certificate::Expired, "Expired"),
        (Certificate::NotYetValid, "NotValidYet"),
        (Certificate::UnknownAuthority, "BadSignature UnknownIssuer"),
        (Certificate::SelfSigned, "CaUsedAsEndEntity UnknownIssuer"),
    ];
    for (certificate, reasons) in rows {
        let intake = start_tls(certificate);
        let mut stream = trusting(intake.ca_pem().unwrap(), &intake);
        let error = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
        let mut text = String::new();
        write!(text, "{error:?}").unwrap();
        assert!(reasons.split(' ').any(|reason| text.contains(reason)), "{certificate:?}: {text}");
        drop(stream);
        assert!(intake.wait_until(|totals| totals.handshakes_failed == 1, BOUND));
        assert_eq!(intake.stop().requests, 0);
    }
}
