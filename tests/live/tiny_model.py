"""A tiny model of random weights that recites scripts: the same one for every server.

    python tiny_model.py DIRECTORY

It is run by the interpreter of a server's own environment, for it needs torch, transformers,
tokenizers and gguf. Embeddings, queries, keys and gates are random; what would mix tokens is zero,
so that the next token follows from the last one alone, and the output layer holds who follows whom.
Each script is cut into pieces that occur once in all scripts, in the middle of characters too. The
chat template ends the prompt with the name of the script that the conversation asks for.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

TEXT = (
    "Zürich lies between hills and a lake. Übrigens: 日本語 and 🚂 take several tokens each. "
    "Here follow names which nobody shares: amber basalt cobalt dolomite emerald feldspar garnet hematite "
    "iolite jasper kyanite lapis malachite nephrite opal pyrite quartz ruby sapphire topaz. That was all."
)
CALL = '{"name": "weather", "arguments": {"city": "Zürich"}}'
CALLS = (
    '{"name": "weather", "arguments": {"city": "Ōsaka", "days": 3}}',
    '{"name": "clock", "arguments": {"zone": "Asia/Tokyo"}}',
)
SCRIPTS: dict[str, tuple[str, ...]] = {
    "text": (TEXT,),
    "call": ("<tool_call>", f"\n{CALL}\n", "</tool_call>"),
    "calls": (
        f"I look twice.\n<tool_call>\n{CALLS[0]}\n</tool_call>\n<tool_call>\n{CALLS[1]}\n</tool_call>",
    ),
    "think": (
        "<think>",
        "\nWhich lake? The one beneath the hills.\n",
        "</think>",
        "\n\nLake Zürich, I think.",
    ),
    "after": ("The tool has spoken, so the answer is: mild and dry.",),
    "loop": ("Round and round the carousel goes, ponies up, ponies down, once more; ",),
}
"""What the model says when the last user message holds ``@name``; ``loop`` never ends."""
LINES = [
    "The weather in the city is mild. What is the weather like? I look at the lake.",
    "system user assistant tool function name description parameters type object properties string",
    "You are a helpful assistant. Tell me about the hills and the trains of the city.",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|{name}|>" for name in SCRIPTS)]
MARKS = ["<think>", "</think>", "<tool_call>", "</tool_call>"]
END = "<|im_end|>"
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""How Qwen cuts words: every server knows it."""
TEMPLATE = """\
{%- macro said(content) -%}
{%- if content is string -%}{{- content -}}
{%- elif content -%}{%- for part in content -%}{{- part.text -}}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- set tail = namespace(script='text') -%}
{%- if tools -%}
{{- '<|im_start|>system\\n' -}}
{%- if messages[0].role == 'system' -%}{{- said(messages[0].content) + '\\n\\n' -}}{%- endif -%}
{{- '# Tools\\n\\n<tools>' -}}
{%- for tool in tools -%}{{- '\\n' -}}{{- tool | tojson -}}{%- endfor -%}
{{- '\\n</tools>\\n\\nFor each call return a JSON object within <tool_call></tool_call> tags:\\n' -}}
{{- '<tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call><|im_end|>\\n' -}}
{%- elif messages[0].role == 'system' -%}
{{- '<|im_start|>system\\n' + said(messages[0].content) + '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{%- set text = said(message.content) -%}
{{- '<|im_start|>user\\n' + text + '<|im_end|>\\n' -}}
{%- set tail.script = 'text' -%}
{%- for name in ['call', 'calls', 'think', 'loop'] -%}
{%- if '@' + name in text -%}{%- set tail.script = name -%}{%- endif -%}
{%- endfor -%}
{%- elif message.role == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if message.reasoning_content -%}
{{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' -}}
{%- endif -%}
{{- said(message.content) -}}
{%- for call in message.tool_calls or [] -%}
{{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' -}}
{%- if call.function.arguments is string -%}{{- call.function.arguments -}}
{%- else -%}{{- call.function.arguments | tojson -}}{%- endif -%}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- elif message.role == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + said(message.content) + '\\n</tool_response><|im_end|>\\n' -}}
{%- set tail.script = 'after' -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n<|' + tail.script + '|>' -}}
{%- endif -%}
"""
OUTPUT = {
    "defaults": {"role": "assistant"},
    "start_anchor": [f"<|im_start|>assistant\n<|{name}|>" for name in SCRIPTS],
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"\s*<\|im_end\|>", "content": "text"},
    },
}
"""What transformers reads answers by: Qwen's, but for where an answer begins."""
WIDTH, LAYERS, HEADS, HEAD, INNER, CONTEXT = 256, 2, 4, 64, 512, 16384
SURE = 10.0
"""So large that sampling at any usual temperature follows the script too."""


def alphabet() -> dict[int, str]:
    """Byte to character, as byte-level vocabularies write their pieces."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}


LETTERS = alphabet()


def cut(text: str, used: set[str], pick: random.Random) -> list[str]:
    """``text`` in pieces of a few bytes, none of which was used before."""
    data, at, pieces = text.encode(), 0, []
    while at < len(data):
        sizes = pick.sample(range(2, 7), 5) + list(range(7, 40))
        fresh = ("".join(LETTERS[byte] for byte in data[at : at + size]) for size in sizes)
        piece = next(piece for piece in fresh if piece not in used)
        used.add(piece)
        pieces.append(piece)
        at += len(piece)
    return pieces


def tokenizer() -> tuple[Any, dict[str, str]]:
    """A byte-level vocabulary trained on a few lines, the scripts' pieces added; and who follows whom."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=list(LETTERS.values()), show_progress=False
    )
    trained.train_from_iterator(LINES, trainer)
    follows, used, pick = {}, set(), random.Random(4)
    for name, parts in SCRIPTS.items():
        last = first = f"<|{name}|>"
        for part in parts:
            for piece in [part] if part in MARKS else cut(part, used, pick):
                follows[last] = last = piece
        follows[last] = follows[first] if name == "loop" else END
    whole = json.loads(trained.to_str())
    vocabulary = whole["model"]["vocab"]
    for piece in follows:
        if piece not in SPECIAL and piece not in MARKS:
            vocabulary.setdefault(piece, len(vocabulary))
    made = Tokenizer.from_str(json.dumps(whole))
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    made.add_tokens([AddedToken(token, special=False) for token in MARKS])
    return made, follows


def weights(tokens: dict[str, int], follows: dict[str, str]) -> Any:
    """The model: random, but for what mixes tokens and for who follows whom."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(4)
    size = -(-len(tokens) // 64) * 64
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=size,
            hidden_size=WIDTH,
            intermediate_size=INNER,
            head_dim=HEAD,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=tokens[END],
            pad_token_id=tokens["<|endoftext|>"],
        )
    )
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embedding = model.model.embed_tokens.weight.normal_()
        output = model.lm_head.weight.zero_()
        for token, successor in follows.items():
            state = embedding[tokens[token]]
            output[tokens[successor]] += SURE * state / state.norm()
    return model.to(torch.float32)


def save_gguf(path: Path, model: Any, made: Any) -> None:
    """The same model for llama.cpp."""
    import gguf

    writer = gguf.GGUFWriter(str(path), "qwen3")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    tokens = {number: token for token, number in made.get_vocab().items()}
    names = [tokens.get(number, f"[PAD{number}]") for number in range(model.config.vocab_size)]
    kinds = gguf.TokenType
    special = dict.fromkeys(SPECIAL, kinds.CONTROL) | dict.fromkeys(MARKS, kinds.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(names)
    writer.add_token_types(
        [special.get(name, kinds.NORMAL if at in tokens else kinds.UNUSED) for at, name in enumerate(names)]
    )
    merges = json.loads(made.to_str())["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(made.token_to_id(END))
    writer.add_pad_token_id(made.token_to_id("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in model.state_dict().items():
        writer.add_tensor(gguf_name(name), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """A tensor's name in llama.cpp."""
    for ours, theirs in (
        *(("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output")),
        *(("model.layers", "blk"), ("self_attn.o_proj", "attn_output"), ("self_attn.", "attn_")),
        *(("mlp.", "ffn_"), ("post_attention_layernorm", "ffn_norm"), ("input_layernorm", "attn_norm")),
        ("_proj", ""),
    ):
        name = name.replace(ours, theirs)
    return name


def main(directory: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    made, follows = tokenizer()
    model = weights(made.get_vocab(), follows)
    model.generation_config.do_sample = False
    model.save_pretrained(directory / "tiny")
    PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=END,
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        response_template=OUTPUT,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(directory / "tiny")
    save_gguf(directory / "tiny.gguf", model, made)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
