"""The replay's HTTP connection: one connection for many calls, repeats where that is safe, and clear refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import orjson
import pytest

from reclift.flows import replay_http
from reclift.flows.replay_http import HttpApi, ReplayError


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ClassVar[list[tuple[int, Any]]] = []
    calls: ClassVar[list[tuple[str, str, Any, int]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.calls.append((self.path, self.headers["Authorization"], orjson.loads(body), self.client_address[1]))
        status, answer = self.script.pop(0)
        if status == 0:  # hang up without a word
            self.close_connection = True
            return
        data = orjson.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Not to the test's output."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(replay_http.time, "sleep", lambda _: None)
    Answers.script, Answers.calls = [], []
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_calls_share_a_connection_and_carry_the_key(server: str) -> None:
    Answers.script = [(200, {"items": []}), (202, {"accepted": 1, "duplicates": 0, "rejected": []})]
    api = HttpApi(server, "k")
    assert api.recommend({"user_id": "u"}) == {"items": []}
    api.send([{"type": "click"}])
    paths, keys, bodies, ports = zip(*Answers.calls, strict=True)
    assert paths == ("/recommend", "/events")
    assert set(keys) == {"Bearer k"}
    assert bodies == ({"user_id": "u"}, {"events": [{"type": "click"}]})
    assert len(set(ports)) == 1


@pytest.mark.parametrize("trouble", [0, 429, 503])
def test_a_call_without_an_answer_is_made_again(server: str, trouble: int) -> None:
    Answers.script = [(trouble, {}), (trouble, {}), (200, {"items": [1]})]
    assert HttpApi(server, "k").recommend({"n": 1}) == {"items": [1]}
    assert [body for _, _, body, _ in Answers.calls] == [{"n": 1}] * 3


def test_a_refusal_is_not_repeated_and_says_why(server: str) -> None:
    Answers.script = [(422, {"detail": "placement='x': no such placement"})]
    with pytest.raises(ReplayError, match=r"POST /recommend: 422 .*no such placement"):
        HttpApi(server, "k").recommend({})
    assert len(Answers.calls) == 1


def test_it_gives_up_in_the_end(server: str) -> None:
    Answers.script = [(503, {"detail": "no sink"})] * replay_http.TRIES
    with pytest.raises(ReplayError, match=r"503 .*no sink"):
        HttpApi(server, "k").send([{}])


def test_refused_events_stop_the_replay(server: str) -> None:
    refused = {"accepted": 1, "duplicates": 0, "rejected": [{"index": 1, "error": "type=None: must be a string"}]}
    Answers.script = [(202, refused)]
    with pytest.raises(ReplayError, match=r"refused 1 of 2 events, the first: .*type=None"):
        HttpApi(server, "k").send([{}, {}])


def test_an_address_must_be_http() -> None:
    with pytest.raises(ReplayError, match="url='ftp://x'"):
        HttpApi("ftp://x", "k")
