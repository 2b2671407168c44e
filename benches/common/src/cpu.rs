//! CPU time of a process, from Linux's /proc; zero elsewhere.

use std::fs;
use std::ops::Sub;

/// The kernel's unit there: `USER_HZ`, which is 100 on every Linux that runs this.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds in user code and in the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// In user code.
    pub user: f64,
    /// In the kernel.
    pub system: f64,
}

impl Cpu {
    /// Of this process.
    pub fn own() -> Self {
        Self::of(u64::from(std::process::id()))
    }

    /// Of the process `pid`; nothing for 0 and where it cannot be read.
    pub fn of(pid: u64) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The program's name, in parentheses, may hold spaces: fields are counted after it.
        let Some((_, fields)) = stat.rsplit_once(')') else {
            return Self::default();
        };
        let mut times = fields
            .split_whitespace()
            .skip(11)
            .map_while(|field| field.parse::<f64>().ok());
        let mut next = || times.next().unwrap_or(0.0) / TICKS_PER_SECOND;
        Self {
            user: next(),
            system: next(),
        }
    }

    /// Both.
    pub fn total(self) -> f64 {
        self.user + self.system
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }
}
