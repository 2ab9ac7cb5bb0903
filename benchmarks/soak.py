"""What a demo holds on to while strangers come and go: `python benchmarks/soak.py --jobs 300` (hours on two cores).

The app in a process of its own gets a mix of jobs: over its API captures are checked, avatars made, files uploaded and
left, calls made that nobody waits for; pages are opened, check a capture and are closed, some of them in the middle. After
every 25 jobs a line says what the process has: memory, descriptors, threads, and files of visitors; at the end, how memory
grew a job after the first 30.
"""

import argparse
import json
import secrets
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    """A client of API and page; every call, and every page, is a stranger's."""

    def __init__(self, url: str, example: Path):
        self.url, self.api, self.example = url, f"{url}/gradio_api", example
        self.http = httpx.Client(timeout=PATIENCE)

    def come_from(self, address: str) -> None:
        """Each address has a share of its own of uploads and calls."""
        self.http.headers["x-forwarded-for"] = address

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
        for path in ("/", "/config", "/health"):
            self.http.get(self.url + path).raise_for_status()

    def page(self):
        """Open, check a capture, look at it, close."""
        with self._opened_page() as (client, session):
            address = f"{self.api}/queue/data?session_hash={session}"
            with client.stream("GET", address) as answers:
                last = [line for line in answers.iter_lines() if "process_completed" in line][-1]
            if '"success":true' not in last:
                raise RuntimeError(f"The check on the page ended with {last[:300]}")

    def page_closed_in_the_middle(self):
        with self._opened_page():
            time.sleep(1.0)

    @contextmanager
    def _opened_page(self) -> Iterator[tuple[httpx.Client, str]]:
        """A browser that has opened the page and chosen a video; the page is closed at the end of the block."""
        from helpers.quick_demo import begin_a_check, open_page

        session = secrets.token_hex(6)
        with httpx.Client(timeout=PATIENCE, headers=self.http.headers) as client:
            client.get(self.url).raise_for_status()  # which gives the browser its cookie
            with open_page(self.url, session, client):
                begin_a_check(self.url, session, client, self.example.read_bytes())
                yield client, session


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

    options = parse()
    memory = []
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        visitor = Visitor(server.url, GOOD_CAPTURE)
        jobs = (visitor.check, visitor.page, visitor.look, visitor.create, visitor.leave_an_upload)
        jobs += (visitor.page_closed_in_the_middle, visitor.call_and_go)
        for done, job in enumerate(islice(cycle(jobs), options.jobs), 1):
            visitor.come_from(f"203.0.113.{done % 256}")
            job()
            now = measured(server.pid, server.temporary)
            memory.append(now["memory [MB]"])
            if done == options.every:
                print("| jobs | " + " | ".join(now) + " |\n|---:|" + "---:|" * len(now))
            if done % options.every == 0:
                values = " | ".join(f"{value:.0f}" for value in now.values())
                print(f"| {done} | {values} |", flush=True)
    later = np.arange(options.warm_up, options.jobs)
    growth = np.polyfit(later, memory[options.warm_up :], 1)[0]
    print(f"\nGrowth after the first {options.warm_up} jobs: {growth:.2f} MB a job.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--every", type=int, default=25, help="jobs between two lines")
    parser.add_argument(
        "--warm-up", type=int, default=WARM_UP, help="jobs whose growth does not count (default: %(default)s)"
    )
    options = parser.parse_args()
    if options.jobs < options.warm_up + 2:
        parser.error(f"More than {options.warm_up + 1} jobs are needed to see a growth.")
    return options


if __name__ == "__main__":
    main()
