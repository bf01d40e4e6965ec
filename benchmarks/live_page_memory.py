"""Whether the live page's server and browser need more memory the longer a run is: hours of steps in some minutes.

    python benchmarks/live_page_memory.py --hours 8

A store grows from one hour's steps of 2 s (2 chains of 20 draws, 4 overtones) to all of them; a headless Chromium
(extra `browser`) shows the page, whose timer is wound forward, so that it asks after every addition, `--looks` times.
Reports the memory of the server's process and of all of Chromium's, and the page's own heap after a collection.
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
from playwright.sync_api import Page, sync_playwright

from hmm_plating.run_store import RunStore

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from known_result import make_result  # noqa: E402  # the tests show such a run too

STEP = 2.0  # s
HOUR = round(3600 / STEP)
WARM_UP = 40  # looks before the first measurement: caches fill
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


def resident(process: int) -> float:
    """Memory of a process and of those that it started, shared pages shared out [MB]."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listing.splitlines())}
    family = {process}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0.0
    for pid in family:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it has ended
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def heap(page: Page) -> float:
    """What the page's script holds after a collection [MB]."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.enable") or session.send("Performance.getMetrics")
    found = {each["name"]: each["value"] for each in metrics["metrics"]}
    session.detach()
    return found["JSHeapUsedSize"] / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--looks", type=int, default=700, help="how often the page asks for what is new")
    options = parser.parse_args()
    known = make_result(draws=40)
    total = options.hours * HOUR
    added = -(-(total - HOUR) // options.looks)
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        store = RunStore(Path(folder) / "run.zarr")

        def add(count: int) -> None:
            last = 1.0 + STEP * (store.steps + count)
            store.write(
                store.steps, piece(known, store.steps, count), {"newest": last, "lag": STEP, "updated": time.time()}
            )

        add(HOUR - WARM_UP)
        server = subprocess.Popen([sys.executable, "-c", SERVE, str(store.path)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        driver = {int(pid) for pid in children} - {server.pid}
        page = opened.new_page()
        page.clock.install()
        page.goto(address)
        page.wait_for_selector("#shifts svg polyline")
        titles = ("h", "steps", "server MB", "Chromium MB", "heap MB", "nodes", "s per look")
        print("".join(f"{title:>12s}" for title in titles))
        rows, begun, looks = [], time.monotonic(), 0
        shown = page.locator("#now div", has_text="steps")
        while True:
            if store.steps >= (len(rows) + 1) * HOUR:
                nodes = page.evaluate("document.querySelectorAll('*').length")
                took = (time.monotonic() - begun) / max(looks, 1)
                rows.append((resident(server.pid), sum(map(resident, driver)), heap(page)))
                server_, chromium, script = rows[-1]
                print(f"{store.steps / HOUR:12.1f}{store.steps:12d}", end="")
                print(f"{server_:12.1f}{chromium:12.1f}{script:12.1f}{nodes:12d}{took:12.2f}", flush=True)
                begun, looks = time.monotonic(), 0
            if store.steps >= total:
                break
            add(1 if store.steps < HOUR else min(added, total - store.steps))
            until = time.monotonic() + 60
            while str(store.steps) not in shown.inner_text() and time.monotonic() < until:
                page.clock.run_for(2000)
                time.sleep(0.05)
            assert str(store.steps) in shown.inner_text(), "the page did not follow"
            looks += 1
        growth = [last / first - 1 for first, last in zip(rows[0], rows[-1], strict=True)]
        for name, part in zip(("server", "Chromium", "heap"), growth, strict=True):
            print(f"{name}: {100 * part:+.1f} %")
        opened.close()
        server.terminate()
    return int(max(growth) > 0.1)


if __name__ == "__main__":
    sys.exit(main())
