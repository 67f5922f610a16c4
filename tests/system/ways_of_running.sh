#!/usr/bin/env bash
# Every way of running pyro_rationale: editable install, wheel (also one built from the sdist), bare checkout;
# from the repository's root and from elsewhere. `make ways` runs it.
#
# PYTHON is an interpreter with an editable install of this checkout and with `build`. The fresh environments
# borrow its dependencies through a .pth file, which does not follow the editable install's own .pth: nothing is
# downloaded but the build backend, and no copy of pyro_rationale is visible but the one under test.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd -P)
python=${PYTHON:-$root/.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
work=$(cd "$work" && pwd -P)
unset PYTHONPATH PYTHONHOME PYTHONSAFEPATH
export PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore OMP_NUM_THREADS=1 PIP_DISABLE_PIP_VERSION_CHECK=1
commands=(fit explain evaluate compare)

fail() { echo "ways: $*" >&2; exit 1; }

environment() { # FOLDER: a fresh environment that sees the dependencies
    "$python" -m venv --without-pip "$1"
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        > "$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dependencies.pth"
}

try() { # WAY INTERPRETER CWD FOLDER: all modules, from FOLDER; the commands' --help
    local count
    count=$(cd "$3" && "$2" - "$4" "$RANDOM" < "$root/tests/support/every_module.py") || fail "$1: imports failed"
    for command in "${commands[@]}"; do
        [ -e "$root/pyro_rationale/$command.py" ] || continue
        (cd "$3" && "$2" -m "pyro_rationale.$command" --help > "$work/help") || fail "$1: $command --help failed"
        grep -q "python -m pyro_rationale.$command" "$work/help" || fail "$1: $command --help does not name itself"
    done
    printf '%-46s %s\n' "$1" "${count%% from*}"
}

purelib() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

install() { # WHEEL FOLDER: a fresh environment with the wheel
    environment "$2"
    "$python" -m pip --python "$2/bin/python" install --quiet --no-deps --no-index "$1"
}

# The files of this working tree, without what git ignores: build leftovers must not reach the wheel.
mkdir "$work/tree" "$work/elsewhere"
(cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null --files-from - --create --ignore-failed-read) \
    2>/dev/null | tar --extract --directory "$work/tree"

"$python" -m build --outdir "$work/dist" "$work/tree" > "$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "build failed"; }
"$python" -m build --wheel --outdir "$work/direct" "$work/tree" > "$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; fail "build failed"; }
"$python" - "$work" <<'END' || fail "wheel or sdist is not what the tree holds"
import sys, tarfile, zipfile
from pathlib import Path

work = Path(sys.argv[1])
tree = work / "tree"
rooms = [tree / "pyro_rationale", *(tree / "pyro_rationale" / name for name in ("models", "guides"))]
expected = {str(p.relative_to(tree)): p.read_bytes() for room in rooms for p in room.rglob("*") if p.is_file()}
assert {"pyro_rationale/models/__init__.py", "pyro_rationale/guides/__init__.py"} <= set(expected)
for wheel in (next((work / "dist").glob("*.whl")), next((work / "direct").glob("*.whl"))):
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected, sorted(set(found) ^ set(expected)) or "contents differ"
with tarfile.open(next((work / "dist").glob("*.tar.gz"))) as archive:
    members = {m.name.partition("/")[2]: m for m in archive.getmembers()}
    assert not [name for name, m in members.items() if m.issym() or m.islnk()], "links in the sdist"
    missing = set(expected) - set(members)
    assert not missing, sorted(missing)
END
echo "wheel and sdist hold the tree's files, and no links"

try "editable install, repository's root" "$python" "$root" "$root"
try "editable install, elsewhere" "$python" "$work/elsewhere" "$root"

for origin in dist direct; do
    label="wheel"; [ "$origin" = dist ] && label="wheel made from the sdist"
    install "$work/$origin"/*.whl "$work/$origin.env"
    interpreter=$work/$origin.env/bin/python
    try "$label, elsewhere" "$interpreter" "$work/elsewhere" "$(purelib "$interpreter")"
    # In the root, `python -m` finds the checkout first; with -P, the installed copy.
    try "$label, repository's root" "$interpreter" "$root" "$root"
    (cd "$root" && "$interpreter" -P - "$(purelib "$interpreter")" 1 < tests/support/every_module.py > /dev/null) \
        || fail "$label, root, -P: imports failed"
done

environment "$work/bare"
(cd "$work/elsewhere" && "$work/bare/bin/python" -c 'import pyro_rationale' 2> /dev/null) && fail "the bare environment is not bare"
try "bare checkout, nothing installed" "$work/bare/bin/python" "$root" "$root"
echo "all ways of running work"
