"""The dialects by name."""

from __future__ import annotations

from relay.dialects.chat import Chat
from relay.dialects.checker import Checker
from relay.dialects.messages import Messages
from relay.dialects.responses import Responses

BY_NAME: dict[str, type[Checker]] = {checker.name: checker for checker in (Chat, Messages, Responses)}
