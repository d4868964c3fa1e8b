"""The dialects by name."""

from __future__ import annotations

from relay.dialects import (
    chat_reading,
    chat_writing,
    messages_reading,
    messages_writing,
    responses_reading,
    responses_writing,
)
from relay.dialects.chat import Chat
from relay.dialects.chat_answer import ChatAnswer
from relay.dialects.chat_decoding import ChatDecoder
from relay.dialects.chat_encoding import ChatEncoder
from relay.dialects.checker import Checker
from relay.dialects.codec import Codec
from relay.dialects.messages import Messages
from relay.dialects.messages_answer import MessagesAnswer
from relay.dialects.messages_decoding import MessagesDecoder
from relay.dialects.messages_encoding import MessagesEncoder
from relay.dialects.profiles import BY_NAME as PROFILES
from relay.dialects.responses import Responses
from relay.dialects.responses_answer import ResponsesAnswer
from relay.dialects.responses_decoding import ResponsesDecoder
from relay.dialects.responses_encoding import ResponsesEncoder

__all__ = ["BY_NAME", "CODECS", "PROFILES"]

CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec(Chat, chat_reading.read, chat_writing.write, ChatDecoder, ChatEncoder, ChatAnswer),
        Codec(
            Messages,
            messages_reading.read,
            messages_writing.write,
            MessagesDecoder,
            MessagesEncoder,
            MessagesAnswer,
        ),
        Codec(
            Responses,
            responses_reading.read,
            responses_writing.write,
            ResponsesDecoder,
            ResponsesEncoder,
            ResponsesAnswer,
        ),
    )
}
BY_NAME: dict[str, type[Checker]] = {name: codec.checker for name, codec in CODECS.items()}
