# What hack/bench and hack/bench-reuse have in common.
# shellcheck shell=bash disable=SC2034,SC2154  # variables of the scripts

registry_pid=

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() { say "$*"; exit 1; }

# shellcheck disable=SC2329  # called by the trap
clean_up() {
    [[ -z $registry_pid ]] || kill "$registry_pid" 2>/dev/null || true
    rm -rf --one-file-system -- "$work/run"
}
trap clean_up EXIT

need() {
    local packages=() pair
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || packages+=("${pair##*:}")
    done
    [[ ${#packages[@]} -eq 0 ]] && return
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        fail "not installed: ${packages[*]}"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >&2
}

# Runs a command among the peers; it sees only $work of this machine.
enter() {
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root unshare --mount --propagation=private \
        sh tests/support/src/enter.sh "$peers" "$work" "$@"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start_registry() {
    local port=${PORT:-5099} n
    registry=localhost:$port
    printf '%s\n' 'version: 0.1' "storage: {filesystem: {rootdirectory: $work/run/registry}}" \
        "http: {addr: '127.0.0.1:$port', relativeurls: true}" >"$work/run/registry.yml"
    ! answers "$port" || fail "port $port is in use; choose another with PORT"
    # The shell that waits for the registry has a different process ID.
    # shellcheck disable=SC2016  # for the inner shell
    OTEL_TRACES_EXPORTER=none enter sh -c 'echo $$ >"$1.pid"; exec docker-registry serve "$1"' \
        sh "$work/run/registry.yml" >"$work/run/registry.log" 2>&1 &
    for ((n = 0; n < 100; n++)); do
        registry_pid=$(cat "$work/run/registry.yml.pid" 2>/dev/null || true)
        ! answers "$port" || return 0
        sleep 0.1
    done
    fail "docker-registry did not start: $(tail -n 3 "$work/run/registry.log")"
}

# The digest of the one image in a layout.
image_digest() { jq -r '.manifests[0].digest' "$work/corpora/$1/index.json"; }
