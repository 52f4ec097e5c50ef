//! Whole projects of several files, without a disk: the merged model, and the manifest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::import::compose::keys::SharedKeys;
use crate::import::compose::project::{ParsedFiles, load};
use crate::import::compose::{plain, translated};
use crate::import::draft::{ImportContext, ManifestDraft};
use crate::syntax::problem::Problems;
use crate::syntax::source::{Source, Sources};
use crate::syntax::yaml::{self, SizeBudget};

/// Files of a project, by path from its folder; the first `given` ones are given.
struct ProjectFolder<'a> {
    files: Vec<(&'a str, &'a str)>,
    given: usize,
    dotenv: &'a [(&'a str, &'a str)],
    environment: &'a [(&'a str, &'a str)],
}

impl<'a> ProjectFolder<'a> {
    fn of(files: &[(&'a str, &'a str)]) -> Self {
        Self { files: files.to_vec(), given: 1, dotenv: &[], environment: &[] }
    }

    fn setting(&self) -> ImportContext {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        ImportContext {
            name: "p".to_owned(),
            variables: map(self.dotenv),
            environment: map(self.environment),
            base: PathBuf::new(),
        }
    }

    fn parsed(&self) -> ParsedFiles {
        let (mut sources, mut budget, mut problems) = (Sources::default(), SizeBudget::default(), Vec::new());
        let mut roots = Vec::new();
        for (path, text) in &self.files[..self.given] {
            let number = sources.add(Source::new((*path).into(), "/".into(), (*text).to_owned()));
            let root = yaml::parse(&sources, number, &mut budget, &mut problems).expect("valid");
            roots.push((PathBuf::from(path), root));
        }
        assert!(problems.is_empty(), "{problems:?}");
        ParsedFiles { roots, sources, budget }
    }

    fn read(&self, path: &Path) -> Result<Option<String>, String> {
        if path.ends_with("locked.yaml") {
            return Err("it can't be read: permission denied".to_owned());
        }
        Ok(self.files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned()))
    }

    /// Returns the merged services.
    fn model(&self) -> Result<String, Problems> {
        let (setting, read) = (self.setting(), |path: &Path| self.read(path));
        let project = load(self.parsed(), &setting, &read)?;
        let services = project.root.get("services").expect("services");
        Ok(plain::json(services, &|text| project.variables.resolve(text)).to_string())
    }

    fn draft(&self) -> ManifestDraft {
        let (setting, read) = (self.setting(), |path: &Path| self.read(path));
        let project = load(self.parsed(), &setting, &read).unwrap_or_else(|problems| panic!("{problems}"));
        translated(project, &setting, SharedKeys::of_runtimes())
    }

    fn refusal(&self) -> String {
        self.model().map_err(|problems| problems.to_string()).expect_err("a refusal")
    }
}

/// Asserts that the manifest has each of these lines.
#[track_caller]
fn has(draft: &ManifestDraft, wanted: &[&str]) {
    for wanted in wanted {
        let found = draft.text.lines().any(|line| line.trim() == *wanted);
        assert!(found, "{wanted}\n{}", draft.text);
    }
}

#[test]
fn several_files_and_extends_merge_as_in_compose() {
    let base = "services: { web: { image: one, environment: { A: 1 }, labels: [l=1], ports: ['80:80'], volumes: \
                ['a:/a'], env_file: one.env, depends_on: [db] }, db: { image: db } }";
    let over = "services: { web: { environment: [B=2], labels: { m: 2 }, ports: ['81:81'], volumes: ['./b:/b'], \
                env_file: [two.env], depends_on: { db: { condition: service_healthy } } } }";
    let disk = ProjectFolder { given: 2, ..ProjectFolder::of(&[("base.yaml", base), ("over.yaml", over)]) };
    let wanted = r#"{"web":{"image":"one","environment":{"A":"1","B":"2"},"labels":{"l":"1","m":"2"},"ports":["80:80","81:81"],"volumes":["a:/a","./b:/b"],"env_file":["one.env","two.env"],"depends_on":{"db":{"condition":"service_healthy"}}},"db":{"image":"db"}}"#;
    assert_eq!(disk.model().expect("a model"), wanted);
}

#[test]
fn a_service_extends_one_of_another_folder_with_its_paths() {
    let main = "services: { web: { extends: { file: lib/common.yaml, service: web }, environment: [B=2], ports: !override ['1:1'] } }";
    let common = "services: { web: { extends: { file: ../deep/base.yaml, service: base }, volumes: ['./x:/x', 'named:/n', \
                  '../up:/up'], env_file: [c.env] } }";
    let base = "services: { base: { image: base, build: ./src, environment: { A: 1 }, ports: ['80:80'], volumes: [{ type: bind, source: ./y, target: /y }] } }";
    let disk = ProjectFolder::of(&[("main.yaml", main), ("lib/common.yaml", common), ("deep/base.yaml", base)]);
    let wanted = r#"{"web":{"image":"base","build":{"context":"./deep/src"},"environment":{"A":"1","B":"2"},"ports":["1:1"],"volumes":[{"type":"bind","source":"./deep/y","target":"/y"},"./lib/x:/x","named:/n","./up:/up"],"env_file":["./lib/c.env"]}}"#;
    assert_eq!(disk.model().expect("a model"), wanted);
}

#[test]
fn a_reset_reaches_through_extends_to_earlier_files() {
    let base = "services: { a: { image: x, ports: ['1:1'] } }";
    let over = "services: { a: { extends: { service: b }, ports: !reset [] }, b: { image: y, ports: ['2:2'] } }";
    let disk = ProjectFolder { given: 2, ..ProjectFolder::of(&[("1.yaml", base), ("2.yaml", over)]) };
    assert_eq!(disk.model().expect("a model"), r#"{"a":{"image":"y"},"b":{"image":"y","ports":["2:2"]}}"#);
}

#[test]
fn circles_and_missing_services_are_refused() {
    for (files, reason) in [
        (
            &[("a.yaml", "services: { a: { image: x, extends: a } }")][..],
            "services extend each other in a circle: a → a",
        ),
        (
            &[("a.yaml", "services: { a: { extends: { service: b } }, b: { extends: { service: a } } }")],
            "services extend each other in a circle: a → b → a",
        ),
        (
            &[
                ("a.yaml", "services: { a: { extends: { file: b.yaml, service: b } } }"),
                ("b.yaml", "services: { b: { extends: { file: ./a.yaml, service: a } } }"),
            ],
            "services extend each other in a circle: a → b → a",
        ),
        (
            &[("a.yaml", "services: { a: { extends: { service: z } } }")],
            "service `a` extends `z`, which is not in a.yaml",
        ),
        (&[("a.yaml", "services: { a: { extends: {} } }")], "`extends` of service `a` names no service"),
        (
            &[("a.yaml", "include: [b.yaml]\nservices: {}"), ("b.yaml", "include: [b.yaml]\nservices: {}")],
            "b.yaml includes itself",
        ),
        (
            &[
                ("a.yaml", "services: { a: { extends: { file: secret, service: a } } }"),
                ("secret", "services: { a: [s3cr3t"),
            ],
            "secret is not valid YAML",
        ),
    ] {
        let refusal = ProjectFolder::of(files).refusal();
        assert!(refusal.contains(reason), "{reason}\n{refusal}");
    }
}

#[test]
fn expansion_is_bounded() {
    let big = format!(
        "b: {{ image: x, environment: [{}] }}",
        (0..5000).map(|name| format!("E{name}=")).collect::<Vec<_>>().join(",")
    );
    let many: String = (0..300).map(|number| format!(", s{number}: {{ extends: b }}")).collect::<Vec<_>>().concat();
    let refusal = ProjectFolder::of(&[("a.yaml", &format!("services: {{ {big}{many} }}"))]).refusal();
    assert!(refusal.contains("the services that extend others are too large together"), "{refusal}");
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
    let chain: String =
        (0..40).map(|number| format!("s{number}: {{ extends: s{} }}, ", number + 1)).collect::<Vec<_>>().concat();
    let refusal = ProjectFolder::of(&[("a.yaml", &format!("services: {{ {chain} s40: {{ image: x }} }}"))]).refusal();
    assert!(refusal.contains("more than 16 services extend each other"), "{refusal}");
    // A file that many services extend counts once.
    let many: String = (0..200)
        .map(|number| format!("s{number}: {{ extends: {{ file: c.yaml, service: c }} }}, "))
        .collect::<Vec<_>>()
        .concat();
    let disk = [("a.yaml", &*format!("services: {{ {many} }}")), ("c.yaml", "services: { c: { image: x } }")];
    assert_eq!(ProjectFolder::of(&disk).model().expect("a model").matches("image").count(), 200);
    let includes: String = (0..200).map(|number| format!("- f{number}.yaml\n")).collect::<Vec<_>>().concat();
    let draft =
        ProjectFolder::of(&[("a.yaml", &format!("services: {{ a: {{ image: x }} }}\ninclude:\n{includes}"))]).draft();
    assert!(draft.notes.iter().any(|note| note.contains("more than 100 files")), "{:?}", draft.notes);
}

#[test]
fn a_file_that_is_no_compose_file_is_never_quoted() {
    let main = "include: [key]\nservices: { a: { image: x, extends: { file: key, service: a } } }";
    let draft = ProjectFolder::of(&[("a.yaml", main), ("key", "password: s3cr3t")]).draft();
    assert!(!draft.text.contains("s3cr3t"), "{}", draft.text);
    assert!(draft.notes.iter().any(|note| note.contains("it is not a Compose file")), "{:?}", draft.notes);
    let refusal = ProjectFolder::of(&[("a.yaml", main), ("key", "password: [s3cr3t")]).refusal();
    assert!(!refusal.contains("s3cr3t") && refusal.contains("key is neither a Compose file"), "{refusal}");
}

#[test]
fn what_is_missing_is_noted_at_its_place() {
    let main = "include: [gone.yaml, 'https://x/y.yaml', locked.yaml]\nservices: { a: { image: x, extends: { file: gone.yaml, service: b } } }";
    let draft = ProjectFolder::of(&[("a.yaml", main)]).draft();
    has(
        &draft,
        &[
            "# it extends `b` of gone.yaml, whose settings are missing here: it does not exist",
            "# include: gone.yaml is missing here: it does not exist",
            "# include: https:/x/y.yaml is not read: it is not on this machine",
            "# include: locked.yaml is missing here: it can't be read: permission denied",
        ],
    );
}

#[test]
fn an_include_has_its_own_folder_and_variables() {
    let main = "include: [lib/piper.yaml, { path: [far/a.yaml, far/b.yaml], project_directory: ., env_file: far/x.env }]\n\
                services: { web: { image: 'web:${TAG}' }, both: { image: mine } }";
    let piper = "include: { path: deep/c.yaml }\nservices: { piper: { image: 'piper:${TAG}-${OWN}', volumes: ['${DATA}:/data', './d:/d'] } }";
    let disk = ProjectFolder {
        dotenv: &[("TAG", "1")],
        ..ProjectFolder::of(&[
            ("compose.yaml", main),
            ("lib/piper.yaml", piper),
            ("lib/.env", "TAG=lost\nOWN=2\nDATA=./voices\nPASSWORD=s3cr3t"),
            ("lib/deep/c.yaml", "services: { c: { image: 'c:${OWN}', env_file: c.env, command: 'c ${PASSWORD}' } }"),
            ("far/a.yaml", "services: { a: { image: 'a:${OWN}', volumes: ['./v:/v'] } }"),
            (
                "far/b.yaml",
                "services: { a: { user: '${U}' }, both: { image: theirs, user: kept } }\nvolumes: { v: {} }",
            ),
            ("far/x.env", "OWN=3\nU=u"),
        ])
    };
    let wanted = r#"{"web":{"image":"web:1"},"both":{"image":"mine","user":"kept"},"piper":{"image":"piper:1-2","volumes":["./lib/voices:/data","./lib/d:/d"]},"c":{"image":"c:2","env_file":["./lib/deep/c.env"],"command":"c "},"a":{"image":"a:3","volumes":["./v:/v"],"user":"u"}}"#;
    let mut services: serde_json::Value = serde_json::from_str(&disk.model().expect("a model")).expect("JSON");
    let wanted: serde_json::Value = serde_json::from_str(wanted).expect("JSON");
    // A hidden value is required, so it has no value here.
    services["c"]["command"] = "c ".into();
    assert_eq!(services, wanted);
    let draft = disk.draft();
    has(&draft, &["image: \"c:${OWN-2}\"", "- \"${DATA-./lib/voices}:/data\"", "- ./lib/d:/d"]);
    assert!(
        !draft.text.contains("s3cr3t") && draft.text.contains("their values are not copied: PASSWORD"),
        "{}",
        draft.text
    );
    assert!(draft.text.contains("an included file has a service of this name too"), "{}", draft.text);
}

#[test]
fn a_default_name_stands_for_all_files_that_docker_compose_reads() {
    let base = "services: { a: { image: x } }";
    let files = [
        ("compose.yaml", base),
        ("compose.override.yaml", "services: { a: { user: u } }"),
        ("prod.yaml", "services: { a: { user: prod } }"),
    ];
    let over = r#"{"a":{"image":"x","user":"u"}}"#;
    let prod = r#"{"a":{"image":"x","user":"prod"}}"#;
    let none = r#"{"a":{"image":"x"}}"#;
    for (dotenv, environment, wanted) in [
        (&[][..], &[][..], over),
        (&[("COMPOSE_FILE", "compose.yaml:./prod.yaml")], &[], prod),
        (&[("COMPOSE_FILE", "compose.yaml")], &[], none),
        (&[("COMPOSE_FILE", "prod.yaml,compose.yaml"), ("COMPOSE_PATH_SEPARATOR", ",")], &[], prod),
        (&[("COMPOSE_FILE", "prod.yaml")], &[("COMPOSE_FILE", "compose.yaml:prod.yaml")], prod),
        // Another file is asked for than Compose would read.
        (&[("COMPOSE_FILE", "prod.yaml")], &[], none),
    ] {
        let disk = ProjectFolder { dotenv, environment, ..ProjectFolder::of(&files) };
        let keyed: serde_json::Value = serde_json::from_str(&disk.model().expect("a model")).expect("JSON");
        let wanted: serde_json::Value = serde_json::from_str(wanted).expect("JSON");
        assert_eq!(keyed, wanted, "{dotenv:?} {environment:?}");
    }
    let other = ProjectFolder::of(&[("stack.yaml", base), ("compose.override.yaml", "services: { a: { user: u } }")]);
    assert_eq!(other.model().expect("a model"), none, "a file of another name is taken alone");
    let two = ProjectFolder { given: 2, ..ProjectFolder::of(&[("compose.yaml", base), files[2], files[1]]) };
    assert_eq!(two.model().expect("a model"), prod, "several files are taken as given");
    let draft = ProjectFolder::of(&files).draft();
    has(&draft, &["# compose.override.yaml: merged too, as `docker compose` does"]);
}

#[test]
fn a_job_stays_a_job() {
    let text = "services: { init: { image: i, restart: on-failure, healthcheck: { test: x } }, web: { image: w, depends_on: \
                { init: { condition: service_completed_successfully }, db: { condition: service_healthy } } }, db: { image: d } }";
    let draft = ProjectFolder::of(&[("a.yaml", text)]).draft();
    has(
        &draft,
        &[
            "job: true  # another service waits until it has completed",
            "init: { condition: service_completed_successfully }",
            "db: { condition: service_healthy }",
            "# `restart: on-failure`: lcm retries a failed job within `recover:`, and never one that completed",
        ],
    );
    assert_eq!(draft.text.matches("job: true").count(), 1);
}

#[test]
fn optional_variables_stay_optional_and_required_ones_required() {
    let text = "services: { a: { image: x, environment: [HF_TOKEN, CACHE_PASSWORD, TZ, OPENAI_API_KEY=$OPENAI_API_KEY, \
                'S=${S_TOKEN:?need s}', 'D_KEY=${D_KEY:-d3fault}', 'E_KEY=${E_KEY:-}', 'PLAIN=${PLAIN:?need}', 'L_PASSWORD=l1teral'], \
                command: 'srv --requirepass ${CACHE_PASSWORD} ${A:?need a}', healthcheck: { test: 'ping -p${PW:-s3cret} --password ${X:-h1dden}' } } }";
    let disk = ProjectFolder {
        dotenv: &[("CACHE_PASSWORD", "c4che"), ("TZ", "UTC")],
        ..ProjectFolder::of(&[("a.yaml", text)])
    };
    let draft = disk.draft();
    has(
        &draft,
        &[
            "HF_TOKEN: \"${HF_TOKEN:-}\"  # empty if unset, where Compose leaves it out",
            "CACHE_PASSWORD: { env: CACHE_PASSWORD }",
            "TZ: \"${TZ-UTC}\"",
            "OPENAI_API_KEY: \"${OPENAI_API_KEY:-}\"",
            "S: { env: S_TOKEN }",
            "D_KEY: { env: D_KEY }  # its default was not copied",
            "E_KEY: \"${E_KEY:-}\"",
            "PLAIN: \"${PLAIN:?need}\"",
            "L_PASSWORD: { env: L_PASSWORD }  # its value was not copied",
            "command: \"srv --requirepass ${CACHE_PASSWORD:?set it as in .env, whose value is not copied} ${A:?need a}\"",
            "# variables: required, as in Compose: set these in lcm's environment: A, PLAIN",
            "# variables: without a value, and empty unless set, as in Compose: HF_TOKEN, OPENAI_API_KEY",
        ],
    );
    let noted = "environment: set these in lcm's environment; their values are not copied: CACHE_PASSWORD, D_KEY, L_PASSWORD, PW, S_TOKEN, X";
    assert!(draft.notes.iter().any(|note| note == noted), "{:?}", draft.notes);
    for secret in ["c4che", "d3fault", "l1teral", "s3cret", "h1dden"] {
        let all = format!("{}{}", draft.text, draft.notes.concat());
        assert!(!all.contains(secret), "{secret}\n{all}");
    }
    assert!(
        draft.text.contains("-p${PW:?set it: its default may be a secret and is not copied} --password ${X:?set it"),
        "{}",
        draft.text
    );
}

#[test]
fn networks_and_names_on_them_are_kept() {
    let text = "services: { a: { image: x, container_name: llm, profiles: [cpu] }, b: { image: x, container_name: llm, profiles: [gpu], \
                networks: { front: { aliases: [b2], ipv4_address: 10.1.0.2, priority: 3 } } }, c: { image: x, networks: [front, proxy] } }\n\
                networks: { front: { internal: true, x-a: 1, enable_ipv4: true }, proxy: { external: true, name: traefik }, unused: {} }";
    let draft = ProjectFolder::of(&[("a.yaml", text)]).draft();
    has(
        &draft,
        &[
            "container_name: llm",
            "aliases: [a]",
            "aliases: [b, b2, llm]",
            "ipv4_address: \"10.1.0.2\"",
            "# on the network `front`, not translated: priority",
            "internal: true",
            "# `enable_ipv4` has no equivalent in a manifest: not translated",
            "external: true",
            "name: traefik",
            "default: {}",
        ],
    );
    assert!(!draft.text.contains("unused"), "{}", draft.text);
    let alone = ProjectFolder::of(&[("a.yaml", "services: { a: { image: x } }")]).draft();
    assert!(!alone.text.contains("networks"), "a single service needs none: {}", alone.text);
}

#[test]
fn keys_that_a_manifest_shares_are_taken_over() {
    let text = "services: { a: { image: x, hostname: '${H:-h}', extra_hosts: ['h:1.1.1.1'], dns: 1.1.1.1, init: true, tmpfs: [/run], \
                cap_add: [A], mem_limit: 8g, cpus: '1.5', logging: { driver: local, options: { max-size: 1m, splunk-token: s3cr3t } }, \
                group_add: [44], read_only: true } , b: { image: y, deploy: { resources: { limits: { memory: 512M, cpus: 2, pids: 9 } } } } }";
    let draft = ProjectFolder::of(&[("a.yaml", text)]).draft();
    has(
        &draft,
        &[
            "hostname: \"${H:-h}\"",
            "extra_hosts: [h=1.1.1.1]",
            "dns: [\"1.1.1.1\"]",
            "init: true",
            "tmpfs: [/run]",
            "cap_add: [A]",
            "mem_limit: 8GiB",
            "cpus: 1.5",
            "driver: local",
            "group_add: [\"44\"]",
            "mem_limit: 512MiB",
            "cpus: 2",
            "# no equivalent in a manifest, so not translated: read_only",
            "# no equivalent in a manifest, so not translated: deploy.resources.limits.pids",
        ],
    );
    assert!(!draft.text.contains("s3cr3t"), "{}", draft.text);
}

#[test]
fn active_profiles_are_the_default_modes() {
    let text =
        "services: { a: { image: x }, b: { image: x, profiles: [one, auto] }, c: { image: x, profiles: [two] } }";
    for (active, wanted) in [
        ("", "mode: default"),
        ("one", "mode: one"),
        ("two, auto", "mode: [auto-profile, two]"),
        ("*", "mode: [auto-profile, one, two]"),
        ("none,two", "mode: two"),
    ] {
        let dotenv = [("COMPOSE_PROFILES", active), ("COMPOSE_PROJECT_NAME", "named")];
        let draft = ProjectFolder { dotenv: &dotenv, ..ProjectFolder::of(&[("a.yaml", text)]) }.draft();
        has(&draft, &[wanted, "name: named"]);
        assert_eq!(
            draft.text.contains("COMPOSE_PROFILES: no service has these profiles: none"),
            active.contains("none")
        );
    }
}
