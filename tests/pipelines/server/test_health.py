import json
import socket
import urllib.error
import urllib.request

import pytest

from nilatron.pipelines.server import health
from nilatron.pipelines.server.health import Health, Metrics


@pytest.fixture
def served():
    metrics, readiness_problems = Metrics(), []
    served = Health(0, metrics, lambda: readiness_problems)
    yield served, metrics, readiness_problems
    served.close()


def get(served, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_ready_only_without_obstacles(served):
    served, _, readiness_problems = served
    assert get(served, "/readyz")[0] == 200
    readiness_problems.append("no worker is ready")
    code, text = get(served, "/readyz")
    assert code == 503
    assert json.loads(text)["problems"] == readiness_problems
    assert get(served, "/healthz")[0] == 200


def test_a_front_that_stands_still_is_not_healthy(served, monkeypatch):
    served, _, _ = served
    monkeypatch.setattr(health, "STALE_S", -1.0)
    assert get(served, "/healthz")[0] == 503


def test_metrics_are_text_for_prometheus(served):
    served, metrics, _ = served
    metrics.scans.labels("complete").inc()
    code, text = get(served, "/metrics")
    assert code == 200
    assert 'nilatron_scans_total{outcome="complete"} 1.0' in text
    assert "# TYPE nilatron_scan_seconds histogram" in text
    assert get(served, "/else")[0] == 404


def test_idle_connections_do_not_keep_others_out(served, monkeypatch):
    served, _, _ = served
    monkeypatch.setattr(health, "MAX_CONNECTIONS", 3)
    idle = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(6)]
    assert get(served, "/healthz")[0] == 200
    assert [sock.recv(1) for sock in idle[:3]] == [b""] * 3
    for sock in idle:
        sock.close()
