//! Requests through a proxy: whole URLs for http, tunnels for https.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use lastdrop_transport::http::ResponseError;
use lastdrop_transport::net::{Broken, Failure, NotSent, ProxyFailure, ProxyUrl, TlsFailure};

use super::support::{ACCEPTED, Client, KEY, Server, accept_all, post, read_head, read_request};
use super::tls::{Authority, BOTH, load, server_config, tls_server};

fn through(proxy: &Server, target: &str, tls: Option<&lastdrop_transport::net::Tls>) -> Client {
    let url = format!("http://us%65r:p%40ss@{}", proxy.address);
    Client::with(target, |settings| {
        settings.proxy = Some(ProxyUrl::parse(&url).unwrap());
        settings.tls = tls.map(|tls| Arc::clone(&tls.config));
    })
}

/// The user's and password's header for `user:p@ss`.
const AUTHORIZATION: &str = "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n";

/// A proxy that answers CONNECT with `answer` and, if there is a server, joins both.
fn tunnel_to(server: Option<SocketAddr>, answer: &'static [u8]) -> Server {
    Server::start(move |_, stream, reports| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        reports.send(read_head(&mut reader).unwrap()).unwrap();
        (&stream).write_all(answer).unwrap();
        let Some(server) = server else {
            // Whatever else comes is reported; nothing must.
            let mut rest = Vec::new();
            let _ = std::io::copy(&mut reader, &mut rest);
            reports.send(format!("then {}", rest.len())).unwrap();
            return;
        };
        let server = TcpStream::connect(server).unwrap();
        let mut up = server.try_clone().unwrap();
        thread::spawn(move || std::io::copy(&mut reader, &mut up));
        let _ = std::io::copy(&mut &server, &mut &stream);
    })
}

#[test]
fn an_http_target_is_named_whole_to_the_proxy() {
    let proxy = Server::start(|_, stream, reports| {
        let mut stream = BufReader::new(stream);
        while let Some((head, _)) = read_request(&mut stream) {
            reports.send(head).unwrap();
            stream.get_mut().write_all(ACCEPTED).unwrap();
        }
    });
    let mut client = through(&proxy, "http://vm.example:8428/datadog", None);
    for _ in 0..2 {
        assert_eq!(client.ask(post("x")).unwrap().status, 202);
        let expect = format!(
            "POST http://vm.example:8428/datadog/api/v2/series HTTP/1.1\r\n\
             Host: vm.example:8428\r\n{AUTHORIZATION}DD-Api-Key: {KEY}\r\nContent-Length: 1\r\n\r\n"
        );
        assert_eq!(proxy.report(), expect);
    }
}

/// The certificate is for the target and has no final dot; the proxy sees neither key nor body.
#[test]
fn an_https_target_is_reached_in_a_tunnel() {
    let authority = Authority::new();
    let identity = authority.issue("app.example.com", |_| {});
    let server = tls_server(server_config(&identity, BOTH), |number, stream, reports| {
        let mut stream = BufReader::new(stream);
        let (head, _) = read_request(&mut stream).unwrap();
        reports.send(format!("{head}{:?}", stream.get_ref().conn.server_name())).unwrap();
        stream.get_mut().write_all(ACCEPTED).unwrap();
        accept_all(number, stream.into_inner(), reports);
    });
    let proxy = tunnel_to(Some(server.address), b"HTTP/1.1 200 Connection established\r\n\r\n");
    let tls = load(&authority.settings());
    let mut client = through(&proxy, "https://app.example.com.", Some(&tls));
    assert_eq!(client.ask(post("x")).unwrap().status, 202);
    let connect = format!(
        "CONNECT app.example.com.:443 HTTP/1.1\r\nHost: app.example.com.:443\r\n{AUTHORIZATION}\r\n"
    );
    assert_eq!(proxy.report(), connect);
    let request = format!(
        "POST /api/v2/series HTTP/1.1\r\nHost: app.example.com.\r\nDD-Api-Key: {KEY}\r\n\
         Content-Length: 1\r\n\r\n{:?}",
        Some("app.example.com")
    );
    assert_eq!(server.report(), request);
    assert_eq!(client.ask(post("xy")).unwrap().status, 202);
    assert_eq!(server.report(), "0:2");
}

#[test]
fn a_tunnel_to_an_impostor_is_refused() {
    let authority = Authority::new();
    let identity = authority.issue("other.example.com", |_| {});
    let server = tls_server(server_config(&identity, BOTH), accept_all);
    let proxy = tunnel_to(Some(server.address), b"HTTP/1.1 200 OK\r\n\r\n");
    let tls = load(&authority.settings());
    let failure =
        through(&proxy, "https://app.example.com", Some(&tls)).ask(post("x")).unwrap_err();
    assert!(
        matches!(failure, Failure::NotSent(NotSent::Tls(TlsFailure::Certificate(_)))),
        "{failure:?}"
    );
}

/// For all ways in which a proxy makes no tunnel: told apart, and not a byte more for the proxy.
#[test]
fn a_proxy_that_makes_no_tunnel_is_told_apart() {
    let broken = |error| ProxyFailure::Broken(Broken::Answer(error));
    let rows: [(&[u8], ProxyFailure); 5] = [
        (
            b"HTTP/1.1 407 Who are you\r\nContent-Length: 3\r\n\r\nno\n",
            ProxyFailure::AuthenticationRequired,
        ),
        (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            ProxyFailure::Refused { status: 502 },
        ),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", ProxyFailure::Refused { status: 302 }),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", ProxyFailure::BytesBeforeTunnel),
        (b"SSH-2.0-OpenSSH_9.6\r\n", broken(ResponseError::BadStatusLine)),
    ];
    let tls = load(&Authority::new().settings());
    for (answer, expect) in rows {
        let proxy = tunnel_to(None, answer);
        let mut client = through(&proxy, "https://app.example.com", Some(&tls));
        let failure = client.ask(post("x")).unwrap_err();
        assert_eq!(failure, Failure::NotSent(NotSent::Proxy(expect)));
        assert!(!failure.to_string().contains("p@ss"));
        assert!(proxy.report().starts_with("CONNECT app.example.com:443 "));
        assert_eq!(proxy.report(), "then 0");
    }
}

#[test]
fn no_debug_text_shows_a_proxys_password() {
    let proxy = tunnel_to(None, b"");
    let tls = load(&Authority::new().settings());
    let client = through(&proxy, "https://app.example.com", Some(&tls));
    let text = format!("{:?}", client.pool);
    assert!(text.contains("***:***@127.0.0.1"), "{text}");
    for secret in ["us%65r", "p%40ss", "p@ss", "dXNlcjpwQHNz"] {
        assert!(!text.contains(secret), "{text}");
    }
}
