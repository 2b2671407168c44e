//! Flags as Go's peers have them: `-name value`, `-name=value`, and `-name` for true.

use std::collections::BTreeMap;
use std::time::Duration;

pub struct Flags(BTreeMap<String, String>);

impl Flags {
    pub fn of(args: impl Iterator<Item = String>) -> Self {
        let mut all = BTreeMap::new();
        let mut args = args.peekable();
        while let Some(arg) = args.next() {
            let flag = arg.trim_start_matches('-').to_owned();
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => match args.next_if(|next| !next.starts_with('-')) {
                    Some(value) => (flag, value),
                    None => (flag, "true".to_owned()),
                },
            };
            all.insert(name, value);
        }
        Self(all)
    }

    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    pub fn number(&self, name: &str, default: i64) -> i64 {
        self.0
            .get(name)
            .map_or(default, |value| value.parse().unwrap_or(0))
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// `300ms` or `5s`.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        let value = self.0.get(name)?;
        let (number, unit) = match value.strip_suffix("ms") {
            Some(number) => (number, 1),
            None => (value.strip_suffix('s')?, 1000),
        };
        Some(Duration::from_millis(number.parse::<u64>().ok()? * unit))
    }
}
