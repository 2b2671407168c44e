//! Ten thousand services with ten nodes each: what their snapshots hold, how long it takes to load
//! all of them again, and what choosing a node costs.
//!
//!     bench-discovery [--services N] [--nodes N] [--picks N] [--most NANOS]
//!
//! Everything runs on one thread, and times are those that it computes. The registry answers at once
//! and from memory, and neither its time nor its memory is ours; the clones that it hands out are.
//!
//! With `--most` it fails where a choice allocates, or takes longer than that in the median of its
//! rounds, of one name.

mod clock;
mod fleet;
mod picks;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use bench_common::Args;
use micro_runtime::registry::{Directory, View};
use micro_runtime::tasks::Tasks;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use clock::Clock;
use fleet::Fleet;
use picks::Picks;

fn main() -> ExitCode {
    let args = Args::read();
    let services = args.number("services", 10_000) as usize;
    let nodes = args.number("nodes", 10) as usize;
    let picks = args.number("picks", 1_000_000) as usize;
    let most = args.number("most", 0);

    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the machine gives a runtime");
    let fleet = Fleet::new(services, nodes);
    let directory = {
        let _entered = runtime.enter();
        Directory::new(Arc::new(fleet.clone()), &Tasks::new())
    };
    let resident = resident();
    let mut views = Vec::new();
    let mut first = Duration::ZERO;
    let held = measure(|| {
        let clock = Clock::start();
        // Held, as a client's targets hold theirs: a directory keeps 1024 beyond those.
        views = fleet.names().map(|name| directory.view(name)).collect();
        load(&runtime, &views);
        first = clock.read();
    });
    let resident = self::resident().saturating_sub(resident);
    let same = reload(&runtime, &views);
    fleet.change();
    let other = reload(&runtime, &views);
    assert!(views.iter().all(|view| view.nodes().list.len() == nodes));

    let per_node = held.bytes_current as f64 / (services * nodes) as f64;
    println!("{services} services, {nodes} nodes each\n");
    println!("| | |\n|---|--:|");
    println!(
        "| held by their views | {:.1} MiB |",
        mib(held.bytes_current)
    );
    println!("| held, a node | {per_node:.0} B |");
    println!(
        "| most while loading | {:.1} MiB |",
        mib(held.bytes_max as i64)
    );
    println!("| resident | {resident} MiB |");
    for (what, time) in [
        ("first load of all", first),
        ("refresh of all, nothing changed", same),
        ("refresh of all, every node changed", other),
    ] {
        println!("| {what} | {:.0} ms |", millis(time));
    }
    println!(
        "\n| choice | of one name, ns | of 64 names in turn, ns | of all names in turn, ns | allocations |\n|---|--:|--:|--:|--:|"
    );
    let kinds = Picks::all();
    let lines: Vec<_> = kinds.iter().map(|kind| kind.run(&views, picks)).collect();
    for line in &lines {
        println!("{line}");
    }
    let picks: Vec<_> = lines.iter().map(picks::Line::json).collect();
    println!(
        "\n{{\"bench\":\"discovery\",\"services\":{services},\"nodes\":{nodes},\"held_bytes\":{},\"held_most\":{},\"rss_mib\":{resident},\
         \"first_ms\":{:.1},\"refresh_same_ms\":{:.1},\"refresh_changed_ms\":{:.1},\"picks\":[{}]}}",
        held.bytes_current,
        held.bytes_max,
        millis(first),
        millis(same),
        millis(other),
        picks.join(",")
    );
    let wrong = lines.iter().filter_map(|line| line.wrong(most));
    match most > 0 && wrong.map(|wrong| eprintln!("{wrong}")).count() > 0 {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn load(runtime: &Runtime, views: &[Arc<View>]) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    runtime.block_on(async {
        let mut loads = JoinSet::new();
        for view in views {
            let view = view.clone();
            loads.spawn(async move { view.ready(deadline).await });
        }
        finish(loads).await;
    });
}

/// Loads all of them again.
fn reload(runtime: &Runtime, views: &[Arc<View>]) -> Duration {
    // What is fresh is not asked for again: a tenth of a second.
    let fresh = Duration::from_millis(150);
    runtime.block_on(async { tokio::time::sleep(fresh).await });
    let clock = Clock::start();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    runtime.block_on(async {
        let mut loads = JoinSet::new();
        for view in views {
            let view = view.clone();
            loads.spawn(async move { view.refresh(deadline).await });
        }
        finish(loads).await;
    });
    clock.read()
}

async fn finish(mut loads: JoinSet<micro_runtime::Result<()>>) {
    while let Some(loaded) = loads.join_next().await {
        loaded.expect("it does not panic").expect("it is known");
    }
}

/// MiB that this process has in memory, where the system tells.
fn resident() -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn mib(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
