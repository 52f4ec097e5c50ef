//! Text of others in what lcm shows: escapes, line ends, markup, numbers without a bound.

use crate::support::{AS_ROOT, Attack, Host, KIM, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => an_escape_in_a_program_name_reaches_no_terminal;
    ]
}

fn an_escape_in_a_program_name_reaches_no_terminal() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest = kim.manifest("  api: { process: { command: [\"\\e[2Jsleep\", \"300\"] } }");
    kim.lcm(&["plan", &manifest]).hides("\u{1b}");
    kim.lcm(&["apply", "--yes", &manifest]).hides("\u{1b}");
}
