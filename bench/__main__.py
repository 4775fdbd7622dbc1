"""Runs the benchmarks, each in a process of its own: `python -m bench [NAME …]`, or `make bench`.

A benchmark is a file in this folder; helpers start with an underscore. It prints its figures beside those of a named
reference measured in the same run, and ends with an error when it misses a bar that it states.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main(names: list[str]) -> int:
    found = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
    unknown = sorted(set(names) - set(found))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(found) or 'none'}", file=sys.stderr)
        return 2
    failed = []
    for name in names or found:
        print(f"── {name} ".ljust(100, "─"), flush=True)
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-m", f"{FOLDER.name}.{name}"], cwd=FOLDER.parent, check=False)
        print(f"({time.monotonic() - began:.0f} s)\n", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
