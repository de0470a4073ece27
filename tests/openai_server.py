"""A server on the loopback that speaks the part of the OpenAI chat protocol that a client needs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """One HTTP answer: a reply of the model, or an error."""

    text: str = ""
    status: int = 200
    code: str = ""  # of an error
    delay_seconds: float = 0.0
    prompt_tokens: int = 120
    reply_tokens: int = 30
    retry_after: float | None = None  # seconds
    wait: Callable[[], object] = int  # what it does before it answers
    body: str | None = None  # sent as it is, instead of a completion
    missing: str = ""  # what a broken server leaves out: "usage", or the content of "choices"


class Server(NamedTuple):
    """Its address and the requests that it got."""

    url: str
    requests: list[dict[str, Any]]
    close: Callable[[], None]  # from now on nobody is there
    at_once: list[int]  # requests that were under way when each one came, itself included


class _Server(ThreadingHTTPServer):
    request_queue_size = 512  # more than may connect at once


@contextmanager
def serving(answer: Callable[[dict[str, Any], int], Answer]) -> Iterator[Server]:
    """Serve while inside; `answer` maps a request and its number to what comes back."""
    requests: list[dict[str, Any]] = []
    at_once: list[int] = []
    under_way = [0]
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # a connection for each request: none outlives the server

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                requests.append(body | {"path": self.path})
                made = answer(body, len(requests) - 1)
                under_way[0] += 1
                at_once.append(under_way[0])
            made.wait()
            time.sleep(made.delay_seconds)
            with lock:
                under_way[0] -= 1
            text = json.dumps(_payload(body, made)) if made.body is None else made.body
            payload = text.encode()
            try:
                self.send_response(made.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                if made.retry_after is not None:
                    self.send_header("Retry-After", str(made.retry_after))
                self.end_headers()
                self.wfile.write(payload)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client stopped waiting

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()

    try:
        yield Server(f"http://127.0.0.1:{server.server_port}/v1", requests, close, at_once)
    finally:
        close()
        thread.join()


def _payload(body: dict[str, Any], made: Answer) -> dict[str, Any]:
    if made.status != 200:
        return {"error": {"message": made.text, "type": made.code, "code": made.code}}
    message = {"role": "assistant", "content": made.text}
    total = made.prompt_tokens + made.reply_tokens
    payload = {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": made.prompt_tokens,
            "completion_tokens": made.reply_tokens,
            "total_tokens": total,
        },
    }
    if made.missing == "choices":
        payload["choices"] = []
    elif made.missing:
        del payload[made.missing]
    return payload
