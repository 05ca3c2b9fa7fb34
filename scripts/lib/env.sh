# shellcheck shell=bash
# What scripts/test and scripts/demo share. Source it; it changes to the repository's root.
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib/env.sh"
#   make_venv        # .venv with the package and all its extras: what the demo needs
#   make_venv dev    # and the dependency group "dev": what tests, linters and docs need
#   "$venv/bin/python" manage.py …

set -euo pipefail

# Hundreds of processes are started here, each of which would compile the same modules.
unset PYTHONDONTWRITEBYTECODE

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
# PROJECT_VENV names an environment of the caller's that is complete; nothing is installed there.
venv=${PROJECT_VENV:-$root/.venv}

# Say what is being done, on standard error: standard output is for results.
note() { printf '\n== %s\n' "$*" >&2; }

die() {
    printf '\nERROR: %s\n' "$*" >&2
    exit 1
}

root_on_debian() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# Install Debian packages; the lists are fetched once in a run.
debian_install() {
    note "Installing $*"
    export DEBIAN_FRONTEND=noninteractive
    if [ -z "${apt_lists_are_fresh:-}" ]; then
        apt-get update -qq >&2 || die "apt-get update failed"
        apt_lists_are_fresh=yes
    fi
    apt-get install -qq -y --no-install-recommends "$@" >&2 || die "apt-get install $* failed"
}

# Print the newest of Python 3.13, 3.12 and 3.11; any newer python3 will do as well.
find_python() {
    local pyenv_root minor candidate
    pyenv_root=${PYENV_ROOT:-$HOME/.pyenv}
    if command -v pyenv >/dev/null; then pyenv_root=$(pyenv root); fi
    for minor in 3.13 3.12 3.11; do
        # pyenv's shims are on the PATH also for versions that pyenv would then refuse to run.
        for candidate in "python$minor" "$pyenv_root/versions/$minor".*/bin/python; do
            if "$candidate" -c '' 2>/dev/null; then
                "$candidate" -c 'import sys; print(sys.executable)'
                return
            fi
        done
    done
    if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python3 -c 'import sys; print(sys.executable)'
        return
    fi
    die "no Python 3.11, 3.12 or 3.13 on the PATH or in pyenv's versions"
}

# What mysqlclient is built with.
headers() {
    local missing=()
    command -v cc >/dev/null || missing+=(build-essential)
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    pkg-config --exists libmariadb 2>/dev/null || pkg-config --exists mysqlclient 2>/dev/null || missing+=(libmariadb-dev)
    "$venv/bin/python" -c 'import pathlib, sysconfig; sys_h = pathlib.Path(sysconfig.get_path("include"), "Python.h")
raise SystemExit(not sys_h.exists())' || missing+=(python3-dev)
    if [ "${#missing[@]}" = 0 ]; then return; fi
    if root_on_debian; then debian_install "${missing[@]}"; else die "mysqlclient needs ${missing[*]}"; fi
}

# What .venv is made from. Versions are pinned, so that no release of another package stops a change of ours.
constraints=scripts/lib/constraints.txt
requirements() { cat pyproject.toml "$constraints"; }

# make_venv [GROUP…]: make .venv and install the package with all extras and these dependency
# groups. Does nothing when it did so before for the same requirements.
make_venv() {
    if [ -n "${PROJECT_VENV:-}" ]; then return; fi
    local groups=("$@") group python stamp
    stamp=$venv/.installed-$(IFS=-; echo "${groups[*]:-base}")
    if [ -f "$stamp" ] && requirements | cmp -s - "$stamp" && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        note "Making .venv with $("$python" --version)"
        # Debian keeps ensurepip in a package of its own.
        if ! "$python" -c 'import ensurepip' 2>/dev/null && root_on_debian; then
            debian_install python3-venv
        fi
        "$python" -m venv --clear "$venv" || die "$python -m venv failed: is python3-venv installed?"
    fi
    note "Installing into .venv"
    case " ${groups[*]} " in *" dev "* | *" test "*) headers ;; esac
    # Dependency groups need pip 25.1.
    "$venv/bin/python" -m pip install -q --upgrade 'pip>=25.1' || die "pip could not be upgraded"
    local arguments=(-c "$constraints" -e '.[all,testing]')
    for group in "${groups[@]}"; do arguments+=(--group "$group"); done
    "$venv/bin/python" -m pip install -q "${arguments[@]}" || die "pip install ${arguments[*]} failed"
    requirements >"$stamp"
}

# need_dev: make_venv dev, unless .venv has that group, of whatever day: what a loop of seconds does not renew. pytest alone
# says nothing, since it comes with the extra [testing], which the demo's environment has as well.
need_dev() { "$venv/bin/python" -c 'import mypy, pytest_django' 2>/dev/null || make_venv dev; }
