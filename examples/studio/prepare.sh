#!/usr/bin/env bash
# Creates the studio's prerequisites: the server, an image of it, and a container that stands for one created by hand.
# Idempotent. `prepare.sh --undo` removes all of it; run `lcm down lcm.yaml` first.
set -euo pipefail
cd "$(dirname "$0")"

server=${STUDIO_SERVER:-../../target/studio/model_server}
image=${STUDIO_IMAGE:-lcm-studio/model-server}
container=${COSYVOICE_CONTAINER:-mcn_cosyvoice}
port=${COSYVOICE_PORT:-50000}
load=${COSYVOICE_LOAD:-500ms}

if [ "${1:-}" = --undo ]; then
  # Only a container that this script created.
  docker ps --all --quiet --filter "name=^/$container\$" --filter label=lcm-studio.prepared | xargs -r docker rm --force
  docker image inspect "$image" >/dev/null 2>&1 && docker rmi "$image"
  rm -f "$server"
  exit 0
fi

sources=(../model_server.rs ../model_server/*.rs ../simulated_gpu/world.rs)
if [ ! -x "$server" ] || [ -n "$(find "${sources[@]}" -newer "$server")" ]; then
  mkdir -p "$(dirname "$server")"
  # Built beside it and renamed, so that a running server is not overwritten.
  rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols ../model_server.rs -o "$server.new"
  mv "$server.new" "$server"
  echo "built $server"
fi

# The image has a digest of the server as a label, and is replaced only if the server changes.
digest=$(sha256sum "$server" | cut -c 1-16)
if [ "$(docker image inspect --format '{{index .Config.Labels "lcm-studio.server"}}' "$image" 2>/dev/null)" != "$digest" ]; then
  tar -C "$(dirname "$server")" -c "$(basename "$server")" --transform 's,.*,model_server,' |
    docker import --change 'ENTRYPOINT ["/model_server"]' --change "LABEL lcm-studio.server=$digest" - "$image" >/dev/null
  echo "made image $image"
fi

if ! docker container inspect "$container" >/dev/null 2>&1; then
  docker create --name "$container" --label lcm-studio.prepared=yes --publish "127.0.0.1:$port:50000" \
    "$image" --host 0.0.0.0 --port 50000 --load "$load" >/dev/null
  echo "created container $container"
fi
