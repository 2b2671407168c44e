//! The one page for a person: everything, in tables, without a script.

use super::facts::{self, Ready, Sources, Stats, Value};
use super::html::{Html, Look};

/// The page's style, which is all that it loads.
pub(super) const STYLE: &str = include_str!("style.css");

/// How often a page may be asked to load itself again, in seconds.
const REFRESH: [&str; 3] = ["1", "5", "30"];

/// The page; a `query` of `refresh=5` has it load itself every five seconds.
pub(super) fn page(sources: &Sources, stopping: bool, query: &[u8]) -> String {
    let wanted = query.strip_prefix(b"refresh=");
    let refresh = REFRESH
        .into_iter()
        .find(|seconds| Some(seconds.as_bytes()) == wanted);
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width\">\n");
    if let Some(seconds) = refresh {
        html.raw("<meta http-equiv=\"refresh\" content=\"");
        html.raw(seconds);
        html.raw("\">\n");
    }
    html.raw("<link rel=\"stylesheet\" href=\"style.css\">\n");
    html.element("title", Look::Plain, &sources.about.name);
    html.raw("\n</head>\n<body>\n");
    let stats = facts::stats(sources);
    let ready = facts::ready(sources, stopping);
    heading(&mut html, &stats, &ready, refresh);
    methods(&mut html, &stats);
    calls(&mut html, sources);
    nodes(&mut html, sources);
    pools(&mut html, sources);
    breakers(&mut html, sources);
    why(&mut html, sources);
    settings(&mut html, sources);
    html.raw("</body>\n</html>\n");
    html.finish()
}

fn heading(html: &mut Html, stats: &Stats<'_>, ready: &Ready, refresh: Option<&'static str>) {
    let about = stats.service;
    html.element("h1", Look::Plain, &about.name);
    html.raw("<p>");
    let look = if ready.ready { Look::Good } else { Look::Bad };
    html.element("strong", look, ready.state);
    for reason in &ready.reasons {
        html.text(", ");
        html.text(reason);
    }
    let tls = if about.tls { "on" } else { "off" };
    html.raw("</p>\n<p>");
    html.text(&format!(
        "version {}, node {}, on {} (advertised {}, registry {}, protocols {}, TLS {tls})",
        about.version,
        about.node,
        about.address,
        about.advertised,
        about.registry,
        about.protocols.join(",")
    ));
    html.raw("</p>\n<p>");
    html.text(&format!(
        "up {}, {} of memory, {} connections, {} calls run, {} were started, {} failed",
        time(stats.uptime_ms),
        bytes(stats.memory_bytes),
        stats.connections,
        stats.calls.running,
        stats.calls.started,
        stats.calls.failed
    ));
    if stats.events.started > 0 {
        html.text(&format!(
            "; {} events are handled, {} were started, {} failed",
            stats.events.running, stats.events.started, stats.events.failed
        ));
    }
    html.raw("</p>\n<nav>load again: <a href=\"/\">now</a>");
    for seconds in REFRESH {
        html.raw("<a href=\"/?refresh=");
        html.raw(seconds);
        html.raw("\">");
        html.text(&match Some(seconds) == refresh {
            true => format!("[every {seconds} s]"),
            false => format!("every {seconds} s"),
        });
        html.raw("</a>");
    }
    html.raw(" <a href=\"/health\">health</a><a href=\"/ready\">ready</a></nav>\n");
}

/// The head of a part, with the way to its data.
fn part(html: &mut Html, title: &'static str, path: &'static str) {
    html.raw("<h2>");
    html.raw(title);
    html.raw("<a href=\"");
    html.raw(path);
    html.raw("\">JSON</a></h2>\n");
}

fn nothing(html: &mut Html, words: &'static str) {
    html.element("p", Look::Soft, words);
    html.raw("\n");
}

/// Says how many were left out of a list.
fn more(html: &mut Html, left_out: u64) {
    if left_out > 0 {
        html.element("p", Look::Soft, &format!("and {left_out} more"));
    }
}

fn methods(html: &mut Html, stats: &Stats<'_>) {
    part(html, "Methods", "/stats");
    html.table(&[
        ("method", Look::Plain),
        ("running", Look::Number),
        ("started", Look::Number),
        ("failed", Look::Number),
        ("given up", Look::Number),
        ("lately", Look::Number),
        ("p50", Look::Number),
        ("p90", Look::Number),
        ("p99", Look::Number),
        ("longest", Look::Number),
    ]);
    // Those that nobody has called tell nothing.
    for method in stats.methods.iter().filter(|method| method.started > 0) {
        let latency = &method.latency;
        html.row(&[
            (
                Look::Plain,
                &format!("{}.{}", method.service, method.method),
            ),
            (Look::Number, &method.running.to_string()),
            (Look::Number, &method.started.to_string()),
            (Look::Number, &method.failed.to_string()),
            (Look::Number, &method.given_up.to_string()),
            (Look::Number, &latency.count.to_string()),
            (Look::Number, &time(latency.p50_ms)),
            (Look::Number, &time(latency.p90_ms)),
            (Look::Number, &time(latency.p99_ms)),
            (Look::Number, &time(latency.max_ms)),
        ]);
    }
    html.end_table();
}

fn calls(html: &mut Html, sources: &Sources) {
    part(html, "Calls in flight", "/calls");
    let calls = facts::calls(sources);
    if calls.calls.is_empty() {
        return nothing(html, "none");
    }
    html.table(&[
        ("method", Look::Plain),
        ("caller", Look::Plain),
        ("protocol", Look::Plain),
        ("age", Look::Number),
        ("time left", Look::Number),
    ]);
    for call in &calls.calls {
        let left = call.deadline_left_ms;
        let stream = if call.stream { " (stream)" } else { "" };
        html.row(&[
            (Look::Plain, &format!("{}{stream}", call.endpoint)),
            (Look::Plain, &call.peer),
            (Look::Plain, call.protocol),
            (Look::Number, &time(call.age_ms)),
            (Look::Number, &left.map_or("-".to_owned(), time)),
        ]);
    }
    html.end_table();
    more(html, calls.left_out);
}

fn nodes(html: &mut Html, sources: &Sources) {
    part(html, "Nodes", "/nodes");
    let nodes = facts::nodes(sources);
    if nodes.destinations.is_empty() && nodes.given.is_empty() {
        return nothing(html, "this service has called nobody yet");
    }
    for destination in &nodes.destinations {
        html.element("h3", Look::Plain, &destination.name);
        if let Some(error) = &destination.registry_error {
            html.element("p", Look::Bad, error);
        } else if !destination.registered {
            nothing(html, "not registered");
        }
        table_of_nodes(html, &destination.nodes);
        more(html, destination.left_out as u64);
    }
    if !nodes.given.is_empty() {
        html.raw("<h3>at addresses given by callers</h3>\n");
        table_of_nodes(html, &nodes.given);
    }
    more(html, nodes.left_out as u64);
}

fn table_of_nodes(html: &mut Html, nodes: &[facts::Node]) {
    if nodes.is_empty() {
        return nothing(html, "no nodes");
    }
    html.table(&[
        ("node", Look::Plain),
        ("address", Look::Plain),
        ("version", Look::Plain),
        ("protocols", Look::Plain),
        ("standing", Look::Plain),
        ("in flight", Look::Number),
        ("latency", Look::Number),
        ("metadata", Look::Plain),
    ]);
    for node in nodes {
        let look = match node.standing {
            "in" if node.schemas.iter().any(|schema| !schema.barred.is_empty()) => Look::Mild,
            "in" => Look::Good,
            "ejected" | "unusable" => Look::Bad,
            _ => Look::Mild,
        };
        let mut standing = node.reason.as_deref().unwrap_or(node.standing).to_owned();
        if node.share < 1.0 {
            let share = node.share * 100.0;
            standing.push_str(&format!("; new: {share:.0} % of its share"));
        }
        let barred = node.schemas.iter().flat_map(|schema| &schema.barred);
        for facts::Barred { method, difference } in barred {
            standing.push_str(&format!("; not for {method}: {difference}"));
        }
        let metadata = node.metadata.iter();
        let metadata: Vec<_> = metadata
            .filter(|(key, _)| !KNOWN.contains(&&***key))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        html.row(&[
            (Look::Plain, &node.id),
            (Look::Plain, &node.address),
            (Look::Plain, &node.version),
            (Look::Plain, &node.protocols.join(", ")),
            (look, &standing),
            (Look::Number, &node.in_flight.to_string()),
            (Look::Number, &node.latency_ms.map_or("-".to_owned(), time)),
            (Look::Soft, &metadata.join(" ")),
        ]);
    }
    html.end_table();
}

/// What every node tells, and the page in other columns or not at all.
const KNOWN: [&str; 6] = [
    "protocols",
    "protocol",
    "transport",
    "broker",
    "registry",
    "server",
];

fn pools(html: &mut Html, sources: &Sources) {
    part(html, "Connections to nodes", "/pools");
    let pools = facts::pools(sources).pools;
    if pools.is_empty() {
        return nothing(html, "none");
    }
    html.table(&[
        ("service", Look::Plain),
        ("node", Look::Plain),
        ("address", Look::Plain),
        ("protocol", Look::Plain),
        ("open", Look::Number),
        ("idle", Look::Number),
    ]);
    for pool in pools {
        let idle = pool.idle.map(|idle| idle.to_string());
        html.row(&[
            (Look::Plain, &pool.name),
            (Look::Plain, &pool.node),
            (Look::Plain, &pool.address),
            (Look::Plain, pool.protocol),
            (Look::Number, &pool.open.to_string()),
            (Look::Number, idle.as_deref().unwrap_or("shared")),
        ]);
    }
    html.end_table();
}

fn breakers(html: &mut Html, sources: &Sources) {
    part(html, "Breakers, budgets and limits", "/breakers");
    let facts::Breakers { budgets, wrappers } = facts::breakers(sources);
    if budgets.is_empty() && wrappers.is_empty() {
        return nothing(html, "none is in use");
    }
    if !budgets.is_empty() {
        html.raw("<h3>retry budgets, of the last ten seconds</h3>\n");
        html.table(&[
            ("service", Look::Plain),
            ("calls", Look::Number),
            ("further tries", Look::Number),
            ("allowed", Look::Number),
            ("refused since the start", Look::Number),
        ]);
        for budget in &budgets {
            html.row(&[
                (Look::Plain, &budget.name),
                (Look::Number, &budget.calls.to_string()),
                (Look::Number, &budget.retries.to_string()),
                (Look::Number, &budget.allowed.to_string()),
                (Look::Number, &budget.refused.to_string()),
            ]);
        }
        html.end_table();
    }
    for wrapper in wrappers {
        html.element(
            "h3",
            Look::Plain,
            &format!("{} ({})", wrapper.kind, wrapper.side),
        );
        html.element("p", Look::Soft, &values(&wrapper.settings));
        if wrapper.standings.is_empty() {
            continue;
        }
        html.table(&[
            ("of", Look::Plain),
            ("state", Look::Plain),
            ("figures", Look::Plain),
        ]);
        for facts::Standing { of, state, figures } in &wrapper.standings {
            let look = match *state {
                "open" => Look::Bad,
                "half-open" => Look::Mild,
                _ => Look::Good,
            };
            html.row(&[
                (Look::Plain, of),
                (look, state),
                (Look::Plain, &values(figures)),
            ]);
        }
        html.end_table();
    }
}

fn values(values: &std::collections::BTreeMap<String, Value>) -> String {
    let one = |(name, value): (&String, &Value)| match value {
        Value::Count(count) => format!("{name} {count}"),
        Value::Number(number) => match name.strip_suffix("_ms") {
            Some(name) => format!("{name} {}", time(*number)),
            None => format!("{name} {number}"),
        },
        Value::Text(text) => format!("{name} {text}"),
    };
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn why(html: &mut Html, sources: &Sources) {
    part(html, "Last failed calls of this service", "/why");
    let failed = facts::why(sources).failed;
    if failed.is_empty() {
        return nothing(html, "none");
    }
    let now = facts::unix_ms(sources.tasks.now());
    for failure in failed {
        let ago = now.saturating_sub(failure.at_unix_ms);
        html.raw("<pre>");
        html.text(&format!(
            "{} ago: {} {}\n{}",
            time(ago as f64),
            failure.error.code,
            failure.error.detail,
            failure.text
        ));
        html.raw("</pre>\n");
    }
}

fn settings(html: &mut Html, sources: &Sources) {
    part(html, "Settings", "/settings");
    html.table(&[
        ("setting", Look::Plain),
        ("value", Look::Plain),
        ("from", Look::Plain),
    ]);
    for setting in &sources.settings {
        let look = match &*setting.source {
            "default" => Look::Soft,
            _ => Look::Plain,
        };
        html.row(&[
            (Look::Plain, setting.name),
            (look, &setting.value),
            (look, &setting.source),
        ]);
    }
    html.end_table();
}

/// A time as a person reads it.
fn time(ms: f64) -> String {
    match ms {
        _ if ms < 1.0 => format!("{ms:.3} ms"),
        _ if ms < 1_000.0 => format!("{ms:.1} ms"),
        _ if ms < 120_000.0 => format!("{:.1} s", ms / 1e3),
        _ if ms < 7_200_000.0 => format!("{:.0} min", ms / 6e4),
        _ if ms < 172_800_000.0 => format!("{:.1} h", ms / 3.6e6),
        _ => format!("{:.1} days", ms / 8.64e7),
    }
}

/// A size as a person reads it.
fn bytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}
