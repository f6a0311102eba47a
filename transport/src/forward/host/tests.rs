//! Tables of host names and keys.

use super::*;

#[test]
fn a_site_becomes_the_base_url_of_its_app_host() {
    for (site, dot, expected) in [
        ("", FinalDot::Omit, BASE_URL_DEFAULT),
        ("datadoghq.eu", FinalDot::Omit, "https://app.datadoghq.eu"),
        (" us5.datadoghq.com\n", FinalDot::Add, "https://app.us5.datadoghq.com."),
        ("datadoghq.com.", FinalDot::Add, "https://app.datadoghq.com."),
        ("example.com", FinalDot::Omit, "https://app.example.com"),
    ] {
        assert_eq!(site_base_url(site, dot), expected, "{site:?}");
    }
}

#[test]
fn only_app_hosts_of_datadog_get_the_version_as_a_label() {
    for (base, expected) in [
        ("https://app.datadoghq.com", "https://7-81-2-app.agent.datadoghq.com"),
        ("https://app.datadoghq.eu", "https://7-81-2-app.agent.datadoghq.eu"),
        ("https://app.us5.datadoghq.com", "https://7-81-2-app.agent.us5.datadoghq.com"),
        ("https://app.ap1.datadoghq.com.", "https://7-81-2-app.agent.ap1.datadoghq.com."),
        ("https://app.ddog-gov.com", "https://7-81-2-app.agent.ddog-gov.com"),
        ("https://app.us2.ddog-gov.com", "https://7-81-2-app.agent.us2.ddog-gov.com"),
        ("https://app.ddog-gov.mil", "https://7-81-2-app.agent.ddog-gov.mil"),
        ("https://app.mrf.datadoghq.com", "https://7-81-2-app.agent.mrf.datadoghq.com"),
        ("http://app.us5.datadoghq.com", "http://7-81-2-app.agent.us5.datadoghq.com"),
        ("https://app.datadoghq.com/x/", "https://7-81-2-app.agent.datadoghq.com/x"),
        ("https://api.datadoghq.com", "https://api.datadoghq.com"),
        ("https://app.datadoghq.com:443", "https://app.datadoghq.com:443"),
        ("https://app.example.com", "https://app.example.com"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("http://vm:8428/datadog/", "http://vm:8428/datadog"),
        ("https://datadoghq.com", "https://datadoghq.com"),
        ("https://myapp.datadoghq.com", "https://myapp.datadoghq.com"),
        ("https://app.notdatadoghq.com", "https://app.notdatadoghq.com"),
        ("https://app.us.datadoghq.com", "https://app.us.datadoghq.com"),
        ("https://app.US5.datadoghq.com", "https://app.US5.datadoghq.com"),
        ("https://app.us123.datadoghq.com", "https://app.us123.datadoghq.com"),
        ("https://app.datadoghq.com.example.com", "https://app.datadoghq.com.example.com"),
        ("no url", "no url"),
    ] {
        assert_eq!(intake_url(base, "7.81.2"), expected, "{base}");
    }
}

#[test]
fn keys_are_checked_at_the_api_host_of_the_site_or_at_the_base_itself() {
    for (base, expected) in [
        ("https://app.datadoghq.com", "https://api.datadoghq.com"),
        ("https://app.datadoghq.com.", "https://api.datadoghq.com"),
        ("https://app.us5.datadoghq.com", "https://api.us5.datadoghq.com"),
        ("https://datadoghq.eu/", "https://api.datadoghq.eu"),
        ("https://app.ddog-gov.com", "https://api.ddog-gov.com"),
        ("https://app.mrf.datadoghq.com", "https://api.datadoghq.com"),
        ("https://app.datadoghq.com:443", "https://app.datadoghq.com:443"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("https://app.notdatadoghq.com", "https://app.notdatadoghq.com"),
        ("https://app.ddog-gov.mil", "https://app.ddog-gov.mil"),
    ] {
        assert_eq!(key_check_url(base), expected, "{base}");
    }
}

#[test]
fn user_and_password_are_cut_from_a_url() {
    for (url, expected) in [
        ("https://user:pass@host:1/x@y", "https://host:1/x@y"),
        ("https://us@er:p@host", "https://host"),
        ("https://host/path", "https://host/path"),
        ("host", "host"),
    ] {
        assert_eq!(without_user(url), expected);
    }
}

fn key(text: &str) -> Secret {
    Secret::parse(text).unwrap()
}

fn owned(entries: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect();
    entries.iter().map(|&(url, list)| (url.to_owned(), keys(list))).collect()
}

#[test]
fn keys_of_one_url_are_joined_trimmed_and_without_duplicates() {
    let additional = owned(&[
        ("https://app.datadoghq.eu", &["k2", " k2\n", "", "k3"]),
        ("https://app.datadoghq.com/", &["k1", "k4"]),
        ("https://app.ddog-gov.com", &["", "  "]),
    ]);
    let (destinations, unused) = merge("https://app.datadoghq.com", "k1", &additional);
    assert_eq!(
        destinations,
        Destinations::Endpoints(vec![
            EndpointSettings {
                base_url: "https://app.datadoghq.com".to_owned(),
                keys: vec![key("k1"), key("k4")],
            },
            EndpointSettings {
                base_url: "https://app.datadoghq.eu".to_owned(),
                keys: vec![key("k2"), key("k3")],
            },
        ])
    );
    let urls: Vec<_> = unused.iter().map(|unused| unused.base_url.as_str()).collect();
    assert_eq!(
        urls,
        ["https://app.datadoghq.eu", "https://app.ddog-gov.com", "https://app.ddog-gov.com"]
    );
}

#[test]
fn an_additional_endpoint_with_a_key_works_without_a_main_key() {
    let additional = owned(&[("https://app.datadoghq.eu", &["k2"])]);
    let (destinations, unused) = merge(BASE_URL_DEFAULT, "", &additional);
    assert!(matches!(destinations, Destinations::Endpoints(list) if list.len() == 1));
    assert_eq!(unused.len(), 1);
}

#[test]
fn without_any_usable_key_there_is_no_destination() {
    for main in ["", " \n", "ENC[handle]"] {
        let additional = owned(&[("https://app.datadoghq.eu", &[" "])]);
        let (destinations, _) = merge(BASE_URL_DEFAULT, main, &additional);
        assert_eq!(destinations, Destinations::NoKey { base_url: BASE_URL_DEFAULT.to_owned() });
    }
}

#[test]
fn hosts_of_datadog_are_told_from_those_that_look_like_them() {
    for url in [
        "https://app.datadoghq.com",
        "https://app.us5.datadoghq.com./path",
        "https://user:password@APP.datadoghq.eu:8443",
        "https://ddog-gov.mil",
    ] {
        assert!(is_datadogs(url), "{url}");
    }
    for url in
        ["https://app.notdatadoghq.com", "http://127.0.0.1:8080", "https://datadoghq.com.evil"]
    {
        assert!(!is_datadogs(url), "{url}");
    }
}
