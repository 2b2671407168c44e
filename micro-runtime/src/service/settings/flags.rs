//! The command line, by clap.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, Command};

use super::Flags;
use super::origin::Stop;
use super::table::{Setting, TABLE};

// For programs without arguments of their own. No doc comment: clap would show it in the help.
#[derive(Args)]
pub(super) struct NoArgs {}

/// The name of the flag that explains, beside that of clap's own help.
const EXPLAIN: &str = "explain-config";

/// Reads flags: ours, and the program's own ones.
pub(super) fn parse<T: Args>(
    args: impl IntoIterator<Item: Into<OsString>>,
) -> Result<(Flags, T), Stop> {
    let variables = own_variables::<T>()?;
    let args = args.into_iter().map(Into::into).enumerate();
    let mut open = true;
    let args = args.map(|(at, arg)| {
        open &= arg != "--";
        if at > 0 && open { doubled(arg) } else { arg }
    });
    let matches = command::<T>().try_get_matches_from(args).map_err(stop)?;
    let own = T::from_arg_matches(&matches).map_err(stop)?;
    let mut flags = Flags {
        explain: matches.get_flag(EXPLAIN),
        variables,
        ..Flags::default()
    };
    for setting in TABLE {
        if let Some(values) = matches.get_many::<String>(&id(setting)) {
            let values: Vec<_> = values.map(String::as_str).collect();
            flags.values.insert(setting.name, values.join(","));
        }
    }
    Ok((flags, own))
}

/// The variables of the program's own arguments; an error where one of its flags is ours too, which
/// clap finds in debug builds alone, and with words that help nobody.
fn own_variables<T: Args>() -> Result<Vec<OsString>, Stop> {
    let command = T::augment_args(Command::new("own"));
    let names = |arg: &Arg| -> Vec<String> {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        let names = arg.get_long().into_iter().chain(aliases);
        names.map(str::to_owned).collect()
    };
    let taken = command.get_arguments().flat_map(names).find(|name| {
        let spelled = name.replace('-', "_");
        spelled == "help"
            || spelled == EXPLAIN.replace('-', "_")
            || TABLE.iter().any(|setting| setting.name == spelled)
    });
    if let Some(name) = taken {
        return Err(Stop::wrong(format!(
            "this program has an argument --{name} of its own, and every service has one of that name: the program's must get another name"
        )));
    }
    if command
        .get_arguments()
        .any(|arg| arg.get_short() == Some('h'))
    {
        return Err(Stop::wrong(
            "this program has an argument -h of its own, which asks every program for help: it must get another letter"
                .to_owned(),
        ));
    }
    let variables = command.get_arguments().filter_map(Arg::get_env);
    Ok(variables.map(ToOwned::to_owned).collect())
}

fn command<T: Args>() -> Command {
    let explain = Arg::new(EXPLAIN)
        .long(EXPLAIN)
        .alias("explain_config")
        .action(ArgAction::SetTrue)
        .help("Print each setting, its value and where that comes from, and exit");
    let command = Command::new("micro")
        .next_line_help(true)
        .disable_version_flag(true)
        .after_help("A flag goes before a variable, a variable before the file that --config names, and that before what the program says itself.\nMICRO_..._FILE names a file that holds the value.")
        .arg(explain);
    let command = TABLE
        .iter()
        .fold(command, |command, setting| command.arg(flag(setting)));
    T::augment_args(command.next_help_heading("Options"))
}

fn flag(setting: &Setting) -> Arg {
    let Setting { help, default, .. } = setting;
    let variable = setting.variable();
    let arg = Arg::new(id(setting))
        .long(setting.name)
        .alias(setting.name.replace('_', "-"))
        .help(format!("{help} [env: {variable}] [default: {default}]"))
        .help_heading(setting.group)
        .allow_hyphen_values(true);
    match (setting.value, setting.many) {
        ("", _) => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL"),
        (value, true) => arg.action(ArgAction::Append).value_name(value),
        // As in Go, the last of several counts.
        (value, false) => arg
            .action(ArgAction::Set)
            .value_name(value)
            .overrides_with(id(setting)),
    }
}

/// Apart from the names of the program's own arguments.
fn id(setting: &Setting) -> String {
    format!("micro.{}", setting.name)
}

/// Go takes one dash for two: `-server_name x`. So do we, for our own flags.
fn doubled(arg: OsString) -> OsString {
    let Some(text) = arg.to_str() else {
        return arg;
    };
    let Some(name) = text.strip_prefix('-') else {
        return arg;
    };
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    let ours = name == "help"
        || name == EXPLAIN
        || TABLE
            .iter()
            .any(|setting| setting.name == name.replace('-', "_"));
    if ours { format!("-{text}").into() } else { arg }
}

fn stop(error: clap::Error) -> Stop {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::new(0, text),
        _ => Stop::new(2, text),
    }
}
