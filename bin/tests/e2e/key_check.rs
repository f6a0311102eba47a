//! The key is checked when asked, and only then.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use crate::harness::{API_KEY as KEY, intake};

fn check(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastdrop"));
    command.arg("check-key").env_clear().envs(variables.iter().copied());
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!said.contains(KEY), "{said}");
    (status.code(), said)
}

/// The base URL of a server that gives one answer, whatever it is asked.
fn answering(status: &'static str) -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        let mut request = [0; 4096];
        let read = client.read(&mut request).unwrap();
        assert!(read > 0);
        client.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
    });
    url
}

#[test]
fn a_key_that_the_intake_knows_is_valid() {
    let intake = intake("");
    let (status, said) = check(&[("DD_API_KEY", KEY), ("DD_DD_URL", &intake.url())]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("the key is valid"), "{said}");
    assert_eq!(intake.requests()[0].path, "/api/v1/validate", "the path without the key");
}

#[test]
fn a_key_that_is_refused_missing_or_not_to_be_asked_about_is_told_apart() {
    let (refusing, failing) = (answering("403 Forbidden"), answering("500 Oops"));
    for (variables, expected) in [
        (&[("DD_API_KEY", KEY), ("DD_DD_URL", &refusing)][..], "the key is refused"),
        (&[("DD_API_KEY", KEY), ("DD_DD_URL", &failing)], "status 500"),
        (&[("DD_API_KEY", KEY), ("DD_DD_URL", "http://127.0.0.1:9")], "no word on the key"),
        (&[("DD_DD_URL", "http://127.0.0.1:9")], "no API key is set"),
    ] {
        let (status, said) = check(variables);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
