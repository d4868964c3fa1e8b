"""``/metrics`` of a running relay: whichever worker answers, it answers for all that there are and were."""

from __future__ import annotations

import os
import signal

from prometheus_client.parser import text_string_to_metric_families

from relay import __version__

from .kit import ScriptedUpstream, until
from .process import Process, serving
from .test_process import asked
from .test_reload import reload


async def figures(process: Process) -> dict[str, float]:
    """Each series, as it is written."""
    status, body = await asked(process, b"/metrics")
    assert status == 200
    families = text_string_to_metric_families(body.decode())
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([one.name, *map("=".join, sorted(one.labels.items()))]): one.value for one in samples}


async def test_every_series_is_there_from_the_start(upstream: ScriptedUpstream) -> None:
    url = f"{upstream.url} name=litellm"
    async with serving(url, "--admin", "127.0.0.1:0") as process:
        found = await figures(process)
        assert found[f"relay_build_info version={__version__}"] == 1
        assert found["relay_config_last_reload_successful"] == 1
        for verdict in ("faked-stream", "cache-replay", "lying-end"):
            assert found[f"relay_upstream_verdicts_total upstream=litellm verdict={verdict}"] == 0
        for outcome in ("accepted", "refused", "unavailable"):
            assert found[f"relay_keys_checked_total outcome={outcome}"] == 0
        assert found["relay_spend_dropped_total"] == 0


async def test_figures_outlive_workers(upstream: ScriptedUpstream) -> None:
    async with serving(upstream.url, "--workers", "2", "--admin", "127.0.0.1:0") as process:
        first = await figures(process)
        os.kill(process.workers()[0], signal.SIGKILL)
        await process.said("starting another")
        await reload(process)
        await until(lambda: len(process.workers()) == 2)
        then = await figures(process)
        time = "relay_config_last_reload_success_timestamp_seconds"
        assert then.pop(time) > first.pop(time) > 1.7e9
        assert then == first
