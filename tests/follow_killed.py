"""A followed run that is killed at random moments and started again; as a script, for many kills.

python tests/follow_killed.py 20
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import arviz
import numpy as np

from hmm_plating import InputError, open_run

START = 60.0  # s, within which a process makes a step, unless the files have none yet


def killed_run(
    contents: dict[str, bytes], model: Path, folder: Path, words: list[str], kills: int, seed: int, pieces: int = 400
) -> arviz.InferenceData:
    """Result of `filter --follow` on the files `qcm.txt` and `cell.txt`, written meanwhile, after so many kill -9.

    The store is read throughout; its steps must never become fewer.
    """
    generator = np.random.default_rng(seed)
    growing = folder / "growing"
    growing.mkdir()
    for name, data in contents.items():  # the first part is there from the start: kills before it would tell little
        (growing / name).write_bytes(data[: 2 * len(data) // 5])
        (folder / name).write_bytes(data[2 * len(data) // 5 :])
    store = folder / "run.zarr"
    files = [f"{growing / name}={folder / name}" for name in contents]
    script = Path(__file__).parent / "growing_files.py"
    duration = 6.0 * kills
    writer = subprocess.Popen([sys.executable, script, str(pieces), str(duration / pieces), *files])
    command = [sys.executable, "-m", "hmm_plating.cli", "filter", growing / "qcm.txt"]
    command += ["--electrochemistry", growing / "cell.txt", "--model", model, *words]
    command += ["--follow", "--idle", "6", "--output", store]
    seen = 0

    def look() -> int:
        try:
            return open_run(store, without=["morphology"]).posterior.sizes["time"]
        except InputError:
            if seen == 0:  # nothing yet
                return 0
            raise

    for kill in range(kills):
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            before, begun, wait = seen, time.monotonic(), generator.uniform(0.0, 6.0)
            early = generator.random() < 0.25  # counted from the start of the process, else from its first new step
            moment = begun + wait if early else begun + START
            while time.monotonic() < moment and process.poll() is None:
                now = look()
                assert now >= seen
                if now > seen == before and not early:
                    moment = time.monotonic() + wait
                seen = now
                time.sleep(0.05)
            if process.poll() is not None:  # it had all steps before it was killed
                assert process.returncode == 0, process.stderr.read().decode()  # type: ignore[union-attr]
                break
            process.kill()
        print(f"kill {kill + 1} at {seen} steps", flush=True)
    writer.wait()
    subprocess.run(command, check=True, capture_output=True)
    return open_run(store)


if __name__ == "__main__":
    from small_recording import PROTOCOL
    from text_files import texts_of

    from hmm_plating import filter_recording, simulate_recording
    from hmm_plating.model_file import load_model_file
    from hmm_plating.recording import first_steps, read, resample, write

    kills, seed = (int(sys.argv[i]) if len(sys.argv) > i else (20, 1)[i - 1] for i in (1, 2))
    model = Path(__file__).parent / "small_model.py"
    build = load_model_file(model)
    simulated, _ = simulate_recording(build, dataclasses.replace(PROTOCOL, cycles=max(4, kills // 2)), seed=1)
    with tempfile.TemporaryDirectory() as name:
        files = write(simulated, name)
        assert files.electrochemistry is not None
        found = killed_run(
            texts_of(files.qcmd, files.electrochemistry),
            model,
            Path(name),
            ["--particles", "4", "--chains", "2", "--first-part", "12", "--checkpoint-interval", "3"],
            kills,
            seed,
        )
        growing = Path(name) / "growing"
        steps = resample(read(growing / "qcm.txt", growing / "cell.txt", first_part=12.0))
    expected = filter_recording(steps, build(first_steps(steps)), particles=4, chains=2)
    same = all(found[group].equals(expected[group]) for group in expected.groups())
    print("identical to the uninterrupted run" if same else "DIFFERENT")
    sys.exit(not same)
