//! Pulls from a registry that demands a login. The registry is the test's own: it serves one image on this machine's
//! loopback, which engines take without encryption.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lcm::runtime::docker::drive::{Engine, Logins, connect};
use lcm::runtime::docker::intent::ContainerSpec;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::bench::{Bench, docker, own};

const USER: &str = "kim";
const PASSWORD: &str = "s3cret-of-the-registry";

/// Registry with one image, for one user.
struct Registry {
    host: String,
}

impl Registry {
    fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let image = Arc::new(image());
        // Ends with the test program: it waits for connections only.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let image = Arc::clone(&image);
                std::thread::spawn(move || answer_all(&connection, &image));
            }
        });
        Self { host }
    }

    fn image(&self) -> String {
        format!("{}/web:1", self.host)
    }
}

/// Documents of the registry by path: media type and content.
fn image() -> BTreeMap<String, (String, Vec<u8>)> {
    let layer = tar("hello", b"from the registry\n");
    // Unique, so that no earlier image of the engine has this id.
    let unique = format!("{:?}-{}", std::time::SystemTime::now(), std::process::id());
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Labels": { "of": unique } },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let part = |kind: &str, bytes: &[u8]| {
        json!({
            "mediaType": format!("application/vnd.docker.{kind}"), "size": bytes.len(), "digest": digest(bytes),
        })
    };
    let manifest_type = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type,
        "config": part("container.image.v1+json", &config),
        "layers": [part("image.rootfs.diff.tar.gzip", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let blob =
        |bytes: Vec<u8>| (format!("/v2/web/blobs/{}", digest(&bytes)), ("application/octet-stream".to_owned(), bytes));
    let by_digest = format!("/v2/web/manifests/{}", digest(&manifest));
    BTreeMap::from([
        blob(layer),
        blob(config),
        ("/v2/".to_owned(), ("application/json".to_owned(), b"{}".to_vec())),
        ("/v2/web/manifests/1".to_owned(), (manifest_type.to_owned(), manifest.clone())),
        (by_digest, (manifest_type.to_owned(), manifest)),
    ])
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns a tar with one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut head = [0_u8; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    let mut field = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{:011o}\0", content.len()));
    field(136, "00000000000\0");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = head.to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

/// Answers the requests of one connection until its client closes it.
fn answer_all(connection: &TcpStream, image: &BTreeMap<String, (String, Vec<u8>)>) {
    let mut reader = BufReader::new(connection);
    while let Some((method, path, authorization)) = request(&mut reader) {
        let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let (status, headers, body) = match image.get(&path) {
            _ if authorization != expected => {
                let body = br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#.to_vec();
                ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"test\"\r\n".to_owned(), body)
            }
            Some((kind, body)) => {
                let head = format!("Content-Type: {kind}\r\nDocker-Content-Digest: {}\r\n", digest(body));
                ("200 OK", head, body.clone())
            }
            None => ("404 Not Found", String::new(), br#"{"errors":[{"code":"NOT_FOUND","message":"none"}]}"#.to_vec()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let body = if method == "HEAD" { &[][..] } else { &body };
        let mut writer = connection;
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body)).is_err() {
            return;
        }
    }
}

/// Reads one request without a body: its method, path and authorization.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, String, String)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        // An engine tries encryption first, which is no text.
        let read = reader.by_ref().take(16 << 10).read_line(&mut line).ok()?;
        match line.trim_end() {
            "" if read == 0 => return None,
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let header = |line: &String| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
    };
    Some((method, path, lines.iter().find_map(header).unwrap_or_default()))
}

/// Returns an engine whose user has this Docker configuration, and programs in the same folder.
fn engine(folder: &Path, config: &str) -> Engine {
    fs::write(folder.join("config.json"), config).expect("a configuration");
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let environment: BTreeMap<String, String> = [("DOCKER_CONFIG", folder.display().to_string()), ("PATH", path)]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
    let logins = Logins::new(&environment, Path::new(env!("CARGO_BIN_EXE_lcm")));
    connect(None, &std::env::vars().collect()).expect("an engine").with_logins(logins)
}

/// Prepares a service with the registry's image; `Err`: the message.
async fn pull(bench: &Bench, engine: &Engine, image: &str) -> Result<(), String> {
    let service = own("web", ContainerSpec { image: image.to_owned(), ..bench.container("web", &[]) });
    engine.prepare(&bench.project, &service).await.map_err(|error| error.to_string())
}

pub(crate) async fn a_pull_without_a_login_names_the_registry_and_the_way() {
    let (bench, registry) = (Bench::new(), Registry::serve());
    let folder = tempfile::tempdir().expect("a folder");
    let message = pull(&bench, &engine(folder.path(), "{}"), &registry.image()).await.expect_err("denied");
    assert!(message.contains(&format!("registry {} requires a login", registry.host)), "{message}");
    assert!(
        message.contains("has no login for it") && message.contains(&format!("docker login {}", registry.host)),
        "{message}"
    );

    let wrong = json!({ "auths": { &registry.host: { "auth": STANDARD.encode("kim:wrong-password") } } });
    let message =
        pull(&bench, &engine(folder.path(), &wrong.to_string()), &registry.image()).await.expect_err("denied");
    assert!(message.contains("does not accept the login in "), "{message}");
    assert!(!message.contains("wrong-password"), "{message}");
}

pub(crate) async fn a_stored_login_is_used_for_a_pull() {
    let (bench, registry) = (Bench::new(), Registry::serve());
    let folder = tempfile::tempdir().expect("a folder");
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({ "auths": { format!("http://{}", registry.host): { "auth": auth } } });
    bench.at_the_end(&["image", "rm", &registry.image()]);
    pull(&bench, &engine(folder.path(), &config.to_string()), &registry.image()).await.expect("pulled");
    assert!(docker(&["image", "inspect", "--format", "{{.Id}}", &registry.image()]).is_ok());
}

pub(crate) async fn a_credential_helper_is_asked_for_the_login() {
    let (bench, registry) = (Bench::new(), Registry::serve());
    let folder = tempfile::tempdir().expect("a folder");
    let helper = folder.path().join("docker-credential-lcm-test");
    let config = json!({ "credHelpers": { &registry.host: "lcm-test" } }).to_string();
    let script = |text: &str| {
        fs::write(&helper, format!("#!/bin/sh\n{text}\n")).expect("a helper");
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("its mode");
    };
    let engine = engine(folder.path(), &config);
    let message = pull(&bench, &engine, &registry.image()).await.expect_err("no helper");
    assert!(message.contains("docker-credential-lcm-test, which is not on the PATH"), "{message}");
    script("echo 'credentials not found in the keychain'; exit 1");
    let message = pull(&bench, &engine, &registry.image()).await.expect_err("no login");
    assert!(message.contains("failed with exit code 1: credentials not found in the keychain"), "{message}");

    bench.at_the_end(&["image", "rm", &registry.image()]);
    script(&format!(
        "echo 'a warning' >&2\ntest \"$1\" = get && host=$(cat) && test \"$host\" = '{}' && \
         echo '{{\"ServerURL\":\"x\",\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'",
        registry.host
    ));
    pull(&bench, &engine, &registry.image()).await.expect("pulled");
}

pub(crate) async fn a_configuration_of_another_user_is_not_used() {
    let (bench, registry) = (Bench::new(), Registry::serve());
    let folder = tempfile::tempdir().expect("a folder");
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let engine = engine(folder.path(), &json!({ "auths": { &registry.host: { "auth": auth } } }).to_string());
    if !rustix::process::geteuid().is_root() {
        // Only root can give a file away.
        return;
    }
    std::os::unix::fs::chown(folder.path().join("config.json"), Some(61_001), None).expect("given away");
    let message = pull(&bench, &engine, &registry.image()).await.expect_err("denied");
    assert!(message.contains("is owned by ") && message.contains("does not use its logins"), "{message}");
}
