"""What is mended in a Responses stream: every rule by its name, with where it was seen."""

from __future__ import annotations

RULES = {
    "responses-after-end": "frames after the terminal event are dropped",
    "responses-call-id-missing": "a call without call_id is given one",
    "responses-completed-missing": "response.completed is supplied when every item is done",
    "responses-created-missing": "response.created is supplied (LiteLLM 27442)",
    "responses-created-twice": "a second response.created is dropped",
    "responses-delta-null": "a null delta is an empty one",
    "responses-done-sentinel": "[DONE] is not part of the dialect (LiteLLM, OpenRouter)",
    "responses-done-text": "a done event repeats the text that was streamed (CliRelay 1053)",
    "responses-early": "signs of life before response.created are dropped",
    "responses-error-form": "an error takes the form that reaches every client",
    "responses-event-mismatch": "the event line says the type",
    "responses-event-missing": "an event line is added (LiteLLM, OpenRouter)",
    "responses-id-missing": "an item without id is given one",
    "responses-id-repeated": "two items do not share an id (CLIProxyAPI 3360)",
    "responses-identity": "a done item has the ids it was announced with (old vLLM, GitHub Copilot)",
    "responses-item-filled": "an item announced with all that is then streamed begins empty (LiteLLM)",
    "responses-item-id": "events carry the id of their item (LiteLLM 32776)",
    "responses-item-missing": "an item that was not announced is announced (LiteLLM 27442, 41185)",
    "responses-item-not-done": "an item left open is closed before response.completed",
    "responses-item-null": "an item that is null is dropped",
    "responses-members": "members that SDKs append to or read are supplied (a message's content)",
    "responses-output": "the terminal event lists the items in the order they were streamed in",
    "responses-output-index": "output_index counts the items (LiteLLM)",
    "responses-output-missing": "the terminal event repeats the items (Rapid-MLX 851)",
    "responses-part-index": "content_index and summary_index count the parts (vLLM 35184)",
    "responses-part-missing": "a part that was not announced is announced (LiteLLM 24445, sub2api 2875)",
    "responses-ping": "ping is a comment in this dialect",
    "responses-reasoning-part": "reasoning_part is content_part (vLLM 24938, openai-python 2634)",
    "responses-response-id": "lifecycle events carry the id of response.created (LiteLLM)",
    "responses-response-members": "the response object has what the SDKs demand",
    "responses-sequence": "sequence numbers grow, also after a frame was inserted (LiteLLM 28899)",
    "responses-sequence-missing": "sequence numbers are added (LiteLLM 28899)",
    "responses-stray": "an event that belongs to nothing and carries nothing is dropped (LiteLLM 37852)",
    "responses-twice": "an item or a part announced twice is announced once (CLIProxyAPI 3449)",
    "responses-type-missing": "the type is taken from the event line",
    "responses-unknown-event": "events of unknown types are dropped",
    "responses-usage": "usage has its names and its details objects",
}

OFF_BY_DEFAULT = frozenset({"responses-unknown-event"})
"""Only openai-node's helpers refuse what they do not know."""

HOSTED = tuple(
    f"response.{name}"
    for name in (
        "web_search_call.", "file_search_call.", "code_interpreter_call", "image_generation_call.",
        "mcp_", "shell_call_", "apply_patch_call", "computer_call", "audio.", "compaction.",
        "output_text.annotation.",
    )
)  # fmt: skip
"""How the further events begin that the SDKs know."""
