//! Events over the HTTP broker, between all who have found each other in a registry. Every copy is
//! counted.

use std::collections::BTreeMap;

use micro_tests::peers::{Ended, Program, Running};

use crate::discovery::{Outcome, Registry};
use crate::ours;

/// How many events each publisher sends.
const EVENTS: usize = 100;
const TOPIC: &str = "topic=go.micro.topic.greeted";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Rust,
    Go,
}

const SIDES: [Side; 2] = [Side::Rust, Side::Go];

/// Who publishes, who has subscribed: in the order of the table's columns.
const DIRECTIONS: [(Side, Side); 4] = [
    (Side::Rust, Side::Rust),
    (Side::Rust, Side::Go),
    (Side::Go, Side::Rust),
    (Side::Go, Side::Go),
];

impl Side {
    fn program(self, registry: &Registry) -> Program {
        let program = match self {
            Self::Rust => ours("greeter"),
            Self::Go => Program::go("greeter"),
        };
        registry.of(program).with(&[TOPIC, "pace=5ms"])
    }

    /// What the names of its events begin with.
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
        }
    }
}

/// The subscribers of one kind, which share its copies or have one each.
struct Group {
    side: Option<Side>,
    queue: bool,
    members: Vec<Running>,
}

/// What became of the events: for each way to subscribe a cell for each direction.
///
/// Go Micro's publisher looks once for its subscribers, and does not wait for those that mDNS finds
/// late: on a machine that has much to do it gets three tries.
pub(crate) fn run(registry: &Registry) -> Vec<(String, [Outcome; 4])> {
    let gos_own = |rows: &[(String, [Outcome; 4])]| {
        let [of_rust, of_go] = [0..2, 2..4].map(|columns| {
            let mut cells = rows.iter().flat_map(|(_, cells)| &cells[columns.clone()]);
            cells.all(Result::is_ok)
        });
        of_rust && !of_go && registry.is_mdns()
    };
    let mut rows = once_all(registry);
    for _ in 0..2 {
        if gos_own(&rows) {
            rows = once_all(registry);
        }
    }
    rows
}

/// Publishes, and counts what has come.
fn once_all(registry: &Registry) -> Vec<(String, [Outcome; 4])> {
    let subscriber = |side: Side, queue: &str| {
        let flags = [
            format!("name=subscriber.{}", side.name()),
            format!("queue={queue}"),
        ];
        side.program(registry).serve(&[&flags[0], &flags[1]])
    };
    let mut groups: Vec<Group> = Vec::new();
    for side in SIDES {
        for (queue, name) in [(false, ""), (true, side.name())] {
            let members = (0..2).map(|_| subscriber(side, name)).collect();
            groups.push(Group {
                side: Some(side),
                queue,
                members,
            });
        }
    }
    // One queue of both.
    let members = SIDES.map(|side| subscriber(side, "both")).into();
    groups.push(Group {
        side: None,
        queue: true,
        members,
    });

    let count = format!("n={EVENTS}");
    let publishing = SIDES.map(|side| {
        let name = format!("arg={}", side.name());
        side.program(registry)
            .launch(&["call=publish", &name, &count])
    });
    let published = publishing.map(Running::finish);
    // A subscriber that stops has dealt with what it has taken.
    let groups: Vec<(Option<Side>, bool, Vec<Ended>)> = groups
        .into_iter()
        .map(|group| {
            let members = group.members.into_iter().map(Running::terminate).collect();
            (group.side, group.queue, members)
        })
        .collect();

    let kinds: [(&str, bool, bool); 3] = [
        ("events, to each subscriber", true, false),
        ("events, to one of a queue", true, true),
        ("events, to one of a queue that both share", false, true),
    ];
    kinds
        .into_iter()
        .map(|(title, apart, queue)| {
            let cells = DIRECTIONS.map(|(from, to)| {
                let sent = &published[SIDES.iter().position(|side| *side == from).expect("a side")];
                if !sent.is_ok() {
                    return Err(sent.to_string());
                }
                let (_, _, members) = groups
                    .iter()
                    .find(|(side, queues, _)| *queues == queue && *side == apart.then_some(to))
                    .expect("there is such a group");
                match queue {
                    true => once(members, from),
                    false => members
                        .iter()
                        .try_for_each(|one| once(std::slice::from_ref(one), from)),
                }
                .map(|()| "ok".to_owned())
            });
            (title.to_owned(), cells)
        })
        .collect()
}

/// Whether the members together have got each event of `from` once, and nobody has got none.
fn once(members: &[Ended], from: Side) -> Result<(), String> {
    let mut got: BTreeMap<String, usize> = BTreeMap::new();
    for member in members {
        let mut own = 0;
        for name in names(member).filter(|name| name.starts_with(&format!("{}-", from.name()))) {
            *got.entry(name).or_default() += 1;
            own += 1;
        }
        if own == 0 {
            return Err(format!("one has got no event\n{member}"));
        }
    }
    let wrong: Vec<String> = (1..=EVENTS)
        .map(|number| format!("{}-{number}", from.name()))
        .filter_map(|name| match got.get(&name).copied().unwrap_or_default() {
            1 => None,
            times => Some(format!("{name} came {times} times")),
        })
        .collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join(", ")),
    }
}

/// The names of the events that a subscriber says it has got.
fn names(member: &Ended) -> impl Iterator<Item = String> {
    let events = member
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("EVENT "));
    events.filter_map(|event| {
        let event: serde_json::Value = serde_json::from_str(event).ok()?;
        Some(event["name"].as_str()?.to_owned())
    })
}
