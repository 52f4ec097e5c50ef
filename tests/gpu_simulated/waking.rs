//! A service that was evicted for another one and is wanted again: the real binary over real processes that take memory
//! of a simulated GPU of 24 GiB.

use crate::gpus::Gpus;
use crate::sandbox::{Ran, Sandbox, free_port};
use crate::world::{Gpu, VARIABLE, World};

struct Desk {
    // Dropped first: the processes end before the GPU that they hold.
    sandbox: Sandbox,
    gpus: Gpus,
    ports: [u16; 2],
}

impl Desk {
    fn new() -> Self {
        let mut sandbox = Sandbox::new("waking");
        let gpu = Gpu {
            uuid: format!("GPU-{}", sandbox.name),
            parent: None,
            total_mib: 24 << 10,
            reserved_mib: 100,
            name: "Simulated GPU".to_owned(),
        };
        let gpus = Gpus::of(&World { driver: "550.54.14".to_owned(), gpus: vec![gpu], ..World::default() });
        sandbox.set("LCM_NVML_LIB", gpus.library().display().to_string());
        let mut desk = Self { sandbox, gpus, ports: [free_port(), free_port()] };
        desk.write(20);
        let manifest = desk.sandbox.path("lcm.yaml");
        desk.sandbox.take_down(manifest);
        desk
    }

    /// Writes the manifest with this priority of the painter.
    fn write(&self, priority: i64) {
        let ([coder, painter], world) = (self.ports, self.gpus.path().display().to_string());
        let process = |port: u16, words: &str| {
            format!(
                "process: {{ command: [\"@SERVER@\", --port, \"{port}\", {words}], environment: {{ {VARIABLE}: \
                 \"{world}\" }} }}\n    health: {{ http: \"http://127.0.0.1:{port}/health\" }}"
            )
        };
        let text = format!(
            "version: 1
name: \"@NAME@\"
services:
  coder:
    {}
    vram: 20GiB
    priority: 10
    evict: {{ http: {{ url: \"http://127.0.0.1:{coder}/unload\" }}, resident: 2GiB }}
    wake: {{ http: {{ url: \"http://127.0.0.1:{coder}/load\" }} }}
  painter:
    {}
    vram: 18GiB
    priority: {priority}
modes:
  chat: {{ services: [coder] }}
  paint: {{ services: [painter], others: keep }}
  talk: {{ services: [coder], others: keep }}
",
            process(coder, "--vram, 20GiB, --resident, 1GiB"),
            process(painter, "--vram, 18GiB"),
        );
        self.sandbox.write("lcm.yaml", &text);
    }

    fn apply(&self, mode: &str) -> Ran {
        self.sandbox.lcm(&["apply", "--yes", "--mode", mode])
    }

    fn used_mib(&self) -> u64 {
        self.gpus.world().used_mib(&format!("GPU-{}", self.sandbox.name))
    }

    /// Desk on which the coder is evicted and the painter has its memory.
    fn painting() -> Self {
        let desk = Self::new();
        desk.apply("chat").exits(0);
        assert_eq!(desk.used_mib(), 20 << 10);
        desk.apply("paint").exits(0);
        assert_eq!(desk.used_mib(), 19 << 10);
        desk
    }
}

pub(crate) async fn a_service_evicted_for_a_higher_priority_is_blocked_and_keeps_running() {
    let desk = Desk::painting();
    let blocked = "it is running, but gave back 19 456 of its 20 480 MiB on GPU 0, and others have taken that since; it \
                   needs 20 480 MiB (priority 10); GPU 0 has 24 576";
    let plan = desk.sandbox.lcm(&["plan", "--mode", "talk", "--format", "json"]).exits(4);
    plan.says(blocked).says("18 432 painter (priority 20)");
    desk.apply("talk").exits(4).says(blocked).says("18 432 painter (priority 20)");
    assert_eq!(desk.used_mib(), 19 << 10);
    assert_eq!(desk.sandbox.servers().len(), 2, "both keep running");
    assert_eq!(desk.gpus.world().overcommitted, Vec::<String>::new());
}

pub(crate) async fn a_lower_priority_is_stopped_and_the_evicted_service_is_woken() {
    let desk = Desk::painting();
    desk.write(1);
    desk.sandbox.lcm(&["plan", "--mode", "talk", "--detailed-exitcode"]).exits(2).says("wake");
    desk.apply("talk").exits(0).says("1 woken");
    assert_eq!(desk.used_mib(), 20 << 10, "the coder has its memory again");
    assert_eq!(desk.sandbox.servers().len(), 1, "the painter has ended");
    desk.sandbox.lcm(&["plan", "--mode", "talk", "--detailed-exitcode"]).exits(0).says("Nothing to do");
    assert_eq!(desk.gpus.world().overcommitted, Vec::<String>::new());
}

pub(crate) async fn a_service_that_loads_late_needs_no_step_while_its_memory_is_free() {
    let desk = Desk::new();
    desk.apply("chat").exits(0);
    desk.gpus.change(|world| world.holds.iter_mut().for_each(|hold| hold.mib = 300));
    desk.sandbox.lcm(&["plan", "--mode", "talk", "--detailed-exitcode"]).exits(0).says("Nothing to do");
}
