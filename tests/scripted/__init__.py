"""A scripted LLM server: speaks one dialect as a real server does, and refuses what that server would.

``Server("chat", scenario)`` in a test, ``python -m tests.scripted --dialect chat`` for programs. A scenario
is a function of the conversation so far, so one scenario serves every dialect.
"""

from .server import Recorded, Server

__all__ = ["Recorded", "Server"]
