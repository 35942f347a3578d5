"""A gateway seen from outside, whatever the protocol: what its controller says, and what became of setpoints."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError

import pytest
from prometheus_client import CollectorRegistry

from streams.gateways.seen import HANGS_S, SILENT_S, GatewayCollector, GatewayFigures, GatewayHealth
from streams.scraped import scraped
from tests.streams.gateways.conftest import free_port
from tests.streams.gateways.test_promises import Bench, setpoint

FIGURES = GatewayFigures(
    reached=True, remote=True, silent_s=0.4, idle_s=0.1, devices=2, newest={"b1": "applied"}, adjusted=1, unread=0,
    acknowledged={"accepted": 2},
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "ok"),
        ({"remote": False}, "local"),
        ({"silent_s": SILENT_S + 1}, "unreachable"),
        ({"unread": 1}, "ok"),
        ({"unread": 2}, "unreachable"),
        ({"silent_s": SILENT_S + 1, "idle_s": HANGS_S + 1}, "hangs"),
    ],
)
def test_one_word_on_how_it_is(changes: dict[str, Any], status: str) -> None:
    assert GatewayHealth.of(replace(FIGURES, **changes)).status == status


def test_metrics_and_health_over_http() -> None:
    told, registry, place = [FIGURES], CollectorRegistry(), f"127.0.0.1:{free_port()}"
    registry.register(GatewayCollector("park", lambda: told[-1]))
    with scraped(place, registry, lambda: GatewayHealth.of(told[-1])):
        with urllib.request.urlopen(f"http://{place}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        assert 'quartet_gateway_devices{site="park",state="applied"} 1.0' in lines
        assert 'quartet_gateway_acknowledgements_total{site="park",state="accepted"} 2.0' in lines
        assert 'quartet_gateway_adjusted_devices{site="park"} 1.0' in lines
        told.append(replace(FIGURES, silent_s=60.0))
        with pytest.raises(HTTPError) as error:
            urllib.request.urlopen(f"http://{place}/health")
        assert error.value.code == 503
        assert json.load(error.value) == {"status": "unreachable", "silent_s": 60.0, "unread": 0}


def test_what_a_gateway_says_of_itself(rig: Any) -> None:
    bench = Bench(rig)
    assert bench.gateway.figures().reached
    bench.tell(setpoint(1))
    bench.wait()
    figures = bench.gateway.figures()
    assert figures.newest == {"b1": "applied"}
    assert figures.acknowledged == {"accepted": 1, "applied": 1}
    with rig.gone():
        for _ in range(int(SILENT_S) + 2):
            bench.wait()
        assert GatewayHealth.of(bench.gateway.figures()).status == "unreachable"
