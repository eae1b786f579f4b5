"""Images per second that each kind of source delivers, compared with TensorFlow's bare JPEG decoder.

  python -m benchmarks.pipeline --out pipeline.json
  python -m benchmarks.pipeline --images 4096 --files 200000 --tfds celeb_a

The folder holds JPEG files of CelebA's size (178 x 218), drawn by the package; the archive holds the same images in
that size. Every source is shuffled, cropped, resized, mirrored and scaled to [-1, 1]; `cold` decodes every image,
`cached` reads decoded ones. The bare decoder is `tf.io.decode_jpeg` on the same files, in parallel and in batches, and
nothing else. All take turns for several rounds; a ratio is the median over the rounds. A second table has the CPU time
of the stages of a cold folder, with that of the bare decoder.
With --files, a folder of that many files (links to the few that were drawn) is listed and read up to its first batch,
in a process of its own.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import record, workers
from gamix_keras.cli.environment import QUIET, keep_freed_memory
from gamix_keras.cli.options import positive_number, whole_number

WIDTH, HEIGHT, QUALITY = 178, 218, 90
DRAWN = 256
MOST_LINKS = 30_000  # a file system allows about 65,000 links to one file
BARE = "tf.io.decode_jpeg alone"
WHOLE = "the whole pipeline"
COLUMNS = {"source": "source", "images_per_second": "images/s", "of_bare": "of the bare decoder"}
STAGES = {"stage": "stage of a cold folder", "microseconds": "CPU microseconds an image"}
LISTING = {"files": "files", "listed": "listed, s", "first_batch": "first batch, s", "rss_mib": "peak memory, MiB"}
Pass = Callable[[], int]


def write_files(folder: Path, count: int, drawn: int = DRAWN) -> list[str]:
    """Write JPEG files of CelebA's size and return their paths: some drawn faces, and links to them for the rest."""
    from gamix_keras.data import open_source

    drawn = min(max(drawn, -(-count // MOST_LINKS)), count)
    faces = open_source("faces", image_size=HEIGHT, count=max(2, drawn)).load(np.arange(drawn))
    left, paths = (HEIGHT - WIDTH) // 2, [str(folder / f"{number:06d}.jpg") for number in range(count)]
    for number, path in enumerate(paths):
        if number < drawn:
            Image.fromarray(faces[number][:, left : left + WIDTH]).save(path, quality=QUALITY)
        else:
            os.link(paths[number % drawn], path)
    return paths


def write_archive(file: Path, paths: list[str]) -> None:
    """Write a NumPy archive of the decoded files."""
    np.savez(file, images=np.stack([np.asarray(Image.open(path)) for path in paths]))


def bare_decoder(paths: list[str], batch: int) -> Pass:
    """Return a pass over files that only decodes them, with TensorFlow."""
    import tensorflow as tf

    from gamix_keras.data.tensorflow_images import untuned

    def decode(path: Any) -> Any:
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)

    at_once = 2 * (os.cpu_count() or 1)
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(decode, at_once, deterministic=True)
    return _passing(untuned(dataset.batch(batch).prefetch(2)))


def our_pass(spec: str, size: int, batch: int, cache: str, count: int) -> Pass:
    """Return a pass over all training images of a source, by `gamix_keras.data.batches`."""
    from gamix_keras.data import batches, open_source

    source = open_source(spec, image_size=size, count=count, validation="faces")
    return _passing(batches(source, batch, training=True, cache=cache))


def _passing(dataset: Any) -> Pass:
    return lambda: sum(len(images) for images in dataset)


def passes(folder: Path, args: argparse.Namespace) -> dict[str, Pass]:
    """Return a pass over each source, by title."""
    files = folder / "files"
    files.mkdir()
    paths = write_files(files, args.images)
    write_archive(folder / "images.npz", paths)
    specs = {"folder": f"folder:{files}", "npz": f"npz:{folder / 'images.npz'}", "faces": "faces"}
    if args.tfds:
        specs["TFDS"] = f"tfds:{args.tfds}"
    found = {BARE: bare_decoder(paths, args.batch)}
    for title, spec in specs.items():
        for word, cache in (("cold", "none"), ("cached", "memory")):
            found[f"{title}, {word}"] = our_pass(spec, args.size, args.batch, cache, args.images)
    return found


def stages(paths: list[str], size: int, batch: int) -> dict[str, record.Call]:
    """Return, by title, the stages of a cold folder and the whole; each counts the CPU time of all threads.

    Args:
        paths: All files of the folder.
        size: The side to which images are resized.
        batch: The number of images in a batch.

    Raises:
        ValueError: If the files are not all plain JPEG files of one size.
    """
    from gamix_keras.data.decoding import fit_images, read_file
    from gamix_keras.data.jpeg import plain_header
    from gamix_keras.data.pixels import to_unit_range
    from gamix_keras.data.tensorflow_images import jpeg_decoder

    some = [paths[first : first + batch] for first in range(0, min(len(paths), 8 * batch), batch)]
    files = [[read_file(path) for path in part] for part in some]
    headers = {plain_header(data) for part in files for data in part}
    if len(headers) != 1 or None in headers:
        raise ValueError("paths: expected plain JPEG files of one size, got others")
    reduction = headers.pop().reduction(size)
    decode = jpeg_decoder(reduction, 3)
    decoded = [decode(part) for part in files]
    fitted = [fit_images(part, size) for part in decoded]
    folder = f"folder:{Path(paths[0]).parent}"
    return {
        BARE: _counting_cpu_time(bare_decoder(paths, batch)),
        "read": _stage(lambda part: [read_file(path) for path in part], some),
        f"decode at 1/{reduction}": _stage(decode, files),
        "crop and resize": _stage(lambda part: fit_images(part, size), decoded),
        "to [-1, 1]": _stage(to_unit_range, fitted),
        WHOLE: _counting_cpu_time(our_pass(folder, size, batch, "none", len(paths))),
    }


def _stage(work: Callable[[Any], Any], parts: Sequence[Any]) -> record.Call:
    def once() -> int:
        for part in parts:
            work(part)
        return sum(len(part) for part in parts)

    return _counting_cpu_time(once)


def _counting_cpu_time(once: Pass) -> record.Call:
    def timed() -> tuple[int, float]:
        start = time.process_time()
        return once(), time.process_time() - start

    return timed


def listing(count: int, size: int, batch: int) -> record.Row:
    """List a folder of `count` files and read its first batch, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), count)
        sizes = ("--size", str(size), "--batch", str(batch))
        command = workers.command("benchmarks.pipeline", "--listing", folder, *sizes)
        environment = {**QUIET, **workers.environment()}
        answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return {"files": count, **json.loads(answer.stdout.splitlines()[-1])}


def _list(folder: str, size: int, batch: int) -> record.Row:
    from gamix_keras.data import batches, open_source

    start = time.perf_counter()
    source = open_source(f"folder:{folder}", image_size=size)
    listed = time.perf_counter() - start
    next(iter(batches(source, batch, training=True)))
    first = time.perf_counter() - start
    return {"listed": listed, "first_batch": first, "rss_mib": _peak_mib()}


def _peak_mib() -> float | None:
    """Return the peak memory of this process; `getrusage` would include what its parent had at the start."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    args = _parser().parse_args(arguments)
    os.environ.update({**QUIET, "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow")})
    keep_freed_memory()  # as the command line does
    if args.listing:
        print(json.dumps(_list(args.listing, args.size, args.batch)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = record.rates(passes(Path(folder), args), args.seconds)
        paths = sorted(str(file) for file in (Path(folder) / "files").iterdir())
        parts = record.rates(stages(paths, args.size, args.batch), args.seconds / 4)
    rows = [
        {
            "source": title,
            "images_per_second": median(speeds),
            "of_bare": None if title == BARE else record.against(found, title, BARE),
        }
        for title, speeds in found.items()
    ]
    print(record.table(rows, COLUMNS))
    taken = [{"stage": title, "microseconds": 1e6 / median(speeds)} for title, speeds in parts.items()]
    print("\n" + record.table(taken, STAGES))
    large = listing(args.files, args.size, args.batch) if args.files else None
    if large:
        print("\n" + record.table([large], LISTING))
    settings = {"images": args.images, "batch": args.batch, "size": args.size, "seconds": args.seconds}
    record.save(args.out, "pipeline", rows, 0, stages=taken, listing=large, settings=settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--images", metavar="N", type=whole_number(2), default=2048, help="images of each source (default: 2048)")
    add("--size", metavar="N", type=whole_number(8), default=64, help="side to which images are resized (default: 64)")
    add("--batch", metavar="N", type=whole_number(1), default=64, help="images in a batch (default: 64)")
    add("--seconds", metavar="S", type=positive_number, default=20.0, help="seconds for each source (default: 20)")
    add(
        "--files",
        metavar="N",
        type=whole_number(0),
        default=0,
        help="files of the folder that is listed (default: 0, none)",
    )
    add("--tfds", metavar="NAME", help="also measure a prepared data set of TFDS")
    add("--out", metavar="FILE", help="also write JSON")
    add("--listing", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
