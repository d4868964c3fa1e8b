"""The repairs of a Messages stream by name, each with what it mends and who was seen to send it."""

from __future__ import annotations

RULES: dict[str, str] = {
    # the frame
    "messages-event-missing": "no event line, which both SDKs need: made from the type (many gateways)",
    "messages-event-wrong": "event line that differs from the type: made equal",
    "messages-type-missing": "no type in the JSON: taken from the event line",
    "messages-event-unnamed": "an empty object without type and event name: silenced",
    "messages-event-early": "an event of an unknown type before message_start: silenced",
    "messages-ping-type": "ping without a type: given one",
    "messages-done-sentinel": "[DONE], which this dialect does not have (LiteLLM): silenced",
    "messages-chat-chunk": "a chat.completion.chunk in the stream: silenced",
    "messages-after-end": "anything after message_stop or an error: silenced",
    "messages-error-form": "an error in another form, without event line or with a foreign type: rewritten",
    # the message
    "messages-start-missing": "message_start missing or late (CLIProxyAPIPlus 4): supplied",
    "messages-start-repeated": "message_start again (bifrost 4556, LiteLLM 32478): dropped",
    "messages-start-incomplete": "message_start without required members (bifrost 5907): filled in",
    "messages-delta-incomplete": "message_delta without its delta: filled in",
    "messages-usage-missing": "message_delta without usage or output_tokens: filled in",
    "messages-delta-missing": "message_stop without message_delta before it: supplied",
    "messages-stop-missing": "body ended after message_delta without message_stop: supplied",
    "messages-stop-stray": "message_stop before anything else: dropped",
    "messages-stop-reason-tool": "end_turn although a tool was called (LiteLLM 34692): tool_use",
    "messages-stop-reason-foreign": "a finish_reason of chat completions, or no text: translated, or null",
    "messages-stop-reason-lost": "a second message_delta without the reason that the first had: repeated",
    "messages-stop-reason-error": "stop_reason error or abort: an error event in its place",
    # the order of blocks
    "messages-block-start-missing": "delta without content_block_start (axonhub 1677): supplied",
    "messages-block-stop-missing": "content_block_stop missing: supplied before what follows",
    "messages-block-stop-stray": "content_block_stop of no open block: dropped",
    "messages-block-untyped": "content_block_start that says nothing of its block: left to the first delta",
    "messages-block-index": "block index with a gap or used again (omlx 1353): renumbered",
    "messages-block-interleaved": "a block began inside another: held until that one stopped",
    "messages-block-empty": "text block without any text (LiteLLM's adapter, 30765): dropped",
    "messages-block-late-start": "an empty block after message_delta: dropped",
    "messages-index-negative": "delta or stop without a valid index (LiteLLM 27442): that of the open block",
    "messages-index-unknown": "deltas numbered otherwise than their block: given its index",
    # what blocks hold
    "messages-text-missing": "text block start without text (LiteLLM 28067), or thinking: empty",
    "messages-thinking-signature": "thinking block start without signature (llama.cpp 22960): empty",
    "messages-tool-input": "tool block start without an object as input (llama.cpp 22960): {}",
    "messages-tool-input-twice": "tool input in the start and again as deltas: only the deltas",
    "messages-tool-id": "tool block start without id: generated",
    "messages-delta-null": "null where a delta's text belongs: empty",
    "messages-delta-late": "delta after the stop of its block: put before it",
    "messages-delta-misfit": "delta of a type that its block does not take: a block of its own",
    "messages-delta-misfit-empty": "the same without content (LiteLLM 29286): dropped",
    "messages-delta-stray": "delta without content and without a block: dropped",
}
