//! Notices that the wrapped process will look for a trace agent, of which there is none.
//!
//! A port that takes traces and throws them away would hide the loss from the tracer, so nothing is
//! opened and nothing set: it is said once.

use crate::config::sources::Environment;

/// Variables by which a tracer is loaded into a process, and what of it stands in them.
const LOADERS: [(&str, &str); 6] = [
    ("NODE_OPTIONS", "dd-trace"),
    ("JAVA_TOOL_OPTIONS", "dd-java-agent"),
    ("PYTHONPATH", "ddtrace"),
    ("PYTHONPATH", "dd_tracer"),
    ("RUBYOPT", "ddtrace"),
    ("CORECLR_PROFILER_PATH", "Datadog"),
];

/// Variables that ask for traces.
const WISHES: [&str; 2] = ["DD_TRACE_ENABLED", "DD_APM_ENABLED"];

/// Variables that lead a tracer to an agent elsewhere.
const ELSEWHERE: [&str; 2] = ["DD_TRACE_AGENT_URL", "DD_APM_RECEIVER_SOCKET"];

/// What to say, if the environment would make a tracer send to the agent that is not there.
pub(crate) fn hint(environment: &Environment) -> Option<&'static str> {
    let value = |name: &str| environment.value(name).unwrap_or_default();
    let says = |name: &str, words: [&str; 2]| {
        words.iter().any(|word| value(name).eq_ignore_ascii_case(word))
    };
    let loaded = LOADERS.iter().any(|&(name, part)| value(name).contains(part));
    let wished = WISHES.iter().any(|&name| says(name, ["true", "1"]));
    let refused = says("DD_TRACE_ENABLED", ["false", "0"]);
    let elsewhere = ELSEWHERE.iter().any(|&name| !value(name).is_empty());
    ((loaded || wished) && !refused && !elsewhere).then_some(
        "traces are not collected: nothing listens on port 8126; set DD_TRACE_ENABLED=false and \
         DD_INSTRUMENTATION_TELEMETRY_ENABLED=false, or lead tracers to an agent with \
         DD_TRACE_AGENT_URL",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_hinted(variables: &[(&str, &str)]) -> bool {
        let environment: Environment =
            variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        hint(&environment).is_some()
    }

    #[test]
    fn a_tracer_is_noticed_unless_it_is_off_or_led_elsewhere() {
        let node = ("NODE_OPTIONS", "--require dd-trace/init");
        assert!(!is_hinted(&[]));
        assert!(is_hinted(&[node]));
        assert!(is_hinted(&[("DD_TRACE_ENABLED", "True")]));
        assert!(!is_hinted(&[node, ("DD_TRACE_ENABLED", "false")]));
        assert!(!is_hinted(&[node, ("DD_TRACE_AGENT_URL", "http://agent:8126")]));
        assert!(!is_hinted(&[("NODE_OPTIONS", "--max-old-space-size=512")]));
    }
}
