//! What connections hold that nobody uses.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::Args;

/// Memory of client and server before there are connections.
pub struct Idle {
    server: u64,
    before: (f64, f64),
}

impl Idle {
    /// Looks now; one connection should be warm already.
    pub fn begin(args: &Args) -> Self {
        let server = args.number("spid", 0);
        Self {
            server,
            before: Self::look(server),
        }
    }

    /// Looks again, after `connections` more were made and used once, and prints the line.
    pub fn report(self, connections: usize) {
        // What the last calls have left is given back.
        thread::sleep(Duration::from_secs(1));
        let after = Self::look(self.server);
        let each = |after: f64, before: f64| (after - before) / connections.max(1) as f64;
        println!(
            "{{\"wl\":\"idle\",\"ops\":{connections},\"secs\":0,\"rps\":0,\"p50_us\":0,\"p99_us\":0,\"max_us\":0,\
             \"cli_user\":0,\"cli_sys\":0,\"srv_user\":0,\"srv_sys\":0,\"cpu_s_per_m\":0,\
             \"cli_conn_kib\":{:.2},\"srv_conn_kib\":{:.2}}}",
            each(after.0, self.before.0),
            each(after.1, self.before.1),
        );
    }

    /// KiB in memory of this process and of the server's.
    fn look(server: u64) -> (f64, f64) {
        (resident(u64::from(std::process::id())), resident(server))
    }
}

/// KiB of a process in memory; zero where it cannot be read.
fn resident(pid: u64) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0.0)
}
