//! Settings with where each came from, and what a person is told about them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use super::file::{Found, SettingsFile, Value};
use super::outside::{self, Environment};
use super::table::{Setting, TABLE};
use super::{Flags, Settings};
use crate::error::Error;

/// The id of errors about settings.
const ID: &str = "go.micro.service";

/// Where a value comes from, strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The command line.
    Flag,
    /// This variable.
    Environment(String),
    /// This file, which a variable names. The value may be secret and is not shown.
    File(PathBuf),
    /// This line of the settings file.
    Config {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The program.
    Code,
    /// Nobody has said anything.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Config { path, line } => write!(f, "file {}:{line}", path.display()),
            Self::Code => f.write_str("code"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What arguments and environment say.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parsed {
    /// The settings.
    pub settings: Settings,
    /// Sentences for the log: variables that nobody reads.
    pub warnings: Vec<String>,
    /// Whether `--explain-config` was given: print [`explanation`](Parsed::explanation) and end.
    pub explain: bool,
    pub(in crate::service) origins: Origins,
}

impl Parsed {
    /// Puts flags over the environment, that over the settings file, and reads all values.
    pub(super) fn of(flags: &Flags, env: &Environment) -> Result<Self, Stop> {
        let mut settings = Settings {
            variables: outside::variables(env)?,
            ..Settings::default()
        };
        let mut origins = BTreeMap::new();
        let mut file = SettingsFile::default();
        for setting in TABLE {
            let Some((value, source)) = found(setting, flags, env, &file)? else {
                continue;
            };
            let shown = match value {
                Value::Pairs(pairs) => {
                    let shown = pairs.iter().map(|(key, value)| format!("{key}={value}"));
                    let shown = shown.collect::<Vec<_>>().join(",");
                    settings.server_metadata = Some(pairs);
                    shown
                }
                Value::Text(text) => {
                    (setting.set)(&mut settings, &text)
                        .map_err(|right| wrong(setting.name, &text, &source, &right))?;
                    text
                }
            };
            // It stands first in the table, so that the others can come from it.
            if let (Some(path), "config") = (&settings.config, setting.name) {
                let who = match &source {
                    Source::Environment(name) => name,
                    _ => "--config",
                };
                file = SettingsFile::read(path, who)?;
            }
            origins.insert(setting.name, (shown, source));
        }
        Ok(Self {
            settings,
            warnings: outside::unread(env, &flags.variables),
            explain: flags.explain,
            origins,
        })
    }

    /// Where the setting of this name comes from; `None` where it is not set from outside.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.origins.get(name).map(|(_, source)| source)
    }

    /// A line for each setting: its name, its value, where that comes from. `code` has what the
    /// program set, by name.
    pub fn explanation(&self, code: &BTreeMap<&str, String>) -> String {
        let lines = lines(&self.origins, code);
        let width = |column: fn(&Line) -> usize| lines.iter().map(column).max().unwrap_or_default();
        let names = width(|line| line.name.len());
        let values = width(|line| line.value.chars().count()).min(40);
        let mut out = String::new();
        for Line {
            name,
            value,
            source,
        } in &lines
        {
            let _ = writeln!(out, "{name:names$}  {value:values$}  {source}");
        }
        out
    }
}

/// Values that were set from outside, with where they came from, by the setting's name.
pub(in crate::service) type Origins = BTreeMap<&'static str, (String, Source)>;

/// One setting as it may be shown.
#[derive(Clone, Debug)]
pub(in crate::service) struct Line {
    pub(in crate::service) name: &'static str,
    /// Without secrets.
    pub(in crate::service) value: String,
    pub(in crate::service) source: Source,
}

/// All settings, in the order of the help.
pub(in crate::service) fn lines(origins: &Origins, code: &BTreeMap<&str, String>) -> Vec<Line> {
    let line = |setting: &Setting| {
        let (value, source) = match (origins.get(setting.name), code.get(setting.name)) {
            (Some((_, source @ Source::File(_))), _) => ("(hidden)".to_owned(), source.clone()),
            (Some((value, source)), _) => (without_password(value), source.clone()),
            (None, Some(value)) => (without_password(value), Source::Code),
            (None, None) => (setting.default.to_owned(), Source::Default),
        };
        let name = setting.name;
        Line {
            name,
            value,
            source,
        }
    };
    TABLE.iter().map(line).collect()
}

/// The value of a setting from the strongest source that has one.
fn found(
    setting: &Setting,
    flags: &Flags,
    env: &Environment,
    file: &SettingsFile,
) -> Result<Option<(Value, Source)>, Stop> {
    let flag = flags.values.get(setting.name);
    if let Some(value) = flag.filter(|value| !value.is_empty()) {
        return Ok(Some((Value::Text(value.clone()), Source::Flag)));
    }
    if let Some((value, source)) = outside::value(setting, env)? {
        return Ok(Some((Value::Text(value), source)));
    }
    Ok(file.get(setting).map(|Found { line, value }| {
        let (path, line) = (file.path.clone(), *line);
        (value.clone(), Source::Config { path, line })
    }))
}

fn wrong(name: &str, value: &str, source: &Source, right: &str) -> Stop {
    Stop::wrong(match source {
        Source::Flag => format!("--{name} takes {right}, not \"{value}\""),
        Source::Environment(variable) => format!("{variable} takes {right}, not \"{value}\""),
        Source::Config { path, line } => {
            let path = path.display();
            format!("{path}:{line}: {name} takes {right}, not \"{value}\"")
        }
        source => format!("{name} from {source} does not hold {right}"),
    })
}

/// A value as it may be shown: `nats://user:password@host` without the password.
fn without_password(value: &str) -> String {
    let one = |address: &str| match address.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://(hidden)@{host}"),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    value.split(',').map(one).collect::<Vec<_>>().join(",")
}

/// The program is to say something and to end: help, or what is wrong with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stop {
    /// The exit code: 0 after help, 2 where something is wrong.
    pub code: i32,
    /// What the person is to read.
    pub text: String,
}

impl Stop {
    pub(in crate::service) fn new(code: i32, text: String) -> Self {
        Self { code, text }
    }

    pub(super) fn wrong(text: String) -> Self {
        Self::new(2, format!("error: {text}\n"))
    }

    /// Says it, on standard output or where something is wrong on standard error, and ends the
    /// process.
    pub fn exit(self) -> ! {
        match self.code {
            0 => print!("{}", self.text),
            _ => eprint!("{}", self.text),
        }
        std::process::exit(self.code)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

impl std::error::Error for Stop {}

impl From<Stop> for Error {
    /// 400 with the text, for those who do not end the process.
    fn from(stop: Stop) -> Self {
        Self::bad_request(ID, stop.to_string())
    }
}
