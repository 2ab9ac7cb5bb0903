"""What a demo holds on to while strangers come and go: `python benchmarks/soak.py --jobs 300` (hours on two cores).

The app in a process of its own gets a mix of jobs through its API: captures are checked, avatars made, files uploaded
and left, calls made that nobody waits for. After every 25 jobs a line says what the process has: memory, descriptors,
threads, and files of visitors; at the end, how memory grew a job after the first 30.
"""

import argparse
import json
import stat
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import httpx
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the server is started by the tests' own helper

SIZE = 512  # texels
SETTINGS = {"seed": 0, "steps": 1, "inversion_steps": 5, "guidance": 0.0, "size": SIZE}
WARM_UP = 30  # jobs
PATIENCE = httpx.Timeout(600.0)


class Visitor:
    """One API client; every call is a stranger's."""

    def __init__(self, url: str, example: Path):
        self.api, self.example = f"{url}/gradio_api", example
        self.http = httpx.Client(timeout=PATIENCE)

    def upload(self) -> dict:
        with self.example.open("rb") as file:
            answer = self.http.post(f"{self.api}/upload", files={"files": (self.example.name, file)})
        return {"path": answer.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, name: str, *data) -> str:
        """Start a call; returns the address of its answers."""
        answer = self.http.post(f"{self.api}/call/{name}", json={"data": list(data)}).raise_for_status()
        return f"{self.api}/call/{name}/{answer.json()['event_id']}"

    def answer(self, address: str) -> list:
        """Wait for a call."""
        event = ""
        with self.http.stream("GET", address) as lines:
            for line in lines.iter_lines():
                event = line.removeprefix("event: ") if line.startswith("event: ") else event
                if line.startswith("data: ") and event == "complete":
                    return json.loads(line.removeprefix("data: "))
                if event == "error":
                    raise RuntimeError(f"{address}: {line}")
        raise RuntimeError(f"{address} ended without an answer")

    # ------------------------------------------------------------------------------------------ the jobs

    def check(self):
        self.answer(self.call("check_capture", self.upload(), SIZE))

    def create(self):
        self.answer(self.call("create_avatar", self.upload(), *_settings()))

    def leave_an_upload(self):
        self.upload()

    def call_and_go(self):
        address = self.call("create_avatar", self.upload(), *_settings())
        with self.http.stream("GET", address):
            time.sleep(1.0)

    def look(self):
        base = self.api.removesuffix("/gradio_api")
        for path in ("/", "/config", "/health"):
            self.http.get(base + path).raise_for_status()


def _settings() -> list:
    from studio_avatar.results.settings import SETTINGS as DECLARED

    return [SETTINGS.get(name, setting.default) for name, setting in DECLARED.items()]


def measured(pid: int, temporary: Path) -> dict[str, float]:
    """What a process and its temporary folder hold."""
    from studio_avatar.imaging.files import entries_below

    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    sizes = [known.st_size for _, known in entries_below(temporary) if stat.S_ISREG(known.st_mode)]
    return {
        "memory [MB]": int(status["VmRSS"].split()[0]) / 1024,
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"]),
        "files": len(sizes),
        "disk [MB]": sum(sizes) / 1e6,
    }


def main() -> None:
    from helpers.demo_server import GOOD_CAPTURE, running_server

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--every", type=int, default=25, help="jobs between two lines")
    options = parser.parse_args()
    if options.jobs <= WARM_UP:
        parser.error(f"More than {WARM_UP} jobs are needed to see a growth.")
    memory, done = [], 0
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        visitor = Visitor(server.url, GOOD_CAPTURE)
        jobs = (visitor.check, visitor.look, visitor.create, visitor.leave_an_upload, visitor.call_and_go)
        for done, job in enumerate(islice(cycle(jobs), options.jobs), 1):
            visitor.http.headers["x-forwarded-for"] = f"203.0.113.{done % 256}"  # each has a share of its own
            job()
            now = measured(server.pid, server.temporary)
            memory.append(now["memory [MB]"])
            if done == options.every:
                print("| jobs | " + " | ".join(now) + " |\n|---:|" + "---:|" * len(now))
            if done % options.every == 0:
                print(
                    f"| {done} | " + " | ".join(f"{value:.0f}" for value in now.values()) + " |", flush=True
                )
    later = np.arange(WARM_UP, done)
    growth = np.polyfit(later, memory[WARM_UP:], 1)[0]
    print(f"\nGrowth after the first {WARM_UP} jobs: {growth:.2f} MB a job.")


if __name__ == "__main__":
    main()
