//! A page at an origin of its own, and the browser that opens it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

const PAGE: &str = include_str!("page.html");
/// What a browser needs at most to start and to make all calls.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where a page comes from, and what it reports.
pub struct Page {
    pub origin: String,
    listener: Option<TcpListener>,
}

impl Page {
    /// An origin that serves nothing yet.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            origin: format!("http://{}", listener.local_addr().unwrap()),
            listener: Some(listener),
        }
    }

    /// Opens the page in a browser, where it calls the service at `address`, and gives its report.
    pub fn report(mut self, address: &str) -> Vec<String> {
        let page = PAGE.replace("SERVER", &format!("http://{address}"));
        let (reports, reported) = channel();
        let listener = self.listener.take().unwrap();
        // Ends with the test's process; it is asked nothing more by then.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (page, reports) = (page.clone(), reports.clone());
                thread::spawn(move || answer(stream, &page, &reports));
            }
        });
        let mut browser = Browser::open(&self.origin);
        let report = wait(&reported, &mut browser);
        report.lines().map(str::to_owned).collect()
    }
}

fn wait(reported: &Receiver<String>, browser: &mut Browser) -> String {
    reported
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("the page has reported nothing: {}", browser.end()))
}

/// Answers one request and closes the connection.
fn answer(stream: TcpStream, page: &str, reports: &Sender<String>) {
    let mut input = BufReader::new(stream);
    let mut first = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if first.is_empty() {
            first = line.to_owned();
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).unwrap();
    let (status, answer) = match &*first {
        "GET / HTTP/1.1" => ("200 OK", page),
        "POST /report HTTP/1.1" => {
            // Fails only where nobody waits any more.
            let _ = reports.send(String::from_utf8(body).unwrap());
            ("204 No Content", "")
        }
        _ => ("404 Not Found", ""),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    let mut stream = input.into_inner();
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(answer.as_bytes());
}

/// A browser without a window, and the folder that it has for itself.
struct Browser {
    child: Child,
    _folder: TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let child = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--no-default-browser-check",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-default-apps",
                "--disable-extensions",
                "--disable-dev-shm-usage",
                "--metrics-recording-only",
                "--no-pings",
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                // Something to attach to keeps it open.
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(url)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is no 'chromium' on the PATH: install it (Debian: chromium), or use tests/run, which does");
        Self {
            child,
            _folder: folder,
        }
    }

    /// Ends it, and gives what it said.
    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let mut said = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.read_to_string(&mut said);
        }
        let _ = self.child.wait();
        said
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
