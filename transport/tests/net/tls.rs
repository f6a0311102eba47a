//! TLS: who is believed, and that nobody else gets a byte of a request.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use lastdrop_transport::http::ResponseError;
use lastdrop_transport::net::{
    Alpn, Broken, ConnectionUse, Failure, Late, NotSent, Phase, Roots, Tls, TlsFailure,
    TlsSettings, TlsSetupError, TlsVersion, Trust, Verification,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ServerConfig;
use rustls::{CertificateError, ServerConnection, StreamOwned, SupportedProtocolVersion, version};

use super::support::{ACCEPTED, Client, KEY, Reports, Server, accept_all, post, read_request};

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];

/// An authority that was made for this test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: else a self-signed certificate would look like one of ours, forged.
        params.distinguished_name.push(DnType::CommonName, format!("authority {}", unique()));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Issues a certificate for `name`, changed by `change`.
    pub(crate) fn issue(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap().der().clone();
        Identity { certificate, key }
    }

    /// Settings that believe this authority and nobody else.
    pub(crate) fn settings(&self) -> TlsSettings {
        let path = std::env::temp_dir().join(format!("lastdrop-{}.pem", unique()));
        std::fs::write(&path, self.0.pem()).unwrap();
        TlsSettings { roots: Roots::File(path), ..TlsSettings::default() }
    }
}

/// A number that no other test of this run, nor of another run at the same time, has.
fn unique() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id())
}

/// What a server shows.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

/// Loads settings, removing their file.
pub(crate) fn load(settings: &TlsSettings) -> Tls {
    let tls = settings.load().unwrap();
    if let Roots::File(path) = &settings.roots {
        std::fs::remove_file(path).unwrap();
    }
    tls
}

pub(crate) fn server_config(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], key)
        .unwrap()
}

/// What a script inside TLS talks to.
type TlsStream = StreamOwned<ServerConnection, TcpStream>;

/// Starts a server that runs `script` inside TLS.
pub(crate) fn tls_server(
    config: ServerConfig,
    script: impl Fn(usize, TlsStream, &Reports) + Send + Sync + 'static,
) -> Server {
    let config = Arc::new(config);
    Server::start(move |number, stream, reports| {
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        script(number, StreamOwned::new(session, stream), reports);
    })
}

/// A server that reports every byte that reaches it as plaintext, and its end.
fn listening_server(config: ServerConfig) -> Server {
    tls_server(config, |_, mut stream, reports| {
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
        reports.send(format!("got {}", got.len())).unwrap();
    })
}

fn client(server: &Server, host: &str, tls: &Tls) -> Client {
    let url = format!("https://{host}:{}", server.address.port());
    Client::with(&url, |settings| settings.tls = Some(Arc::clone(&tls.config)))
}

#[test]
fn a_believed_server_gets_requests_of_any_size() {
    for versions in [&[&version::TLS12], &[&version::TLS13]] {
        let authority = Authority::new();
        let identity = authority.issue("localhost", |_| {});
        let server = tls_server(server_config(&identity, versions), accept_all);
        let mut client = client(&server, "localhost", &load(&authority.settings()));
        for length in [0, 10, 3_000_000] {
            let answer = client.ask(post(vec![b'x'; length])).unwrap();
            assert_eq!((answer.status, answer.body.kept()), (202, b"{}".as_slice()));
            assert_eq!(server.report(), format!("0:{length}"));
        }
    }
}

#[test]
fn the_handshake_names_the_host_and_the_protocol_if_wanted() {
    for (alpn, expect) in [(Alpn::Silent, None), (Alpn::Http11, Some("http/1.1"))] {
        let authority = Authority::new();
        let mut config = server_config(&authority.issue("localhost", |_| {}), BOTH);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let server = tls_server(config, |_, stream, reports| {
            let mut stream = BufReader::new(stream);
            read_request(&mut stream).unwrap();
            let session = &stream.get_ref().conn;
            let protocol = session.alpn_protocol().map(String::from_utf8_lossy);
            let name = session.server_name();
            reports.send(format!("{name:?} {protocol:?}")).unwrap();
            stream.get_mut().write_all(ACCEPTED).unwrap();
        });
        let settings = TlsSettings { alpn, ..authority.settings() };
        client(&server, "localhost", &load(&settings)).ask(post("x")).unwrap();
        assert_eq!(server.report(), format!("{:?} {expect:?}", Some("localhost")));
    }
}

/// What a server shows, and what is wrong with it.
struct Impostor {
    what: &'static str,
    config: ServerConfig,
    is_it: fn(&CertificateError) -> bool,
}

fn impostors(authority: &Authority) -> Vec<Impostor> {
    let issue = |change: fn(&mut CertificateParams)| {
        server_config(&authority.issue("127.0.0.1", change), BOTH)
    };
    let named = |name: &str| server_config(&authority.issue(name, |_| {}), BOTH);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let self_signed = server_config(&Identity { certificate, key }, BOTH);
    let stranger = server_config(&Authority::new().issue("127.0.0.1", |_| {}), BOTH);
    let mut forged = authority.issue("127.0.0.1", |_| {});
    forged.certificate = {
        // Another server's name under a signature that was not made for it.
        let mut bytes = forged.certificate.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        bytes.into()
    };
    vec![
        Impostor { what: "another name", config: named("example.com"), is_it: is_for_another_name },
        Impostor {
            what: "another address",
            config: named("127.0.0.2"),
            is_it: is_for_another_name,
        },
        Impostor {
            what: "expired",
            config: issue(|params| params.not_after = date_time_ymd(2020, 1, 1)),
            is_it: |error| {
                matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. })
            },
        },
        Impostor {
            what: "not valid yet",
            config: issue(|params| params.not_before = date_time_ymd(2100, 1, 1)),
            is_it: |error| {
                let bare = matches!(error, CertificateError::NotValidYet);
                bare || matches!(error, CertificateError::NotValidYetContext { .. })
            },
        },
        Impostor {
            what: "from an unknown authority",
            config: stranger,
            is_it: |error| matches!(error, CertificateError::UnknownIssuer),
        },
        Impostor {
            what: "self-signed",
            config: self_signed,
            is_it: |error| matches!(error, CertificateError::UnknownIssuer),
        },
        Impostor {
            what: "an authority itself",
            config: issue(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            is_it: |error| matches!(error, CertificateError::Other(_)),
        },
        Impostor {
            what: "for clients only",
            config: issue(|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            is_it: |error| {
                let bare = matches!(error, CertificateError::InvalidPurpose);
                bare || matches!(error, CertificateError::InvalidPurposeContext { .. })
            },
        },
        Impostor {
            what: "with a broken signature",
            config: server_config(&forged, BOTH),
            is_it: |error| {
                matches!(error, CertificateError::BadSignature | CertificateError::BadEncoding)
            },
        },
    ]
}

fn is_for_another_name(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    )
}

/// For all impostors: refused for what they are, the socket closed, no byte of a request sent.
#[test]
fn no_impostor_gets_a_byte_of_a_request() {
    let authority = Authority::new();
    let tls = load(&authority.settings());
    for Impostor { what, config, is_it } in impostors(&authority) {
        let server = listening_server(config);
        let failure = client(&server, "127.0.0.1", &tls).ask(post("body")).unwrap_err();
        let Failure::NotSent(NotSent::Tls(TlsFailure::Certificate(error))) = &failure else {
            panic!("{what}: {failure:?}");
        };
        assert!(is_it(error), "{what}: {error:?}");
        assert_eq!(server.report(), "got 0", "{what}");
    }
}

/// For all impostors: a client that was told to believe anyone believes them.
#[test]
fn without_verification_anyone_is_believed_and_it_is_said_aloud() {
    let authority = Authority::new();
    let settings = TlsSettings { verification: Verification::Skipped, ..TlsSettings::default() };
    let tls = load(&settings);
    assert_eq!(tls.trust, Trust::Anyone);
    assert!(tls.trust.to_string().contains("NOBODY IS CHECKED"));
    for Impostor { what, config, .. } in impostors(&authority) {
        let server = tls_server(config, accept_all);
        let answer = client(&server, "127.0.0.1", &tls).ask(post("x"));
        assert_eq!(answer.map(|answer| answer.status), Ok(202), "{what}");
    }
}

#[test]
fn a_lower_version_than_the_lowest_is_not_spoken() {
    let authority = Authority::new();
    let identity = authority.issue("127.0.0.1", |_| {});
    let server = listening_server(server_config(&identity, &[&version::TLS12]));
    let settings = TlsSettings { version_min: TlsVersion::V1_3, ..authority.settings() };
    let failure = client(&server, "127.0.0.1", &load(&settings)).ask(post("x")).unwrap_err();
    assert!(
        matches!(failure, Failure::NotSent(NotSent::Tls(TlsFailure::RefusedByServer(_)))),
        "{failure:?}"
    );
    assert_eq!(server.report(), "got 0");
}

/// Ports that do not speak TLS: whatever they say or do not say, they get no byte of a request.
#[test]
fn a_port_without_tls_gets_no_byte_of_a_request() {
    let greetings: [&[u8]; 3] = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", &[0x17, 3, 3, 0, 1, 0]];
    let tls = load(&Authority::new().settings());
    for greeting in greetings {
        let server = Server::start(move |_, mut stream, reports| {
            let mut got = vec![0; 16_384];
            let count = stream.read(&mut got).unwrap();
            got.truncate(count);
            let _ = stream.write_all(greeting);
            if !greeting.is_empty() {
                let _ = stream.read_to_end(&mut got);
            }
            let text = String::from_utf8_lossy(&got);
            reports.send(format!("{} {}", text.contains(KEY), text.contains("POST"))).unwrap();
        });
        let failure = client(&server, "127.0.0.1", &tls).ask(post("x")).unwrap_err();
        assert!(matches!(failure, Failure::NotSent(NotSent::Tls(_))), "{failure:?}");
        assert_eq!(server.report(), "false false");
    }
}

/// A server that takes the handshake's first message and falls silent.
#[test]
fn a_silent_handshake_costs_ten_seconds() {
    let server = Server::start(|_, mut stream, reports| {
        reports.send(format!("read {}", stream.read(&mut [0]).unwrap())).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        reports.send("closed".to_owned()).unwrap();
    });
    let mut client = client(&server, "127.0.0.1", &load(&Authority::new().settings()));
    client.send(1, post("x"));
    client.run_until(|_| server.reports.try_recv().is_ok());
    client.jump(Duration::from_secs(9));
    assert_eq!(client.pool.unfinished(), 1);
    client.jump(Duration::from_secs(1));
    let failure = Failure::NotSent(NotSent::Late(Late::Timeout, Phase::Handshaking));
    assert_eq!(client.pool.poll_done(), Some((1, Err(failure))));
    assert_eq!(server.report(), "closed");
}

/// A body that only the stream's end ends must be ended by TLS, not by whoever cut the wire.
#[test]
fn a_cut_wire_does_not_end_a_body() {
    let authority = Authority::new();
    let config = server_config(&authority.issue("127.0.0.1", |_| {}), BOTH);
    let server = tls_server(config, |number, stream, _| {
        let mut stream = BufReader::new(stream);
        read_request(&mut stream).unwrap();
        let stream = stream.get_mut();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nbody").unwrap();
        if number == 0 {
            stream.conn.send_close_notify();
        }
        stream.flush().unwrap();
    });
    let mut client = client(&server, "127.0.0.1", &load(&authority.settings()));
    assert_eq!(client.ask(post("x")).unwrap().body.kept(), b"body");
    let failure = client.ask(post("x")).unwrap_err();
    assert_eq!(failure, Failure::NoAnswer(Broken::Answer(ResponseError::TruncatedBody)));
}

#[test]
fn a_session_found_dead_costs_no_error() {
    let authority = Authority::new();
    let config = server_config(&authority.issue("127.0.0.1", |_| {}), BOTH);
    let server = tls_server(config, |number, stream, reports| {
        if number > 0 {
            return accept_all(number, stream, reports);
        }
        let mut stream = BufReader::new(stream);
        read_request(&mut stream).unwrap();
        stream.get_mut().write_all(ACCEPTED).unwrap();
        read_request(&mut stream).unwrap();
    });
    let mut client = client(&server, "127.0.0.1", &load(&authority.settings()));
    assert_eq!(client.ask(post("x")).unwrap().connection, ConnectionUse::New);
    assert_eq!(client.ask(post("x")).unwrap().connection, ConnectionUse::NewAfterDead);
}

#[test]
fn authorities_come_from_the_build_the_system_or_a_file() {
    let load_roots = |roots| TlsSettings { roots, ..TlsSettings::default() }.load();
    let built_in = load_roots(Roots::BuiltIn).unwrap().trust;
    assert!(matches!(built_in, Trust::BuiltIn { authorities: 50.. }), "{built_in:?}");
    // A container may have none of its own.
    let system = load_roots(Roots::System).unwrap().trust;
    assert!(matches!(system, Trust::System { .. } | Trust::BuiltIn { .. }), "{system:?}");
    let missing = load_roots(Roots::File("/nonexistent/ca.pem".into()));
    assert!(matches!(missing, Err(TlsSetupError::File { .. })));
    let empty = load_roots(Roots::File("/dev/null".into()));
    assert!(matches!(empty, Err(TlsSetupError::NoAuthority { .. })));
}
