//! Small HTTP server that services run, in this test binary: executed again with a variable set, it serves until it is
//! stopped. In the tests' own process it is a foreign server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use lcm::model::desired::Service;

use crate::support::{Bench, set};

/// Variable that names the file for the port.
const SERVE: &str = "LCM_TEST_SERVE";

/// A service that serves and writes its port to this file.
pub(crate) fn service(bench: &Bench, name: &str, port_file: &str) -> Service {
    let program = env::current_exe().expect("this binary");
    let program = program.to_str().expect("text");
    let mut service = bench.exec(name, &[program, "--ignored", "--exact", "server::serve", "--nocapture"]);
    set(&mut service, SERVE, bench.path(port_file).to_str().expect("text"));
    service
}

/// Serves from the tests' own process, for as long as that lives.
pub(crate) fn foreign(notes: &Path) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let notes = notes.to_owned();
    thread::spawn(move || accept(&listener, &notes));
    port
}

#[test]
#[ignore = "not a test: what services run"]
fn serve() {
    let Some(file) = env::var_os(SERVE).map(PathBuf::from) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    println!("now serving on port {port}");
    fs::write(&file, format!("{port}\n")).expect("noted");
    accept(&listener, &file);
}

fn accept(listener: &TcpListener, notes: &Path) {
    for stream in listener.incoming().flatten() {
        let notes = notes.to_owned();
        thread::spawn(move || answer(stream, &notes));
    }
}

fn answer(stream: TcpStream, notes: &Path) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut request = String::new();
    let mut length = 0;
    let _ = reader.read_line(&mut request);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap_or(0) < 3 {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (status, text) = match (method, path) {
        ("GET", "/ok") => ("200 OK", "all is well".to_owned()),
        ("GET", "/json") => ("200 OK", r#"{"ready": true, "jobs": 0, "name": "web", "waiting": []}"#.to_owned()),
        ("GET", "/working") => ("200 OK", r#"{"jobs": 3}"#.to_owned()),
        ("GET", "/moved") => ("302 Found\r\nLocation: /ok", String::new()),
        ("GET", "/long") => ("200 OK", format!("begin{}end", " ".repeat(2 << 20))),
        ("GET", "/hang") => {
            thread::park();
            return;
        }
        ("POST", "/free") => {
            fs::write(notes.with_extension("freed"), &body).expect("noted");
            ("204 No Content", String::new())
        }
        (_, "/broken") => ("503 Service Unavailable", String::new()),
        (_, _) => ("404 Not Found", String::new()),
    };
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
}
