"""A server that plays the language model: it speaks the OpenAI protocol and moves one number.

`python mutations.py [PORT [LATENCY]]` prints its address; a reply takes LATENCY seconds, or none. Who asks
for SEARCH/REPLACE blocks gets one; everybody else gets the program whole, in a fence that names its file. No
reply is like another, and each can be used.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys

_FENCE = re.compile(r"^```\w*[ \t]*([\w./]*)[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])\d+\.\d+")


def reply(prompt: str, rng: random.Random) -> str:
    """What the model says to a prompt that shows a program: the present one, if it names one so."""
    shown = list(_FENCE.finditer(prompt, max(prompt.rfind("# Current Program\n"), 0)))
    name, program = next(((m[1], m[2]) for m in shown if "EVOLVE-BLOCK-START" in m[2]), ("", ""))
    start, end = program.find("EVOLVE-BLOCK-START"), program.find("EVOLVE-BLOCK-END")
    numbers = list(_NUMBER.finditer(program, start, end))
    if not numbers:
        return "There is no number to move."
    chosen = rng.choice(numbers)
    moved = f"{abs(float(chosen[0]) + rng.gauss(0, 0.5)):.6f}"
    if "<<<<<<< SEARCH" in prompt:
        first = program.rfind("\n", 0, chosen.start()) + 1
        last = program.find("\n", chosen.end())
        line = program[first:last]
        other = program[first : chosen.start()] + moved + program[chosen.end() : last]
        return f"One number moves.\n\n<<<<<<< SEARCH\n{line}\n=======\n{other}\n>>>>>>> REPLACE\n"
    whole = program[: chosen.start()] + moved + program[chosen.end() :]
    return f"One number moves.\n\n```python {name}\n{whole}```\n"


async def serve(port: int, latency: float) -> None:
    """Answer until somebody ends this process."""
    rng = random.Random(1)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            asked = json.loads(await reader.readexactly(int(length[1])) if length else b"{}")
            prompt = "\n".join(str(message["content"]) for message in asked.get("messages", ()))
            text = reply(prompt, rng)
            await asyncio.sleep(latency)
            message = {"role": "assistant", "content": text}
            said = {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": asked.get("model", "mutator"),
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": len(prompt) // 4,
                    "completion_tokens": len(text) // 4,
                    "total_tokens": (len(prompt) + len(text)) // 4,
                },
            }
            body = json.dumps(said).encode()
            header = (
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(header.encode() + body)
            await writer.drain()

    async def until_it_leaves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await converse(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(until_it_leaves, "127.0.0.1", port, limit=1 << 24, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    port, latency = [*sys.argv[1:], *["0"] * 2][:2]
    asyncio.run(serve(int(port), float(latency)))
