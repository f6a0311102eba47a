//! nginx in front of the intake: TLS, few requests a connection, early answers.

use std::path::Path;

use lastdrop_lab::intake::Intake;

use super::{Server, certificate, find, with_small_payloads};
use crate::harness::{intake, send};
use crate::port::free_port;

/// Contexts; ten make a request.
const CONTEXTS: usize = 300;

/// nginx that hands on to an intake, with these lines more in its `server` block.
fn start(intake: &Intake, lines: &str) -> Option<Server> {
    let (nginx, openssl) = (find("nginx")?, find("openssl")?);
    let port = free_port();
    Some(Server::start(&nginx, port, |folder, command| {
        certificate(&openssl, folder);
        std::fs::write(folder.join("nginx.conf"), settings(folder, port, intake, lines)).unwrap();
        command.args(["-p", &format!("{}/", folder.display()), "-c", "nginx.conf"]);
        command.args(["-g", "daemon off; master_process off;", "-e", "error.log"]);
    }))
}

fn settings(folder: &Path, port: u16, intake: &Intake, lines: &str) -> String {
    let folder = folder.display();
    let upstream = intake.url();
    format!(
        "pid {folder}/nginx.pid;\nevents {{}}\nhttp {{\n\
         access_log {folder}/access.log;\n\
         client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
         scgi_temp_path {folder}/scgi;\n\
         server {{\nlisten 127.0.0.1:{port} ssl;\n\
         ssl_certificate {folder}/cert.pem;\nssl_certificate_key {folder}/key.pem;\n{lines}\n\
         location / {{ proxy_pass {upstream}; proxy_http_version 1.1; }}\n}}\n}}\n"
    )
}

#[test]
fn everything_comes_through_nginx_with_tls_and_three_requests_a_connection() {
    let intake = intake("");
    let Some(nginx) = start(&intake, "keepalive_requests 3;") else { return };
    let agent = with_small_payloads(&intake)
        .env("DD_DD_URL", format!("https://localhost:{}", nginx.port))
        .env("LASTDROP_CA_FILE", nginx.folder.path().join("cert.pem"))
        .start();
    let target = agent.udp_target();
    for context in 0..CONTEXTS {
        send(&target, &[&format!("foreign.nginx:1|c|#context:{context}")]);
    }
    let ended = agent.stop();
    ended.is_lossless(0);
    let totals = intake.totals();
    assert_eq!(totals.count("foreign.nginx").round(), CONTEXTS as f64, "{ended}");
    assert_eq!((totals.duplicate_bodies, totals.duplicate_points), (0, 0));
    let requests = nginx.read("access.log").lines().count();
    // One more if a bucket ended in between.
    assert!((30..=31).contains(&requests), "{}", nginx.read("access.log"));
}

/// nginx answers at the head, without reading the body, and closes.
#[test]
fn a_body_that_nginx_finds_too_large_is_refused_alone() {
    let intake = intake("");
    let Some(nginx) = start(&intake, "client_max_body_size 1k;") else { return };
    let agent = with_small_payloads(&intake)
        .env("DD_SERIALIZER_MAX_SERIES_POINTS_PER_PAYLOAD", "1000")
        .env("DD_SERIALIZER_COMPRESSOR_KIND", "none")
        .env("DD_DD_URL", format!("https://localhost:{}", nginx.port))
        .env("LASTDROP_CA_FILE", nginx.folder.path().join("cert.pem"))
        .start();
    let target = agent.udp_target();
    for context in 0..CONTEXTS {
        send(&target, &[&format!("foreign.nginx:1|c|#context:{context}")]);
    }
    send(&target, &["_sc|foreign.nginx|0"]);
    let ended = agent.stop();
    assert!(ended.count("/endpoints/0/refused/413/payloads") >= 1, "{ended}");
    assert_eq!(ended.count("/endpoints/0/retried/payloads"), 0, "{ended}");
    assert_eq!(intake.totals().checks, 1, "its neighbour is delivered");
}
