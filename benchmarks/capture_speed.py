"""Time and memory of one capture: `python benchmarks/capture_speed.py`.

Two clips are made from the bundled example: ten seconds of 720 x 1280 at 30 frames a second, and ten minutes of
2160 x 3840 (its pictures enlarged, two seconds encoded once and their packets repeated). Each is captured at 1024² in
a process of its own. Prints wall time of `capture` after the imports, and the peak memory of the process, as Markdown.
"""

import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "selfie.mp4"
MEASURE = """
import json, resource, sys, time
from studio_avatar.capture import capture
from studio_avatar.head.model import HeadModel
from studio_avatar.models import Registrar
head = HeadModel.from_pretrained("weights_card", subfolder="head")
registrar = Registrar.from_pretrained("weights_card", subfolder="registrar")
begin, used = time.perf_counter(), time.process_time()
texture = capture(sys.argv[1], head, size=1024, registrar=registrar)
print(json.dumps({
    "seconds": time.perf_counter() - begin,
    "cpu_seconds": time.process_time() - used,
    "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    "keyframes": len(texture.fit.expression),
}))
"""


def main() -> None:
    print(f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}\n")
    print("| clip | seconds | CPU seconds | memory [GB] | key frames |")
    print("|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder, "short.mp4"), Path(folder, "long.mp4")
        repeat(EXAMPLE, short, times=2)
        enlarge(EXAMPLE, two_seconds := Path(folder, "part.mp4"), (2160, 3840), frames=60)
        repeat(two_seconds, long, times=300)
        for name, clip in (("10 s, 720 x 1280", short), ("10 min, 2160 x 3840", long)):
            done = subprocess.run(
                [sys.executable, "-c", MEASURE, clip], capture_output=True, text=True, check=True
            )
            row = json.loads(done.stdout.splitlines()[-1])
            numbers = f"{row['seconds']:.1f} | {row['cpu_seconds']:.1f} | {row['memory_gb']:.2f} | {row['keyframes']}"
            print(f"| {name} | {numbers} |", flush=True)


def repeat(source: Path, target: Path, times: int) -> None:
    """Write the packets of a clip `times` times one after the other."""
    import av

    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        length = stream.duration
        for number in range(times):
            reader.seek(0)
            for packet in reader.demux(stream):
                if packet.dts is None:
                    continue
                packet.pts += number * length
                packet.dts += number * length
                packet.stream = copy
                writer.mux(packet)


def enlarge(source: Path, target: Path, size: tuple[int, int], frames: int) -> None:
    """Encode the first `frames` pictures of every second picture of a clip at `size`, a key frame a second."""
    import av

    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        options = {"preset": "ultrafast", "crf": "26", "g": "30"}
        stream = writer.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, picture in enumerate(reader.decode(video=0)):
            if number % 2 == 0 and number < 2 * frames:
                large = picture.reformat(*size, "yuv420p")
                large.pts, large.time_base = number // 2, Fraction(1, 30)
                writer.mux(stream.encode(large))
        writer.mux(stream.encode())


if __name__ == "__main__":
    main()
