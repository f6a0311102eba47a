//! Keep-alive, early answers, dead and silent peers, deadlines.

use std::collections::BTreeSet;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Barrier;
use std::time::Duration;

use lastdrop_transport::http::{CloseReason, ResponseError};
use lastdrop_transport::net::{
    Broken, ConnectionUse, Failure, Late, NotSent, Phase, Pool, PoolError, PoolSettings, Sent,
    Target,
};
use socket2::{Domain, Socket, Type};

use super::support::{
    ACCEPTED, Client, KEY, Random, Reports, Server, accept_all, post, read_head, read_request, seed,
};

#[test]
fn a_connection_carries_one_request_after_another() {
    let server = Server::start(accept_all);
    let mut client = Client::new(&server.url());
    let expect = [ConnectionUse::New, ConnectionUse::Reused, ConnectionUse::Reused];
    for (length, connection) in [0, 10, 3_000_000].into_iter().zip(expect) {
        let answer = client.ask(post(vec![b'x'; length])).unwrap();
        assert_eq!((answer.status, answer.body.kept()), (202, b"{}".as_slice()));
        assert_eq!((answer.connection, answer.close), (connection, None));
        assert_eq!(server.report(), format!("0:{length}"));
    }
}

#[test]
fn requests_at_once_travel_on_connections_of_their_own_up_to_the_limit() {
    // Nobody is answered before three connections have brought a request.
    let three = Barrier::new(3);
    let server = Server::start(move |number, stream, reports| {
        stream.peek(&mut [0]).unwrap();
        three.wait();
        accept_all(number, stream, reports);
    });
    let mut client = Client::with(&server.url(), |settings| settings.connections_max = 3);
    client.send(0, post("x"));
    client.send(1, post("x"));
    assert_eq!(client.pool.unfinished(), 2);
    (2..10).for_each(|id| client.send(id, post("x")));
    let mut ids = BTreeSet::new();
    while ids.len() < 10 {
        let (id, result) = client.done();
        assert_eq!(result.unwrap().status, 202);
        assert!(ids.insert(id));
    }
    let connections: BTreeSet<String> =
        (0..10).map(|_| server.report().split(':').next().unwrap().to_owned()).collect();
    assert_eq!(connections.len(), 3);
    assert_eq!(client.pool.unfinished(), 0);
}

#[test]
fn the_head_carries_host_prefix_and_key() {
    let server = Server::start(|_, stream, reports| {
        let mut stream = BufReader::new(stream);
        let (head, _) = read_request(&mut stream).unwrap();
        reports.send(head).unwrap();
        stream.get_mut().write_all(ACCEPTED).unwrap();
    });
    client_of(&server, "/datadog/").ask(post("x")).unwrap();
    let expect = format!(
        "POST /datadog/api/v2/series HTTP/1.1\r\nHost: {}\r\nDD-Api-Key: {KEY}\r\n\
         Content-Length: 1\r\n\r\n",
        server.address
    );
    assert_eq!(server.report(), expect);
}

fn client_of(server: &Server, path: &str) -> Client {
    Client::new(&format!("{}{path}", server.url()))
}

/// The answer counts although the request's end never left; the connection is given up.
#[test]
fn an_answer_before_the_requests_end_is_taken() {
    let server = Server::start(|_, stream, reports| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).unwrap();
        let answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
        stream.get_mut().write_all(answer).unwrap();
        // Reads no further until the client has gone: its body does not fit into the sockets.
        assert!(matches!(stream.get_mut().shutdown(Shutdown::Write), Ok(())));
        reports.send("answered".to_owned()).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        reports.send("closed".to_owned()).unwrap();
    });
    let mut client = Client::new(&server.url());
    let answer = client.ask(post(vec![b'x'; 64 << 20])).unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(answer.close, Some(CloseReason::AnswerBeforeRequestEnd));
    assert_eq!((server.report().as_str(), server.report().as_str()), ("answered", "closed"));
}

/// Unread bytes make the server's close a reset; what it had answered before is still there.
#[test]
fn an_answer_with_a_reset_behind_it_is_taken() {
    let server = Server::start(|_, stream, _| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).unwrap();
        let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}";
        stream.get_mut().write_all(answer).unwrap();
    });
    let mut client = Client::new(&server.url());
    let answer = client.ask(post(vec![b'x'; 64 << 20])).unwrap();
    assert_eq!((answer.status, answer.body.bytes()), (403, 2));
}

#[test]
fn a_reset_inside_the_answer_leaves_the_outcome_unknown() {
    let server = Server::start(|_, stream, _| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).unwrap();
        // The body's first byte stays unread, so that the close is a reset.
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\n12";
        stream.into_inner().write_all(answer).unwrap();
    });
    let failure = Client::new(&server.url()).ask(post("x")).unwrap_err();
    assert!(failure.outcome_is_unknown(), "{failure:?}");
    let reset = Failure::NoAnswer(Broken::Socket(ErrorKind::ConnectionReset));
    let ended = Failure::NoAnswer(Broken::Answer(ResponseError::TruncatedBody));
    assert!(failure == reset || failure == ended, "{failure:?}");
}

#[test]
fn a_close_before_any_answer_on_a_new_connection_is_a_failure() {
    let server = Server::start(|_, stream, _| {
        read_request(&mut BufReader::new(stream)).unwrap();
    });
    let failure = Client::new(&server.url()).ask(post("x")).unwrap_err();
    assert_eq!(failure, Failure::NoAnswer(Broken::Answer(ResponseError::ClosedBeforeResponse)));
}

/// The server takes the second request and closes: the client sends it again on a new connection.
#[test]
fn a_connection_found_dead_costs_no_error() {
    let server = Server::start(|number, stream, reports| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        if number > 0 {
            return accept_all(number, stream, reports);
        }
        read_request(&mut reader).unwrap();
        (&stream).write_all(ACCEPTED).unwrap();
        read_request(&mut reader).unwrap();
    });
    let mut client = Client::new(&server.url());
    assert_eq!(client.ask(post("x")).unwrap().connection, ConnectionUse::New);
    let answer = client.ask(post("xy")).unwrap();
    assert_eq!((answer.status, answer.connection), (202, ConnectionUse::NewAfterDead));
    assert_eq!(answer.sent_before, Sent::Whole);
    assert_eq!(server.report(), "1:2");
}

/// The whole request went into a connection that died; that the new one is then refused before a
/// byte leaves does not make it unsent.
#[test]
fn what_went_into_a_dead_connection_stays_unknown_if_no_new_one_comes() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader).unwrap();
        (&stream).write_all(ACCEPTED).unwrap();
        read_request(&mut reader).unwrap();
    });
    let mut client = Client::new(&url);
    client.ask(post("x")).unwrap();
    let failure = client.ask(post("xy")).unwrap_err();
    assert_eq!(failure, Failure::NoAnswer(Broken::Answer(ResponseError::ClosedBeforeResponse)));
    server.join().unwrap();
}

/// On a connection that served before, but after the first byte of an answer: a failure.
#[test]
fn a_request_is_not_sent_again_once_an_answer_began() {
    let server = Server::start(|_, stream, _| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader).unwrap();
        (&stream).write_all(ACCEPTED).unwrap();
        read_request(&mut reader).unwrap();
        (&stream).write_all(b"H").unwrap();
    });
    let mut client = Client::new(&server.url());
    client.ask(post("x")).unwrap();
    let failure = client.ask(post("x")).unwrap_err();
    assert_eq!(failure, Failure::NoAnswer(Broken::Answer(ResponseError::TruncatedHead)));
}

#[test]
fn unasked_bytes_close_an_idle_connection() {
    let server = Server::start(|_, stream, reports| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_request(&mut reader).unwrap();
        (&stream).write_all(ACCEPTED).unwrap();
        (&stream).write_all(ACCEPTED).unwrap();
        assert!(read_request(&mut reader).is_none());
        reports.send("closed".to_owned()).unwrap();
    });
    let mut client = Client::new(&server.url());
    client.ask(post("x")).unwrap();
    client.run_until(|_| server.reports.try_recv().is_ok_and(|report| report == "closed"));
}

#[test]
fn an_idle_connection_closes_when_its_time_is_up() {
    let server = Server::start(|number, stream, reports| {
        accept_all(number, stream, reports);
        reports.send("closed".to_owned()).unwrap();
    });
    let mut client = Client::new(&server.url());
    client.ask(post("x")).unwrap();
    assert_eq!(server.report(), "0:1");
    client.jump(Duration::from_secs(89));
    assert!(client.pool.next_timeout().is_some());
    client.jump(Duration::from_secs(2));
    assert_eq!(client.pool.next_timeout(), None);
    assert_eq!(server.report(), "closed");
}

/// A peer that takes everything and says nothing.
#[test]
fn a_connection_of_a_certain_age_gets_no_further_request() {
    let server = Server::start(accept_all);
    let age = Duration::from_secs(30);
    let mut client = Client::with(&server.url(), |settings| {
        settings.timeouts.connection_age = Some(age);
    });
    for (jump, connection) in [
        (Duration::ZERO, ConnectionUse::New),
        (age / 2, ConnectionUse::Reused),
        (age, ConnectionUse::New),
    ] {
        client.jump(jump);
        assert_eq!(client.ask(post("x")).unwrap().connection, connection);
    }
}

fn silent_server() -> Server {
    Server::start(|_, stream, reports| {
        let mut stream = BufReader::new(stream);
        read_request(&mut stream).unwrap();
        reports.send("read".to_owned()).unwrap();
        let _ = stream.read(&mut [0]);
        reports.send("closed".to_owned()).unwrap();
    })
}

fn wait_for(client: &mut Client, server: &Server, report: &str) {
    client.run_until(|_| server.reports.try_recv().is_ok_and(|got| got == report));
}

#[test]
fn a_silent_peer_costs_the_requests_time_and_leaves_the_outcome_unknown() {
    let server = silent_server();
    let mut client = Client::new(&server.url());
    client.send(1, post("x"));
    wait_for(&mut client, &server, "read");
    client.jump(Duration::from_secs(19));
    assert_eq!(client.pool.unfinished(), 1);
    client.jump(Duration::from_secs(1));
    let failure = Failure::NoAnswer(Broken::Late(Late::Timeout));
    assert_eq!(client.pool.poll_done(), Some((1, Err(failure))));
    assert_eq!(server.report(), "closed");
}

/// At the deadline: what left is unknown, what waited is unsent, and nothing new starts.
#[test]
fn a_deadline_cuts_everything_off_and_says_what_left() {
    let server = silent_server();
    let mut client = Client::with(&server.url(), |settings| settings.connections_max = 1);
    client.send(1, post("x"));
    client.send(2, post("x"));
    wait_for(&mut client, &server, "read");
    let deadline = client.now() + Duration::from_secs(2);
    client.pool.set_deadline(deadline);
    assert!(client.pool.next_timeout().unwrap() <= deadline);
    client.jump(Duration::from_secs(2));
    let (id, sent) = client.pool.poll_done().unwrap();
    let sent = sent.unwrap_err();
    assert_eq!((id, &sent), (1, &Failure::NoAnswer(Broken::Late(Late::Deadline))));
    assert!(sent.outcome_is_unknown());
    client.send(3, post("x"));
    for id in [2, 3] {
        let waited = Failure::NotSent(NotSent::Late(Late::Deadline, Phase::Waiting));
        assert!(!waited.outcome_is_unknown());
        assert_eq!(client.pool.poll_done(), Some((id, Err(waited))));
    }
    assert_eq!(client.pool.unfinished(), 0);
}

/// A request that only left in part is unknown too when the caller's deadline cuts it off.
#[test]
fn a_deadline_while_sending_leaves_the_outcome_unknown() {
    let server = Server::start(|_, stream, reports| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream).unwrap();
        reports.send("head".to_owned()).unwrap();
        let _ = std::sync::mpsc::channel::<()>().1.recv_timeout(super::support::PATIENCE);
    });
    let mut client = Client::new(&server.url());
    client.send(1, post(vec![b'x'; 64 << 20]));
    wait_for(&mut client, &server, "head");
    client.pool.set_deadline(client.now());
    client.jump(Duration::ZERO);
    let failure = Failure::WhileSending(Broken::Late(Late::Deadline));
    assert!(failure.outcome_is_unknown());
    assert_eq!(client.pool.poll_done(), Some((1, Err(failure))));
}

#[test]
fn a_closed_port_is_told_with_its_address() {
    // Taken, and not listened on: nobody else can be given the port meanwhile.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let failure = Client::new(&format!("http://{address}")).ask(post("x")).unwrap_err();
    let Failure::NotSent(NotSent::Connect(why)) = failure else { panic!("{failure:?}") };
    assert_eq!((why.address, why.kind, why.tried), (address, ErrorKind::ConnectionRefused, 1));
}

/// `localhost` may be `::1` first, where nobody listens: the other address is tried.
#[test]
fn a_name_is_resolved_beside_the_loop() {
    let server = Server::start(accept_all);
    let mut client = Client::new(&format!("http://localhost:{}", server.address.port()));
    assert_eq!(client.ask(post("x")).unwrap().status, 202);
    assert_eq!(client.ask(post("x")).unwrap().connection, ConnectionUse::Reused);
}

/// For all ways in which an answer can go on for ever: the limit ends it.
#[test]
fn an_endless_answer_is_cut_off_at_its_limit() {
    use ResponseError::{BadChunk, BodyTooLarge, HeadTooLarge, TooManyHeaders, TooManyInterim};
    let rows: [(&str, &str, ResponseError); 6] = [
        ("HTTP/1.1 200 ", "OK", HeadTooLarge),
        ("HTTP/1.1 200 OK\r\nX: ", "yy", HeadTooLarge),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n", TooManyHeaders),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", TooManyInterim),
        ("HTTP/1.1 200 OK\r\n\r\n", "body", BodyTooLarge),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "ext", BadChunk),
    ];
    for (beginning, again, error) in rows {
        let server = Server::start(move |_, stream, reports| {
            let mut stream = BufReader::new(stream);
            read_request(&mut stream).unwrap();
            let (again, mut written) = (again.repeat(1000), 0);
            let _ = stream.get_mut().write_all(beginning.as_bytes());
            while stream.get_mut().write_all(again.as_bytes()).is_ok() {
                written += again.len();
            }
            reports.send(written.to_string()).unwrap();
        });
        let failure = Client::new(&server.url()).ask(post("x")).unwrap_err();
        assert_eq!(failure, Failure::NoAnswer(Broken::Answer(error)));
        // What the server got rid of beyond the limit sat in the two sockets.
        assert!(server.report().parse::<usize>().unwrap() < 32 << 20);
    }
}

#[test]
fn an_answer_byte_by_byte_is_an_answer() {
    let server = Server::start(|_, stream, _| {
        stream.set_nodelay(true).unwrap();
        let mut stream = BufReader::new(stream);
        read_request(&mut stream).unwrap();
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" {
            stream.get_mut().write_all(&[*byte]).unwrap();
        }
    });
    let answer = Client::new(&server.url()).ask(post("x")).unwrap();
    assert_eq!((answer.status, answer.body.kept()), (200, b"ok".as_slice()));
}

/// For all orders of good and bad behaviour: every request comes back exactly once, and as many with
/// an answer as the server answered in full.
#[test]
fn every_request_comes_back_once_whatever_the_server_does() {
    const REQUESTS: u64 = 500;
    let seed = seed();
    println!("LASTDROP_SEED={seed}");
    let server = Server::start(move |number, stream, reports| {
        misbehave(Random(seed ^ number as u64), stream, reports);
    });
    let mut client = Client::new(&server.url());
    let mut random = Random(seed);
    let (mut sent, mut done, mut answered) = (0, BTreeSet::new(), 0);
    while done.len() as u64 != REQUESTS {
        while sent < REQUESTS && client.pool.unfinished() <= random.below(12) {
            client.send(sent, post(vec![b'x'; random.below(100_000)]));
            sent += 1;
        }
        client.turn();
        while let Some((id, result)) = client.pool.poll_done() {
            assert!(done.insert(id), "{id} came back twice, seed {seed}");
            answered += usize::from(result.is_ok());
        }
    }
    assert_eq!((client.pool.unfinished(), sent), (0, REQUESTS), "seed {seed}");
    assert_eq!(answered, server.reports.try_iter().count(), "seed {seed}");
}

/// Serves requests well or badly until a bad turn ends the connection; reports every full answer.
fn misbehave(mut random: Random, stream: TcpStream, reports: &Reports) {
    let mut stream = BufReader::new(stream);
    loop {
        let turn = random.below(16);
        if turn == 0 || read_request(&mut stream).is_none() {
            return;
        }
        let (answer, full): (&[u8], bool) = match turn {
            1 => (b"", false),
            2 => (b"HTTP/1.1 202 Acc", false),
            3 => (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{", false),
            4 => (b"nonsense\r\n\r\n", false),
            5 => (b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\nno", true),
            6 => (b"HTTP/1.1 204 OK\r\n\r\nmore than asked for", true),
            7 => (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", true),
            8 => {
                (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true)
            }
            _ => (ACCEPTED, true),
        };
        if full {
            reports.send("full".to_owned()).unwrap();
        }
        if stream.get_mut().write_all(answer).is_err() || !full || turn == 5 {
            return;
        }
    }
}

#[test]
fn no_debug_text_of_a_pool_shows_the_key() {
    let server = silent_server();
    let mut client = Client::new(&server.url());
    client.send(1, post("body"));
    wait_for(&mut client, &server, "read");
    let text = format!("{:?}", client.pool);
    assert!(!text.contains(KEY), "{text}");
    // Not as a list of bytes either.
    let bytes = format!("{:?}", KEY.as_bytes());
    assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
}

#[test]
fn https_needs_a_tls_configuration() {
    let poll = mio::Poll::new().unwrap();
    let settings = PoolSettings {
        target: Target::parse("https://127.0.0.1").unwrap(),
        proxy: None,
        tls: None,
        timeouts: lastdrop_transport::net::Timeouts::default(),
        connections_max: 1,
        token: mio::Token(1),
        waker: std::sync::Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap()),
    };
    assert!(matches!(Pool::new(settings, poll.registry()), Err(PoolError::NoTls)));
}
