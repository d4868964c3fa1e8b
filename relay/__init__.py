"""relay: a small streaming relay for LLM APIs."""

__version__ = "0.1.0"
