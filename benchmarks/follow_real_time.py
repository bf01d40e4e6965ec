"""How much faster than the instrument the follower is: a recording is written anew, as fast as asked, as texts.

    python benchmarks/follow_real_time.py QCMD.xlsx ECHEM.xlsx --air AIR.xlsx --model models/zinc.py --speed 20

Without files the model's own recording. Reports the real-time factor (seconds of the recording per second, from the
first step to the last), the time per step, the lag, and whether the result equals that of the finished files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import hmm_plating as hp
from hmm_plating.follow import follow
from hmm_plating.model_file import load_model_file
from hmm_plating.recording import first_steps, read, resample
from hmm_plating.recording.growing_recording import GrowingRecording

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from text_files import texts_of  # noqa: E402  # the tests write such files too

WRITE = """
import sys, time
from pathlib import Path
speed, until, start = float(sys.argv[1]), float(sys.argv[2]), time.monotonic()
files = []
for path in sys.argv[3:]:
    lines = Path(path + ".all").read_bytes().splitlines(True)
    moments = [float(line.replace(b"\\t", b";").split(b";")[0]) for line in lines[1:]]
    files.append([open(path, "ab", buffering=0), lines[0], iter(zip(moments, lines[1:]))])
rows = sorted((moment, i, line) for i, (_, _, rows) in enumerate(files) for moment, line in rows)
for file, header, _ in files:
    file.write(header)
for moment, i, line in rows:
    if moment > until:
        break
    time.sleep(max(0.0, moment / speed - (time.monotonic() - start)))
    files[i][0].write(line[: len(line) // 2])
    files[i][0].write(line[len(line) // 2 :])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qcmd", nargs="?", type=Path)
    parser.add_argument("electrochemistry", nargs="?", type=Path)
    parser.add_argument("--air", type=Path)
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "zinc.py")
    parser.add_argument("--speed", type=float, default=20.0, help="of the writer, in real times")
    parser.add_argument("--until", type=float, default=np.inf, metavar="S", help="write the first seconds alone")
    parser.add_argument("--first-part", type=float, default=120.0, metavar="S")
    parser.add_argument("--particles", type=int, default=64)
    parser.add_argument("--chains", type=int, default=1)
    parser.add_argument("--compare", action="store_true", help="filter the finished files as well")
    options = parser.parse_args()
    build = load_model_file(options.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.qcmd is None:
            simulated, _ = hp.simulate_recording(build, hp.Protocol(), seed=1)
            written = hp.recording.write(simulated, folder)
            options.qcmd, options.electrochemistry, options.air = written
        texts = texts_of(options.qcmd, options.electrochemistry)
        for file, data in texts.items():
            (folder / f"{file}.all").write_bytes(data)
            (folder / file).touch()
        paths = [folder / file for file in texts]
        arguments = [sys.executable, "-c", WRITE, str(options.speed), str(options.until), *map(str, paths)]
        run = {"particles": options.particles, "chains": options.chains, "seed": 1}
        source = GrowingRecording(*paths, options.air, first_part=options.first_part)
        moments, times, lags = [], [], []
        with subprocess.Popen(arguments):
            for update in follow(source, build, store=folder / "run.zarr", idle=10.0, say=print, **run):
                moments.append(time.monotonic())
                times.append(update.time)
                lags.append(update.lag)
        steps, factor = np.diff(moments), (times[-1] - times[0]) / (moments[-1] - moments[0])
        print(
            f"{options.particles} particles × {options.chains} chains, {len(times)} steps, written at "
            f"{options.speed:g} × real time: real-time factor {factor:.2f}; a step takes "
            f"{np.median(steps):.3f} s (90 % below {np.quantile(steps, 0.9):.3f} s); lag at most {max(lags):.1f} s"
        )
        if options.compare:
            recording = resample(read(*paths, options.air, first_part=options.first_part), 2.0)
            expected = hp.filter_recording(recording, build(first_steps(recording)), **run)
            found = hp.open_run(folder / "run.zarr")
            same = all(found[group].equals(expected[group]) for group in expected.groups())
            print("equal to the filter of the finished files, bit by bit" if same else "DIFFERENT from the batch")
            sys.exit(not same)


if __name__ == "__main__":
    main()
