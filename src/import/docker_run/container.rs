//! Container of a `docker run`: its block, and the settings that stand beside it.

use std::collections::BTreeSet;

use crate::import::compose::values::{duration, is_device, is_volume};
use crate::import::docker_run::arguments;
use crate::import::docker_run::flags::{FlagUse, RunFlag, SpecialFlag};
use crate::import::docker_run::gpus::{GpuRequests, ImportedGpus};
use crate::import::docker_run::settings::FlagSettings;
use crate::import::environment::{is_variable_name, put_variable};
use crate::import::secrets::{LEFT_OUT, is_secret, masked, masked_text};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::model::reserved_variables::is_overruled;
use crate::syntax::ports;
use crate::syntax::scalar::is_name;

/// Facts that a command does not contain.
pub(in crate::import) struct ContainerScope<'a> {
    /// Environment of the command, from which `-e NAME` takes a value.
    pub(in crate::import) environment: &'a [(String, String)],
    /// Names of variables that must be set in lcm's environment.
    pub(in crate::import) required: &'a mut BTreeSet<String>,
    /// Names of containers already in use.
    pub(in crate::import) containers: &'a mut BTreeSet<String>,
}

/// Container, in parts of a service.
pub(in crate::import) struct ContainerDraft {
    pub(in crate::import) docker: YamlBlock,
    /// Comments for the block, each of which is a note too.
    pub(in crate::import) remarks: Vec<String>,
    pub(in crate::import) gpus: ImportedGpus,
    /// Entries of `stop:`.
    pub(in crate::import) stop: Vec<(String, YamlValue)>,
    /// True if the engine or lcm checks the container's health by `healthcheck`.
    pub(in crate::import) is_checked: bool,
    /// Names of the variables of the command's environment that the container gets.
    pub(in crate::import) passed: BTreeSet<String>,
}

/// Translation of one command, in progress.
struct Translation<'a, 'b> {
    scope: &'a mut ContainerScope<'b>,
    settings: FlagSettings,
    requests: GpuRequests,
    /// Variables; `None`: without a value.
    environment: Vec<(String, Option<String>)>,
    healthcheck: YamlBlock,
    logging: LogFlags,
    draft: ContainerDraft,
}

/// Settings of the engine's log, from two flags.
#[derive(Default)]
struct LogFlags {
    /// The last of the flags.
    flag: Option<&'static RunFlag>,
    driver: Option<YamlValue>,
    options: YamlBlock,
}

/// Translates the arguments of `docker run`; `None`: they have no image.
pub(in crate::import) fn translate(words: &[String], scope: &mut ContainerScope<'_>) -> Option<ContainerDraft> {
    let read = arguments::read(words);
    let image = read.image.filter(|image| !image.is_empty())?;
    let mut translation = Translation {
        scope,
        settings: FlagSettings::default(),
        requests: GpuRequests::default(),
        environment: Vec::new(),
        healthcheck: YamlBlock::default(),
        logging: LogFlags::default(),
        draft: ContainerDraft {
            docker: YamlBlock::default(),
            remarks: Vec::new(),
            gpus: ImportedGpus::Unasked,
            stop: Vec::new(),
            is_checked: false,
            passed: BTreeSet::new(),
        },
    };
    translation.settings.put("image", YamlValue::text(image), None);
    for (flag, value) in &read.flags {
        if !translation.settings.flag(flag, value)
            && let FlagUse::Special(special) = flag.used
        {
            translation.special(flag, special, value);
        }
    }
    for unknown in read.unknown {
        let remark = format!(
            "`{}` is no known flag of `docker run`: left out; check `image` and `command`",
            masked_text(&unknown)
        );
        translation.settings.comments.push(remark);
    }
    if !read.command.is_empty() {
        translation.words("command", &read.command);
    }
    Some(translation.finished())
}

impl Translation<'_, '_> {
    fn special(&mut self, flag: &'static RunFlag, special: SpecialFlag, value: &str) {
        match special {
            SpecialFlag::AddHost => {
                // Docker takes `name=address` too.
                let host = if value.contains(':') && !value.contains('=') {
                    value.to_owned()
                } else {
                    value.replacen('=', ":", 1)
                };
                self.settings.keep_item(flag, "extra_hosts", YamlValue::text(host));
            }
            SpecialFlag::Device => self.device(flag, value),
            SpecialFlag::Entrypoint if value.is_empty() => {
                self.settings.comments.push("`--entrypoint ''` clears the image's, which lcm can't do".to_owned());
            }
            SpecialFlag::Entrypoint => self.words("entrypoint", &[value.to_owned()]),
            SpecialFlag::Env => self.variable(flag, value),
            SpecialFlag::Gpus => {
                if self.requests.flag(value).is_err() {
                    self.settings.unreadable(flag);
                }
            }
            SpecialFlag::Health(key) => self.health(flag, key, value),
            SpecialFlag::Label => self.label(flag, value),
            SpecialFlag::LogDriver => {
                self.logging.flag = Some(flag);
                self.logging.driver = Some(YamlValue::text(value));
            }
            SpecialFlag::LogOption => {
                let (name, value) = value.split_once('=').unwrap_or((value, ""));
                let value = if is_secret(name, value) { LEFT_OUT.to_owned() } else { masked_text(value) };
                self.logging.flag = Some(flag);
                self.logging.options.put(name, YamlValue::text(value));
            }
            SpecialFlag::Mount => self.mount(flag, value),
            SpecialFlag::Name => self.name(value),
            SpecialFlag::Network => self.network(flag, value),
            SpecialFlag::NoHealthcheck => {
                self.healthcheck.put("disable", YamlValue::word(true));
            }
            SpecialFlag::Publish => self.publish(flag, value),
            SpecialFlag::Pull
            | SpecialFlag::Remove
            | SpecialFlag::Restart
            | SpecialFlag::StopSignal
            | SpecialFlag::StopTimeout => self.lifecycle(flag, special, value),
            SpecialFlag::Runtime if value == "nvidia" => self.requests.nvidia_runtime(),
            SpecialFlag::Runtime => self.settings.keep(flag, "runtime", YamlValue::text(value)),
            SpecialFlag::Sysctl => match value.split_once('=') {
                Some((name, value)) => self.settings.keep_entry(flag, "sysctls", (name, YamlValue::text(value))),
                None => self.settings.unreadable(flag),
            },
            SpecialFlag::Ulimit => self.ulimit(flag, value),
            SpecialFlag::Volume => self.volume(flag, value),
        }
    }

    /// Translates a flag for the container's creation, end or restart.
    fn lifecycle(&mut self, flag: &RunFlag, special: SpecialFlag, value: &str) {
        let remark = match (special, value) {
            (SpecialFlag::Pull, "always" | "never") => {
                self.settings.put("pull_policy", YamlValue::text(value), None);
                return;
            }
            (SpecialFlag::Pull, "missing") | (SpecialFlag::Restart, "no") | (SpecialFlag::Remove, "false") => return,
            (SpecialFlag::Remove, _) => {
                "`--rm`: lcm keeps the stopped container and starts it again; a changed setting or `lcm down` removes it"
            }
            (SpecialFlag::Restart, _) => "`--restart`: the engine restarts nothing; lcm does, by `recover:`",
            (SpecialFlag::StopSignal, _) => return self.stop_signal(flag, value),
            (SpecialFlag::StopTimeout, seconds) if seconds.parse::<u32>().is_ok() => {
                self.draft.stop.push(("grace".to_owned(), YamlValue::word(format!("{seconds}s"))));
                return;
            }
            _ => return self.settings.unreadable(flag),
        };
        self.settings.comments.push(remark.to_owned());
    }

    /// Sets a command or an entrypoint, without secrets.
    fn words(&mut self, key: &'static str, words: &[String]) {
        let (clean, changed) = masked(words);
        let beside = changed.then_some("a secret was removed here: have the program read it from its environment");
        if changed {
            self.settings.comments.push(format!("its `{key}` contains a secret, which was not copied"));
        }
        self.settings.put(key, YamlValue::texts(clean), beside);
    }

    fn device(&mut self, flag: &RunFlag, value: &str) {
        if self.requests.device(value) {
            return;
        }
        if is_device(value) || value.contains("${") {
            self.settings.keep_item(flag, "devices", YamlValue::text(value));
        } else {
            self.settings.unreadable(flag);
        }
    }

    fn variable(&mut self, flag: &RunFlag, value: &str) {
        let (name, value) = value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value.to_owned())));
        if !is_variable_name(name) {
            self.settings.unreadable(flag);
            return;
        }
        // Without a value, the variable is that of the command's own environment.
        let value = value.or_else(|| {
            let own = self.scope.environment.iter().rev().find(|(own, _)| own == name)?;
            self.draft.passed.insert(name.to_owned());
            Some(own.1.clone())
        });
        if value.as_deref().is_some_and(|value| self.requests.variable(name, value)) {
            return;
        }
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value));
    }

    fn health(&mut self, flag: &RunFlag, key: &'static str, value: &str) {
        match key {
            "test" => {
                let clean = masked_text(value);
                if clean != value {
                    self.settings.comments.push("its health check contains a secret, which was not copied".to_owned());
                }
                self.healthcheck.put(key, YamlValue::text(clean));
                self.draft.is_checked = true;
            }
            "retries" if value.parse::<u32>().is_ok() => {
                self.healthcheck.put(key, YamlValue::word(value));
            }
            "interval" | "timeout" | "start_period" if duration(value).is_some() => {
                self.healthcheck.put(key, YamlValue::word(value));
            }
            "start_interval" => self.settings.untranslated(flag),
            _ => self.settings.unreadable(flag),
        }
    }

    fn label(&mut self, flag: &RunFlag, value: &str) {
        let (name, value) = value.split_once('=').unwrap_or((value, ""));
        if name.starts_with("lcm.") || name.starts_with("com.docker.compose.") {
            self.settings.comments.push(format!("the label `{name}` is reserved by its tool: left out"));
        } else if is_secret(name, value) {
            self.settings.comments.push(format!("the label `{name}` looks like a secret: its value was not copied"));
            self.settings.keep_entry(flag, "labels", (name, YamlValue::text(LEFT_OUT)));
        } else {
            self.settings.keep_entry(flag, "labels", (name, YamlValue::text(value)));
        }
    }

    fn mount(&mut self, flag: &RunFlag, value: &str) {
        let (mut kind, mut source, mut target, mut read_only, mut other) = ("volume", None, None, false, false);
        for part in value.split(',') {
            match part.split_once('=').unwrap_or((part, "")) {
                ("type", value) => kind = value,
                ("source" | "src", value) => source = Some(value),
                ("target" | "dst" | "destination", value) => target = Some(value),
                ("readonly" | "ro", "" | "true" | "1") => read_only = true,
                ("readonly" | "ro", "false" | "0") => {}
                _ => other = true,
            }
        }
        let options = if read_only { ":ro" } else { "" };
        match (kind, source, target) {
            ("bind" | "volume", Some(source), Some(target)) if !other => {
                self.volume(flag, &format!("{source}:{target}{options}"));
            }
            ("tmpfs", None, Some(target)) if !other && !read_only => {
                self.settings.keep_item(flag, "tmpfs", YamlValue::text(target));
            }
            _ => self.settings.unreadable(flag),
        }
    }

    fn volume(&mut self, flag: &RunFlag, value: &str) {
        if !value.contains(':') {
            let remark = format!("the volume `{}` has no name, so lcm can't keep it: left out", masked_text(value));
            self.settings.comments.push(remark);
        } else if is_volume(value) || value.starts_with("${") {
            self.settings.keep_item(flag, "volumes", YamlValue::text(value));
        } else {
            self.settings.unreadable(flag);
        }
    }

    fn name(&mut self, value: &str) {
        if !is_name(value) || value.len() < 2 {
            self.settings
                .comments
                .push("its `--name` is not valid for lcm, which names the container itself".to_owned());
        } else if self.scope.containers.insert(value.to_owned()) {
            self.settings.put("container_name", YamlValue::text(value), None);
        } else {
            self.settings.comments.push(format!("another service has the `--name` {value} too: left out"));
        }
    }

    fn network(&mut self, flag: &RunFlag, value: &str) {
        let (name, options) = value.split_once(',').map_or((value, ""), |(name, options)| (name, options));
        let name = name.strip_prefix("name=").unwrap_or(name);
        if !options.is_empty() {
            let remark = "addresses and aliases on its networks are not translated; its name there is its service's";
            self.settings.comments.push(remark.to_owned());
        }
        let is_own = ["bridge", "default", "host", "none"].contains(&name) || name.starts_with("container:");
        if !is_own {
            let name = masked_text(name);
            self.settings.comments.push(format!(
                "lcm creates no network: if `docker network inspect {name}` fails, run `docker network create {name}`"
            ));
        }
        self.settings.keep_item(flag, "networks", YamlValue::text(name));
    }

    fn publish(&mut self, flag: &RunFlag, value: &str) {
        if ports::parse(value).is_ok() || value.contains("${") {
            self.settings.keep_item(flag, "ports", YamlValue::text(value));
        } else {
            let remark = format!("lcm can't publish the port `{}` as written: left out", masked_text(value));
            self.settings.comments.push(remark);
        }
    }

    fn stop_signal(&mut self, flag: &RunFlag, value: &str) {
        let bare = value.strip_prefix("SIG").unwrap_or(value);
        match crate::model::signal::stopping().find(|known| *known == bare) {
            Some(signal) => self.draft.stop.push(("signal".to_owned(), YamlValue::text(signal))),
            None => self.settings.unreadable(flag),
        }
    }

    fn ulimit(&mut self, flag: &RunFlag, value: &str) {
        let Some((name, limits)) = value.split_once('=') else { return self.settings.unreadable(flag) };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (Ok(soft), Ok(hard)) = (soft.parse::<i64>(), hard.parse::<i64>()) else {
            return self.settings.unreadable(flag);
        };
        let is_above = hard != -1 && (soft == -1 || soft > hard);
        if soft < -1 || hard < -1 || is_above || !is_name(name) {
            return self.settings.unreadable(flag);
        }
        let value = if soft == hard {
            YamlValue::word(soft)
        } else {
            YamlValue::Flow(vec![
                ("soft".to_owned(), YamlValue::word(soft)),
                ("hard".to_owned(), YamlValue::word(hard)),
            ])
        };
        self.settings.keep_entry(flag, "ulimits", (name, value));
    }

    /// Returns the draft, with the settings that several flags make up.
    fn finished(mut self) -> ContainerDraft {
        let (gpus, left) = self.requests.choice();
        let has_gpus = !matches!(gpus, ImportedGpus::Unasked | ImportedGpus::ByDevice);
        for (name, value) in left {
            if has_gpus {
                self.settings.comments.push(format!("`{name}` was left out: lcm sets it, and `gpu:` chooses"));
            } else {
                self.environment.push((name, Some(value)));
            }
        }
        let mut environment = YamlBlock::default();
        for (name, value) in &self.environment {
            if has_gpus && is_overruled(name) {
                self.settings.comments.push(format!("`{name}` was left out: lcm sets it, and `gpu:` chooses"));
            } else {
                put_variable(&mut environment, self.scope.required, (name, value.as_deref()));
            }
        }
        self.settings.map("environment", environment);
        self.settings.map("healthcheck", self.healthcheck);
        if gpus == ImportedGpus::ByDevice {
            self.settings.put("gpu_access", YamlValue::word("none"), Some("it gets its devices by name"));
        }
        let LogFlags { flag, driver, options } = self.logging;
        if let Some(flag) = flag {
            let mut logging = YamlBlock::default();
            if let Some(driver) = driver {
                logging.put("driver", driver);
            }
            if options.holds_any() {
                logging.put("options", YamlValue::Map(options));
            }
            self.settings.keep(flag, "logging", YamlValue::Map(logging));
        }
        let remarks = self.settings.remarks();
        ContainerDraft { docker: self.settings.block(), remarks, gpus, ..self.draft }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ContainerDraft, ContainerScope, translate};
    use crate::import::docker_run::flags::FLAGS;
    use crate::syntax::command_line;

    fn drafted(words: &[String]) -> (ContainerDraft, BTreeSet<String>) {
        let (mut required, mut containers) = (BTreeSet::new(), BTreeSet::new());
        let environment = [("OWN".to_owned(), "of the command".to_owned())];
        let mut scope =
            ContainerScope { environment: &environment, required: &mut required, containers: &mut containers };
        (translate(words, &mut scope).expect("an image"), required)
    }

    /// Returns everything that a draft has, in one text.
    fn told(line: &str) -> String {
        let (draft, required) = drafted(&command_line::split(line).unwrap());
        let stop: Vec<String> = draft.stop.iter().map(|(key, value)| format!("{key} {value:?}")).collect();
        let remarks: Vec<String> = draft.remarks.iter().map(|remark| format!("# {remark}\n")).collect();
        format!("{}{:?} {} {required:?}\n{}", draft.docker.document(), draft.gpus, stop.join(" "), remarks.concat())
    }

    /// A value that each flag with a form of its own takes.
    fn sample(flag: &str) -> &'static str {
        match flag {
            "add-host" => "db:10.0.0.1",
            "device" => "/dev/dri",
            "env" | "label" | "log-opt" | "sysctl" => "a=b",
            "gpus" => "all",
            "health-interval" | "health-start-period" | "health-timeout" => "10s",
            "memory" | "memory-reservation" | "memory-swap" | "shm-size" => "8g",
            "mount" => "type=bind,source=/a,target=/b",
            "name" => "vllm",
            "publish" => "8080:80",
            "pull" | "restart" => "always",
            "runtime" => "nvidia",
            "stop-signal" => "SIGINT",
            "ulimit" => "memlock=-1",
            "volume" => "models:/models",
            _ => "1",
        }
    }

    #[test]
    fn no_flag_is_lost_without_a_word() {
        let bare = told("x");
        for flag in FLAGS {
            let value = if flag.takes_value { format!("={}", sample(flag.long)) } else { String::new() };
            let with = told(&format!("--{}{value} x", flag.long));
            assert_ne!(with, bare, "--{}", flag.long);
        }
        assert!(told("--brand-new=1 x").contains("`--brand-new` is no known flag"));
    }

    #[test]
    fn each_setting_has_its_key() {
        let told = told(
            "--pull always --name vllm --entrypoint /run.sh -e A=b -e OWN -e LANG -e HF_TOKEN=${HF_TOKEN} --env-file .env \
             -p8080:80 -p 127.0.0.1:9:9/udp -v models:/models:ro --mount type=bind,src=/a,dst=/b --network=host \
             -u 1000:1000 --shm-size 16g --device /dev/dri --ipc host -l team=audio --ulimit memlock=-1 \
             --ulimit nofile=1024:4096 --health-cmd 'curl -f localhost' --health-interval 10s --health-retries 3 \
             --stop-signal SIGINT --stop-timeout 5 vllm/vllm-openai:v0.10 --model Qwen/Qwen3-8B",
        );
        for wanted in [
            "image: vllm/vllm-openai:v0.10\npull_policy: always\ncontainer_name: vllm\nentrypoint: [/run.sh]\n",
            "command: [--model, Qwen/Qwen3-8B]\n",
            "  A: b\n  OWN: of the command\n  LANG: { env: LANG }  # from lcm's own environment\n",
            "  HF_TOKEN: { env: HF_TOKEN }\nenv_file: [.env]\nports: [\"8080:80\", \"127.0.0.1:9:9/udp\"]\n",
            "networks: [host]\nuser: \"1000:1000\"\nshm_size: 16GiB\ndevices: [/dev/dri]\n",
            "healthcheck:\n  test: curl -f localhost\n  interval: 10s\n  retries: 3\nipc: host\n",
            "labels:\n  team: audio\n",
            "ulimits:\n  memlock: -1\n  nofile: { soft: 1024, hard: 4096 }\n",
            "Text(\"INT\")",
            "Word(\"5s\")",
        ] {
            assert!(told.contains(wanted), "{wanted}\n{told}");
        }
        assert!(told.contains("models:/models:ro") && told.contains("/a:/b"), "{told}");
        assert!(!told.contains("\n# "), "{told}");
    }

    #[test]
    fn no_secret_is_copied() {
        let told = told(
            "-e API_KEY=s3cr3t -e A=hf_s3cr3t0123 -l token=s3cr3t --log-driver splunk --log-opt splunk-token=s3cr3t \
             --health-cmd 'curl -u me:s3cr3t x' --odd-token=s3cr3t --annotation token=s3cr3t --group-add token=s3cr3t img \
             --api-key s3cr3t --token=s3cr3t",
        );
        assert!(!told.contains("s3cr3t"), "{told}");
    }
}
