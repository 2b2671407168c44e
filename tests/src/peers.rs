//! The programs that live tests start: the Go peers, and our own twin of them.
//!
//! Flags are given without dashes (`call=hello`, `insecure`), so that a test says the same to both.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::netns::Namespace;

/// How long a program may take to be ready, or to say what is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may run in all.
const RUN_LIMIT: Duration = Duration::from_secs(180);

/// A program with the flags that it always gets.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    dashes: &'static str,
    flags: Vec<String>,
    /// The beginning of the command line: how to get into a namespace.
    prefix: Vec<OsString>,
    variables: Vec<(String, OsString)>,
}

impl Program {
    /// The Go peer called `name`, from the folder in `MICRO_PEERS` or from `target/peers`.
    ///
    /// # Panics
    /// Where it has not been built: a live test without its peer must not pass.
    pub fn go(name: &str) -> Self {
        let folder = match std::env::var_os("MICRO_PEERS") {
            Some(folder) => PathBuf::from(folder),
            None => workspace().join("target/peers"),
        };
        let path = folder.join(name);
        assert!(
            path.is_file(),
            "there is no Go peer {}: run tests/peers/build (it needs Go), or tests/run, which does",
            path.display()
        );
        Self {
            path,
            dashes: "-",
            flags: Vec::new(),
            prefix: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// The file to run, for programs that take no mode.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Our twin of the Go peer called `name`; `path` is that of `micro-interop`.
    pub fn ours(path: impl Into<PathBuf>, name: &str) -> Self {
        Self {
            path: path.into(),
            dashes: "--",
            flags: vec![format!("service={name}")],
            prefix: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// The program with more flags.
    #[must_use]
    pub fn with(mut self, flags: &[&str]) -> Self {
        self.flags
            .extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// The program with a variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// The program in a network of its own.
    #[must_use]
    pub fn within(mut self, namespace: &Namespace) -> Self {
        self.prefix = namespace.prefix();
        self
    }

    /// Runs it as a client to its end.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn run(&self, flags: &[&str]) -> Ended {
        self.start("client", flags).finish()
    }

    /// Starts it as a server and waits until it is ready.
    ///
    /// # Panics
    /// Where it is not ready in time, with what it said.
    pub fn serve(&self, flags: &[&str]) -> Running {
        let mut running = self.start("server", flags);
        let ready = running.wait_for("READY ");
        running.address = ready.trim_start_matches("READY ").to_owned();
        running
    }

    /// Starts it as a client and does not wait: see [`Running::finish`].
    ///
    /// # Panics
    /// Where it does not start.
    pub fn launch(&self, flags: &[&str]) -> Running {
        self.start("client", flags)
    }

    fn start(&self, mode: &str, flags: &[&str]) -> Running {
        let mode = format!("mode={mode}");
        let own = self.flags.iter().map(String::as_str);
        let flags: Vec<String> = std::iter::once(&*mode)
            .chain(own)
            .chain(flags.iter().copied())
            .map(|flag| format!("{}{flag}", self.dashes))
            .collect();
        let what = format!("{} {}", self.path.display(), flags.join(" "));
        let mut words = self.prefix.iter().map(OsString::as_os_str);
        let path = self.path.as_os_str();
        let mut child = Command::new(words.next().unwrap_or(path))
            .args(words.chain((!self.prefix.is_empty()).then_some(path)))
            .args(&flags)
            // Proxies of the machine are no part of a test.
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let (send, lines) = channel();
        read_lines(child.stdout.take(), Line::Out, send.clone());
        read_lines(child.stderr.take(), Line::Err, send);
        Running {
            what,
            address: String::new(),
            child,
            lines,
            seen: Vec::new(),
        }
    }
}

/// Sends a process a signal: `STOP`.
///
/// # Panics
/// Where that cannot be done.
pub(crate) fn signal(process: u32, name: &str) {
    // Every shell can; a program called kill is not on every machine.
    let sent = Command::new("sh")
        .args(["-c", "kill -\"$0\" \"$1\"", name, &process.to_string()])
        .status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "process {process} could not be sent {name}"
    );
}

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

#[derive(Clone, Debug)]
enum Line {
    Out(String),
    Err(String),
}

impl Line {
    fn text(&self) -> &str {
        match self {
            Self::Out(text) | Self::Err(text) => text,
        }
    }
}

fn read_lines(
    from: Option<impl Read + Send + 'static>,
    kind: fn(String) -> Line,
    to: Sender<Line>,
) {
    let Some(from) = from else { return };
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if to.send(kind(line)).is_err() {
                return;
            }
        }
    });
}

/// A program that runs; killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    what: String,
    address: String,
    child: Child,
    lines: Receiver<Line>,
    seen: Vec<Line>,
}

impl Running {
    /// Where a server listens: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The port of the address.
    ///
    /// # Panics
    /// Where it is no server.
    pub fn port(&self) -> &str {
        self.address
            .rsplit_once(':')
            .expect("a server has a port")
            .1
    }

    /// The flag that makes a client call this server.
    pub fn as_flag(&self) -> String {
        format!("address={}", self.address)
    }

    /// Waits for a line that holds `text`, on either output, and gives it. Lines before it are passed over.
    ///
    /// # Panics
    /// Where it does not come within half a minute, with what the program said.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_any(&[text])
    }

    /// As [`wait_for`](Running::wait_for), for a line that holds any of `texts`.
    ///
    /// # Panics
    /// As [`wait_for`](Running::wait_for).
    pub fn wait_for_any(&mut self, texts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next_line(deadline) {
                Ok(line) => {
                    let found = texts.iter().any(|text| line.text().contains(text));
                    let text = line.text().to_owned();
                    self.seen.push(line);
                    if found {
                        return text;
                    }
                }
                Err(error) => panic!("{} did not say {texts:?} ({error})\n{self}", self.what),
            }
        }
    }

    /// How many lines that begin with `start` it has written until now.
    pub fn count(&mut self, start: &str) -> usize {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push(line);
        }
        let lines = self.seen.iter().map(Line::text);
        lines.filter(|text| text.starts_with(start)).count()
    }

    /// Asks the server to stop, as Ctrl-C does, and waits for its end.
    ///
    /// # Panics
    /// Where it cannot be asked.
    pub fn stop(self) -> Ended {
        self.signal("INT");
        self.ended()
    }

    /// Asks the server to stop, as those do that run services, and waits for its end.
    ///
    /// # Panics
    /// Where it cannot be asked.
    pub fn terminate(self) -> Ended {
        self.signal("TERM");
        self.ended()
    }

    /// Ends it as a crash does, and gives what it had said.
    pub fn crash(mut self) -> Ended {
        self.kill();
        self.ended()
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `STOP`.
    ///
    /// # Panics
    /// Where that cannot be done.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn ended(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.next_line(deadline) {
            self.seen.push(line);
        }
        self.end()
    }

    /// Waits until the client has ended by itself.
    pub fn finish(mut self) -> Ended {
        let deadline = Instant::now() + RUN_LIMIT;
        while let Ok(line) = self.next_line(deadline) {
            self.seen.push(line);
        }
        self.end()
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn next_line(&mut self, deadline: Instant) -> Result<Line, RecvTimeoutError> {
        self.lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    /// What it was, once both outputs are closed; else it is killed.
    fn end(mut self) -> Ended {
        let closed = matches!(
            self.lines.try_recv(),
            Err(std::sync::mpsc::TryRecvError::Disconnected)
        );
        if !closed {
            self.seen
                .push(Line::Err("(killed: it ran for too long)".to_owned()));
            let _ = self.child.kill();
        }
        let code = self.child.wait().ok().and_then(|status| status.code());
        let (mut lines, mut log) = (Vec::new(), Vec::new());
        for line in std::mem::take(&mut self.seen) {
            match line {
                Line::Out(text) => lines.push(text),
                Line::Err(text) => log.push(text),
            }
        }
        Ended {
            what: self.what.clone(),
            lines,
            log,
            code,
        }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen
            .iter()
            .try_for_each(|line| writeln!(f, "  {}", line.text()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The command.
    pub what: String,
    /// The lines of its standard output.
    pub lines: Vec<String>,
    /// The lines of its standard error.
    pub log: Vec<String>,
    /// Its exit code; none where it was killed.
    pub code: Option<i32>,
}

impl Ended {
    /// Whether all calls went well.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The rest of the first line that begins with `start`.
    pub fn line(&self, start: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(start))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ended with {:?}", self.what, self.code)?;
        for line in self.lines.iter().chain(&self.log).take(40) {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}
