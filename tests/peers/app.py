"""An ASGI application that releases its frames one by one, when it is told: started by uvicorn.

``POST /release`` lets the next frame of the stream go; ``GET /left`` answers once the client of a
stream has gone; everything else is answered with a stream of three frames.
"""

import asyncio
import hashlib
import json

released: asyncio.Queue[None] = asyncio.Queue()
left = asyncio.Event()


def frame_of(number):
    """A chunk whose text is the number; the last of three ends the answer."""
    delta = {"role": "assistant", "content": str(number)}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if number == 2 else None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo_websocket(receive, send)
    elif scope["type"] == "http":
        await PATHS.get(scope["path"], stream)(scope, receive, send)


async def answer(send, body, content_type=b"text/plain"):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", content_type)]})
    await send({"type": "http.response.body", "body": body})


async def release(scope, receive, send):
    released.put_nowait(None)
    await answer(send, b"released")


async def wait_until_left(scope, receive, send):
    await left.wait()
    await answer(send, b"left")


async def digest(scope, receive, send):
    sha, more = hashlib.sha256(), True
    while more:
        message = await receive()
        sha.update(message.get("body", b""))
        more = message.get("more_body", False)
    await answer(send, sha.hexdigest().encode())


async def stream(scope, receive, send):
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.ensure_future(until_disconnected(receive))
    for number in range(3):
        waiting = asyncio.ensure_future(released.get())
        await asyncio.wait([waiting, gone], return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            waiting.cancel()
            left.set()
            return
        frame = frame_of(number)
        await send({"type": "http.response.body", "body": frame, "more_body": True})
    gone.cancel()
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def until_disconnected(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


async def echo_websocket(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})


PATHS = {"/release": release, "/left": wait_until_left, "/digest": digest}
