//! VictoriaMetrics as the intake: takes series v1, and gives the values back.

use serde_json::Value;

use super::{Server, find};
use crate::harness::{Setup, intake, send};
use crate::port::free_port;

fn start() -> Option<Server> {
    let program = find("victoria-metrics")?;
    let port = free_port();
    let server = Server::start(&program, port, |folder, command| {
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        command.arg(format!("-storageDataPath={}/data", folder.display()));
        command.arg("-retentionPeriod=100y");
    });
    server.wait_for(|| server.get("/health"), |answer| answer.trim() == "OK");
    Some(server)
}

/// Every series that it holds, as labels and values, in the order of their names.
fn series(server: &Server) -> Vec<(Value, Vec<f64>)> {
    let exported = server.get("/api/v1/export?match[]=%7B__name__=~%22foreign.*%22%7D");
    let read = |line: &str| {
        let series: Value = serde_json::from_str(line).unwrap();
        let values = series["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
        (series["metric"].clone(), values.collect())
    };
    let mut series: Vec<(Value, Vec<f64>)> = exported.lines().map(read).collect();
    series.sort_by_key(|(labels, _)| labels.to_string());
    series
}

#[test]
fn what_victoria_metrics_was_sent_it_gives_back() {
    let Some(server) = start() else { return };
    for compressor in ["zlib", "gzip", "none"] {
        let agent = Setup::run(&intake(""))
            .env("DD_DD_URL", format!("http://127.0.0.1:{}/datadog", server.port))
            .env("DD_USE_V2_API_SERIES", "false")
            .env("DD_SERIALIZER_COMPRESSOR_KIND", compressor)
            .env("DD_TAGS", format!("compressor:{compressor}"))
            .start();
        send(
            &agent.udp_target(),
            &[
                "foreign.gauge:-12.5|g|#env:prod\nforeign.gauge:7.25|g|#env:prod",
                "foreign.set:a|s\nforeign.set:b|s\nforeign.set:a|s",
                "foreign.count:30|c|#quote:\"\u{fc}\"",
                "_sc|foreign.check|1",
                "_e{4,4}:what|text",
            ],
        );
        agent.stop().is_lossless(0);
    }
    // It shows what it has taken after a second or two.
    let series = server.wait_for(|| series(&server), |series| series.len() == 9);
    for (labels, values) in series {
        let name = labels["__name__"].as_str().unwrap();
        let (value, label) = match name {
            "foreign.gauge" => (7.25, ("env", "prod")),
            "foreign.set" => (2.0, ("env", "")),
            "foreign.count" => (3.0, ("quote", "\"\u{fc}\"")),
            _ => panic!("{labels}"),
        };
        // A sample just before a bucket's end leaves its neighbours in the next one.
        assert!(!values.is_empty() && values.len() <= 2, "{labels}: {values:?}");
        if name == "foreign.gauge" {
            assert_eq!(values.last(), Some(&value), "{labels}");
        } else {
            assert_eq!(values.iter().sum::<f64>(), value, "{labels}");
        }
        assert_eq!(labels[label.0].as_str().unwrap_or_default(), label.1, "{labels}");
        assert!(!labels["compressor"].is_null(), "{labels}");
    }
}
