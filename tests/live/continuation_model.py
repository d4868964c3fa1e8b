"""A tiny model that has learned a few answers by heart, cut into pieces by a vocabulary of the usual kind.

    python continuation_model.py DIRECTORY

It is run by the interpreter of a server's own environment, for it needs torch, transformers and
tokenizers. ``tiny_model`` recites too, but its pieces cannot be found again in a text; here a text that
is sent back is cut as it was when the model said it, which is what a continuation lives on. The model is
trained for some seconds until it says every answer word for word.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TEXT = (
    "Zürich lies between hills and a lake.  Two blanks stood there.\n\n"
    "* a tram 🚋, a boat ⛴️ and a 👩‍🚀 in one character\n"
    "* 日本語 と 中文, and a line that ends with blanks   \n"
    "\n"
    "```python\n"
    "def hills(lake):\n"
    "    for wave in lake:\n"
    "        if wave:\n"
    "            yield wave\n"
    "\n\n"
    "print(sum(hills([1, 2])))\n"
    "```\n\n\n"
    "After three line ends\tand a tab: That was all."
)
SHORT = "Mild and dry."
THOUGHT = "\nWhich lake? The one beneath the hills.\n"
AFTER = "\n\nLake Zürich, I think. It is long,\n\nand it is deep."
ANSWERS = {"text": TEXT, "short": SHORT, "think": f"<think>{THOUGHT}</think>{AFTER}"}
"""What the model says when the last user message is this word."""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<think>", "</think>"]
END = "<|im_end|>"
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""How Qwen cuts words."""
TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.role == 'assistant' and message.reasoning_content -%}
{{- '<think>' + message.reasoning_content + '</think>' -}}
{%- endif -%}
{{- message.content TRIM-}}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
TEMPLATES = {"keeps": TEMPLATE.replace("TRIM", ""), "trims": TEMPLATE.replace("TRIM", "| trim ")}
"""Those that leave a message as it is, and those that trim it, as Llama's and Gemma's do."""
WIDTH, LAYERS, HEADS, HEAD, INNER, CONTEXT = 128, 2, 4, 32, 256, 4096
STEPS, RATE, SURE = 1000, 3e-3, 0.005


def tokenizer() -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator([TEXT, SHORT, THOUGHT, AFTER], trainer)
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    made.add_tokens([AddedToken(token, special=False) for token in MARKS])
    return made


def trained(made: Any) -> Any:
    """The model, once it is sure of every piece of every answer."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(4)
    torch.set_num_threads(2)
    end = made.token_to_id(END)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=-(-made.get_vocab_size() // 64) * 64,
            hidden_size=WIDTH,
            intermediate_size=INNER,
            head_dim=HEAD,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=made.token_to_id("<|endoftext|>"),
        )
    )
    rows = []
    for name, answer in ANSWERS.items():
        prompt = made.encode(f"<|im_start|>user\n{name}<|im_end|>\n<|im_start|>assistant\n").ids
        said = [*made.encode(answer).ids, end]
        rows.append((prompt + said, [-100] * len(prompt) + said))
    longest = max(len(ids) for ids, _ in rows)
    inputs = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows])
    labels = torch.tensor([ids + [-100] * (longest - len(ids)) for _, ids in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    for _ in range(STEPS):
        loss = model(input_ids=inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < SURE:
            return model.eval()
    raise SystemExit(f"the model has not learned its answers: loss {loss.item():.3f}")


def main(directory: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    made = tokenizer()
    model = trained(made)
    model.generation_config.do_sample = False
    for name, template in TEMPLATES.items():
        model.save_pretrained(directory / name)
        PreTrainedTokenizerFast(
            tokenizer_object=made,
            eos_token=END,
            pad_token="<|endoftext|>",
            chat_template=template,
            model_max_length=CONTEXT,
            clean_up_tokenization_spaces=False,
        ).save_pretrained(directory / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
