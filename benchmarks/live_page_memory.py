"""Whether the live page's server and browser need more memory the longer a run is: hours of steps in some minutes.

    python benchmarks/live_page_memory.py --hours 8

A store grows from one hour's steps of 2 s (2 chains of 20 draws, 4 overtones) to all of them, by some at every look of
the page, which a headless Chromium (extra `browser`) shows meanwhile. Reports the memory of the server's process, of
all of Chromium's and of the page's own. Nothing is attached to Chromium until the end: its developer tools would keep
all that the page was sent.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from arviz import InferenceData
from playwright.sync_api import sync_playwright

from hmm_plating.run_store import RunStore

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from known_result import make_result  # noqa: E402  # the tests show such a run too

STEP = 2.0  # s
HOUR = round(3600 / STEP)
PERIOD = 2.0  # s between looks of the page
WARM_UP = 120  # looks before the first measurement, some minutes: until then garbage is not collected
SERVE = "import sys; from hmm_plating.cli import main; sys.exit(main(['watch', sys.argv[1]]))"


def piece(known: InferenceData, start: int, count: int) -> InferenceData:
    """So many steps of a run that repeats the known one, from a step on."""
    length = known.posterior.sizes["time"]
    place = np.arange(start, start + count)
    part = known.isel(time=place % length)
    for name in part.groups():
        if "time" in part[name].dims:
            setattr(part, name, part[name].assign_coords(time=1.0 + STEP * place))
    return part


def resident(process: int, part: str = "") -> float:
    """Memory of a process and those that it started, whose command has `part`, shared pages shared out [MB]."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines())}
    family = {process}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0.0
    for pid in family:
        try:
            if part not in Path(f"/proc/{pid}/cmdline").read_text():
                continue
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it has ended
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def steps_shown(profile: Path) -> str:
    """What the page says of its steps in the end."""
    port = (profile / "DevToolsActivePort").read_text().split()[0]
    with sync_playwright() as playwright:
        page = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}").contexts[0].pages[0]
        return page.locator("#now div", has_text="steps").inner_text()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--looks", type=int, default=350, help="how often the page asks for what is new")
    options = parser.parse_args()
    known = make_result(draws=40)
    total = options.hours * HOUR
    added = -(-(total - HOUR) // options.looks)
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store, profile = RunStore(Path(folder) / "run.zarr"), Path(folder) / "profile"

        def add(count: int) -> None:
            last = 1.0 + STEP * (store.steps + count)
            moving = {"newest": last, "lag": STEP, "updated": time.time()}
            store.write(store.steps, piece(known, store.steps, count), moving)

        add(HOUR - WARM_UP)
        server = subprocess.Popen([sys.executable, "-c", SERVE, str(store.path)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        command = [path, *words, f"--user-data-dir={profile}", address]
        chromium = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        titles = ("hours", "steps", "server MB", "Chromium MB", "page MB")
        print("".join(f"{title:>12s}" for title in titles))
        rows = []
        while True:
            if store.steps >= (len(rows) + 1) * HOUR:
                pages = (resident(chromium.pid, part) for part in ("", "--type=renderer"))
                rows.append((resident(server.pid), *pages))
                hours = f"{store.steps / HOUR:12.1f}{store.steps:12d}"
                print(hours + "".join(f"{value:12.1f}" for value in rows[-1]), flush=True)
            if store.steps >= total:
                break
            begun = time.monotonic()
            add(1 if store.steps < HOUR else min(added, total - store.steps))
            time.sleep(max(0.0, begun + PERIOD - time.monotonic()))
        time.sleep(4 * PERIOD)
        shown = steps_shown(profile)
        print(f"the page shows: {' '.join(shown.split())}")
        growth = [last / first - 1 for first, last in zip(rows[0], rows[-1], strict=True)]
        for name, part in zip(titles[2:], growth, strict=True):
            print(f"{name.removesuffix(' MB')}: {100 * part:+.1f} %")
        chromium.terminate()
        server.terminate()
        chromium.wait()
    return int(max(growth[:2]) > 0.1 or str(total) not in shown)


if __name__ == "__main__":
    sys.exit(main())
