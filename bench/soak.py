"""Soak: one relay under thousands of live streams, upstreams that fail, clients that leave or dawdle.

Every client must have got its whole stream to the byte, or the dialect's error event where its upstream
broke; nothing lost, nothing of another stream, nothing after the end. On the way the configuration is
reloaded (which may cost nothing) and workers are killed (which may cost the streams they had, by the
kernel's own list). Then memory must stay flat, and when all is over no descriptor may be left.

    python bench/soak.py                    2,000 live streams for ten minutes
    python bench/soak.py --quick            150 for ten seconds
"""

import argparse
import contextlib
import json
import os
import resource
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import procfs
import tables
from soak_report import Report
from soak_streams import SECRET, Script
from soak_watch import Watch

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SETTLED_WITHIN = 30.0
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""glibc keeps more and more of the large buffers that were freed; so RSS is what relay holds."""


class Peer:
    """Upstream or clients: a process that is asked, and answers, in lines."""

    def __init__(self, script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} has ended")
        return line

    def ask(self, question: str) -> dict:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        answer: dict = json.loads(self.read())
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Relay:
    """``relay serve``, and all that it says."""

    def __init__(self, options: argparse.Namespace, ports: list[int]) -> None:
        serve = [sys.executable, "-m", "relay", "serve", "--listen", "127.0.0.1:0", "--drain", "5s"]
        serve += ["--retry", "completions attempts=4 budget=90s pause=20ms", "--keep-alive", "none"]
        if options.silences:
            serve += ["--timeout", "head=20s first-frame=20s idle=20s"]
        for port in ports:
            serve += ["--upstream", f"http://127.0.0.1:{port}"]
        self.process = subprocess.Popen(
            serve, stderr=subprocess.PIPE, text=True, env={**MALLOC, **os.environ}
        )
        self.lines: list[str] = []
        self.heard = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        self.wait_for("ready in", 1)

    @property
    def port(self) -> int:
        (line,) = (line for line in self.lines if "listening on" in line)
        return int(line.rsplit(":", 1)[1])

    def count(self, words: str) -> int:
        return sum(words in line for line in self.lines)

    def wait_for(self, words: str, times: int) -> None:
        """Until it has said these words so often."""
        with self.heard:
            if not self.heard.wait_for(lambda: self.count(words) >= times, 30):
                raise RuntimeError(f"relay has not said {words!r}, but {self.lines[-5:]}")

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.heard:
                self.lines.append(line)
                self.heard.notify_all()

    def end(self) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()
        self.process.wait()


class Soak:
    """One run."""

    def __init__(self, options: argparse.Namespace, upstreams: list[Peer], relay: Relay) -> None:
        self.options, self.upstreams, self.relay = options, upstreams, relay
        self.watch = Watch(relay.process.pid, relay.port)
        self.clients: Peer | None = None

    def run(self) -> Report:
        options = self.options
        self.first_stream()
        baseline = self.settle(None)
        arguments = [f"--{name}={getattr(options, name)}" for name in CLIENTS]
        arguments += ["--silences"] if options.silences else []
        self.clients = clients = Peer("soak_clients.py", f"--port={self.relay.port}", *arguments)
        began = time.monotonic()
        plan = sorted(PLAN.items()) if not options.calm else []
        while (now := time.monotonic() - began) < options.seconds or plan:
            if plan and now >= plan[0][0] * options.seconds * (3 if options.quick else 1):
                for step in plan.pop(0)[1]:
                    getattr(self, step)()
            self.look(clients)
            time.sleep(min(options.seconds / 40, 5))
        ended = time.monotonic()
        clients.ask("stop")
        left = self.settle(baseline)
        said = [one.ask("report") for one in self.upstreams]
        report = Report(self.watch, clients.ask("report"), said, (began + options.seconds / 3, ended))
        report.left(baseline, left)
        report.log(self.relay.lines, SECRET)
        if not options.quick:
            report.judge_times()
        return report

    def first_stream(self) -> None:
        """After it all is there that a worker keeps."""
        with socket.create_connection(("127.0.0.1", self.relay.port)) as sock:
            sock.sendall(Script(0, "chat", 2, 0.01).request(keep=False))
            while sock.recv(65536):
                pass

    def look(self, clients: Peer) -> None:
        said = clients.ask("figures")
        self.watch.sample(said["live"], clients=said["lag"], upstream=self.upstreams[0].ask("figures")["lag"])
        words = f"{said['live']} live, {said['done']} done, {said['wrong']} wrong, {self.watch.last}"
        print(f"\r{words:100}", end="", file=sys.stderr)

    def settle(self, baseline: dict[str, int] | None) -> dict[str, int]:
        """What is open when all is quiet, or stays so for too long: idle connections live some seconds."""
        deadline = time.monotonic() + SETTLED_WITHIN
        while True:
            time.sleep(0.25)
            said = {"workers": len(self.watch.workers()), **self.watch.descriptors()}
            said["upstream"] = sum(int(one.ask("figures")["connections"]) for one in self.upstreams)
            if time.monotonic() > deadline or (not said["upstream"] and baseline in (None, said)):
                return said

    # Steps of the plan.

    def reload(self) -> None:
        """The new worker serves when this returns."""
        count = self.relay.count("reloaded;")
        self.watch.reload()
        self.relay.wait_for("reloaded;", count + 1)

    def reload_and_kill_the_new(self) -> None:
        before = set(self.watch.workers())
        self.watch.reload()
        deadline = time.monotonic() + SETTLED_WITHIN
        while before.issuperset(self.watch.workers()):
            if time.monotonic() > deadline:
                raise RuntimeError("a reload has started no worker")
            time.sleep(0.001)
        self.watch.kill(self.watch.workers()[-1])

    def kill_the_old(self) -> None:
        """The one that has retired."""
        self.watch.kill(self.watch.workers()[0])

    def kill(self) -> None:
        """The one that serves."""
        self.watch.kill(self.watch.workers()[-1])


PLAN = {
    0.05: ["reload"],
    0.10: ["kill"],
    0.16: ["reload", "kill_the_old"],
    0.20: ["reload_and_kill_the_new"],
    0.24: ["reload", "kill"],
    0.28: ["reload"],
}
"""What happens, and after what part of the time. The last two thirds are left alone: memory is to be flat."""
CLIENTS = ("streams", "deltas", "interval", "ramp", "seed")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small and short, without what takes time")
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--deltas", type=int, default=30, help="at most, of one stream")
    parser.add_argument("--interval", type=float, default=1.2, help="seconds between two deltas")
    parser.add_argument("--ramp", type=float, default=20)
    parser.add_argument("--calm", action="store_true", help="no kill, no reload")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave the README as it is")
    parser.add_argument("--json", action="store_true", help="all figures, for programs")
    said = parser.parse_args()
    if said.quick:
        said.streams, said.seconds, said.deltas, said.interval, said.ramp = 150, 8, 10, 0.1, 0.5
    said.silences = not said.quick
    return said


def main() -> int:
    said = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.time()
    with contextlib.ExitStack() as ends:
        upstreams = [Peer("soak_upstream.py") for _ in range(2)]
        for upstream in upstreams:
            ends.callback(upstream.end)
        relay = Relay(said, [int(upstream.read()) for upstream in upstreams])
        ends.callback(relay.end)
        soak = Soak(said, upstreams, relay)
        try:
            report = soak.run()
        finally:
            if soak.clients is not None:
                soak.clients.end()
    figures = report.figures()
    if not said.quick:
        keep(figures, relay.lines, began)
    print(json.dumps(figures) if said.json else report.text(heading(began)))
    if said.write and not said.quick:
        tables.insert(HERE / "README.md", "soak", report.text(heading(began)))
    return 1 if report.wrong else 0


def keep(figures: dict[str, object], log: list[str], began: float) -> None:
    """What a finding is looked for in."""
    name = time.strftime("soak-%Y%m%d-%H%M%S", time.gmtime(began))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(figures))
    (RESULTS / f"{name}.log").write_text("".join(log))


def heading(began: float) -> str:
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began))
    command = shlex.join(["python", "bench/soak.py", *sys.argv[1:]])
    facts = procfs.machine()
    machine = f"{facts['cpu']}, {facts['cores']} cores, {facts['memory']}, Linux {facts['kernel']}"
    return f"{date}, `{command}`. {machine}, Python {facts['python']}."


if __name__ == "__main__":
    sys.exit(main())
