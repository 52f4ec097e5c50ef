# Tasks of this repository, as listed by `just`: shorthands for plain commands.

set shell := ["bash", "-euo", "pipefail", "-c"]

[private]
default:
    @just --list --unsorted

# Start the quickstart: three small servers, two modes, no GPU needed
[group('try')]
quickstart:
    cargo build --bins --examples && target/debug/lcm apply --yes examples/quickstart/lcm.yaml

# Take the quickstart down again
[group('try')]
quickstart-down:
    target/debug/lcm down --yes examples/quickstart/lcm.yaml

# Start the studio with real containers: needs a Docker engine
[group('try')]
studio mode="voice":
    examples/studio/prepare.sh
    cargo run -q -- apply --yes examples/studio/modes/{{ mode }}.yaml

# Take the studio down again, and remove its prerequisites
[group('try')]
studio-down:
    cargo run -q -- down --yes examples/studio/lcm.yaml
    examples/studio/prepare.sh --undo

# Check format, lints and documentation
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

# Run all tests; those that need an engine are ignored without one
[group('test')]
test *ARGS:
    cargo test {{ ARGS }}

# Run only the attacker's suite: needs root, and an engine for some trials
[group('test')]
attack *ARGS:
    cargo test --test attack -- {{ ARGS }}

# Run only the laws: imports, purity, lengths, language
[group('test')]
laws:
    cargo test --test laws

# Run the randomized tests for long
[group('test')]
soak cases="50000" kills="300" drift="200" sequences="10000" projects="300":
    LCM_SOAK_CASES={{ cases }} cargo test --profile soak --test simulate --test placing -- --nocapture
    LCM_SOAK_CASES={{ cases }} cargo test --profile soak --lib place
    LCM_SOAK_KILLS={{ kills }} cargo test --test crash kills_at_drawn_moments_converge
    LCM_SOAK_KILLS={{ kills }} cargo test --test crash duties
    LCM_SOAK_SEQUENCES={{ sequences }} cargo test --test crash what_is_kept
    LCM_SOAK_COMPOSE={{ projects }} cargo test --test compose
    LCM_SOAK_DRIFT={{ drift }} cargo test --test reality one_apply_mends_changes

# Write goldens, snapshots (insta) and `schemas/` anew from what the tests found; then read the diff
[group('test')]
bless:
    LCM_BLESS=1 INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo test
    git diff --stat

# Measure detection of health, overhead of a switch, an empty plan, planning, the store, and small figures: start-up,
# validation, memory, size
[group('measure')]
bench *ARGS:
    cargo bench --bench late --bench switch --bench idle_plan --bench planning --bench store --bench small {{ ARGS }}

# Create a runtime from the skeleton, and add it to the registry and the module tree
[group('change')]
new-runtime name:
    [[ "{{ name }}" =~ ^[a-z][a-z0-9]{1,20}$ ]] || { echo "a runtime's name consists of lower-case letters and digits"; exit 1; }
    [[ ! -e src/runtime/{{ name }} ]] || { echo "src/runtime/{{ name }} already exists"; exit 1; }
    cp -r src/runtime/skeleton src/runtime/{{ name }}
    sed -i 's/skeleton/{{ name }}/g; s/Skeleton/{{ capitalize(name) }}/g' src/runtime/{{ name }}/*.rs
    sed -i 's/process docker/process docker {{ name }}/' src/runtime/list.rs
    sed -i 's/^pub mod registration;/pub(crate) mod {{ name }};\n&/' src/runtime/mod.rs
    sed -i 's/^const RUNTIMES: &\[&str\] = &\["docker"/&, "{{ name }}"/' tests/laws.rs
    cargo fmt && cargo check --all-targets && cargo test --lib {{ name }}

# Run the pipeline, on a bare machine
[group('pipeline')]
ci:
    .ci/run
