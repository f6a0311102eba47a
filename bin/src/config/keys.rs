//! The table of keys: name, place in the configuration, default and meaning of every setting.
//!
//! `docs/configuration.md` shows it (`lastdrop config --markdown`), and a test compares the two. The
//! environment variable of a key is made of its name: `proxy.http` is `DD_PROXY_HTTP`,
//! `lastdrop_pin` is `LASTDROP_PIN`.

use super::key::{Key, Target};
use super::read::{
    API_KEY, BOOL, BYTES_OR_AUTO, HOST, LOG_LEVEL, PATH, PIN, PORT, RECEIPT, SITE, TAGS, TEXT,
    THREADS, TIME, URL,
};

/// Says into which field of the configuration a value of a kind is read.
macro_rules! into {
    ($kind:ident, $($field:ident).+) => {
        Target {
            noun: $kind.noun,
            accepted: $kind.accepted,
            put: |config, node| $kind.put(node, &mut config.$($field).+),
        }
    };
}

/// Every key, in the order in which it is shown.
pub(crate) const ALL: &[Key] = &[
    // The intake.
    Key::new(
        "api_key",
        into!(API_KEY, intake.api_key),
        "",
        "key of the intake; none: nothing is sent",
    )
    .secret()
    .replaced_by("no key, if it is a placeholder that was not resolved"),
    Key::new("api_key_file", into!(PATH, intake.api_key_file), "", "file that holds the key"),
    Key::new("site", into!(SITE, intake.site), "datadoghq.com", "site of the intake")
        .flag("--site"),
    Key::new("dd_url", into!(URL, intake.dd_url), "", "base URL of the intake, instead of a site")
        .variables(&["DD_URL"])
        .flag("--dd-url"),
    // Listening.
    Key::new("dogstatsd_port", into!(PORT, dogstatsd.port), "8125", "UDP port; 0 for none")
        .flag("--dogstatsd-port"),
    Key::new("bind_host", into!(HOST, dogstatsd.bind_host), "localhost", "address of the UDP port")
        .flag("--bind-host"),
    Key::new("dogstatsd_socket", into!(PATH, dogstatsd.socket), "", "unix datagram socket")
        .flag("--dogstatsd-socket"),
    // Tags.
    Key::new("tags", into!(TAGS, enrichment.tags), "", "tags put on everything").flag("--tags"),
    Key::new("hostname", into!(TEXT, enrichment.hostname), "none", "host put on everything"),
    // Ours.
    Key::new("log_level", into!(LOG_LEVEL, process.log_level), "warn", "how much the agent says")
        .flag("--log-level"),
    Key::new("lastdrop_stop_timeout", into!(TIME, process.stop_timeout), "8s", "longest stop")
        .flag("--stop-timeout"),
    Key::new("lastdrop_linger", into!(TIME, process.linger), "2s", "silence that ends reception")
        .flag("--linger"),
    Key::new(
        "lastdrop_burst_bytes",
        into!(BYTES_OR_AUTO, process.burst_bytes),
        "auto",
        "kernel memory for a burst on UDP",
    )
    .flag("--burst-bytes"),
    Key::new("lastdrop_receivers", into!(THREADS, process.receivers), "1", "receiving threads")
        .flag("--receivers"),
    Key::new("lastdrop_workers", into!(THREADS, process.workers), "1", "aggregating threads")
        .flag("--workers"),
    Key::new("lastdrop_pin", into!(PIN, process.pin), "auto", "pin threads to processors")
        .flag("--pin"),
    Key::new(
        "lastdrop_receipt",
        into!(RECEIPT, process.receipt),
        "stderr",
        "where the receipt goes",
    )
    .flag("--receipt"),
    Key::new(
        "lastdrop_strict",
        into!(BOOL, process.strict),
        "false",
        "exit with 3 if anything was lost",
    )
    .flag("--strict"),
];

/// Finds a key by its name.
pub(crate) fn named(name: &str) -> Option<&'static Key> {
    ALL.iter().find(|key| key.name == name)
}
