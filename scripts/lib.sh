# Shared by the scripts beside it; sourced, never run. Needs bash.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# as_root COMMAND…: run it as root, directly or by sudo; status 1 without either. Asks for a password on a terminal only.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo -- "$@"
    else
        return 1
    fi
}

# find_python: print a Python >= 3.11. The system's comes first: one below a home folder may be unreadable for others.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3.11 python3.12 python3.13 python3.14 python3; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python >= 3.11 with its venv module; on Debian and Ubuntu: apt-get install python3 python3-venv"
}

# ensure_venv: set VENV to a virtual environment with everything in requirements.lock and this checkout (editable).
# It lies in the checkout; where that cannot be written, below the user's cache folder, one for each checkout. Nothing
# is done when neither lock, project file, interpreter nor place have changed.
ensure_venv() {
    local python stamp wanted
    if [ -w "$ROOT" ]; then
        VENV=$ROOT/.venv
    else
        VENV=${XDG_CACHE_HOME:-$HOME/.cache}/os-image-composer/venv-$(printf %s "$ROOT" | sha256sum | cut -c1-12)
        mkdir -p "$(dirname "$VENV")"
    fi
    stamp=$VENV/.complete
    python=$(find_python)
    wanted=$(printf '%s\n' "$ROOT" "$("$python" -VV)" && sha256sum <"$ROOT/requirements.lock" && sha256sum <"$ROOT/pyproject.toml")
    if [ -x "$VENV/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    say "Python environment in $VENV"
    rm -f "$stamp"
    if ! "$VENV/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        rm -rf "$VENV"
        "$python" -m venv "$VENV"
    fi
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$ROOT/requirements.lock"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$ROOT"
    make_movable
    printf '%s\n' "$wanted" >"$stamp"
}

# make_movable: let the program in $VENV, which lies in the checkout, run after the checkout was moved. What pip writes
# names both by absolute paths: the interpreter in the first line of the program, the sources in a .pth file.
make_movable() {
    [ "$VENV" = "$ROOT/.venv" ] || return 0
    cat >"$VENV/bin/os-image-composer" <<'PROGRAM'
#!/bin/sh
'''exec' "$(dirname "$(readlink -f "$0")")/python" -P "$0" "$@"
' '''
# For a shell the lines above, for Python a string: this program finds its interpreter beside itself.
from os_image_composer.cli.main import main

main()
PROGRAM
    local file
    for file in "$VENV"/lib/python3.*/site-packages/*os_image_composer*.pth; do
        [ ! -e "$file" ] || echo ../../../../src >"$file" # site(3): relative to the folder of the .pth file
    done
}

# has_range USER: whether /etc/subuid and /etc/subgid both give USER at least 65535 ids (by name or number).
has_range() {
    local file
    for file in /etc/subuid /etc/subgid; do
        awk -F: -v name="$1" -v number="$(id -u "$1")" \
            '($1 == name || $1 == number) && $3 >= 65535 { found = 1 } END { exit !found }' "$file" 2>/dev/null || return 1
    done
}

# free_range: print START-END of 65536 subordinate ids that nobody has.
free_range() {
    cat /etc/subuid /etc/subgid 2>/dev/null |
        awk -F: 'BEGIN { start = 100000 } $2 + $3 > start { start = $2 + $3 } END { printf "%d-%d\n", start, start + 65535 }'
}
