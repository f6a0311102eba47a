//! Python's `http.server`, which keeps connections or closes each, and reads v1 with modules of its
//! own.

use super::{Server, find};
use crate::harness::{Setup, intake, send};
use crate::port::free_port;

/// Adds up the points that it is posted, and says after each request how many there are.
const SCRIPT: &str = r#"
import gzip, json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Intake(BaseHTTPRequestHandler):
    protocol_version = sys.argv[1]
    total = 0

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Encoding"] == "gzip"
        for series in json.loads(gzip.decompress(body))["series"]:
            for second, value in series["points"]:
                Intake.total += value * series["interval"]
        print("total", round(Intake.total), flush=True)
        self.send_response(202)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

HTTPServer(("127.0.0.1", int(sys.argv[2])), Intake).serve_forever()
"#;

#[test]
fn everything_comes_to_python_whether_it_keeps_connections_or_not() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let Some(python) = find("python3") else { return };
        let port = free_port();
        let server = Server::start(&python, port, |_, command| {
            command.args(["-c", SCRIPT, version, &port.to_string()]);
        });
        let agent = Setup::run(&intake(""))
            .env("DD_DD_URL", format!("http://127.0.0.1:{port}"))
            .env("DD_USE_V2_API_SERIES", "false")
            .env("DD_SERIALIZER_COMPRESSOR_KIND", "gzip")
            // A few contexts a body: Python reads one connection after another.
            .env("DD_SERIALIZER_MAX_UNCOMPRESSED_PAYLOAD_SIZE", "2000")
            .env("DD_FORWARDER_MAX_CONCURRENT_REQUESTS", "1")
            .start();
        let target = agent.udp_target();
        for context in 0..100 {
            send(&target, &[&format!("foreign.python:3|c|#context:{context}")]);
        }
        let ended = agent.stop();
        ended.is_lossless(0);
        assert!(ended.count("/endpoints/0/made/payloads") > 3, "{ended}");
        let output = server.output();
        assert!(output.contains("total 300\n"), "{version}: {output}");
    }
}
