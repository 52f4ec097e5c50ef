//! Headless browser, driven by the `DevTools` protocol over two pipes: no port, no crate. Each browser has its own
//! temporary profile.
//!
//! Every wait is for a response, and all waits share one deadline: exceeding it is a failure, not a measurement.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Deadline for one browser and all its commands; a busy machine takes seconds to start one.
const PATIENCE: Duration = Duration::from_mins(3);

/// Names of the browser on Debian and others.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Reason why there is no browser to test in.
pub(crate) fn chromium_missing() -> Option<String> {
    binary().is_none().then(|| format!("none of {} is installed", NAMES.join(", ")))
}

fn binary() -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    found.into_iter().find(|file| file.is_file()).map(|file| file.display().to_string())
}

/// One page in one browser.
pub(crate) struct Page {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// Events that the browser sent, in order.
    pub(crate) events: Vec<Value>,
    deadline: Instant,
    profile: tempfile::TempDir,
}

impl Page {
    /// An empty page.
    pub(crate) fn new() -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let binary = binary().expect("a browser");
        // The browser reads commands from descriptor 3 and writes responses to descriptor 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null", &binary])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--remote-debugging-pipe", "--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a browser starts");
        let commands = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, messages) = channel();
        // The thread ends with the browser, whose end closes the pipe.
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).unwrap_or(Value::Null);
                message.clear();
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let mut page =
            Self { child, commands, messages, session: None, last: 0, events: Vec::new(), deadline, profile };
        let target = page.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = page.call("Target.attachToTarget", &attach);
        page.session = session["sessionId"].as_str().map(ToOwned::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page
    }

    /// Loads a page with this HTML, and waits until it is loaded.
    pub(crate) fn show(&mut self, html: &str) -> String {
        let path = self.profile.path().join("page.html");
        std::fs::write(&path, html).expect("a page");
        self.open(&path)
    }

    fn open(&mut self, path: &Path) -> String {
        let url = format!("file://{}", path.display());
        self.events.clear();
        self.call("Page.navigate", &json!({ "url": url }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next("the page is loaded");
            self.events.push(event);
        }
        url
    }

    /// Sends a command; returns the browser's response. An error is a failure.
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).and_then(|()| self.commands.flush()).expect("the browser reads commands");
        loop {
            let message = self.next(method);
            if message["id"] == self.last {
                assert!(message.get("error").is_none(), "{method} {parameters}: {}", message["error"]);
                return message["result"].clone();
            }
            if message.get("method").is_some() {
                self.events.push(message);
            }
        }
    }

    fn next(&mut self, what: &str) -> Value {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.messages.recv_timeout(left).unwrap_or_else(|error| panic!("{what}: no answer from the browser: {error}"))
    }

    /// Evaluates an expression in the page.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let request = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &request);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Presses and releases a key.
    pub(crate) fn press(&mut self, key: &str, number: u32) {
        let text = match key {
            "Enter" => "\r",
            " " => " ",
            _ => "",
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": number, "text": text });
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Clicks the centre of the first element that matches the selector.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.eval(&format!(
            "(() => {{ const element = document.querySelector({selector:?}); element.scrollIntoView({{ block: 'center' }}); \
             const box = element.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let (x, y) = (&place[0], &place[1]);
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Sets the size of the screen.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// Sets the medium, and a media feature such as `prefers-color-scheme` or `prefers-reduced-motion`.
    pub(crate) fn media(&mut self, medium: &str, name: &str, value: &str) {
        let features = json!([{ "name": name, "value": value }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "media": medium, "features": features }));
    }
}

impl Drop for Page {
    /// Closes the browser and waits for its end: its profile can't be removed while the browser writes there.
    fn drop(&mut self) {
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.commands.flush();
        // Its end closes the pipe; messages until then are discarded.
        while self.messages.recv_timeout(self.deadline.saturating_duration_since(Instant::now())).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
