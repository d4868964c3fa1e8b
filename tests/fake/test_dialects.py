"""The frames of each dialect: their order, their numbers, and that they say what the document says."""

from __future__ import annotations

import orjson
import pytest

from relay.fake import chat, messages, responses
from relay.fake.fields import decode

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
CHAT_TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
MESSAGES_TOOL = {"name": "weather", "input_schema": SCHEMA}
RESPONSES_TOOL = {"type": "function", "name": "weather", "parameters": SCHEMA}
ARGUMENTS = {"city": "sample", "days": 1}


def user(text):
    return {"role": "user", "content": text}


def read(parse, document, deltas=4):
    return parse(decode(orjson.dumps({"model": "m-1", **document})), deltas)


def events(request):
    """The data of every frame; each is checked to be one whole frame with the right name."""
    found = []
    for frame in request.frames("u", 7):
        assert frame.data.endswith(b"\n\n")
        *names, data = frame.data[:-2].split(b"\n")
        value = data.removeprefix(b"data: ")
        found.append("DONE" if value == b"[DONE]" else orjson.loads(value))
        assert names == ([b"event: " + found[-1]["type"].encode()] if "type" in found[-1] else [])
    return found


def whole(request):
    return orjson.loads(request.document("u", 7))


def types(found):
    return [event["type"] for event in found]


class TestChat:
    def test_text(self):
        request = read(chat.parse, {"messages": [user("say it")]})
        *chunks, done = events(request)
        assert done == "DONE"
        assert {(c["id"], c["object"], c["created"], c["model"]) for c in chunks} == {
            ("chatcmpl-u", "chat.completion.chunk", 7, "m-1")
        }
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert deltas[-1] == {}
        assert [c["choices"][0]["finish_reason"] for c in chunks] == [None] * 5 + ["stop"]
        assert not any("usage" in chunk for chunk in chunks)
        message = whole(request)["choices"][0]["message"]
        assert "".join(delta["content"] for delta in deltas[:-1]) == message["content"]

    def test_only_the_deltas_are_paced(self):
        frames = list(read(chat.parse, {"messages": [user("x")]}).frames("u", 7))
        assert [frame.is_delta for frame in frames] == [False, *[True] * 4, False, False]

    def test_usage_is_null_until_its_own_chunk(self):
        options = {"include_usage": True}
        request = read(chat.parse, {"messages": [user("one two")], "stream_options": options})
        *chunks, last, _done = events(request)
        assert all(chunk["usage"] is None for chunk in chunks)
        assert last["choices"] == []
        assert last["usage"] == whole(request)["usage"]
        numbers = [last["usage"][f"{name}_tokens"] for name in ("prompt", "completion", "total")]
        assert numbers == [2, 4, 6]

    @pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
    def test_a_limit_cuts(self, field):
        request = read(chat.parse, {"messages": [user("x")], field: 2})
        found = whole(request)
        assert found["choices"][0]["finish_reason"] == "length"
        assert found["usage"]["completion_tokens"] == 2
        assert events(request)[-2]["choices"][0]["finish_reason"] == "length"

    def test_a_tool_call(self):
        request = read(chat.parse, {"messages": [user("use the Tool")], "tools": [CHAT_TOOL]})
        choices = [chunk["choices"][0] for chunk in events(request)[:-1]]
        header = choices[0]["delta"]["tool_calls"][0]
        assert (header["index"], header["id"], header["function"]["name"]) == (0, "call_u", "weather")
        fragments = [choice["delta"]["tool_calls"][0] for choice in choices[1:-1]]
        assert all(set(fragment) == {"index", "function"} for fragment in fragments)
        joined = "".join(fragment["function"]["arguments"] for fragment in fragments)
        assert orjson.loads(joined) == ARGUMENTS
        assert choices[-1]["finish_reason"] == "tool_calls"
        [call] = whole(request)["choices"][0]["message"]["tool_calls"]
        assert call["function"] == {"name": "weather", "arguments": joined}

    @pytest.mark.parametrize(
        "document",
        [
            {"messages": [user("tool"), {"role": "tool", "tool_call_id": "call_u", "content": "rain"}]},
            {"messages": [user("tool")], "tool_choice": "none"},
            {"messages": [user("tool")], "tools": []},
            {"messages": [user("tool"), user("never mind")]},
            {"messages": [{"role": "system", "content": "tool"}]},
        ],
    )
    def test_no_tool_call(self, document):
        found = whole(read(chat.parse, {"tools": [CHAT_TOOL], **document}))
        assert found["choices"][0]["message"]["content"]
        assert found["choices"][0]["finish_reason"] == "stop"


class TestMessages:
    def test_text(self):
        request = read(messages.parse, {"max_tokens": 99, "messages": [user("one two")], "system": "three"})
        found = events(request)
        assert types(found) == [
            "message_start",
            "content_block_start",
            "ping",
            *["content_block_delta"] * 4,
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        message = whole(request)
        start = found[0]["message"]
        assert start["content"] == []
        assert start["stop_reason"] is None
        assert start["id"] == message["id"] == "msg_u"
        assert start["usage"]["input_tokens"] == message["usage"]["input_tokens"] == 3
        assert found[-2]["delta"]["stop_reason"] == message["stop_reason"] == "end_turn"
        assert found[-2]["usage"]["output_tokens"] == message["usage"]["output_tokens"] == 4
        text = "".join(e["delta"]["text"] for e in found if e["type"] == "content_block_delta")
        assert message["content"] == [{"type": "text", "text": text}]

    def test_a_tool_call(self):
        document = {"max_tokens": 99, "messages": [user("tool")], "tools": [MESSAGES_TOOL]}
        request = read(messages.parse, document)
        found = events(request)
        block = found[1]["content_block"]
        assert block == {"type": "tool_use", "id": "toolu_u", "name": "weather", "input": {}}
        deltas = [e["delta"]["partial_json"] for e in found if e["type"] == "content_block_delta"]
        assert len(deltas) > 1
        assert orjson.loads("".join(deltas)) == ARGUMENTS
        assert found[-2]["delta"]["stop_reason"] == "tool_use"
        assert whole(request)["content"] == [{**block, "input": ARGUMENTS}]

    def test_a_cut_tool_call_has_an_object_as_input(self):
        document = {"max_tokens": 1, "messages": [user("tool")], "tools": [MESSAGES_TOOL]}
        message = whole(read(messages.parse, document))
        assert message["content"][0]["input"] == {}
        assert message["stop_reason"] == "max_tokens"

    def test_a_result_is_answered_with_text_and_its_words_count(self):
        result = {"type": "tool_result", "tool_use_id": "toolu_u", "content": "the tool says rain"}
        document = {"messages": [user("tool"), user([result])], "tools": [MESSAGES_TOOL]}
        message = whole(read(messages.parse, {**document, "max_tokens": 2}))
        assert message["content"][0]["type"] == "text"
        assert message["stop_reason"] == "max_tokens"
        assert message["usage"]["input_tokens"] == 5
        counted = orjson.loads(messages.count_tokens(decode(orjson.dumps({"model": "m-1", **document}))))
        assert counted == {"input_tokens": 5}


class TestResponses:
    TEXT = (
        "response.created response.in_progress response.output_item.added response.content_part.added "
        "{} response.output_text.done response.content_part.done response.output_item.done response.{}"
    )

    def test_text(self):
        document = {"input": "one two", "instructions": "three", "metadata": {"k": "v"}}
        request = read(responses.parse, document)
        found = events(request)
        deltas = " ".join(["response.output_text.delta"] * 4)
        assert types(found) == self.TEXT.format(deltas, "completed").split()
        assert [event["sequence_number"] for event in found] == list(range(len(found)))
        response = found[-1]["response"]
        assert response == whole(request)
        assert found[0]["response"]["output"] == []
        assert found[0]["response"]["usage"] is None
        assert (response["model"], response["metadata"]) == ("m-1", {"k": "v"})
        assert response["usage"]["input_tokens"] == 3
        assert response["usage"]["total_tokens"] == 7
        [item] = response["output"]
        assert item == found[-2]["item"]
        text = "".join(e["delta"] for e in found if e["type"] == "response.output_text.delta")
        assert text == item["content"][0]["text"] == found[-4]["text"]

    def test_a_limit_makes_it_incomplete(self):
        found = events(read(responses.parse, {"input": "x", "max_output_tokens": 2}))
        deltas = " ".join(["response.output_text.delta"] * 2)
        assert types(found) == self.TEXT.format(deltas, "incomplete").split()
        response = found[-1]["response"]
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["max_output_tokens"] == 2
        assert response["output"][0]["status"] == "incomplete"

    def test_a_tool_call(self):
        found = events(read(responses.parse, {"input": "tool", "tools": [RESPONSES_TOOL]}))
        joined = "".join(e["delta"] for e in found if e["type"].endswith("arguments.delta"))
        assert orjson.loads(joined) == ARGUMENTS == orjson.loads(found[-3]["arguments"])
        item = found[-2]["item"]
        assert (item["call_id"], item["name"], item["arguments"]) == ("call_u", "weather", joined)
        assert found[2]["item"] == {**item, "status": "in_progress", "arguments": ""}
        assert found[-1]["response"]["output"] == [item]

    def test_a_cut_tool_call_is_never_closed(self):
        document = {"input": "tool", "tools": [RESPONSES_TOOL], "max_output_tokens": 1}
        found = events(read(responses.parse, document))
        assert types(found)[-2:] == ["response.function_call_arguments.delta", "response.incomplete"]
        assert found[-1]["response"]["output"][0]["status"] == "incomplete"

    def test_a_result_is_answered_with_text(self):
        call = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
        result = {"type": "function_call_output", "call_id": "c", "output": "tool: rain"}
        document = {"input": [user("tool"), call, result], "tools": [RESPONSES_TOOL]}
        response = whole(read(responses.parse, document))
        assert response["output"][0]["type"] == "message"
        assert response["usage"]["input_tokens"] == 3
