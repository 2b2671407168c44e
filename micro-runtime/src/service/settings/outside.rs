//! The environment: values of settings, and what nobody reads.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::origin::{Source, Stop};
use super::table::{Setting, TABLE, WITHOUT_EFFECT};
use super::variables::{NAMES, Variables};

/// The variables whose names are text, by name.
pub(super) type Environment = BTreeMap<String, OsString>;

pub(super) fn environment<K, V>(env: impl IntoIterator<Item = (K, V)>) -> Environment
where
    K: Into<OsString>,
    V: Into<OsString>,
{
    env.into_iter()
        .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())))
        .collect()
}

/// The value of a setting and where it is from; what is empty is not set.
pub(super) fn value(
    setting: &Setting,
    env: &Environment,
) -> Result<Option<(String, Source)>, Stop> {
    let name = setting.variable();
    if let Some(value) = text_of(&name, env)? {
        return Ok(Some((value, Source::Environment(name))));
    }
    let file = format!("{name}_FILE");
    let Some(path) = text_of(&file, env)? else {
        return Ok(None);
    };
    if setting.path {
        return Ok(Some((path, Source::Environment(file))));
    }
    let value = std::fs::read_to_string(&path)
        .map_err(|error| Stop::wrong(format!("cannot read {path}, which {file} names: {error}")))?;
    // Editors and `echo` end a line.
    let value = value.trim_end_matches(['\r', '\n']).to_owned();
    Ok(Some((value, Source::File(path.into()))).filter(|(value, _)| !value.is_empty()))
}

/// The variables of drivers.
pub(super) fn variables(env: &Environment) -> Result<Variables, Stop> {
    let mut variables = Variables::default();
    for name in NAMES {
        if let Some(value) = text_of(name, env)? {
            variables.set(name, value);
        }
    }
    Ok(variables)
}

fn text_of(name: &str, env: &Environment) -> Result<Option<String>, Stop> {
    match env.get(name) {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => match value.to_str() {
            Some(value) => Ok(Some(value.to_owned())),
            None => Err(Stop::wrong(format!("the value of {name} is not UTF-8"))),
        },
    }
}

/// A sentence for each `MICRO_` variable that nobody reads.
pub(super) fn unread(env: &Environment, own: &[OsString]) -> Vec<String> {
    let known: Vec<String> = TABLE.iter().map(Setting::variable).collect();
    let is_known = |name: &str| known.iter().any(|known| known == name);
    env.keys()
        .filter(|name| name.starts_with("MICRO_") && !is_of_kubernetes(name))
        .filter(|name| !own.iter().any(|own| own == name.as_str()))
        .map(|name| (name, name.strip_suffix("_FILE").unwrap_or(name)))
        .filter(|(_, stem)| !is_known(stem))
        .map(|(name, stem)| {
            if WITHOUT_EFFECT.contains(&stem) {
                return format!("{name} has no effect here");
            }
            match nearest(stem, known.iter().map(String::as_str)) {
                Some(nearest) => format!("{name} is not known; did you mean {nearest}?"),
                None => format!("{name} is not known"),
            }
        })
        .collect()
}

/// The one of these names that somebody meant who wrote `name`.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = known
        .into_iter()
        .min_by_key(|known| distance(known, name))?;
    Some(nearest).filter(|nearest| distance(nearest, name) <= name.len() / 4)
}

/// Kubernetes tells each container of its services: `MICRO_API_SERVICE_HOST`,
/// `MICRO_API_PORT_80_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

/// How many letters must be put in, left out or exchanged to get from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, above) in b.bytes().zip(row.iter_mut().skip(1)) {
            left = (diagonal + usize::from(x != y))
                .min(*above + 1)
                .min(left + 1);
            diagonal = std::mem::replace(above, left);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
