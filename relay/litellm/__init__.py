"""LiteLLM's own configuration, and what relay does in front of it."""
