"""The verdict of the soak: what each side has seen, held against what the others have.

Everything in ``wrong`` is a promise that relay has not kept, or a doubt that the bench cannot clear up.
"""

from collections import Counter
from dataclasses import asdict
from statistics import linear_regression, median

from soak_watch import Kill, Sample, Watch

MIB = 1 << 20
ATTEMPTS = 4
LONG = 5.0
"""Seconds after which a stream without its client must not be sent any more; beyond the longest time that a
request has waited for its head, for relay may have waited for a processor, and beyond the bench's lag."""
RETIRING = 5.0
"""Seconds after a reload in which the worker may not have heard of it, and still accepts."""
HELD_BACK = 0.3
"""For how much of the time that its client takes an upstream must have waited."""
FELT = 0.8
"""Of the slow clients; the kernel may have lent enough to a few."""
GROWTH_MIB, GROWTH = 4.0, 0.04
"""How much memory may grow in the last two thirds by its straight line: this many MiB, or this share."""
FEW = 5
"""Samples through which no line can be laid."""
SHOWN = 25


class Report:
    """One run, judged."""

    def __init__(
        self, watch: Watch, clients: dict, upstreams: list[dict], steady: tuple[float, float]
    ) -> None:
        self.watch, self.clients, self.upstreams = watch, clients, upstreams
        self.steady = steady
        """From when to when memory is to be flat."""
        self.outcomes = Counter({(what, seen): count for what, seen, count in clients["outcomes"]})
        self.wrong: list[str] = [*clients["wrong"]]
        self.descriptors = ""
        self.departures: list[float] = []
        self.asked_again: set[int] = set()
        self.killed = self.cut_otherwise = self.closed_idle = 0
        held_back = dict(pair for upstream in upstreams for pair in upstream["held_back"])
        self.held_back = sorted(held_back.get(number, 0.0) for number in clients["slow"])
        """For which part of a slow client's time its upstream could not write."""
        for upstream in upstreams:
            self.wrong += upstream["wrong"]
            self.wrong += [f"stream {number} is still being sent" for number in upstream["active"]]
        self._cuts()
        self._repeats()
        self._asked()
        self._left()

    # What the clients and the upstreams have seen.

    def _cuts(self) -> None:
        """Only what a killed worker held may have been cut."""
        for cut in self.clients["cut"]:
            if any(cut["began"] <= kill.at for kill in self._kills_of(cut)):
                self.killed += 1
            elif cut["sent"] == "nothing" and self._retired(cut["began"], cut["ended"]):
                self.outcomes["leaves", "closed while it was idle"] += 1
            else:
                self.cut_otherwise += 1
                since = [round(cut["ended"] - kill.at, 3) for kill in self.watch.kills]
                self.wrong.append(f"cut, and not by a kill: {cut['what']}, {since} s after the kills")

    def _repeats(self) -> None:
        """A kept connection may have been closed while it was idle, by a worker that retires or is killed."""
        for again in self.clients["repeated"]:
            if self._kills_of(again):  # its client may not have heard of it when it sent
                self.asked_again.add(again["number"])
            elif self._has_successor(again["worker"], again["ended"]):
                self.closed_idle += 1
            else:
                self.wrong.append(f"a kept connection was closed as a request came: {again}")

    def _kills_of(self, seen: dict) -> list[Kill]:
        """Those, before the end of this, of a worker that had its connection."""
        return [
            kill for kill in self.watch.kills if seen["address"] in kill.clients and kill.at <= seen["ended"]
        ]

    def _retired(self, began: float, ended: float) -> bool:
        """The worker that had this connection may have retired meanwhile."""
        return any(began - RETIRING <= reload <= ended for reload in self.watch.reloads)

    def _has_successor(self, worker: str, at: float) -> bool:
        """It closes each connection when what was asked on it has been answered."""
        first = self.clients["workers"]
        return any(first[worker] < since <= at for since in first.values()) or self._retired(at, at)

    def _asked(self) -> None:
        """What was served is asked for once; what failed at once, as often as attempts are allowed."""
        asked = Counter(number for upstream in self.upstreams for number in upstream["asked"])
        early = {number for upstream in self.upstreams for number in upstream["early"]}
        for number, times in asked.items():
            allowed = ATTEMPTS if number in early else 1
            if times > allowed * (2 if number in self.asked_again else 1):
                self.wrong.append(f"stream {number} was asked for {times} times")

    def _left(self) -> None:
        """A client that has left ends its generation."""
        asked = {number for upstream in self.upstreams for number in upstream["asked"]}
        closed = dict(pair for upstream in self.upstreams for pair in upstream["left"])
        for number, at in self.clients["left"]:
            if number in asked and number not in closed:
                self.wrong.append(f"stream {number} went on after its client had left")
            elif number in asked and closed[number] >= at:
                self.departures.append(closed[number] - at)

    @property
    def felt(self) -> int:
        """Slow clients that have held their upstream back."""
        return sum(part > HELD_BACK for part in self.held_back)

    # What the kernel has seen.

    def left(self, baseline: dict[str, int], left: dict[str, int]) -> None:
        """Descriptors, connections and processes, before and after."""
        self.descriptors = ", ".join(f"{name} {baseline[name]} → {left[name]}" for name in baseline)
        if baseline != left:
            self.wrong.append(f"not as before: {self.descriptors}")

    def log(self, lines: list[str], secret: str) -> None:
        for line in lines:
            if secret in line or "<0." in line:
                self.wrong.append(f"the log holds what was said: {line.strip()}")
            if "Traceback" in line or "fault of relay" in line or "Error:" in line:
                self.wrong.append(f"the log: {line.strip()}")

    def memory(self) -> tuple[list[Sample], float]:
        """The samples of the last two thirds, all of one worker, and by how many MiB they have grown."""
        begin, end = self.steady
        samples = [one for one in self.watch.samples if begin <= one.at <= end]
        last = samples[-1].pid if samples else 0
        samples = [one for one in samples if one.pid == last]
        if len(samples) < FEW:
            return [], 0.0
        line = linear_regression([one.at for one in samples], [one.rss / MIB for one in samples])
        return samples, line.slope * (samples[-1].at - samples[0].at)

    def judge_times(self) -> None:
        """What only a long run can tell, on a machine that has some time for it."""
        waited = [late for lags in self.watch.lag.values() for late in lags]
        allowed = LONG + max(waited, default=0.0) + max(self.clients["heads"], default=0.0)
        for seconds in self.departures:
            if seconds > allowed:
                self.wrong.append(f"a stream went on for {seconds:.1f} s without its client")
        if self.felt < FELT * len(self.clients["slow"]):
            count = f"{self.felt} of {len(self.clients['slow'])}"
            self.wrong.append(f"only {count} slow clients have held their upstream back")
        samples, growth = self.memory()
        allowed = max([GROWTH_MIB, *(GROWTH * one.rss / MIB for one in samples[:1])])
        if growth > allowed:
            self.wrong.append(f"RSS rises by {growth:.1f} MiB in the last two thirds, above {allowed:.1f}")

    # For people, for programs.

    def figures(self) -> dict[str, object]:
        return {
            "wrong": self.wrong,
            "outcomes": [[*what, count] for what, count in sorted(self.outcomes.items())],
            "streams": sum(self.outcomes.values()),
            "killed": self.killed,
            "kills": len(self.watch.kills),
            "reloads": len(self.watch.reloads),
            "workers": len(self.clients["workers"]),
            "kept": self.clients["kept"],
            "closed_idle": self.closed_idle,
            "departures": len(self.departures),
            "slow": len(self.clients["slow"]),
            "felt": self.felt,
            "held_back": self.held_back,
            "descriptors": self.descriptors,
            "samples": [asdict(one) for one in self.watch.samples],
            "rows": self._rows(),
        }

    def text(self, heading: str) -> str:
        """What goes between the marks of the README."""
        lines = [heading, "", f"**{len(self.wrong)} wrong.**", *(f"- {line}" for line in self.wrong[:SHOWN])]
        lines += ["", "| figure | found |", "| --- | --- |"]
        lines += [f"| {name} | {said} |" for name, said in self._rows()]
        lines += ["", "| what happened | what the client got | streams |", "| --- | --- | --- |"]
        lines += [f"| {what} | {seen} | {count:,} |" for (what, seen), count in self._grouped()]
        return "\n".join([*lines, ""])

    def _grouped(self) -> list[tuple[tuple[str, str], int]]:
        """Pairs of troubles are many and small: one line."""
        grouped: Counter[tuple[str, str]] = Counter()
        for (what, seen), count in self.outcomes.items():
            grouped[f"{what.split(',')[0]}, failing upstream" if "," in what else what, seen] += count
        return sorted(grouped.items())

    def _rows(self) -> list[tuple[str, str]]:
        clients, watch = self.clients, self.watch
        live = [one.live for one in watch.samples if one.at >= self.steady[0]]
        held = sum(len(kill.clients) for kill in watch.kills)
        return [
            ("streams", f"{sum(self.outcomes.values()) + self.killed:,}, {median(live):,.0f} at a time"),
            ("reloads", f"{len(watch.reloads)}"),
            ("kills", f"{len(watch.kills)}, of workers that held {held:,} connections"),
            ("cut by a kill, by anything else", f"{self.killed:,}, {self.cut_otherwise:,}"),
            ("asked on a kept connection", f"{clients['kept']:,}"),
            ("sent again there, after a kill, a reload", f"{len(self.asked_again):,}, {self.closed_idle:,}"),
            ("client gone → upstream closed", spread(self.departures)),
            ("slow clients, felt at the upstream", f"{len(clients['slow']):,}, {self.felt:,}"),
            ("open before → after", self.descriptors),
            *self._memory_rows(),
            ("time to connect", spread(clients["connects"])),
            ("request → head", spread(clients["heads"])),
            *((f"lag of the bench's {name}", spread(late)) for name, late in watch.lag.items()),
        ]

    def _memory_rows(self) -> list[tuple[str, str]]:
        samples, growth = self.memory()
        if not samples:
            return []
        first, middle, last = samples[0], samples[len(samples) // 2], samples[-1]
        seconds = last.at - first.at
        cpu, waited = (last.cpu - first.cpu) / seconds, (last.waited - first.waited) / seconds
        rss = " → ".join(f"{one.rss / MIB:.1f}" for one in (first, middle, last))
        counts = [one.descriptors for one in samples]
        return [
            (f"RSS of the worker in the last {seconds:.0f} s", f"{rss} MiB; straight line {growth:+.1f} MiB"),
            ("its descriptors meanwhile", f"{min(counts):,} to {max(counts):,}"),
            ("its CPU meanwhile", f"{cpu:.0%} of a core, and {waited:.0%} of the time waiting for one"),
        ]


def spread(seconds: list[float]) -> str:
    """In milliseconds."""
    if not seconds:
        return "none"
    ranked = sorted(seconds)
    p50, p99 = (ranked[int(len(ranked) * part)] * 1000 for part in (0.5, 0.99))
    return f"p50 {p50:.1f}, p99 {p99:.1f}, most {ranked[-1] * 1000:.1f} ms; n = {len(ranked):,}"
