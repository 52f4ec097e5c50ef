//! Calls of hooks and notifiers: real programs, and a real server. No process of a program outlives its call, and none
//! extends a call beyond its timeout.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use lcm::host::calls::{HookCall, HookResult};
use lcm::model::call::Call;
use lcm::model::hooks::{FORMAT, HookPayload, Payload, Point};
use lcm::model::lifecycle::State;
use lcm::model::plan::ReasonCode;
use lcm::runtime::Driver as _;
use serde_json::{Value, json};

use crate::probing::machine;
use crate::support::{Bench, PATIENCE, lives, wait_for};

fn payload(bench: &Bench) -> HookPayload {
    HookPayload {
        format: FORMAT.to_owned(),
        at: jiff::Timestamp::UNIX_EPOCH,
        hook: Point::PreStop,
        project: bench.project.clone(),
        service: "web".into(),
        from: State::Online,
        to: State::Offline,
        reason: "It is not in mode voice.".to_owned(),
        code: Some(ReasonCode::NotInMode),
        made: true,
        by: "kim".to_owned(),
        run: "20260102-030405-7".to_owned(),
        gpus: vec!["GPU-1".into()],
        instance: None,
    }
}

async fn call_within(bench: &Bench, call: &Call, timeout: Duration, cwd: &Path, payload: &HookPayload) -> HookResult {
    machine(bench, &[]).call(&HookCall { call, cwd, timeout, payload: Payload::Change(payload) }).await
}

async fn call(bench: &Bench, line: &str) -> HookResult {
    let call = Call::Exec(["sh", "-c", line].map(str::to_owned).to_vec());
    call_within(bench, &call, PATIENCE, bench.folder.path(), &payload(bench)).await
}

fn success(output: &str) -> HookResult {
    HookResult { error: None, output: output.to_owned() }
}

#[tokio::test]
async fn a_program_gets_the_payload_on_stdin_and_its_output_is_kept_in_order() {
    let bench = Bench::new();
    let answer = call(&bench, "cat > told; env > environment; echo one; echo two >&2; echo three").await;
    assert_eq!(answer, success("one\ntwo\nthree\n"));
    let told: Value = serde_json::from_str(&fs::read_to_string(bench.path("told")).expect("told")).expect("JSON");
    assert_eq!(told, json!(payload(&bench)));
    assert_eq!(
        (&told["format"], &told["hook"], &told["code"]),
        (&json!(FORMAT), &json!("pre_stop"), &json!("not_in_mode"))
    );
    let environment = fs::read_to_string(bench.path("environment")).expect("its environment");
    let state = bench.path("state");
    for line in [
        format!("LCM_PROJECT={}", bench.project),
        "LCM_SERVICE=web".to_owned(),
        "LCM_HOOK=pre_stop".to_owned(),
        format!("LCM_STATE_DIR={}", state.display()),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
    ] {
        assert!(environment.lines().any(|found| found == line), "{line} is not in\n{environment}");
    }
    assert!(!environment.contains("TAKEN_OVER") && !environment.contains("LCM_SALT"), "{environment}");
}

#[tokio::test]
async fn a_failure_names_the_exit_or_the_missing_program() {
    let bench = Bench::new();
    let answer = call(&bench, "echo no licence; exit 3").await;
    assert_eq!(answer, HookResult { error: Some("exits 3".to_owned()), output: "no licence\n".to_owned() });
    assert_eq!(call(&bench, "kill -9 $$").await.error.as_deref(), Some("exits 137"));
    let absent = Call::Exec(vec!["./no-such-program".to_owned()]);
    let answer = call_within(&bench, &absent, PATIENCE, bench.folder.path(), &payload(&bench)).await;
    let error = answer.error.expect("it can't be run");
    assert!(error.starts_with("can't run: its program ./no-such-program does not exist"), "{error}");
    let nowhere = bench.path("nowhere");
    let answer = call_within(&bench, &absent, PATIENCE, &nowhere, &payload(&bench)).await;
    assert!(answer.error.is_some_and(|error| error.contains("its folder")));
}

#[tokio::test]
async fn unread_input_and_excessive_output_are_no_errors() {
    let bench = Bench::new();
    let mut long = payload(&bench);
    long.reason = "why ".repeat(1 << 18);
    let unreadable = Call::Exec(["sh", "-c", "exec 0<&-; echo done"].map(str::to_owned).to_vec());
    let answer = call_within(&bench, &unreadable, PATIENCE, bench.folder.path(), &long).await;
    assert_eq!(answer, success("done\n"));
    let answer = call(&bench, "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last").await;
    assert_eq!(answer.error, None);
    let output = answer.output;
    assert!(output.starts_with("first\nxx") && output.ends_with("xx\nlast\n"), "{} bytes", output.len());
    assert!(output.len() < 40_000 && output.contains("x\n…\nx"), "{} bytes", output.len());
}

#[tokio::test]
async fn at_its_deadline_a_program_is_killed_with_all_its_descendants() {
    let bench = Bench::new();
    let line = "sh -c 'trap \"\" TERM; echo $$ > child; sleep 600' & echo begun; sleep 600; echo never";
    let stubborn = Call::Exec(["sh", "-c", line].map(str::to_owned).to_vec());
    // With the first timeout that lets the program begin on this machine.
    for timeout in [1, 5, 20, 60].map(Duration::from_secs) {
        let answer = call_within(&bench, &stubborn, timeout, bench.folder.path(), &payload(&bench)).await;
        assert_eq!(answer.error, Some(format!("did not end within {}s", timeout.as_secs())));
        if let Ok(pid) = fs::read_to_string(bench.path("child")).unwrap_or_default().trim().parse() {
            assert_eq!(answer.output, "begun\n");
            return wait_for("the child's end", || (!lives(pid)).then_some(())).await;
        }
    }
    panic!("it never began");
}

/// Commands that each leave a process behind, which writes its pid to `left` before the command is done.
const ESCAPES: [(&str, &str); 8] = [
    ("in the background", "sh -c 'echo $$ > left; exec sleep 600' &"),
    ("in a session of its own", "setsid sh -c 'echo $$ > left; exec sleep 600' &"),
    ("forked twice", "( ( setsid sh -c 'echo $$ > left; exec sleep 600' & ) & )"),
    ("ignoring a hangup", "nohup sh -c 'echo $$ > left; exec sleep 600' > /dev/null 2>&1 &"),
    (
        "ignoring all signals that can be ignored",
        "sh -c 'trap \"\" TERM INT HUP QUIT; echo $$ > left; sleep 600; sleep 600' &",
    ),
    ("stopped", "sh -c 'echo $$ > left; kill -STOP $$; exec sleep 600' &"),
    ("with nothing open", "setsid sh -c 'echo $$ > left; exec 0<&- 1>&- 2>&-; exec sleep 600' &"),
    ("in a namespace of its own", "setsid unshare -Ur sh -c 'echo $$ > left; exec sleep 600' &"),
];

#[tokio::test]
async fn processes_that_a_call_leaves_behind_end_with_it_wherever_they_escaped() {
    for (how, line) in ESCAPES {
        let bench = Bench::new();
        let answer = call(&bench, &format!("{line}\nwhile ! [ -s left ]; do sleep 0.01; done; echo done")).await;
        let left: i32 = bench.line_of("left").await.parse().expect("a pid");
        assert!(!lives(left), "{how}: it ended before the call did");
        assert_eq!(answer.error, None, "{how}");
        let (first, rest) = answer.output.split_once('\n').expect("lines");
        assert_eq!(first, "done", "{how}");
        assert!(
            rest.starts_with("lcm: ended the processes that were left running: ") && rest.contains("(pid "),
            "{how}: {rest}"
        );
    }
}

#[tokio::test]
async fn a_call_that_kills_its_guardian_is_ended_with_all_its_processes() {
    let bench = Bench::new();
    let answer = call(&bench, "sleep 600 & echo $! > child; kill -KILL $PPID; sleep 600").await;
    let error = answer.error.expect("how it ended is not known");
    assert!(error.contains("the lcm process that guarded it was killed"), "{error}");
    let child = bench.line_of("child").await.parse().expect("a pid");
    assert!(!lives(child), "it ended before the call did");
    let answer = call(&bench, "for signal in TERM INT HUP QUIT; do kill -$signal $PPID; done; echo done").await;
    assert_eq!(answer, success("done\n"), "no other signal ends a guardian");
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing() {
    let bench = Bench::new();
    let pid = tokio::select! {
        answer = call(&bench, "sleep 600 & echo $! > child; sleep 600") => panic!("it ended: {answer:?}"),
        line = bench.line_of("child") => line.parse().expect("a pid"),
    };
    wait_for("the child's end", || (!lives(pid)).then_some(())).await;
}

/// Serves one response after the other, and passes on the requests.
fn server(answers: Vec<&'static str>) -> (u16, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (ask, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let mut stream = listener.accept().expect("a caller").0;
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).expect("a body");
            if ask.send((head, body)).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (port, asked)
}

#[tokio::test]
async fn an_address_gets_the_event_or_the_json_of_the_manifest_and_any_2xx_is_a_success() {
    let bench = Bench::new();
    let (port, asked) = server(vec![
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthanks",
        "HTTP/1.1 409 Conflict\r\ncontent-length: 11\r\n\r\nstill in us",
    ]);
    let url = format!("http://127.0.0.1:{port}/lcm");
    let request = |json| Call::Http { method: "POST".to_owned(), url: url.clone(), json };
    let ask = async |call| call_within(&bench, &call, PATIENCE, Path::new("/"), &payload(&bench)).await;
    assert_eq!(ask(request(None)).await, success(""));
    let (head, body) = asked.recv_timeout(PATIENCE).expect("asked");
    assert!(head.starts_with("POST /lcm HTTP/1.1\r\n") && head.contains("application/json"), "{head}");
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON"), json!(payload(&bench)));
    assert_eq!(ask(request(Some(json!({ "text": "hello" })))).await, success("thanks"));
    assert_eq!(asked.recv_timeout(PATIENCE).expect("asked").1, br#"{"text":"hello"}"#);
    let answer = ask(request(None)).await;
    assert_eq!(
        answer,
        HookResult { error: Some("answered 409 Conflict".to_owned()), output: "still in us".to_owned() }
    );
    assert!(ask(request(None)).await.error.is_some(), "the server has ended");
}

#[tokio::test]
async fn an_address_that_hangs_fails_at_its_deadline() {
    let bench = Bench::new();
    // The listener accepts connections, and sends no response.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let call = Call::Http { method: "POST".to_owned(), url: format!("http://127.0.0.1:{port}/"), json: None };
    let answer = call_within(&bench, &call, Duration::from_millis(300), Path::new("/"), &payload(&bench)).await;
    assert_eq!(answer.error.as_deref(), Some("no answer within 300ms"));
}
