# What can be done here. `just` lists it; each line calls nothing that cargo alone could not.

set shell := ["bash", "-euo", "pipefail", "-c"]

[private]
default:
    @just --list --unsorted

# Three small servers, two modes, no GPU needed
[group('try')]
quickstart:
    cargo build --bins --examples && target/debug/lcm apply --yes examples/quickstart/lcm.yaml

# Take the quickstart down again
[group('try')]
quickstart-down:
    target/debug/lcm down --yes examples/quickstart/lcm.yaml

# The studio, with real containers: needs a Docker engine
[group('try')]
studio mode="voice":
    examples/studio/prepare.sh
    cargo run -q -- apply --yes examples/studio/modes/{{ mode }}.yaml

# Take the studio down again, and what was prepared for it
[group('try')]
studio-down:
    cargo run -q -- down --yes examples/studio/lcm.yaml
    examples/studio/prepare.sh --undo

# Format, lints, docs: what a reviewer should not have to say
[group('check')]
check: fmt lint doc

[group('check')]
fmt:
    cargo fmt --check

[group('check')]
lint:
    cargo clippy --all-targets -- -D warnings

# Build the documentation; a broken link is an error
[group('check')]
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# All tests; those that need an engine say so where there is none
[group('test')]
test *ARGS:
    cargo test {{ ARGS }}

# The attacker's suite alone: needs root, and an engine for a part of it
[group('test')]
attack *ARGS:
    cargo test --test attack -- {{ ARGS }}

# The laws of the house alone: imports, purity, lengths
[group('test')]
laws:
    cargo test --test laws

# The long run of what `test` runs in short
[group('test')]
soak cases="50000" kills="300" drift="200" sequences="10000":
    LCM_SOAK_CASES={{ cases }} cargo test --profile soak --test simulate --test placing -- --nocapture
    LCM_SOAK_CASES={{ cases }} cargo test --profile soak --lib place
    LCM_SOAK_KILLS={{ kills }} cargo test --test crash kills_at_drawn_moments_converge
    LCM_SOAK_KILLS={{ kills }} cargo test --test crash duties
    LCM_SOAK_SEQUENCES={{ sequences }} cargo test --test crash what_is_kept
    LCM_SOAK_DRIFT={{ drift }} cargo test --test reality one_apply_mends_changes

# Write goldens, snapshots (insta) and `schemas/` anew from what the tests found; then read the diff
[group('test')]
bless:
    LCM_BLESS=1 INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo test
    git diff --stat

# How late a healthy service is seen, what switching costs beyond the services' own times, what a plan with nothing
# to do costs, what planning alone costs, what the history costs, and the small figures: a start, a check, memory, size
[group('measure')]
bench *ARGS:
    cargo bench --bench late --bench switch --bench idle_plan --bench planning --bench store --bench small {{ ARGS }}

# Begin a runtime: a copy of the skeleton, in the list and in the tree of modules
[group('change')]
new-runtime name:
    [[ "{{ name }}" =~ ^[a-z][a-z0-9]{1,20}$ ]] || { echo "a runtime's name is of small letters and digits"; exit 1; }
    [[ ! -e src/runtime/{{ name }} ]] || { echo "src/runtime/{{ name }} is there already"; exit 1; }
    cp -r src/runtime/skeleton src/runtime/{{ name }}
    sed -i 's/skeleton/{{ name }}/g; s/Skeleton/{{ capitalize(name) }}/g' src/runtime/{{ name }}/*.rs
    sed -i 's/process docker/process docker {{ name }}/' src/runtime/list.rs
    sed -i 's/^pub mod registration;/pub(crate) mod {{ name }};\n&/' src/runtime/mod.rs
    sed -i 's/^const RUNTIMES: &\[&str\] = &\["docker"/&, "{{ name }}"/' tests/laws.rs
    cargo fmt && cargo check --all-targets && cargo test --lib {{ name }}

# What the pipeline runs, from a bare machine on
[group('pipeline')]
ci:
    .ci/run
